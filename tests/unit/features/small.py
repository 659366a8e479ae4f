"""Small worlds for golden flows, and flows as lines that an operator can read.

The lines are ``ovs-ofctl``'s, with table names for numbers and cookies in words: ``POLICY:15/7`` is policy number 15 in
its form of tracking number 7, ``POLICY:15/*`` any form of it, ``cached`` all answers to policy requests.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from itertools import chain

from dove_ryu.features import Feature, Request, hosted
from dove_ryu.model.entities import (
    DSwitch,
    Encapsulation,
    Endpoint,
    Entity,
    Gateway,
    Location,
    Policy,
    PolicyDomain,
    Service,
    VirtualNetwork,
)
from dove_ryu.model.facts import Change, Fact
from dove_ryu.model.resolution import PolicyRequest, resolve
from dove_ryu.model.tables import NetworkTables
from dove_ryu.model.world import World
from dove_ryu.openflow.fields import CACHED_COOKIE, CACHED_MASK, OBJECT_MASK, Cookie
from dove_ryu.openflow.flow import Flow, FlowChange, PacketIn
from dove_ryu.openflow.pipeline import TABLES

HERE, THERE = 1, 2
PORTS = {"dove-geneve": 10, "dove-vxlan": 11, "tap-a": 1, "tap-b": 2}
VIRTUAL_ROUTER = Gateway("02:00:00:00:ff:01", ("10.0.0.1/24",))
BOTH = tuple(Encapsulation)

NETWORK = VirtualNetwork("n", 10, 5, Service.L2)
RED, BLUE = PolicyDomain("n", "red", 11), PolicyDomain("n", "blue", 12)
DEFAULT = Policy("n", None, None, 13, ("deny",), 60, 2)
RED_TO_BLUE = Policy("n", "red", "blue", 15, ("accept",), 300, 7)
A = Endpoint("n", "a", 21, "red", ("02:00:00:00:00:0a",), ("10.0.0.10",))
B = Endpoint("n", "b", 22, "blue", ("02:00:00:00:00:0b", "02:00:00:00:00:bb"), ("10.0.0.11", "fd00::b"))
A_HERE, B_HERE = Location("n", "a", HERE, "tap-a", 3), Location("n", "b", HERE, "tap-b", 4)
B_THERE = Location("n", "b", THERE, "tap-b", 5)
HERE_ITSELF = DSwitch(HERE, "here", ("10.9.0.1",), BOTH)
THERE_ITSELF = DSwitch(THERE, "there", ("10.9.0.2",), BOTH)

EVERYTHING: tuple[Entity, ...] = (
    NETWORK,
    RED,
    BLUE,
    DEFAULT,
    RED_TO_BLUE,
    A,
    B,
    A_HERE,
    B_HERE,
    HERE_ITSELF,
    THERE_ITSELF,
)


def world_of(*entities: Entity, ports: dict[str, int] = PORTS) -> World:
    """A world of *entities*; the later of two entries for one thing counts."""
    world = World()
    world.ports[HERE] = ports
    world.live |= {HERE, THERE}
    for entity in entities:
        world.apply(Change.put(entity))
    return world


def tables_of(world: World) -> NetworkTables:
    """The tables of the one network."""
    return world.tables["n"]


def standing(feature: Feature, *entities: Entity, ports: dict[str, int] = PORTS) -> list[str]:
    """A feature's flows for a network and its endpoints at a dSwitch."""
    return at(feature, world_of(*entities, ports=ports))


def at(feature: Feature, world: World) -> list[str]:
    """The same in a world that is there."""
    tables = tables_of(world)
    endpoints = (feature.endpoint_flows(world, HERE, tables, here) for here in hosted(world, HERE, tables))
    return lines([*feature.network_flows(world, HERE, tables), *chain.from_iterable(endpoints)])


def compiled(feature: Feature, world: World, packet: PacketIn, destination: str) -> list[Flow]:
    """What a feature caches of the reply to a request from domain red."""
    tables = tables_of(world)
    reply = resolve(tables, PolicyRequest("red", destination))
    return list(feature.cache(Request(world, HERE, tables, packet, RED.number, destination, reply)))


def cached(feature: Feature, world: World, packet: PacketIn, destination: str) -> list[str]:
    """The same, as an operator reads it."""
    return lines(compiled(feature, world, packet, destination))


def stale(feature: Feature, world: World, before: Entity | None, after: Entity | None) -> list[str]:
    """What a feature deletes because of a fact that *world* holds already."""
    return lines(feature.stale(tables_of(world), Fact(before, after)))


def lines(changes: Iterable[FlowChange]) -> list[str]:
    """Flow changes as an operator reads them."""
    return [_named(str(change)) for change in changes]


def golden(text: str) -> list[str]:
    """Lines as a test writes them: one that is indented further belongs to the one before."""
    joined = re.sub(r"\n {4,}(?=actions|priority=|send_flow_rem)", " ", textwrap.dedent(text).strip())
    return re.sub(r"\n {4,}", "", joined).splitlines()


def _named(line: str) -> str:
    line = re.sub(r"cookie=(0x[0-9a-f]+)(?:/(0x[0-9a-f]+))?", _cookie, line)
    if "table=" not in line and not line.startswith("delete"):
        line = line.replace(" ", " table=0, ", 1)
    return re.sub(r"(table[=:]|resubmit\(,|ct\(table=)(\d+)", lambda found: found[1] + TABLES[int(found[2])].name, line)


def _cookie(found: re.Match[str]) -> str:
    value, mask = int(found[1], 16), int(found[2] or "0", 16)
    if (value, mask) == (CACHED_COOKIE, CACHED_MASK):
        return "cached"
    cookie = Cookie.parse(value)
    assert cookie is not None
    assert mask in (0, OBJECT_MASK)
    return f"{cookie.kind.name}:{cookie.number}/{'*' if mask else cookie.tracking}"
