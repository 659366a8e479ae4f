"""One endpoint floods unknown destinations: what becomes of another network's first packets (X3).

    python -m dove_ryu.bench.flood --kind mac --rounds 6 --json flood.json

Two emulated servers with Open vSwitch, and two networks.  In one of them an endpoint sends 50,000 packets a second to
addresses that nobody has; in the other, two endpoints of the same servers speak for the first time, again and again,
from another address to another address each time, so that every echo and every reply is a policy request.  The quiet
network is measured by turns without the flood and under it, and the ratio of the medians is what another tenant feels.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "mininet"))  # the emulation is the repository's, not ours

from emulation import DpsNode, Emulation, Endpoint, ended_by_signals, wait_until

from dove_ryu.openflow.meters import port_meter

GOAL = 2.0
"""How many times as long a first packet may take under the flood, at the median."""

ROUTER = "02:00:5e:00:00:01"
MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02")
SUBNET = "192.168.7"
PREFIXES = ("10.1.0.0/16", "10.2.0.0/16")
"""Each quiet endpoint stands for one, and speaks from another address of it each time."""

KINDS = {"mac": "noisy-l2", "ip": "noisy-l3", "arp": "noisy-l2"}
"""What a flood makes up, and the network of the endpoint that does it."""


@dataclass(frozen=True)
class Turn:
    """One turn of the quiet network.

    :ivar first_ms: round trips of first packets.
    :ivar lost: first packets without an answer.
    :ivar sent: packets that the flooding endpoint sent meanwhile.
    :ivar asked: how many of them its meter let through to the DPS, with all others of that port.
    :ivar cpu: of the flooded server's ovs-vswitchd, in cores.
    """

    flooded: bool
    first_ms: Sequence[float]
    lost: int
    sent: int = 0
    asked: int = 0
    cpu: float = 0.0

    @property
    def median_ms(self) -> float:
        return statistics.median(self.first_ms)


class Scene:
    """The two servers with their four endpoints."""

    def __init__(self, net: Emulation, *options: str) -> None:
        self.scan = _compile(net.footprint.directory)
        self.dps: DpsNode = net.add_dps(options=options)
        self.servers = [net.add_server(f"s{n}", f"10.0.0.{n}/24") for n in (1, 2)]
        net.start()
        for blueprint in (_quiet(), _noisy("l2"), _noisy("l3")):
            self._apply(blueprint)
        self.near, self.far = (self._attach(net, n, "quiet", f"q{n + 1}") for n in (0, 1))
        for node, prefix in zip((self.near, self.far), PREFIXES, strict=True):
            node.run("ip", "addr", "add", prefix.replace(".0.0/", ".0.1/"), "dev", "lo")
        nodes = {network: self._attach(net, 0, network, "f1") for network in ("noisy-l2", "noisy-l3")}
        self.flooder = {kind: nodes[network] for kind, network in KINDS.items()}
        for network in nodes:
            self._attach(net, 1, network, "f2")
        self._pairs = iter(range(1, 65_000))
        wait_until(lambda: self.first_packet() is not None, "the quiet network's endpoints speak", 30)

    def speak(self, kind: str) -> None:
        """The endpoint that floods has honest company too: its dSwitch holds entries that each packet is compared with."""
        speaks = self.flooder[kind].ping
        wait_until(lambda: speaks(f"{SUBNET}.2").received == 1, f"{KINDS[kind]} speaks", 20)

    def first_packet(self) -> float | None:
        """Milliseconds of a round trip between two addresses that have never spoken; None where it was lost."""
        number = next(self._pairs)
        source, target = (f"10.{side}.{number >> 8}.{number & 255}" for side in (1, 2))
        text = self.near.run("ping", "-n", "-c1", "-W2", "-I", source, target, check=False)
        found = re.search(r"time=([\d.]+) ms", text)
        return float(found[1]) if found else None

    def turn(self, packets: int) -> Turn:
        """First packets without a flood."""
        times = [self.first_packet() for _ in range(packets)]
        return Turn(False, [each for each in times if each is not None], times.count(None))

    def flooded_turn(self, kind: str, packets: int, rate: int, seconds: float) -> Turn:
        """First packets under the flood."""
        server, flooder = self.servers[0], self.flooder[kind]
        self.speak(kind)
        asked, busy = self.asked(flooder), _cpu_seconds(server.vswitchd_id)
        with self.flood(kind, rate, seconds) as process:
            quiet = self.turn(packets)
            report = json.loads(process.communicate(timeout=seconds + 30)[0])
        busy = (_cpu_seconds(server.vswitchd_id) - busy) / report["seconds"]
        asked = self.asked(flooder) - asked
        return Turn(True, quiet.first_ms, quiet.lost, report["sent"], asked, round(busy, 3))

    @contextmanager
    def flood(self, kind: str, rate: int, seconds: float) -> Iterator[subprocess.Popen[bytes]]:
        """An endpoint scans for the length of the block at most."""
        flooder = self.flooder[kind]
        process = flooder.popen(
            [str(self.scan), Endpoint.NIC, kind, str(rate), str(seconds), flooder.mac, f"{SUBNET}.1", ROUTER]
        )
        try:
            sent_some = Path(f"/proc/{flooder.pid}/net/dev")
            before = sent_some.read_text()
            wait_until(lambda: sent_some.read_text() != before, "the flood has begun")
            yield process
        finally:
            process.kill()
            process.communicate()

    def asked(self, node: Endpoint) -> int:
        """Packets that the meter of an endpoint of the first server has let through."""
        server = self.servers[0]
        text = server.ofctl("meter-stats", f"meter={port_meter(server.ofport(node.port))}")
        came, over = (re.search(pattern, text) for pattern in (r"packet_in_count:(\d+)", r"\n0: packet_count:(\d+)"))
        return int(came[1]) - int(over[1]) if came and over else 0

    def _apply(self, blueprint: dict[str, Any]) -> None:
        status, answer = self.dps.request("PUT", f"/v1/networks/{blueprint['network']}/blueprint", blueprint)
        if status not in (200, 201):
            raise RuntimeError(f"the DPS refuses the blueprint: {status}: {answer}")

    def _attach(self, net: Emulation, server: int, network: str, name: str) -> Endpoint:
        number = server + 1
        node = net.add_endpoint(
            self.servers[server], name, network, MACS[server], [f"{SUBNET}.{number}/24"], gateway=f"{SUBNET}.254"
        )
        path = f"/v1/networks/{network}/endpoints/{name}"
        wait_until(lambda: self.dps.request("GET", path)[1]["location"] is not None, f"{network}/{name} located", 20)
        return node


def _quiet() -> dict[str, Any]:
    endpoints = [
        {"name": f"q{n + 1}", "domain": "all", "macs": [MACS[n]], "ips": [f"{SUBNET}.{n + 1}", PREFIXES[n]]}
        for n in (0, 1)
    ]
    return {**_network("quiet", "l3"), "endpoints": endpoints}


def _noisy(service: str) -> dict[str, Any]:
    endpoints = [
        {"name": f"f{n + 1}", "domain": "all", "macs": [MACS[n]], "ips": [f"{SUBNET}.{n + 1}"]} for n in (0, 1)
    ]
    return {**_network(f"noisy-{service}", service), "endpoints": endpoints}


def _network(name: str, service: str) -> dict[str, Any]:
    """One domain in which everybody may talk to everybody."""
    return {
        "network": name,
        "service": service,
        "default_policy": "deny",
        "gateways": [{"mac": ROUTER, "ips": [f"{SUBNET}.254/24"]}] if service == "l3" else [],
        "domains": ["all"],
        "policies": [{"from": "all", "to": "all", "actions": ["accept"]}],
    }


def _compile(directory: Path) -> Path:
    """The program that scans."""
    source, program = Path(__file__).with_name("scan.c"), directory / "scan"
    try:
        subprocess.run(["cc", "-O2", "-o", program, source], check=True)
    except FileNotFoundError:
        raise RuntimeError("there is no C compiler for the program that scans: apt-get install --yes gcc") from None
    return program


def _cpu_seconds(process_id: int) -> float:
    user, system = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / 100


def ratios(turns: Sequence[Turn]) -> list[float]:
    """Median of each flooded turn to the median of the quiet turn before it."""
    return [after.median_ms / before.median_ms for before, after in zip(turns[::2], turns[1::2], strict=True)]


def measure(scene: Scene, kind: str, rounds: int, packets: int, rate: int, seconds: float) -> list[Turn]:
    """Turns without and with the flood, by turns."""
    turns: list[Turn] = []
    for number in range(1, rounds + 1):
        turns += [scene.turn(packets), scene.flooded_turn(kind, packets, rate, seconds)]
        quiet, flooded = turns[-2:]
        print(
            f"{kind} round {number} of {rounds}: first packets {quiet.median_ms:.2f} ms, under {flooded.sent} packets"
            f" {flooded.median_ms:.2f} ms (lost {flooded.lost}); {flooded.asked} came up; ovs-vswitchd"
            f" {flooded.cpu:.0%} of a core",
            file=sys.stderr,
        )
    return turns


def main() -> int:
    parser = argparse.ArgumentParser(
        description="What a flood of one endpoint does to another network's first packets."
    )
    parser.add_argument("--kind", choices=tuple(KINDS), action="append", help="which flood (all)")
    parser.add_argument("--rounds", type=int, default=6, help="turns without and with the flood (6)")
    parser.add_argument("--packets", type=int, default=40, help="first packets of each turn (40)")
    parser.add_argument("--rate", type=int, default=50_000, help="packets a second of the flood (50000)")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each flood lasts (3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every turn into FILE as well")
    args = parser.parse_args()
    result: dict[str, Any] = {"goal": GOAL, "rate": args.rate, "kinds": {}}
    with ended_by_signals(), Emulation() as net:
        scene = Scene(net)
        for kind in args.kind or KINDS:
            turns = measure(scene, kind, args.rounds, args.packets, args.rate, args.seconds)
            ratio = statistics.median(ratios(turns))
            result["kinds"][kind] = {"ratio": round(ratio, 2), "met": ratio < GOAL, "turns": list(map(asdict, turns))}
            print(f"{kind}: {ratio:.2f} times as long under the flood: goal {'met' if ratio < GOAL else 'missed'}")
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (RuntimeError, PermissionError) as error:  # the emulation's own say what, why and where the log is
        sys.exit(f"flood: {error}")
