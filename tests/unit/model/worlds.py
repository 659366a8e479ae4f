"""Random entities and blueprints from few names and few addresses, so that they meet; and a world as plain text."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from hypothesis import strategies as st

from dove_ryu.model.addresses import is_mac
from dove_ryu.model.appliances import Appliance, Health, Instance, Seat, Sharing
from dove_ryu.model.blueprint import ActionPlan, Blueprint, EndpointPlan, PolicyPlan
from dove_ryu.model.documents import entry_of
from dove_ryu.model.entities import (
    DSwitch,
    Encapsulation,
    Endpoint,
    Entity,
    Gateway,
    Learned,
    Location,
    Policy,
    PolicyAction,
    PolicyDomain,
    Segment,
    Service,
    Verdict,
    VirtualNetwork,
)
from dove_ryu.model.facts import Change
from dove_ryu.model.qos import Config, Mark, Per, Rate
from dove_ryu.model.tables import NetworkTables
from dove_ryu.model.world import World

NETWORKS = ("blue", "red")
DOMAINS = ("app", "db", "web")
ACTIONS = ("fw", "ids", "pass", "stop")
ENDPOINTS = ("a1", "b2", "c3", "d4")
MACS = tuple(f"02:00:00:00:00:0{number}" for number in range(1, 6))
IPS = ("10.0.0.1", "10.0.0.2", "10.0.1.1", "192.0.2.7", "fd00::1", "fd00::2", "fd00:0:0:1::1")
PREFIXES = ("0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/24", "10.0.0.2/32", "::/0", "fd00::/64")
VNIS = (1, 2, 3)
DPIDS = (1, 0xD0)

Numbered = VirtualNetwork | PolicyDomain | PolicyAction | Policy | Endpoint
"""What a blueprint says."""

numbers = st.integers(1, 1 << 20)
weights = st.integers(0, 2)
macs = st.lists(st.sampled_from(MACS), max_size=2, unique=True).map(tuple)
ips = st.lists(st.sampled_from(IPS + PREFIXES), max_size=3, unique=True).map(tuple)
single_ips = st.lists(st.sampled_from(IPS), max_size=2, unique=True).map(tuple)
gateways = st.lists(
    st.builds(Gateway, st.sampled_from(("02:5e:00:00:00:01", "02:5e:00:00:00:02")), st.just(("10.0.9.1/24",))),
    max_size=1,
).map(tuple)


def number_of(*path: object) -> int:
    """A number of one's own for everything that can be generated."""
    return 1 + sorted(ALL_PATHS).index(tuple(map(str, path)))


ALL_PATHS = [
    *((network, "network") for network in NETWORKS),
    *((network, "domain", name) for network in NETWORKS for name in DOMAINS),
    *((network, "action", name) for network in NETWORKS for name in ACTIONS),
    *((network, "policy", f"{one}>{other}") for network in NETWORKS for one in DOMAINS for other in DOMAINS),
    *((network, "policy", "None>None") for network in NETWORKS),
    *((network, "endpoint", name) for network in NETWORKS for name in ENDPOINTS),
]


rates = st.none() | st.builds(Rate, st.integers(1, 9), st.integers(1, 9), st.sampled_from(Per))

ACTION_PLANS: tuple[tuple[str, str | None, Config], ...] = (
    ("accept", None, ""),
    ("deny", None, "x"),
    ("firewall", "X", "a"),
    ("firewall", "Y", "a"),
    ("log", None, ""),
    ("mark", None, Mark(0)),
    ("mark", None, Mark(46)),
    ("rate", None, Rate(1000, 200)),
    ("rate", None, Rate(1000, 200, Per.ENDPOINT)),
)


def domains_of(network: str, name: str) -> st.SearchStrategy[Entity]:
    return st.just(PolicyDomain(network, name, number_of(network, "domain", name)))


def actions_of(network: str, name: str) -> st.SearchStrategy[Entity]:
    known = (network, name, number_of(network, "action", name))
    return st.sampled_from(ACTION_PLANS).map(lambda plan: PolicyAction(*known, *plan))


def policies_of(network: str, source: str | None, destination: str | None) -> st.SearchStrategy[Entity]:
    known = (network, source, destination, number_of(network, "policy", f"{source}>{destination}"))
    names = st.sampled_from((*ACTIONS, "accept", "accept", "deny"))
    sequences = st.just(("accept",)) | st.lists(names, max_size=3).map(tuple)
    dscps = st.none() | st.integers(0, 63)
    return st.builds(
        Policy, *map(st.just, known), sequences, st.integers(0, 9), st.integers(1, 9), dscps, rates, st.booleans()
    )


def segments_of(network: str, source: str, destination: str) -> st.SearchStrategy[Entity]:
    policy, labels = st.just(f"{source}>{destination}"), st.integers(0x800000, 0x800009)
    vlans = st.integers(0, 1)
    return st.builds(Segment, st.just(network), policy, st.integers(1, 2), labels, st.sampled_from("XY"), vlans)


def endpoints_of(network: str, name: str) -> st.SearchStrategy[Entity]:
    known = (network, name, number_of(network, "endpoint", name))
    return st.builds(Endpoint, *map(st.just, known), st.sampled_from(DOMAINS), macs, ips, st.booleans())


def locations_of(network: str, name: str) -> st.SearchStrategy[Entity]:
    ports = st.sampled_from(("tap0", "tap1"))
    place = st.sampled_from(DPIDS), ports, numbers, st.booleans()
    return st.builds(Location, st.just(network), st.just(name), *place)


def learned_of(network: str, name: str) -> st.SearchStrategy[Entity]:
    return st.builds(Learned, st.just(network), st.just(name), macs, single_ips)


@functools.cache
def parts_of(network: str) -> list[list[st.SearchStrategy[Entity]]]:
    """What a network may have: by kind, for each name, what it may be."""
    known = st.just(network), st.just(number_of(network, "network"))
    pairs = [*((one, other) for one in DOMAINS for other in DOMAINS), (None, None)]
    return [
        [st.builds(VirtualNetwork, *known, st.sampled_from(VNIS), st.just(Service.L3), gateways)],
        [domains_of(network, name) for name in DOMAINS],
        [actions_of(network, name) for name in ACTIONS],
        [policies_of(network, source, destination) for source, destination in pairs],
        [segments_of(network, *pair) for pair in (("web", "app"), ("app", "db"))],
        [endpoints_of(network, name) for name in ENDPOINTS],
        [locations_of(network, name) for name in ENDPOINTS],
        [learned_of(network, name) for name in ENDPOINTS],
    ]


@functools.cache
def entities_of(network: str) -> st.SearchStrategy[Entity]:
    """Any entity of a network."""
    return st.one_of([st.one_of(kind) for kind in parts_of(network)])


@st.composite
def contents_of(draw: st.DrawFn, network: str) -> list[Entity]:
    """What the tables of a network may hold: most of what there could be, some of it missing."""
    parts = [part for kind in parts_of(network) for part in kind]
    return [draw(part) for part in parts if draw(st.integers(0, 3))]


dswitches = st.builds(
    DSwitch,
    st.sampled_from(DPIDS),
    st.sampled_from(("", "host1")),
    st.sampled_from(((), ("192.0.2.1",), ("192.0.2.1", "2001:db8::1"))),
    st.lists(st.sampled_from(Encapsulation), unique=True).map(tuple),
    st.none() | st.just("tcp:192.0.2.1:6640"),
)
instances = st.builds(
    Instance, st.sampled_from("ab"), st.sampled_from((*DPIDS, 0)), st.just("in"), st.just("out"), weights
)
appliances = st.builds(
    Appliance,
    st.sampled_from(("X", "Y")),
    st.just("firewall"),
    st.lists(instances, max_size=2).map(tuple),
    st.sampled_from(Sharing),
)
machines = st.sampled_from("XY"), st.sampled_from("ab")
seats = st.builds(Seat, *machines, st.sampled_from(DPIDS), st.just("in"), st.just("out"))
healths = st.builds(Health, *machines, st.booleans(), st.sampled_from(("", "port in is down")))
entities = st.one_of(*map(entities_of, NETWORKS), dswitches, appliances, seats, healths)
changes = st.builds(lambda entity, there: (Change.put if there else Change.gone)(entity), entities, st.booleans())


def world_of(history: Iterable[Change]) -> World:
    """A world that was told *history*."""
    world = World()
    for change in history:
        world.apply(change)
    return world


def dump(world: World) -> str:
    """All that a world holds and answers, in one order."""
    lines = [f"{dpid:x} {dswitch}" for dpid, dswitch in sorted(world.dswitches.items())]
    lines += [f"{name} {appliance}" for name, appliance in sorted(world.appliances.items())]
    lines += [f"{name} at {seat}" for name, seat in sorted(world.provider.seats.items())]
    lines += [f"{name} is {health}" for name, health in sorted(world.provider.health.items())]
    lines += [f"down: {sorted(world.down)}"]
    lines += [
        f"hosted at {dpid:x}: {[(at.name, sorted(at.hosted[dpid])) for at in world.hosted(dpid)]}" for dpid in DPIDS
    ]
    lines.append(f"chained {[tables.name for tables in world.chained()]}")
    for vni in VNIS:
        holder = world.network_of_vni(vni)
        lines.append(f"vni {vni}: {None if holder is None else holder.name}")
    lines.append(f"networks {[tables.name for tables in world.networks()]}")
    for name in sorted(world.tables):
        lines += _dump_tables(world.tables[name])
    return "\n".join(lines)


def _dump_tables(tables: NetworkTables) -> list[str]:
    lines = [f"{tables.name}: {tables.network} hosts {sorted(tables.hosts())}"]
    for table in (
        tables.domains,
        tables.actions,
        tables.policies,
        tables.segments,
        tables.endpoints,
        tables.declared,
        tables.learned,
        tables.locations,
    ):
        lines += [f"{name} {entity}" for name, entity in sorted(table.items())]
    for address in (*MACS, *IPS, "10.0.0.77", "fd00::77"):
        owner = tables.owner(address)
        lines.append(f"{address} is at {None if owner is None else owner.name}")
    for number in range(1, len(ALL_PATHS) + 1):
        lines.append(f"{number}: {tables.domain_of_number(number)} {tables.endpoint_of_number(number)}")
    return lines


def without_contradictions(plan: PolicyPlan, kinds: Mapping[str, str]) -> PolicyPlan:
    """A policy without what contradicts the rest of it: it denies, or marks and limits once."""
    said = [kinds[name] for name in plan.actions]
    if "deny" in said:
        left = tuple(name for name in plan.actions if kinds[name] in ("deny", "log"))
        return replace(plan, actions=left, dscp=None, rate=None, stateful=False)
    once = [
        name
        for place, name in enumerate(plan.actions)
        if kinds[name] not in ("mark", "rate") or kinds[name] not in said[:place]
    ]
    dscp, rate = None if "mark" in said else plan.dscp, None if "rate" in said else plan.rate
    return replace(plan, actions=tuple(once), dscp=dscp, rate=rate)


@st.composite
def blueprints(draw: st.DrawFn, network: str = "blue") -> Blueprint:
    """Any right blueprint."""
    service = draw(st.sampled_from(Service))
    domains = tuple(draw(st.permutations(DOMAINS)))[: draw(st.integers(1, 3))]
    names = tuple(draw(st.permutations(ACTIONS)))[: draw(st.integers(0, 4))]
    plans = st.sampled_from(ACTION_PLANS)
    actions = tuple(ActionPlan(name, *draw(plans)) for name in names)
    pairs = draw(st.lists(st.tuples(*[st.sampled_from(domains)] * 2), unique=True, max_size=4))
    kinds = {"accept": "accept", "deny": "deny", "log": "log"} | {action.name: action.kind for action in actions}
    sequences = st.lists(st.sampled_from((*names, *kinds)), min_size=1, max_size=3).map(tuple)
    ttls = st.sampled_from((0, 300, 65535))
    hosts = tuple(draw(st.permutations(ENDPOINTS)))[: draw(st.integers(0, 4))]
    return Blueprint(
        network,
        draw(st.none() | st.sampled_from(VNIS)),
        service,
        draw(st.sampled_from(Verdict)),
        draw(ttls),
        draw(gateways) if service is Service.L3 else (),
        domains,
        actions,
        tuple(
            without_contradictions(
                PolicyPlan(
                    one,
                    other,
                    draw(sequences),
                    draw(ttls),
                    draw(st.none() | st.just(10)),
                    draw(rates),
                    draw(st.booleans()),
                ),
                kinds,
            )
            for one, other in pairs
        ),
        tuple(
            EndpointPlan(name, draw(st.sampled_from(domains)), macs, ips, draw(st.booleans()))
            for name, (macs, ips) in zip(hosts, draw(shares(len(hosts))), strict=True)
        ),
    )


@st.composite
def shares(draw: st.DrawFn, count: int) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """MAC and IP addresses dealt out to some, each address to one at most."""
    dealt = [draw(st.integers(0, count)) for _ in (*MACS, *IPS, *PREFIXES)]
    held = list(zip((*MACS, *IPS, *PREFIXES), dealt, strict=True))
    return [
        (
            tuple(address for address, holder in held if holder == one and is_mac(address)),
            tuple(address for address, holder in held if holder == one and not is_mac(address)),
        )
        for one in range(count)
    ]


def through_store(changes: Iterable[Change]) -> dict[str, str]:
    """What a store keeps of changes: JSON text by key."""
    kept: dict[str, str] = {}
    for change in changes:
        key, document = entry_of(change)
        kept.pop(key, None)
        if document is not None:
            kept[key] = json.dumps(document)
    return kept
