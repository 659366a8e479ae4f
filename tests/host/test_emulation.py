"""The emulated servers carry real tunnels, keep their tenants apart from their own stack, and leave nothing
behind.

No controller takes part: the flows are two static wires through the tunnel, so that what fails here fails in
the emulation and not in the DPS.
"""

import contextlib
import io
import logging
import os
import signal
import socket
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import figure4
import pytest
import yaml
from emulation import (
    TUNNELLED,
    TUNNELLED_ARP,
    TUNNELLED_ND,
    CommandError,
    DeadlineError,
    Emulation,
    Endpoint,
    Footprint,
    Hypervisor,
    PingResult,
    iperf3,
    sweep,
    wait_until,
)
from footprint import RUNS
from mininet.cli import CLI
from mininet.log import lg

from dove_ryu.model import blueprint

VNI = 4711
KINDS = ("geneve", "vxlan")
ENDPOINT_ADDRESSES = ("192.168.7.{}", "2001:db8:7::{}")


@dataclass
class Pair:
    """Two servers with an endpoint each."""

    net: Emulation
    servers: tuple[Hypervisor, Hypervisor]
    endpoints: tuple[Endpoint, Endpoint]

    def wire(self, kind: str, version: int) -> None:
        """Join the two endpoints by a tunnel of this kind over this version of IP, and by nothing else."""
        for server, endpoint, other in zip(self.servers, self.endpoints, reversed(self.servers), strict=True):
            remote = next(str(address.ip) for address in other.addresses if address.version == version)
            field = "tun_dst" if version == 4 else "tun_ipv6_dst"
            tunnel, port = server.ofport(f"dove-{kind}"), server.ofport(endpoint.port)
            server.ofctl("del-flows")
            server.ofctl(
                "add-flow",
                f"in_port={port},actions=set_field:{VNI}->tun_id,set_field:{remote}->{field},output:{tunnel}",
            )
            server.ofctl("add-flow", f"in_port={tunnel},tun_id={VNI},actions=output:{port}")


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Emulation() as net:
        servers = (
            net.add_server("s1", "10.0.0.2/24", "fd00::2/64", ovsdb="none"),
            net.add_server("s2", "10.0.0.3/24", "fd00::3/64", ovsdb="none"),
        )
        net.start()
        endpoints = tuple(
            net.add_endpoint(
                server,
                f"e{n}",
                "web",
                f"02:00:00:00:00:0{n}",
                [text.format(n) for text in ENDPOINT_ADDRESSES],
            )
            for n, server in enumerate(servers, 1)
        )
        yield Pair(net, servers, (endpoints[0], endpoints[1]))


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("kind", KINDS)
def test_a_tunnel_carries_pings_and_tcp_at_full_mtu(pair: Pair, kind: str, version: int) -> None:
    """F10, F12: one flow-based port for each kind serves remotes of either version."""
    pair.wire(kind, version)
    near, far = pair.endpoints
    with pair.servers[0].capture(Hypervisor.NIC) as underlay:
        for text in ENDPOINT_ADDRESSES:
            result = near.ping(text.format(2), count=20)
            assert (result.lost, result.duplicates) == (0, 0), result.text
        headers = 20 + 8
        assert near.ping(text_v4(2), count=3, size=1400 - headers).lost == 0
    assert underlay.count(f"{TUNNELLED} and ip{'6' if version == 6 else ''}") >= 2 * (20 + 20 + 3)
    assert underlay.count("icmp or (icmp6 and ip6[40] < 128)") == 0, "a server's own stack answers tunnel packets"
    assert iperf3(far, near, text_v4(2), seconds=1) > 1e6


def test_tunnelled_arp_and_nd_are_counted(pair: Pair) -> None:
    """F14 is proved by these filters; here is something for them to find."""
    for kind, version in [("geneve", 4), ("vxlan", 6)]:
        pair.wire(kind, version)
        near = pair.endpoints[0]
        near.run("ip", "neigh", "flush", "dev", near.NIC)
        with pair.servers[0].capture(Hypervisor.NIC) as underlay:
            for text in ENDPOINT_ADDRESSES:
                assert near.ping(text.format(2)).received == 1
        assert underlay.count(TUNNELLED_ARP) >= 2
        assert underlay.count(TUNNELLED_ND) >= 2


def test_a_server_does_not_answer_its_tenants(pair: Pair) -> None:
    """F11: an endpoint that asks for the server's underlay address hears nothing."""
    for server in pair.servers:
        server.ofctl("del-flows")
    near = pair.endpoints[0]
    near.run("ip", "addr", "add", "10.0.0.77/24", "dev", near.NIC)
    try:
        with near.capture(near.NIC) as seen:
            assert near.ping("10.0.0.2", count=2).received == 0
        assert seen.count("arp") > 0
        assert seen.count(f"not ether src {near.mac}") == 0
    finally:
        near.run("ip", "addr", "del", "10.0.0.77/24", "dev", near.NIC)


def test_a_failed_command_says_what_and_why(pair: Pair) -> None:
    with pytest.raises(CommandError, match=r"s1: ip link show nothing: status 1: .*does not exist"):
        pair.servers[0].run("ip", "link", "show", "nothing")
    with pytest.raises(CommandError, match=r"s1: sleep 30: not done within 0.1 s"):
        pair.servers[0].run("sleep", "30", timeout=0.1)


def test_an_endpoint_comes_and_goes(net: Emulation) -> None:
    server = net.add_server("s1", "10.0.0.2/24")
    net.start()
    endpoint = net.add_endpoint(server, "db-1", "web", "02:00:00:00:00:01", ["192.168.7.1"])
    twin = net.add_endpoint(
        server, "db-1", "shop", "02:00:00:00:00:01", ["192.168.7.1/25"], gateway="192.168.7.9", mtu=1300
    )
    assert "default via 192.168.7.9 dev eth0" in twin.run("ip", "route")
    assert "mtu 1300" in twin.run("ip", "link", "show", "eth0")
    assert (endpoint.name, twin.name) == ("db_1", "shop_db_1")
    assert server.vsctl("get", "Interface", endpoint.port, "external_ids:iface-id").strip() == '"web/db-1"'
    net.remove_endpoint(endpoint)
    assert server.vsctl("list-ports", Hypervisor.DSWITCH).split() == [twin.port]
    assert "web-db-1" not in server.run("ip", "-br", "link")
    assert "db_1" not in net


def test_open_vswitch_of_a_server_can_stop_and_come_back(net: Emulation) -> None:
    server = net.add_server("s1", "10.0.0.2/24")
    net.add_server("s2", "10.0.0.3/24")
    net.start()
    endpoint = net.add_endpoint(server, "e1", "web", "02:00:00:00:00:01", ["192.168.7.1"])
    server.stop_switch(signal.SIGKILL)
    server.stop()
    server.start()
    assert server.ofport(endpoint.port) > 0
    assert "10.0.0.3" in server.appctl("tnl/neigh/show")


def test_servers_start_quickly_together(net: Emulation, record_property: Callable[[str, object], None]) -> None:
    for number in range(2, 6):
        net.add_server(f"s{number}", f"10.0.0.{number}/24")
    net.start()
    net.add_server("late", "10.0.0.9/24")
    net.start()
    record_property("seconds for each server", [round(server.start_seconds, 2) for server in net.switches])
    assert all("10.0.0.2" in server.appctl("tnl/neigh/show") for server in net.switches[1:])
    assert max(server.start_seconds for server in net.switches) < 10


def test_leaving_by_an_exception_takes_everything_away() -> None:
    with contextlib.suppress(ZeroDivisionError), Emulation() as net:
        net.add_server("s1", "10.0.0.2/24")
        net.start()
        footprint = net.footprint
        assert len(footprint.processes()) >= 4, "two shells, ovsdb-server and ovs-vswitchd"
        _ = 1 / 0
    assert footprint.processes() == []
    assert not footprint.directory.exists()


RUNNER = textwrap.dedent(
    """
    import sys
    sys.path.insert(0, {mininet!r})
    from emulation import Emulation
    with Emulation() as net:
        print(net.footprint.directory, flush=True)
        for number in range(2, 5):
            net.add_server(f"s{{number}}", f"10.0.0.{{number}}/24")
        net.start()
        print("started", flush=True)
        sys.stdin.read()
    """
)


@contextlib.contextmanager
def another_run() -> Iterator[tuple["subprocess.Popen[str]", Footprint]]:
    """A run of the emulation owned by another process, which has just begun to start its servers."""
    script = RUNNER.format(mininet=str(Path(__file__).parents[2] / "mininet"))
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process, Footprint(Path(process.stdout.readline().strip()))
    finally:
        process.kill()
        process.communicate()


def test_an_interrupt_in_the_middle_takes_everything_away() -> None:
    with another_run() as (process, footprint):
        wait_until(lambda: len(footprint.processes()) > 3, "servers in the middle of their start")
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)
        assert footprint.processes() == []
        assert not footprint.directory.exists()


def test_a_killed_run_is_swept_and_a_living_one_is_not(net: Emulation) -> None:
    with another_run() as (process, footprint):
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "started"
        assert footprint.directory.name not in sweep()
        process.kill()
        process.wait()
        assert footprint.processes(), "daemons outlive a killed owner"
        assert footprint.directory.name in sweep()
        assert footprint.processes() == []
        assert not footprint.directory.exists()
    assert net.underlay.run("ip", "-br", "link", "show", net.underlay.BRIDGE)
    assert any(str(os.getpid()) in run.name for run in RUNS.iterdir())


def test_ping_output_is_read() -> None:
    lossy = textwrap.dedent(
        """\
        64 bytes from 10.0.0.2: icmp_seq=2 ttl=64 time=0.250 ms
        64 bytes from 10.0.0.2: icmp_seq=2 ttl=64 time=0.300 ms (DUP!)
        64 bytes from 10.0.0.2: icmp_seq=3 ttl=64 time=0.350 ms
        3 packets transmitted, 2 received, +1 duplicates, 33.3333% packet loss, time 2031ms
        """
    )
    result = PingResult.parse(lossy)
    assert (result.transmitted, result.received, result.duplicates, result.lost) == (3, 2, 1, 1)
    assert (result.first_rtt, result.cached_rtt) == (None, 0.3)
    with pytest.raises(ValueError, match="Network is unreachable"):
        PingResult.parse("ping: connect: Network is unreachable")


def text_v4(number: int) -> str:
    return ENDPOINT_ADDRESSES[0].format(number)


def serving(directory: Path) -> list[str]:
    """A command that answers HTTP as the DPS does, as far as DpsNode cares."""
    (directory / "readyz").write_text("ready")
    return [sys.executable, "-m", "http.server", "8080", "--bind", "127.0.0.1", "--directory", str(directory)]


def test_a_dps_node_starts_stops_and_starts_again(net: Emulation, tmp_path: Path) -> None:
    dps = net.add_dps(command=serving(tmp_path))
    dps.start()
    assert dps.request("GET", "/readyz") == (200, "ready")
    assert dps.request("GET", "/nothing")[0] == 404
    with dps.published() as url, urllib.request.urlopen(f"{url}/readyz") as answer:
        assert answer.read() == b"ready"
    with pytest.raises(CommandError, match="dps runs already, as process"):
        dps.start()
    dps.kill()
    assert not dps.running
    dps.start()
    assert dps.stop() < 5
    assert dps.log.count("GET /readyz") >= 2
    dps.stop()


def test_a_dps_that_ends_at_once_shows_its_log(net: Emulation) -> None:
    dps = net.add_dps(command=["sh", "-c", "echo no store here >&2; exit 3"])
    with pytest.raises(CommandError, match="dps: sh ended with status 3: no store here"):
        dps.start()


def test_a_dps_that_never_is_ready_shows_its_log(net: Emulation) -> None:
    dps = net.add_dps(command=["sh", "-c", "echo waiting for the store; exec sleep 60"])
    with pytest.raises(DeadlineError, match=r"dps ready: not within 0.3 s; its log ends: waiting for the store"):
        dps.start(deadline=0.3)


def test_the_dps_and_the_servers_reach_each_other(net: Emulation, tmp_path: Path) -> None:
    """F15: the control network is the data network; OVSDB and OpenFlow pass the servers' own bridges."""
    dps = net.add_dps("dps", "10.0.0.100/24", "fd00::100/64", command=serving(tmp_path))
    server = net.add_server("s1", "10.0.0.2/24", "fd00::2/64")
    net.start()
    assert dps.ping("10.0.0.2").received == 1
    assert dps.ping("fd00::2").received == 1
    with dps.inside():
        ovsdb = socket.create_connection(("10.0.0.2", 6640), timeout=5)
    with ovsdb:
        ovsdb.sendall(b'{"method": "list_dbs", "params": [], "id": 0}')
        assert b"Open_vSwitch" in ovsdb.recv(1000)
    assert server.dswitch("show").startswith("dSwitch br-dove")


def test_mininets_command_line_works(pair: Pair, tmp_path: Path) -> None:
    pair.wire("geneve", 4)
    script = tmp_path / "script"
    script.write_text("e1 ping -c 1 e2\npingall\nnodes\nnet\ndpctl dump-aggregate\ns1 dove-dswitch show\n")
    printed = io.StringIO()
    handler = logging.StreamHandler(printed)
    handler.terminator = ""
    nothing_typed, keyboard = os.pipe()
    lg.addHandler(handler)
    try:
        with os.fdopen(nothing_typed) as stdin:
            CLI(pair.net, stdin=stdin, script=str(script))
    finally:
        lg.removeHandler(handler)
        os.close(keyboard)
    text = printed.getvalue()
    assert "64 bytes from 192.168.7.2" in text
    assert "0% dropped (2/2 received)" in text
    assert "e1 e2 s1 s2" in text
    assert "flow_count=2" in text
    assert "endpoint web/e1" in text


def test_figure_4s_blueprint_allows_its_three_conversations_and_no_other() -> None:
    """The file is a blueprint by the model's own rules, and says what figure 1 draws (F1, F5)."""
    document = yaml.safe_load(figure4.BLUEPRINT.read_text())
    plan = blueprint.parse(document)
    assert {(policy.source, policy.destination) for policy in plan.policies} == {
        *(("external", "lb"), ("lb", "external")),
        *(("lb", "app"), ("app", "lb")),
        *(("app", "db"), ("db", "app")),
    }
    deployed = [name for _, hosted in figure4.DEPLOYMENT.values() for name in hosted]
    assert sorted(deployed) == sorted(endpoint.name for endpoint in plan.endpoints)


def test_figure_4_is_built(net: Emulation, tmp_path: Path) -> None:
    figure = figure4.build(net, encap_types={"edge": ["vxlan"]}, command=serving(tmp_path))
    assert list(figure.servers) == ["edge", "server1", "server2", "server3"]
    assert "vxlan at 10.0.0.1\n" in figure.servers["edge"].dswitch("show")
    assert figure.endpoints["ws1"].run("ip", "-br", "addr", "show", "eth0").split()[2] == "9.2.10.26/24"
    pings = {(a, b) for a in figure.endpoints for b in figure.endpoints if figure.may_ping(a, b)}
    assert ("ws1", "lb") in pings
    assert ("ws1", "ws2") not in pings
    assert len(pings) == 2 * (1 + 3 + 3 * 2)
