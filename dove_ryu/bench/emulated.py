"""``python -m dove_ryu.bench.emulated``: the whole way, with real dSwitches on two emulated servers.

One network with so many endpoints; twelve of them are machines on the two servers, all others are on a third dSwitch
somewhere else, of which the two know no more than where its tunnels end.  Measured are what a dSwitch of a large network
holds, how soon a new endpoint is reached, what the first packet of a conversation costs, and how many new destinations a
second a dSwitch can learn from its DPS.

The servers have Open vSwitch's userspace datapath and share this machine's cores with everything else: real servers do
better, and the figures are for comparison with one another.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import struct
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address
from pathlib import Path
from random import Random
from typing import Any, Protocol

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "mininet"))  # the emulation is a clone's, not installed

from emulation import Emulation, Endpoint, Hypervisor, ended_by_signals, wait_until
from scale import flow_count, resident_mib

from dove_ryu.bench.requests import frame
from dove_ryu.bench.world import Host
from dove_ryu.model.amendment import Numbers, amend
from dove_ryu.model.blueprint import parse
from dove_ryu.model.documents import ALLOCATION_KEY, entry_of, vni_key
from dove_ryu.model.entities import DSwitch, Encapsulation, Location
from dove_ryu.model.facts import Change
from dove_ryu.openflow.fields import CACHED_COOKIE, CACHED_MASK
from dove_ryu.store import open_store

NETWORK, VNI = "emulated", 77
FIRST_ADDRESS, PREFIX_LENGTH = IPv4Address("10.64.0.1"), 10
MACHINES, TALKED_TO = 12, 10
ELSEWHERE, ELSEWHERE_ADDRESS, ELSEWHERE_MAC = 0xE15E, "10.0.0.200", "02:00:00:00:e1:5e"
LIMITS_LIFTED = (
    *("--dove-packet-in-rate", "0", "--dove-network-rate", "0"),
    *("--dove-endpoint-rate", "1000000", "--dove-endpoint-burst", "1000000"),
)
"""What protects a DPS from one endpoint would be all that is measured."""

RATES = (500, 1_000, 2_000, 4_000, 8_000, 16_000)
_DELIVERED = 0.99
_PATIENCE = 180.0


@dataclass(frozen=True, slots=True)
class Size:
    """What a dSwitch of a large network costs.  Seconds, milliseconds or MiB, as the names say.

    :ivar flows: that it holds when one of its machines has talked to ten others.
    :ivar control_mib: what is held where all is known.
    :ivar server_mib: what is held on the first server, for its dSwitch.
    """

    endpoints: int
    new_endpoint_s: float
    flows: int
    cached_ms: float
    first_ms: float
    control_mib: float
    server_mib: float


@dataclass(frozen=True, slots=True)
class NewFlows:
    """New destinations at a rate.

    :ivar delivered: share of their packets that left in the tunnel.
    :ivar per_second: packets that left, over the time until the last of them did.
    :ivar dps_cpu: cores that the DPS used until the last was delivered.
    :ivar vswitchd_cpu: and ovs-vswitchd.
    """

    rate: int
    sent: int
    delivered: float
    per_second: float
    dps_cpu: float
    vswitchd_cpu: float


class Place(Protocol):
    """What the sizes are measured of, whoever is in control."""

    near: Endpoint

    @property
    def here(self) -> Hypervisor: ...

    @property
    def control(self) -> list[int]: ...

    @property
    def local(self) -> list[int]: ...

    def attach(self, server: Hypervisor, number: int) -> Endpoint: ...

    def forget(self) -> None: ...


class Scene:
    """The DPS, the two servers and their machines: the first one on the first server, ten more on the second."""

    def __init__(self, net: Emulation, endpoints: int) -> None:
        self._net = net
        self.dps = net.add_dps(options=LIMITS_LIFTED)
        _fill_store(Path(self.dps.directory) / "dps.sqlite", endpoints)
        self.servers = [net.add_server(f"s{number}", f"10.0.0.{number}/24") for number in (1, 2)]
        net.start()
        self.here.appctl("tnl/neigh/set", Hypervisor.PHYSICAL, ELSEWHERE_ADDRESS, ELSEWHERE_MAC)
        self.near = self.attach(self.here, 0)
        self.others = [self.attach(self.servers[1], number) for number in range(1, 1 + TALKED_TO)]

    @property
    def control(self) -> list[int]:
        """The processes where all is known."""
        return [self.dps.process_id]

    @property
    def local(self) -> list[int]:
        """The processes on the first server."""
        return [self.here.vswitchd_id]

    @property
    def here(self) -> Hypervisor:
        """The first server."""
        return self.servers[0]

    def attach(self, server: Hypervisor, number: int) -> Endpoint:
        """Switch a machine on."""
        prefix = f"{machine_address(number)}/{PREFIX_LENGTH}"
        return self._net.add_endpoint(server, f"e{number}", NETWORK, machine_mac(number), [prefix])

    def forget(self) -> None:
        """As if nobody had ever spoken."""
        for machine in (self.near, *self.others):
            machine.run("ip", "neigh", "flush", "all")
        for server in self.servers:
            server.ofctl("del-flows", f"cookie={CACHED_COOKIE:#x}/{CACHED_MASK:#x}")
            server.appctl("revalidator/purge")


def measure_size(scene: Place, endpoints: int, rounds: int) -> Size:
    """What a dSwitch of a network of so many endpoints costs."""
    for number in range(1, 1 + TALKED_TO):
        _reach(scene.near, number)
    flows = flow_count(scene.here)
    began = time.monotonic()
    new = scene.attach(scene.here, MACHINES - 1)
    _reach(new, 1, wait=0.1)
    reached = time.monotonic() - began
    cached = scene.near.ping(str(machine_address(1)), count=50).cached_rtt
    first = []
    for turn in range(rounds):
        scene.forget()
        result = scene.near.ping(str(machine_address(1 + turn % TALKED_TO)))
        first += [] if result.first_rtt is None else [result.first_rtt]
    return Size(
        endpoints,
        reached,
        flows,
        cached or float("nan"),
        statistics.median(first) if first else float("nan"),
        sum(map(resident_mib, scene.control)),
        sum(map(resident_mib, scene.local)),
    )


def measure_new_flows(scene: Scene, endpoints: int, rates: Sequence[int]) -> list[NewFlows]:
    """New destinations at rising rates, each for a second, up to the first that is not kept up with."""
    found: list[NewFlows] = []
    first = MACHINES
    for rate in rates:
        if first + rate > endpoints:
            break
        found.append(_turn_of_new_flows(scene, range(first, first + rate), rate))
        first += rate
        if found[-1].delivered < _DELIVERED:
            break
    return found


def _turn_of_new_flows(scene: Scene, destinations: range, rate: int) -> NewFlows:
    frames = _frames(destinations)
    with scene.near.inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind((Endpoint.NIC, 0))
        before, cpu = _left(scene.here), _cpu(scene)
        began = time.monotonic()
        for serial, data in enumerate(frames):
            while time.monotonic() < began + serial / rate:
                time.sleep(0.0005)
            out.send(data)
    gone, until = _await_the_rest(scene.here, before, len(frames))
    used = [(after - earlier) / (time.monotonic() - began) for earlier, after in zip(cpu, _cpu(scene), strict=True)]
    return NewFlows(rate, len(frames), gone / len(frames), gone / (until - began), *used)


def _await_the_rest(server: Hypervisor, before: int, expected: int) -> tuple[int, float]:
    """How many packets have left in the end, all that are expected or fewer, and when the last of them did."""
    gone, changed = 0, time.monotonic()
    while gone < expected and time.monotonic() < changed + 0.5:
        left = _left(server) - before
        if left != gone:
            gone, changed = left, time.monotonic()
    return min(gone, expected), changed


def _left(server: Hypervisor) -> int:
    """Packets that have left in the tunnel to the dSwitch that is elsewhere."""
    counted = server.ofctl("dump-ports", "dove-geneve")
    return int(counted.partition("tx pkts=")[2].partition(",")[0])


def _cpu(scene: Scene) -> list[float]:
    return [_cpu_seconds(pid) for pid in (scene.dps.process_id, scene.here.vswitchd_id)]


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _frames(destinations: range) -> list[bytes]:
    random = Random(7)
    sender = _host(0)
    return [frame(sender, _host(number), machine_mac(number), random, only_ipv4=True) for number in destinations]


def _host(number: int) -> Host:
    return Host(f"e{number}", machine_mac(number), str(machine_address(number)), "::", 0, 0)


def _reach(machine: Endpoint, number: int, wait: float = 1.0) -> None:
    address = str(machine_address(number))
    wait_until(lambda: machine.ping(address, wait=wait).received == 1, f"a ping to {address}", _PATIENCE)


def _fill_store(path: Path, endpoints: int) -> None:
    """Write the whole network, and where those are that are elsewhere, before the DPS starts."""
    numbers = Numbers()
    changes = [
        Change.put(DSwitch(ELSEWHERE, "elsewhere", (ELSEWHERE_ADDRESS,), (Encapsulation.GENEVE,), "none")),
        *amend(None, parse(_blueprint(endpoints)), numbers),
        *(
            Change.put(Location(NETWORK, f"e{number}", ELSEWHERE, f"p{number}"))
            for number in range(MACHINES, endpoints)
        ),
    ]
    store = open_store(f"sqlite:///{path}")
    try:
        puts = {key: document for key, document in map(entry_of, changes) if document is not None}
        store.commit(puts | {vni_key(VNI): {"network": NETWORK}, ALLOCATION_KEY: numbers.document()})
    finally:
        store.close()


def _blueprint(endpoints: int) -> dict[str, Any]:
    return {
        "network": NETWORK,
        "vni": VNI,
        "default_policy": "deny",
        "domains": ["all"],
        "policies": [{"from": "all", "to": "all", "actions": ["accept"]}],
        "endpoints": [
            {
                "name": f"e{number}",
                "domain": "all",
                "macs": [machine_mac(number)],
                "ips": [str(machine_address(number))],
            }
            for number in range(endpoints)
        ],
    }


def machine_mac(number: int) -> str:
    return struct.pack("!HI", 0x0200, number + 1).hex(":")


def machine_address(number: int) -> IPv4Address:
    return FIRST_ADDRESS + number


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m dove_ryu.bench.emulated", description=__doc__)
    parser.add_argument("--endpoints", type=int, default=1_000, help="in the network (default: 1000)")
    parser.add_argument("--rounds", type=int, default=30, help="first packets that are timed (default: 30)")
    parser.add_argument("--new-flows", action="store_true", help="also new destinations at rising rates")
    said = parser.parse_args()
    if said.endpoints < MACHINES:
        parser.error(f"--endpoints {said.endpoints}: at least {MACHINES}, for so many are machines")
    with ended_by_signals(), Emulation() as net:
        scene = Scene(net, said.endpoints)
        result: dict[str, Any] = {"size": asdict(measure_size(scene, said.endpoints, said.rounds))}
        if said.new_flows:
            rows = measure_new_flows(scene, said.endpoints, RATES)
            result["new_flows"] = [asdict(row) for row in rows]
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RuntimeError as error:  # the emulation's own say what, why and where the log is
        sys.exit(f"emulated: {error}")
