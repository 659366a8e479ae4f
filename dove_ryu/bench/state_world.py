"""The world of :mod:`dove_ryu.bench.state`: as many networks, policies, endpoints and dSwitches as are asked for.

Names, ports and MAC addresses are unique; IP addresses are those of every other network, too.  It is written into the
store in the DPS's own documents, so that what reads it is the DPS itself.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, product

from rich.console import Console
from rich.progress import track

from dove_ryu.model.documents import ALLOCATION_KEY, Document, document_of, key_of, vni_key
from dove_ryu.model.entities import (
    DSwitch,
    Endpoint,
    Entity,
    Gateway,
    Location,
    Policy,
    PolicyDomain,
    Service,
    VirtualNetwork,
)
from dove_ryu.store import Store

BATCH = 20_000
"""Documents in one commit of the fill."""

SHOW = Console(stderr=True, highlight=False)
"""Where progress is shown."""


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


def documents(shape: Shape) -> Iterator[tuple[str, Document]]:
    """Every document of a world, a network after the other."""
    numbers = iter(range(1, 1 << 28))
    yield from (entry(dswitch) for dswitch in _dswitches(shape))
    for index in range(shape.networks):
        for entity in _network(shape, index, numbers):
            yield entry(entity)
        yield vni_key(index + 1), {"network": network_name(index)}
    yield ALLOCATION_KEY, {"next_number": next(numbers), "next_vni": shape.networks + 1}


def entry(entity: Entity) -> tuple[str, Document]:
    """What is put into the store for an entity."""
    return key_of(entity), document_of(entity)


def _dswitches(shape: Shape) -> Iterator[DSwitch]:
    for dpid in range(1, shape.dswitches + 1):
        yield DSwitch(dpid, f"server-{dpid}", (f"192.168.{dpid >> 8}.{dpid & 255}",))


def network_name(index: int) -> str:
    """The name of one of the networks, which are numbered from 0."""
    return f"net-{index:05d}"


def _network(shape: Shape, index: int, numbers: Iterator[int]) -> Iterator[Entity]:
    """A network with its domains, its share of the policies, and its endpoints where they are."""
    name = network_name(index)
    gateway = Gateway("02:ff:00:00:00:01", ("10.0.0.1/8",))
    yield VirtualNetwork(name, next(numbers), index + 1, *((Service.L3, (gateway,)) if index % 2 else ()))
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
        endpoint = Endpoint(name, f"vm-{number:08d}", number, domain, (mac(number),), (ip(place),))
        yield endpoint
        yield Location(name, endpoint.name, places[place % len(places)], f"tap-{number:08d}")


def _share(total: int, among: int, index: int) -> int:
    return total // among + (index < total % among)


def _root(pairs: int) -> int:
    """How many domains have that many ordered pairs, at least one."""
    return next(count for count in range(1, pairs + 2) if count * count >= pairs)


def mac(number: int) -> str:
    """The MAC address of the endpoint of that number."""
    return "02:00:" + number.to_bytes(4, "big").hex(":")


def ip(place: int) -> str:
    """The IP address of an endpoint by its place within its network."""
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
