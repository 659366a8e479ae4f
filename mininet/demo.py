"""The DOVE report's figure 4 on this machine, with real packets, held against its blueprint.

    make demo

starts the DPS, the figure's servers and their appliances (`figure4`), has `dove apply` give the DPS the blueprint, sends
packets between all endpoints (`matrix`), and shows what it measured beside what the blueprint says (`demo_page`). Started
from a terminal, it then stays up to be explored until Ctrl-C. The exit status is 0 if all was as it should be, 1 if not.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import shlex
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import figure4
import matrix
from appliance import MARK
from demo_page import Page, show_flows, show_matrices, show_passages, show_round_trips, show_segments
from dps_node import RYU_MANAGER
from emulation import TUNNELLED, TUNNELLED_ARP, TUNNELLED_ND, Capture, Emulation, Hypervisor, ended_by_signals
from figure4 import BLUEPRINT, PROVIDED, Figure4
from hypervisor import DOVE_DSWITCH

from dove_ryu.openflow.fields import Cookie
from dove_ryu.openflow.pipeline import TABLES

#: Pairs whose round trips are shown: between servers, and within one.
TIMED = (("ext", "lb"), ("lb", "ws1"), ("lb", "ws2"), ("ws1", "db1"), ("ws3", "db1"))


def demonstrate(net: Emulation, page: Page) -> tuple[Figure4, list[str]]:
    """Build the figure, measure, and show what was measured: the figure, still up, and what was not as it should be."""
    page.say(
        "Figure 4 of the DOVE report: clients, a load balancer, web servers and databases on four servers,", "bold"
    )
    page.say("with a firewall, an SSL accelerator and a compression engine between them", "bold")
    page.say()
    with page.step("Starting the DPS with SQLite, and four servers with Open vSwitch of their own"):
        figure = figure4.build(net)
    with contextlib.ExitStack() as stack:
        underlay = [stack.enter_context(each) for each in _captures(figure)]
        with page.step(f"dove apply -f {os.path.relpath(PROVIDED)}") as came_out:
            figure.dps.run("dove", "apply", "-f", str(PROVIDED))
            came_out(", ".join(figure.appliances))
        with page.step(f"dove apply -f {os.path.relpath(BLUEPRINT)}") as came_out:
            came_out(figure.dps.run("dove", "apply", "-f", str(BLUEPRINT)).partition("\n")[0])
        with page.step(f"{len(figure.endpoints)} endpoints found by their iface-id, and let in by their dSwitches"):
            figure.wait_until_bound()
        with page.step(f"{len(TIMED) * 2} times {matrix.ROUND_TRIPS} pings, before anything else is sent"):
            trips = matrix.round_trips(figure, TIMED)
        with page.step(f"{len(matrix.ways(figure))} datagrams, one from each to each"):
            arrived = matrix.delivered(figure)
        with page.step(f"{len(matrix.ways(figure))} pings, one from each to each"):
            pinged = matrix.pinged(figure)
        for capture in underlay:
            capture.stop()
        counted = {name: appliance.passed() for name, appliance in figure.appliances.items()}
    return figure, _report(page, figure, trips, arrived, pinged, counted, underlay)


def _report(
    page: Page,
    figure: Figure4,
    trips: Sequence[matrix.RoundTrips],
    arrived: frozenset[matrix.Arrival],
    pinged: matrix.Ways,
    counted: matrix.Counted,
    underlay: Sequence[Capture],
) -> list[str]:
    """Show it all; return what is not as it should be."""
    reachable = matrix.those(figure, figure.may_reach)
    answerable = matrix.those(figure, figure.may_ping)
    delivered = frozenset(each.way for each in arrived)
    marked = frozenset(each.way for each in arrived if each.dscp == MARK)
    passed, planned = matrix.passages(figure, counted), matrix.planned_passages(figure)
    accelerated = frozenset(way for way, stops in planned.items() if "SSL" in stops)

    names = [each["name"] for each in figure.blueprint["endpoints"]]
    measured = {"datagrams delivered": (delivered, reachable), "pings answered": (pinged, answerable)}
    show_matrices(page, names, measured, reachable)
    show_passages(page, names, passed, planned)
    page.say(
        f"\nThe mark of SSL's stand-in, DSCP {MARK}, was on {len(marked)} of {len(delivered)} datagrams that arrived"
    )
    show_segments(
        page, matrix.segments(figure, counted), {name: each.server.name for name, each in figure.appliances.items()}
    )
    show_round_trips(page, trips, _place_of_endpoints(), planned)
    show_flows(page, *_flows(figure.servers))
    tunnelled, questions = (
        sum(capture.count(only) for capture in underlay) for only in (TUNNELLED, f"{TUNNELLED_ARP} or {TUNNELLED_ND}")
    )
    page.say(f"\nARP and ND frames inside the tunnels: {questions}, of {tunnelled} frames on the underlay")

    differences = [
        *_differences("a datagram", "arrives", "gets lost", delivered, reachable),
        *_differences("a ping", "is answered", "gets lost", pinged, answerable),
        *_differences("a datagram", "bears SSL's mark", "lacks SSL's mark", marked, accelerated & delivered),
        *_detours(delivered, passed, planned),
        *(f"{trip.lost} of {matrix.ROUND_TRIPS} pings lost from {trip.way}" for trip in trips if trip.lost),
    ]
    if questions:
        differences.append(f"{questions} ARP or ND frames crossed the underlay")
    if not tunnelled:
        differences.append("no frame at all crossed the underlay in a tunnel")
    page.verdict(differences)
    return differences


def _place_of_endpoints() -> dict[str, str]:
    return {name: server for server, (_, hosted) in figure4.DEPLOYMENT.items() for name in hosted}


def _differences(what: str, so: str, not_so: str, found: matrix.Ways, expected: matrix.Ways) -> Iterator[str]:
    for way in sorted(found ^ expected):
        yield f"{what} from {way} {so if way in found else not_so}"


def _detours(delivered: matrix.Ways, passed: matrix.Passages, planned: matrix.Passages) -> Iterator[str]:
    """What went another way than through its appliances; of packets that never arrived, `_differences` speaks."""
    for way in sorted(delivered):
        if passed.get(way) != planned.get(way):
            by, due = (" and ".join(ways.get(way, ())) or "no appliance" for ways in (passed, planned))
            yield f"packets from {way} pass {by} instead of {due}"


def _captures(figure: Figure4) -> Iterator[Capture]:
    """What each server sends into the underlay; so each frame is seen once."""
    for name, server in figure.servers.items():
        yield figure.net.underlay.capture(f"to-{name}", f"src host {server.addresses[0].ip} and {TUNNELLED}")


def _flows(servers: Mapping[str, Hypervisor]) -> tuple[dict[str, Counter[str]], dict[str, int]]:
    """For each dSwitch, its flows by table, and how many of all are cached replies to policy requests."""
    counts: dict[str, Counter[str]] = {}
    cached: dict[str, int] = {}
    for name, server in servers.items():
        counts[name] = Counter({table.name: 0 for table in TABLES})
        cached[name] = 0
        for line in server.ofctl("dump-flows", "--no-names").splitlines()[1:]:
            fields = dict(word.split("=", 1) for word in line.replace(",", " ").split() if "=" in word)
            cookie = Cookie.parse(int(fields["cookie"], 16))
            counts[name][TABLES[int(fields["table"])].name] += 1
            cached[name] += cookie is not None and cookie.kind.cached
    return counts, cached


# ---- to be explored ------------------------------------------------------------------------------


def explore(page: Page, figure: Figure4) -> None:
    """Say how to look around, and stay until Ctrl-C or until the terminal is gone."""
    with figure.dps.published() as url, contextlib.suppress(KeyboardInterrupt):
        for line in _hints(figure, url):
            page.say(line)
        _await_hangup()
        sys.exit(128 + signal.SIGHUP)
    page.say("\nTaking everything down.")


def _await_hangup() -> None:
    """Of a terminal that closes, only the first process in it is told by SIGHUP. That may be make, which keeps it to
    itself."""
    terminal = select.poll()
    terminal.register(sys.stdin, 0)  # nothing is asked for, and a hang-up is reported unasked
    terminal.poll()


def _hints(figure: Figure4, url: str) -> Iterator[str]:
    shop, lb = figure.blueprint["network"], figure.endpoints["lb"]
    examples = {
        f"dove get endpoints -n {shop}": "",
        f"dove trace -n {shop} lb db1": "why the load balancer reaches no database",
        "dove get appliances -o wide": "which VLAN is whose",
        f"dove trace -n {shop} lb ws1 --live": "a ping is sent; where was it seen?",
        f"nsenter -n -t {lb.pid} ping {figure.ip('ws1')}": "in lb; and while it runs, from a third shell:",
        f"dove delete policy 'lb>app' -n {shop}": "it stops",
        f"dove apply -f {shlex.quote(str(BLUEPRINT))}": "it goes on",
    }
    yield "\nAll of it stays up until Ctrl-C. From another shell, as root:\n"
    yield f"  export PATH={shlex.quote(f'{RYU_MANAGER.parent}:{DOVE_DSWITCH.parent}')}:$PATH"
    yield f"  export DOVE_URL={url}"
    width = max(map(len, examples))
    yield from (f"  {command:<{width}}  {f'# {why}' if why else ''}".rstrip() for command, why in examples.items())
    yield ""
    for name, server in figure.servers.items():
        yield f"  {name:<8} {server.addresses[0].ip!s:<29} OVS_RUNDIR={server.directory} dove-dswitch dump"
        for endpoint in server.endpoints.values():
            addresses = " ".join(figure.ip(endpoint.endpoint, version) for version in matrix.VERSIONS)
            yield f"    {endpoint.endpoint:<6} {addresses:<29} nsenter -n -t {endpoint.pid} COMMAND"
        for appliance in figure.appliances.values():
            if appliance.server is server:
                yield f"    {appliance.name:<36} nsenter -n -t {appliance.pid} nft list ruleset"


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Run the DOVE report's figure 4 on this machine, with real packets, against its blueprint.",
        epilog="Exit status: 0 if all was as the blueprint says, 1 if not.",
    )
    parser.add_argument("--no-wait", action="store_true", help="end after the report, though this is a terminal")
    args = parser.parse_args()
    page = Page()
    with ended_by_signals(), Emulation() as net:
        figure, differences = demonstrate(net, page)
        if not args.no_wait and sys.stdin.isatty() and sys.stdout.isatty():
            explore(page, figure)
    return 1 if differences else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (RuntimeError, PermissionError) as error:  # the emulation's own say what, why and where the log is
        sys.exit(f"demo: {error}")
