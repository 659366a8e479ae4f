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
from itertools import islice, product
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from dove_ryu.dps import Dps
from dove_ryu.model.blueprint import render
from dove_ryu.model.documents import ALLOCATION_KEY, Document, document_of, key_of, vni_key
from dove_ryu.model.entities import (
    DSwitch,
    Endpoint,
    Entity,
    Gateway,
    Location,
    Policy,
    PolicyDomain,
    VirtualNetwork,
)
from dove_ryu.model.entities import Service as Carries
from dove_ryu.northbound.intent import Intent
from dove_ryu.northbound.versions import Precondition
from dove_ryu.service import Service
from dove_ryu.southbound import codec
from dove_ryu.southbound.link import Link
from dove_ryu.store import Store, open_store

BATCH = 20_000
"""Documents in one commit of the fill."""

SAMPLES = 200
"""Changes of each kind that are timed."""

DEADLINE = 600.0
"""Seconds after which nothing more is waited for."""

TUNNEL_PORTS = {"dove-geneve": 60_001, "dove-vxlan": 60_002}

MULTIPART_REQUEST, MULTIPART_REPLY, BARRIER_REQUEST = 18, 19, 20

SHOW = Console(stderr=True, highlight=False)


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a world is.

    :ivar spread: over how many dSwitches the endpoints of one network are scattered.
    """

    endpoints: int = 1_000_000
    networks: int = 10_000
    policies: int = 100_000
    dswitches: int = 1_000
    spread: int = 20


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


# ---- the world ---------------------------------------------------------------------------------


def documents(shape: Shape) -> Iterator[tuple[str, Document]]:
    """Every document of a world, a network after the other."""
    numbers = iter(range(1, 1 << 28))
    yield from (_entry(dswitch) for dswitch in _dswitches(shape))
    for index in range(shape.networks):
        for entity in _network(shape, index, numbers):
            yield _entry(entity)
        yield vni_key(index + 1), {"network": _name(index)}
    yield ALLOCATION_KEY, {"next_number": next(numbers), "next_vni": shape.networks + 1}


def _entry(entity: Entity) -> tuple[str, Document]:
    return key_of(entity), document_of(entity)


def _dswitches(shape: Shape) -> Iterator[DSwitch]:
    for dpid in range(1, shape.dswitches + 1):
        yield DSwitch(dpid, f"server-{dpid}", (f"192.168.{dpid >> 8}.{dpid & 255}",))


def _name(index: int) -> str:
    return f"net-{index:05d}"


def _network(shape: Shape, index: int, numbers: Iterator[int]) -> Iterator[Entity]:
    """A network with its domains, its share of the policies, and its endpoints where they are.

    Names, ports and MAC addresses are unique; IP addresses are those of every other network, too.
    """
    name = _name(index)
    gateway = Gateway("02:ff:00:00:00:01", ("10.0.0.1/8",))
    yield VirtualNetwork(name, next(numbers), index + 1, *((Carries.L3, (gateway,)) if index % 2 else ()))
    pairs = _share(shape.policies, shape.networks, index) - 1
    domains = [f"tier-{place}" for place in range(_root(pairs))]
    yield from (PolicyDomain(name, domain, next(numbers)) for domain in domains)
    yield Policy(name, None, None, next(numbers), ("deny",))
    for source, destination in islice(product(domains, repeat=2), pairs):
        yield Policy(name, source, destination, next(numbers), ("accept",))
    places = random.Random(index).sample(range(1, shape.dswitches + 1), min(shape.spread, shape.dswitches))
    for place in range(_share(shape.endpoints, shape.networks, index)):
        number = next(numbers)
        domain = domains[place % len(domains)]
        endpoint = Endpoint(name, f"vm-{number:08d}", number, domain, (_mac(number),), (_ip(place),))
        yield endpoint
        yield Location(name, endpoint.name, places[place % len(places)], f"tap-{number:08d}")


def _share(total: int, among: int, index: int) -> int:
    return total // among + (index < total % among)


def _root(pairs: int) -> int:
    """How many domains have that many ordered pairs, at least one."""
    return next(count for count in range(1, pairs + 2) if count * count >= pairs)


def _mac(number: int) -> str:
    return "02:00:" + number.to_bytes(4, "big").hex(":")


def _ip(place: int) -> str:
    return ".".join(map(str, (place + (10 << 24) + 10).to_bytes(4, "big")))


def fill(store: Store, shape: Shape) -> int:
    """Commit a world; how many documents it has."""
    entries, count = documents(shape), 0
    about = 2 * shape.endpoints + shape.policies + shape.networks * (2 + _root(shape.policies // shape.networks - 1))
    batches = iter(lambda: dict(islice(entries, BATCH)), {})
    for batch in track(batches, "filling the store", total=about // BATCH + 1, console=SHOW):
        store.commit(batch)
        count += len(batch)
    return count


# ---- dSwitches in memory -----------------------------------------------------------------------


class FarEnd:
    """A dSwitch at the end of a link: it has no flows at first, confirms what it is told, and keeps nothing.

    :ivar flow_mods: how many it was told.
    :ivar bytes: how much that was.
    """

    def __init__(self, service: Service, dpid: int) -> None:
        self.id = dpid
        self.address = ("192.0.2.1", 40_000)
        self.flow_mods = 0
        self.bytes = 0
        self._service = service

    def connect(self, ports: dict[str, int]) -> None:
        """Say hello, and wait until the DPS counts it as live."""
        self.link = Link(self)
        self._service.post(self._service.switches.greet, self.link, ports)
        while not self._service.ask(lambda _: self.link.live, DEADLINE):
            pass  # each question waits for all that was posted before it

    def write(self, data: bytes) -> bool:
        """Take messages in, and answer those that want it."""
        self.bytes += len(data)
        place = 0
        while place < len(data):
            _, kind, length, xid = struct.unpack_from("!BBHI", data, place)
            if kind == codec.FLOW_MOD:
                self.flow_mods += 1
            elif kind == BARRIER_REQUEST:
                self._say(codec.message(codec.BARRIER_REPLY, b"", xid))
            elif kind == MULTIPART_REQUEST:
                self._say(codec.message(MULTIPART_REPLY, data[place + 8 : place + 10] + bytes(6), xid))
            place += length
        return True

    def _say(self, message: bytes) -> None:
        self._service.post(self._service.switches.hear, self.link, [message])


def _ports(dps: Dps, dpid: int) -> dict[str, int]:
    """The ports that a dSwitch must have for what is located there, and spare ones."""
    names = [*(place.port for place in dps.world.located(dpid)), *(f"spare-{number}" for number in range(SAMPLES))]
    return TUNNEL_PORTS | {name: number for number, name in enumerate(names, 1)}


# ---- measuring ---------------------------------------------------------------------------------


def measure(url: str, shape: Shape) -> Iterator[Figure]:
    """Start a DPS on a store and put it to work; to be called in a fresh process."""
    store = open_store(url)
    service = Service(store)
    empty, began = _resident("VmRSS"), time.perf_counter()
    service.start()
    yield Figure("load from the store", time.perf_counter() - began, "s", 60)
    yield Figure("resident before the load", empty, "MiB")
    yield Figure("resident after the load", _resident("VmRSS"), "MiB", 2560)
    yield Figure("resident at most during the load", _resident("VmHWM"), "MiB", 2560)
    ends = [FarEnd(service, dpid) for dpid in range(1, shape.dswitches + 1)]
    yield from _measure_connecting(service, ends)
    yield from _measure_changes(service, shape)
    yield Figure("resident at the end", _resident("VmRSS"), "MiB", 2560)
    service.stop()
    store.close()


def _resident(which: str) -> float:
    """Memory of this process in MiB, as /proc tells it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{which}:"))


def _measure_connecting(service: Service, ends: list[FarEnd]) -> Iterator[Figure]:
    took = []
    for end in track(ends, "connecting dSwitches", console=SHOW):
        ports = service.ask(partial(_ports, dpid=end.id), DEADLINE)
        began = time.perf_counter()
        end.connect(ports)
        took.append(time.perf_counter() - began)
    yield Figure("a dSwitch connects and is live, median", statistics.median(took) * 1e3, "ms")
    yield Figure("flows of a dSwitch, mean", statistics.mean(end.flow_mods for end in ends), "")
    yield Figure("the same in bytes", statistics.mean(end.bytes for end in ends) / 1024, "KiB")
    yield Figure("resident with all dSwitches connected", _resident("VmRSS"), "MiB", 2560)
    took = [service.ask(partial(_time_flows, dpid=end.id), DEADLINE) for end in ends[:20]]
    yield Figure("flows of one dSwitch computed, median", statistics.median(took) * 1e3, "ms")


def _time_flows(dps: Dps, dpid: int) -> float:
    began = time.perf_counter()
    dps.standing_flows(dpid)
    return time.perf_counter() - began


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
    if not service.reached(service.store.commit(dict([_entry(entity)])), DEADLINE):
        raise TimeoutError(f"{entity} was not carried out within {DEADLINE:g} s")
    return began


def _endpoints(service: Service, index: int, turn: int) -> tuple[Endpoint, Location]:
    """An endpoint of a network and where it is."""

    def pick(dps: Dps) -> tuple[Endpoint, Location]:
        tables = dps.world.tables[_name(index)]
        name = sorted(tables.locations)[turn % len(tables.locations)]
        return tables.declared[name], tables.locations[name]

    return service.ask(pick, DEADLINE)


def _change_policy(service: Service, shape: Shape, index: int, turn: int) -> float:
    policies = service.ask(lambda dps: list(dps.world.tables[_name(index)].policies.values()), DEADLINE)
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
        {"name": f"vm{place}", "domain": "web", "macs": [_mac(place)], "ips": [_ip(place)]} for place in range(10)
    ]
    policies = [{"from": "web", "to": "web", "actions": ["accept"]}]
    document = {"domains": ["web", "app"], "policies": policies, "endpoints": endpoints}
    return Intent(service).put_blueprint(f"small-{turn}", document, Precondition())


def _put_again(service: Service, shape: Shape, index: int, turn: int) -> object:
    """The document as it stands with one endpoint more: fetched first, which is not timed."""
    document = service.ask(lambda dps: render(dps.world.tables[_name(index)]), DEADLINE)
    more = {"name": f"more-{turn}", "domain": document["domains"][0], "ips": [f"fd01::{turn + 1:x}"]}
    began = time.perf_counter()
    Intent(service).put_blueprint(
        _name(index), document | {"endpoints": [*document["endpoints"], more]}, Precondition()
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
