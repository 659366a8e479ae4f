"""Scale of state: a million endpoints in one DPS (F54, X3).

``python -m dove_ryu.bench.state`` writes a world of the size asked for into a store of its own, in the DPS's own
documents, and starts the DPS on it in a fresh process: as ``ryu-manager`` would, but for the sockets.  Then every
dSwitch connects over a link that ends in memory, takes its flows and confirms them; and changes are committed one by
one, each timed from before its commit until what it means for every dSwitch is bytes on their links.

The endpoints of a network are scattered over some dSwitches (``--spread``).  The more these are, the fewer flows each
of them shares, and the more of them hear of each change.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from rich.progress import track
from rich.table import Table

from dove_ryu.bench.state_world import SHOW, Shape, entry, fill, ip, mac, network_name
from dove_ryu.dps import Dps
from dove_ryu.model.blueprint import render
from dove_ryu.model.entities import Endpoint, Entity, Location
from dove_ryu.northbound.intent import Intent
from dove_ryu.northbound.versions import Precondition
from dove_ryu.openflow.fields import SOURCE_DOMAIN, VNI
from dove_ryu.openflow.flow import PacketIn
from dove_ryu.openflow.pipeline import LOCATION
from dove_ryu.service import Service
from dove_ryu.southbound import codec
from dove_ryu.southbound.lane import Desk
from dove_ryu.southbound.link import Link
from dove_ryu.store import open_store

SAMPLES = 200
"""Changes of each kind that are timed."""

DEADLINE = 600.0
"""Seconds after which nothing more is waited for."""

TUNNEL_PORTS = {"dove-geneve": 60_001, "dove-vxlan": 60_002}

MULTIPART_REQUEST, MULTIPART_REPLY, BARRIER_REQUEST = 18, 19, 20
FLOWS, MORE = 1, 1

KEEPERS, PART = 10, 300
"""How many dSwitches keep their flows, to connect with them again, and how many they tell in one message."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing that was measured.

    :ivar goal: what the value must be below; None where none is set.
    """

    name: str
    value: float
    unit: str
    goal: float | None = None

    @property
    def verdict(self) -> str:
        """``met`` or ``missed``; empty where there is no goal."""
        return "" if self.goal is None else "met" if self.value < self.goal else "missed"


# ---- dSwitches in memory -----------------------------------------------------------------------


class FarEnd:
    """A dSwitch at the end of a link: it has no flows at first, and confirms what it is told.

    :ivar keeps: whether it holds the flows that it is told to add, for a later connection.
    :ivar flow_mods: how many it was told.
    :ivar bytes: how much that was.
    """

    def __init__(self, service: Service, dpid: int) -> None:
        self.keeps = dpid <= KEEPERS
        self.id = dpid
        self.address = ("192.0.2.1", 40_000)
        self.desk: Desk | None = None
        self.flow_mods = 0
        self.bytes = 0
        self._entries: list[bytes] = []
        self._service = service

    def connect(self, ports: dict[str, int]) -> None:
        """Say hello, and wait until the DPS counts it as live."""
        self.link = Link(self)
        self._service.post(self._service.switches.greet, self.link, ports)
        while not self._service.ask(lambda _: self.link.live, DEADLINE):
            pass  # each question waits for all that was posted before it

    def disconnect(self) -> None:
        """Be gone; what it holds it keeps."""
        self.keeps = False
        self._service.post(self._service.switches.lose, self.link)

    def write(self, data: bytes) -> bool:
        """Take messages in, and answer those that want it."""
        self.bytes += len(data)
        place = 0
        while place < len(data):
            _, kind, length, xid = struct.unpack_from("!BBHI", data, place)
            if kind == codec.FLOW_MOD:
                self.flow_mods += 1
                if self.keeps:
                    self._entries.append(_entry_of(data[place : place + length]))
            elif kind == BARRIER_REQUEST:
                self._say(codec.message(codec.BARRIER_REPLY, b"", xid))
            elif kind == MULTIPART_REQUEST:
                self._tell(int.from_bytes(data[place + 8 : place + 10], "big"), xid)
            place += length
        return True

    def _tell(self, what: int, xid: int) -> None:
        entries = self._entries if what == FLOWS else []
        for place in range(0, max(len(entries), 1), PART):
            head = struct.pack("!HH4x", what, MORE if place + PART < len(entries) else 0)
            self._say(codec.message(MULTIPART_REPLY, head + b"".join(entries[place : place + PART]), xid))

    def _say(self, message: bytes) -> None:
        self._service.post(self._service.switches.hear, self.link, [message])


def _entry_of(flow_mod: bytes) -> bytes:
    """A flow as a statistics reply tells it (OpenFlow 1.3.5, 7.3.5.2), from the message that adds it."""
    cookie, _, table, _, idle, hard, priority = struct.unpack_from("!QQBBHHH", flow_mod, 8)
    (flags,) = struct.unpack_from("!H", flow_mod, 44)
    return (
        struct.pack("!HBxIIHHHH4xQQQ", len(flow_mod), table, 0, 0, priority, idle, hard, flags, cookie, 0, 0)
        + flow_mod[48:]
    )


def _ports(dps: Dps, dpid: int) -> dict[str, int]:
    """The ports that a dSwitch must have for what is located there, and spare ones."""
    names = [*(place.port for place in dps.world.located(dpid)), *(f"spare-{number}" for number in range(SAMPLES))]
    return TUNNEL_PORTS | {name: number for number, name in enumerate(names, 1)}


# ---- measuring ---------------------------------------------------------------------------------


def measure(url: str, shape: Shape) -> Iterator[Figure]:
    """Start a DPS on a store and put it to work; to be called in a fresh process."""
    store = open_store(url)
    service = Service(store)
    empty, began, used = _resident("VmRSS"), time.perf_counter(), time.process_time()
    service.start()
    yield Figure("load from the store", time.perf_counter() - began, "s", 60)
    yield Figure("the same in CPU time, which others on the machine do not lengthen", time.process_time() - used, "s")
    yield Figure("resident before the load", empty, "MiB")
    yield Figure("resident after the load", _resident("VmRSS"), "MiB", 2560)
    yield Figure("resident at most during the load", _resident("VmHWM"), "MiB", 2560)
    ends = [FarEnd(service, dpid) for dpid in range(1, shape.dswitches + 1)]
    yield from _measure_connecting(service, ends)
    yield from _measure_lane(service, shape)
    yield from _measure_changes(service, shape)
    yield Figure("resident at the end", _resident("VmRSS"), "MiB", 2560)
    began = time.perf_counter()
    gc.collect()
    yield Figure("a full garbage collection then", (time.perf_counter() - began) * 1e3, "ms")
    service.stop()
    store.close()


def _resident(which: str) -> float:
    """Memory of this process in MiB, as /proc tells it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{which}:"))


def _measure_connecting(service: Service, ends: list[FarEnd]) -> Iterator[Figure]:
    took = [_connect(service, end) for end in track(ends, "connecting dSwitches", console=SHOW)]
    yield Figure("a dSwitch connects and is live, median", statistics.median(took) * 1e3, "ms")
    yield Figure("flows of a dSwitch, mean", statistics.mean(end.flow_mods for end in ends), "")
    yield Figure("the same in bytes", statistics.mean(end.bytes for end in ends) / 1024, "KiB")
    yield Figure("resident with all dSwitches connected", _resident("VmRSS"), "MiB", 2560)
    took = [service.ask(partial(_time_flows, dpid=end.id), DEADLINE) for end in ends[:20]]
    yield Figure("flows of one dSwitch computed, median", statistics.median(took) * 1e3, "ms")
    told = sum(end.flow_mods for end in ends)
    for end in ends[:KEEPERS]:
        end.disconnect()
    took = [_connect(service, end) for end in ends[:KEEPERS]]
    yield Figure("one that holds its flows connects anew, median", statistics.median(took) * 1e3, "ms")
    yield Figure("flow changes that it is sent then", sum(end.flow_mods for end in ends) - told, "", 1)


def _connect(service: Service, end: FarEnd) -> float:
    ports = service.ask(partial(_ports, dpid=end.id), DEADLINE)
    began = time.perf_counter()
    end.connect(ports)
    return time.perf_counter() - began


def _time_flows(dps: Dps, dpid: int) -> float:
    began = time.perf_counter()
    dps.standing_flows(dpid)
    return time.perf_counter() - began


def _measure_lane(service: Service, shape: Shape) -> Iterator[Figure]:
    """The fast lane's tables once every network has been asked about from every dSwitch that hosts it."""
    began = time.perf_counter()
    for index in track(range(shape.networks), "asking", console=SHOW):
        service.ask(partial(_ask, service, network_name(index)), DEADLINE)
        while service.ask(lambda _: service.switches.lanes.fill(), DEADLINE):
            pass
    yield Figure("fast lane's tables filled", time.perf_counter() - began, "s")
    yield Figure("resident with the fast lane's tables full", _resident("VmRSS"), "MiB", 2560)


def _ask(service: Service, network: str, dps: Dps) -> None:
    """Let the lane learn what an endpoint at each dSwitch that hosts a network would ask."""
    tables = dps.world.tables[network]
    assert tables.network is not None
    destination = next(iter(tables.endpoints.values())).macs[0]
    for dpid, names in tables.hosted.items():
        domain = tables.domains[tables.endpoints[names[0]].domain]
        fields = {VNI.field: tables.network.vni, SOURCE_DOMAIN.field: domain.number}
        service.switches.lanes.learn(dpid, PacketIn(0, LOCATION.number, fields, b""), destination)


def _measure_changes(service: Service, shape: Shape) -> Iterator[Figure]:
    chance = random.Random(1)
    indexes = [chance.randrange(shape.networks) for _ in range(SAMPLES)]
    kinds: tuple[tuple[str, Callable[[Service, Shape, int, int], object], float | None], ...] = (
        ("policy change to flow changes sent", _change_policy, 10),
        ("endpoint change to flow changes sent", _change_endpoint, None),
        ("location change to flow changes sent", _change_location, None),
        ("blueprint of a new small network put", _put_new, None),
        ("blueprint of a network of the world put", _put_again, None),
    )
    for name, change, goal in kinds:
        took = []
        for turn, index in enumerate(track(indexes, name, console=SHOW)):
            began = time.perf_counter()
            ready = change(service, shape, index, turn)
            took.append(time.perf_counter() - (ready if isinstance(ready, float) else began))
        yield Figure(f"{name}, median", statistics.median(took) * 1e3, "ms", goal)
        yield Figure(f"{name}, 99 of 100", statistics.quantiles(took, n=100)[-1] * 1e3, "ms")


def _put(service: Service, entity: Entity) -> float:
    """Commit an entity and wait until it is carried out; the time at which it began."""
    began = time.perf_counter()
    if not service.reached(service.store.commit(dict([entry(entity)])), DEADLINE):
        raise TimeoutError(f"{entity} was not carried out within {DEADLINE:g} s")
    return began


def _endpoints(service: Service, index: int, turn: int) -> tuple[Endpoint, Location]:
    """An endpoint of a network and where it is."""

    def pick(dps: Dps) -> tuple[Endpoint, Location]:
        tables = dps.world.tables[network_name(index)]
        name = sorted(tables.locations)[turn % len(tables.locations)]
        return tables.declared[name], tables.locations[name]

    return service.ask(pick, DEADLINE)


def _change_policy(service: Service, shape: Shape, index: int, turn: int) -> float:
    policies = service.ask(lambda dps: list(dps.world.tables[network_name(index)].policies.values()), DEADLINE)
    policy = policies[turn % len(policies)]
    actions = ("deny",) if policy.actions == ("accept",) else ("accept",)
    return _put(service, replace(policy, actions=actions, tracking=policy.tracking + 1))


def _change_endpoint(service: Service, shape: Shape, index: int, turn: int) -> float:
    endpoint, _ = _endpoints(service, index, turn)
    return _put(service, replace(endpoint, ips=(*endpoint.ips, f"fd00::{turn + 1:x}")))


def _change_location(service: Service, shape: Shape, index: int, turn: int) -> float:
    _, place = _endpoints(service, index, turn)
    there = (place.dpid + turn) % shape.dswitches + 1
    return _put(service, replace(place, dpid=there, port=f"spare-{turn}", tracking=place.tracking + 1))


def _put_new(service: Service, shape: Shape, index: int, turn: int) -> object:
    endpoints = [
        {"name": f"vm{place}", "domain": "web", "macs": [mac(place)], "ips": [ip(place)]} for place in range(10)
    ]
    policies = [{"from": "web", "to": "web", "actions": ["accept"]}]
    document = {"domains": ["web", "app"], "policies": policies, "endpoints": endpoints}
    return Intent(service).put_blueprint(f"small-{turn}", document, Precondition())


def _put_again(service: Service, shape: Shape, index: int, turn: int) -> object:
    """The document as it stands with one endpoint more: fetched first, which is not timed."""
    document = service.ask(lambda dps: render(dps.world.tables[network_name(index)]), DEADLINE)
    more = {"name": f"more-{turn}", "domain": document["domains"][0], "ips": [f"fd01::{turn + 1:x}"]}
    began = time.perf_counter()
    Intent(service).put_blueprint(
        network_name(index), document | {"endpoints": [*document["endpoints"], more]}, Precondition()
    )
    return began


# ---- the command -------------------------------------------------------------------------------


def run(shape: Shape, directory: Path) -> list[Figure]:
    """Fill a store and measure a DPS of its own process on it."""
    url = f"sqlite:///{directory / 'state.sqlite'}"
    store, began = open_store(url), time.perf_counter()
    count = fill(store, shape)
    store.close()
    took = time.perf_counter() - began
    size = sum(path.stat().st_size for path in directory.iterdir()) / (1 << 20)
    filled = [
        Figure("documents", count, ""),
        Figure("fill the store", took, "s"),
        Figure("the store's file", size, "MiB"),
    ]
    arguments = [sys.executable, "-m", __spec__.name, "--measure", url, *_arguments(shape)]
    answer = subprocess.run(arguments, stdout=subprocess.PIPE, check=True).stdout
    return filled + [Figure(**each) for each in json.loads(answer)]


def _arguments(shape: Shape) -> list[str]:
    return [word for name, value in asdict(shape).items() for word in (f"--{name}", str(value))]


def _show(figures: list[Figure]) -> None:
    table = Table("", "figure", "goal", "", title="scale of state")
    for each in figures:
        goal = "" if each.goal is None else f"< {each.goal:g} {each.unit}"
        table.add_row(each.name, f"{each.value:,.1f} {each.unit}", goal, each.verdict)
    SHOW.print(table)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m dove_ryu.bench.state", description="Scale of state (F54, X3).")
    for name, value in asdict(Shape()).items():
        parser.add_argument(f"--{name}", type=int, default=value, metavar="N", help=f"default {value}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--measure", metavar="URL", help=argparse.SUPPRESS)
    said = vars(parser.parse_args())
    url, file = said.pop("measure"), said.pop("json")
    shape = Shape(**said)
    if url is not None:
        json.dump([asdict(each) for each in measure(url, shape)], sys.stdout)
        return
    with tempfile.TemporaryDirectory(prefix="dove-state-") as directory:
        figures = run(shape, Path(directory))
    _show(figures)
    if file is not None:
        shown = [asdict(each) | {"verdict": each.verdict} for each in figures]
        file.write_text(json.dumps({"shape": asdict(shape), "figures": shown}, indent=1) + "\n")


if __name__ == "__main__":
    main()
