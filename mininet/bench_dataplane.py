"""What a dSwitch costs the traffic that passes it: TCP and round trips, beside the same through a plain tunnel.

    make bench-dataplane

builds two pairs of servers with an endpoint each. One pair are dSwitches, with the DPS's whole pipeline between the
endpoint's port and the tunnel. The other pair are two wires: no controller, one flow from the port into a tunnel to the
one other server, one flow back. Everything else is the same, and the pairs are measured in turns, so that what else the
machine does in the meantime strikes both. The ratio is the median of the rounds' own ratios.

Both pairs are emulated on one machine, with Open vSwitch's userspace datapath on slow devices: the figures themselves
say nothing of real servers. The ratio says what the pipeline costs a datapath that caches what the pipeline decided.
Many short turns bring it out better than few long ones, for a busy machine's speed changes within seconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from demo_page import Page
from emulation import DpsNode, Emulation, Endpoint, Hypervisor, ended_by_signals, iperf3, wait_until
from hypervisor import ENDPOINT_MTU

from dove_ryu.openflow.fields import CACHED_COOKIE, CACHED_MASK

TUNNELS = ("geneve", "vxlan")
NETWORK, VNI = "bench", 4711
MACS, ADDRESSES = ("02:00:00:00:00:01", "02:00:00:00:00:02"), ("192.168.7.1", "192.168.7.2")
BLUEPRINT = {
    "network": NETWORK,
    "vni": VNI,
    "default_policy": "deny",
    "domains": ["near", "far"],
    "policies": [
        {"from": "near", "to": "far", "actions": ["accept"]},
        {"from": "far", "to": "near", "actions": ["accept"]},
    ],
    "endpoints": [
        {"name": name, "domain": name, "macs": [mac], "ips": [address]}
        for name, mac, address in zip(("near", "far"), MACS, ADDRESSES, strict=True)
    ],
}
PINGS = 50


class WireServer(Hypervisor):
    """A server whose bridge takes part in nothing: its one endpoint and the tunnel to its one peer are joined."""

    TUNNEL = "wire"

    def __init__(self, *args: Any, peer: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self.peer = peer

    def init_dswitch(self, *_options: str) -> None:
        """No dSwitch, but a bridge under its name: `attach` plugs endpoints in there."""
        options = [f"type={self.encap_types[0]}", f"options:remote_ip={self.peer}", f"options:key={VNI}"]
        self.vsctl(
            *("--may-exist", "add-br", self.DSWITCH, "--", "set", "Bridge", self.DSWITCH, "datapath_type=netdev"),
            *("fail_mode=secure", "--", "--may-exist", "add-port", self.DSWITCH, self.TUNNEL),
            *("--", "set", "Interface", self.TUNNEL, *options),
        )

    def attach_endpoint(self, *args: Any, **options: Any) -> Endpoint:
        endpoint = super().attach_endpoint(*args, **options)
        port, tunnel = self.ofport(endpoint.port), self.ofport(self.TUNNEL)
        self.ofctl("add-flow", f"in_port={port},actions=output:{tunnel}")
        self.ofctl("add-flow", f"in_port={tunnel},actions=output:{port}")
        return endpoint


@dataclass(frozen=True)
class Side:
    """One of the two that are compared: two endpoints, and how to make their servers forget."""

    name: str
    servers: Sequence[Hypervisor]
    near: Endpoint
    far: Endpoint

    def speaks(self) -> bool:
        return self.near.ping(ADDRESSES[1]).received == 1

    def forget(self) -> None:
        """As if the two had never spoken: no neighbour known, no flow cached, neither the DPS's nor the datapath's."""
        for endpoint, server in zip((self.near, self.far), self.servers, strict=True):
            endpoint.run("ip", "neigh", "flush", "all")
            server.ofctl("del-flows", f"cookie={CACHED_COOKIE:#x}/{CACHED_MASK:#x}")
            server.appctl("revalidator/purge")


@dataclass(frozen=True)
class Sample:
    """One turn of one side."""

    tunnel: str
    side: str
    round: int
    tcp_mbit_s: float
    cached_ms: float
    first_ms: float
    pings_lost: int


@dataclass(frozen=True)
class Measure:
    """What is read off a sample, and how it is printed."""

    title: str
    read: Callable[[Sample], float]
    digits: int


MEASURES = (
    Measure("TCP, Mbit/s", lambda sample: sample.tcp_mbit_s, 0),
    Measure("cached round trip, ms", lambda sample: sample.cached_ms, 2),
    Measure("first round trip, ms", lambda sample: sample.first_ms, 2),
)
DSWITCHES, WIRE = "dSwitches", "plain tunnel"


# ---- what is compared ----------------------------------------------------------------------------


def build(net: Emulation, tunnel: str) -> tuple[Side, Side]:
    """Both sides, ready to send, in an empty `net`."""
    dps = net.add_dps()
    dswitches = [net.add_server(f"dove{n}", f"10.0.0.{n}/24", encap_types=(tunnel,)) for n in (1, 2)]
    wires = [
        net.add_server(f"wire{n}", f"10.0.1.{n}/24", kind=WireServer, encap_types=(tunnel,), peer=f"10.0.1.{3 - n}")
        for n in (1, 2)
    ]
    net.start()
    sides = _side(net, DSWITCHES, dswitches), _side(net, WIRE, wires)
    _apply(dps)
    for side in sides:
        wait_until(side.speaks, f"a ping through the {side.name}")
    return sides


def _side(net: Emulation, name: str, servers: Sequence[Hypervisor]) -> Side:
    near, far = (
        net.add_endpoint(server, endpoint, NETWORK, mac, [address])
        for server, endpoint, mac, address in zip(servers, ("near", "far"), MACS, ADDRESSES, strict=True)
    )
    return Side(name, servers, near, far)


def _apply(dps: DpsNode) -> None:
    status, answer = dps.request("PUT", f"/v1/networks/{NETWORK}/blueprint", BLUEPRINT)
    if status not in (200, 201):
        raise RuntimeError(f"the DPS refuses the blueprint: {status}: {answer}")


# ---- measuring -----------------------------------------------------------------------------------


def take_turns(page: Page, tunnel: str, rounds: int, seconds: int) -> list[Sample]:
    """Samples of both sides, round by round; who begins changes with each round."""
    samples = []
    with Emulation() as net:
        with page.step(f"{tunnel}: starting a DPS, two dSwitches, and two servers with a plain tunnel"):
            sides = build(net, tunnel)
        for number in range(1, rounds + 1):
            with page.step(f"{tunnel}: round {number} of {rounds}") as came_out:
                for side in sides if number % 2 else sides[::-1]:
                    samples.append(_sample(side, tunnel, number, seconds))
                    came_out(f"{side.name} {samples[-1].tcp_mbit_s:.0f} Mbit/s")
    return samples


def _sample(side: Side, tunnel: str, number: int, seconds: int) -> Sample:
    side.forget()
    pings = side.near.ping(ADDRESSES[1], PINGS)
    if pings.first_rtt is None or pings.cached_rtt is None:
        raise RuntimeError(f"the first of {PINGS} pings got lost through the {side.name}:\n{pings.text}")
    bits = iperf3(side.far, side.near, ADDRESSES[1], seconds)
    return Sample(tunnel, side.name, number, bits / 1e6, pings.cached_rtt, pings.first_rtt, pings.lost)


def ratios(samples: Sequence[Sample], read: Callable[[Sample], float]) -> list[float]:
    """dSwitches to plain tunnel, round by round."""
    ours, theirs = (
        {sample.round: read(sample) for sample in samples if sample.side == side} for side in (DSWITCHES, WIRE)
    )
    return [ours[number] / theirs[number] for number in sorted(ours)]


# ---- showing -------------------------------------------------------------------------------------


def show(page: Page, samples: Sequence[Sample], tunnels: Sequence[str]) -> None:
    """The table, and what to take from it."""
    page.heading("Over the rounds: the median (and the least, the most)")
    rows = []
    for measure in MEASURES:
        for tunnel in tunnels:
            of_tunnel = [sample for sample in samples if sample.tunnel == tunnel]
            sides = (
                [measure.read(sample) for sample in of_tunnel if sample.side == side] for side in (DSWITCHES, WIRE)
            )
            cells = (_spread(values, measure.digits) for values in sides)
            rows.append((measure.title, tunnel, *cells, _spread(ratios(of_tunnel, measure.read), 2)))
    page.table(("", "", DSWITCHES, WIRE, "ratio"), rows, words=2)
    lost = {side: sum(sample.pings_lost for sample in samples if sample.side == side) for side in (DSWITCHES, WIRE)}
    page.say(f"\npings lost: {', '.join(f'{count} through {side}' for side, count in lost.items())}")
    for tunnel in tunnels:
        of_tunnel = [sample for sample in samples if sample.tunnel == tunnel]
        tcp, cached = (statistics.median(ratios(of_tunnel, measure.read)) for measure in MEASURES[:2])
        page.say(
            f"{tunnel}: TCP at {tcp:.2f} of a plain tunnel's rate, cached round trips at {cached:.2f} of its time",
            "bold",
        )


def _spread(values: Sequence[float], digits: int) -> str:
    least, most = (f"{value:.{digits}f}" for value in (min(values), max(values)))
    return f"{statistics.median(values):.{digits}f} ({least}, {most})"


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def main() -> int:
    parser = argparse.ArgumentParser(
        description="TCP and round trips through dSwitches, beside the same through a plain Open vSwitch tunnel."
    )
    parser.add_argument("--rounds", type=_whole, default=12, help="turns of each side, for each kind of tunnel (12)")
    parser.add_argument("--seconds", type=_whole, default=1, help="length of each TCP measurement (1)")
    parser.add_argument("--tunnel", choices=TUNNELS, help="this kind only (both)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample into FILE as well")
    args = parser.parse_args()
    page, tunnels = Page(), (args.tunnel,) if args.tunnel else TUNNELS
    with ended_by_signals():
        samples = [sample for tunnel in tunnels for sample in take_turns(page, tunnel, args.rounds, args.seconds)]
    if args.json:
        raw = {"mtu": ENDPOINT_MTU, "seconds": args.seconds, "samples": [asdict(sample) for sample in samples]}
        args.json.write_text(json.dumps(raw, indent=2) + "\n")
    show(page, samples, tunnels)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (RuntimeError, PermissionError) as error:  # the emulation's own say what, why and where the log is
        sys.exit(f"bench_dataplane: {error}")
