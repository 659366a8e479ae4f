"""Random states of the world that meet each other: few names, few addresses, few ports, all of them shared.

A state is what every *slot* holds: a network's entry, one endpoint's location, one dSwitch's ports.  Filling one slot
anew changes one fact, so that whatever this fact alone must make stale stands alone at times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain

from hypothesis import strategies as st

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
    Service,
    VirtualNetwork,
)
from dove_ryu.model.qos import Config, Mark, Per, Rate

from .oracle import Oracle, Ping, Question

Slot = tuple[str, ...]
Ports = tuple[tuple[str, int], ...]
Content = Entity | Ports | None
State = dict[Slot, Content]
Filling = tuple[Slot, Content]

NETWORKS, DOMAINS = ("n1", "n2"), ("red", "blue")
ENDPOINTS = ("e1", "e2", "e3", "e4")
DPIDS = (1, 2, 3)
PORTS = {"n1": ("p1", "p2", "p3", "p4", "p5"), "n2": ("q1", "q2", "q3", "q4", "q5")}
ALL_PORTS = (*PORTS["n1"], *PORTS["n2"], "dove-geneve", "dove-vxlan")
GATEWAY = Gateway("02:00:00:00:ff:01", ("10.0.0.254/24", "fd00::254/64"))
SECOND_GATEWAY = Gateway("02:00:00:00:ff:02", ("10.0.1.254/24",))
MACS = tuple(f"02:00:00:00:00:0{number}" for number in range(1, 7))
IPV4 = tuple(f"10.0.0.{number}" for number in range(1, 7))
IPV6 = tuple(f"fd00::{number}" for number in range(1, 7))
PREFIXES = ("192.0.2.0/24", "2001:db8::/32", "10.0.0.0/24", "fd00::/64", "0.0.0.0/0")
OUTSIDE = ("192.0.2.7", "2001:db8::7")

SLOTS: tuple[Slot, ...] = (
    *(("network", network) for network in NETWORKS),
    *(("domain", network, domain) for network in NETWORKS for domain in DOMAINS),
    *(("action", network) for network in NETWORKS),
    *(("default", network) for network in NETWORKS),
    *(("policy", network, one, two) for network in NETWORKS for one in DOMAINS for two in DOMAINS),
    *(("endpoint", network, name) for network in NETWORKS for name in ENDPOINTS),
    *(("learned", network, name) for network in NETWORKS for name in ENDPOINTS),
    *(("location", network, name) for network in NETWORKS for name in ENDPOINTS),
    *(("dswitch", str(dpid)) for dpid in DPIDS),
    *(("ports", str(dpid)) for dpid in DPIDS),
)

CENTRAL = [
    slot
    for slot in SLOTS
    if slot[0] in ("network", "domain", "action", "default")
    or slot[-1] in ("e1", "e4", "1", "3")
    or slot[2:] == ("red", "blue")
]
"""The slots that :data:`BATTERY` depends on."""

RATES = (Rate(1000, 200), Rate(1000, 200, Per.ENDPOINT))
TREATMENTS: tuple[tuple[str, Config], ...] = (("mark", Mark(46)), *(("rate", rate) for rate in RATES))

seldom = st.sampled_from((False,) * 9 + (True,))
actions = st.sampled_from(((), ("accept",), ("accept",), ("deny",), ("check",), ("accept", "check"), ("check", "deny")))


def number(slot: Slot, generation: int) -> int:
    """A number of its own for each thing in a slot, another for each of its generations."""
    return 100 + 2 * SLOTS.index(slot) + generation


def near(place: int) -> st.SearchStrategy[int]:
    """An endpoint's own place among addresses and ports or, at times, one that all want."""
    return st.sampled_from((place, place, place, place, 4))


# What a slot can hold.


def _network(draw: st.DrawFn, slot: Slot, own: int) -> Content:
    vni = draw(st.sampled_from((5, 5, 5, 7) if slot[1] == "n1" else (6, 6, 6, 7)))
    gateways = draw(st.sampled_from(((GATEWAY,), (GATEWAY,), (GATEWAY, SECOND_GATEWAY), ())))
    zone = draw(st.sampled_from((NETWORKS.index(slot[1]) + 1, 0)))
    return VirtualNetwork(slot[1], own, vni, draw(st.sampled_from(Service)), gateways, zone)


def _domain(draw: st.DrawFn, slot: Slot, own: int) -> Content:
    return PolicyDomain(slot[1], slot[2], own)


def _action(draw: st.DrawFn, slot: Slot, own: int) -> Content:
    kind, config = draw(st.sampled_from((("accept", ""), ("deny", ""), ("firewall", ""), ("log", ""), *TREATMENTS)))
    return PolicyAction(slot[1], "check", own, kind, None, config)


def _policy(draw: st.DrawFn, slot: Slot, own: int) -> Content:
    source, destination = (slot[2], slot[3]) if slot[0] == "policy" else (None, None)
    ttl, tracking = draw(st.sampled_from((0, 300))), draw(st.integers(1, 3))
    rate = draw(st.sampled_from((None, None, *RATES))) if source is not None else None
    dscp, stateful = draw(st.sampled_from((None, 9))), source is not None and draw(st.booleans())
    return Policy(slot[1], source, destination, own, draw(actions), ttl, tracking, dscp, rate, stateful)


def _endpoint(draw: st.DrawFn, slot: Slot, own: int) -> Content:
    place = ENDPOINTS.index(slot[2])
    macs = draw(st.sampled_from(((place,), (place,), (5, place), ((place + 1) % 4,))))
    ips: tuple[str, ...] = (IPV4[draw(near(place))], IPV6[draw(near(place))])
    ips = draw(st.sampled_from((ips, ips, ips, (draw(st.sampled_from(PREFIXES)), *ips), ips[:1], ())))
    domain, guard = draw(st.sampled_from(DOMAINS)), not draw(seldom)
    return Endpoint(slot[1], slot[2], own, domain, tuple(MACS[mac] for mac in macs), ips, guard)


def _learned(draw: st.DrawFn, slot: Slot, own: int) -> Content:
    place = ENDPOINTS.index(slot[2])
    return Learned(slot[1], slot[2], (MACS[place],), (draw(st.sampled_from((IPV4[place], IPV6[place]))),))


def _location(draw: st.DrawFn, slot: Slot, own: int) -> Content:
    port = draw(near(ENDPOINTS.index(slot[2])))
    whose = draw(st.sampled_from((slot[1], slot[1], slot[1], "n1")))
    return Location(slot[1], slot[2], draw(st.sampled_from((1, 1, 2, 3))), PORTS[whose][port])


def _dswitch(draw: st.DrawFn, slot: Slot, own: int) -> Content:
    four, six = f"10.9.{own % 2}.{slot[1]}", f"fd09:{own % 2}::{slot[1]}"
    ips = draw(st.sampled_from(((four,), (four,), (four, six), (six, four), (six,))))
    geneve, vxlan = Encapsulation
    types = draw(st.sampled_from(((geneve, vxlan), (geneve, vxlan), (geneve,), (vxlan,))))
    return DSwitch(int(slot[1]), f"s{slot[1]}", ips, types)


def _ports(draw: st.DrawFn, slot: Slot, own: int) -> Content:
    missing = draw(st.sampled_from((*(("",) * 10), *ALL_PORTS)))
    return tuple((name, place) for place, name in enumerate(ALL_PORTS, 1 + own % 2) if name != missing)


KINDS: dict[str, Callable[[st.DrawFn, Slot, int], Content]] = {
    "network": _network,
    "domain": _domain,
    "action": _action,
    "default": _policy,
    "policy": _policy,
    "endpoint": _endpoint,
    "learned": _learned,
    "location": _location,
    "dswitch": _dswitch,
    "ports": _ports,
}


@st.composite
def fillings(draw: st.DrawFn) -> Filling:
    """A slot and another content for it; one time in five, none."""
    slot = draw(st.sampled_from((*SLOTS, *CENTRAL, *CENTRAL)))
    if draw(st.integers(0, 4)) == 4:
        return slot, (() if slot[0] == "ports" else None)
    return slot, KINDS[slot[0]](draw, slot, number(slot, draw(st.integers(0, 1))))


def usual() -> State:
    """A state in which all is there: n1 is an L2 network and n2 an L3 one, of equal addresses; red may talk to blue."""
    state: State = dict.fromkeys(SLOTS)
    for vni, network, service in ((5, "n1", Service.L2), (6, "n2", Service.L3)):
        content: dict[Slot, Content] = {
            ("network", network): VirtualNetwork(network, 0, vni, service, (GATEWAY,), vni),
            ("default", network): Policy(network, None, None, 0, ("deny",)),
            ("policy", network, "red", "blue"): Policy(network, "red", "blue", 0, ("accept",)),
            **{("domain", network, domain): PolicyDomain(network, domain, 0) for domain in DOMAINS},
        }
        for place, name in enumerate(ENDPOINTS):
            ips, domain = (IPV4[place], IPV6[place]), DOMAINS[place % 2]
            content["endpoint", network, name] = Endpoint(network, name, 0, domain, (MACS[place],), ips)
            content["location", network, name] = Location(network, name, (1, 1, 2, 3)[place], PORTS[network][place])
        state |= {slot: numbered(slot, held) for slot, held in content.items()}
    for dpid in DPIDS:
        state["dswitch", str(dpid)] = DSwitch(dpid, f"s{dpid}", (f"10.9.0.{dpid}",), tuple(Encapsulation))
        state["ports", str(dpid)] = tuple((name, place) for place, name in enumerate(ALL_PORTS, 1))
    return state


def numbered(slot: Slot, held: Content) -> Content:
    """What a slot holds, with the slot's own number where it has one."""
    numbered_kinds = VirtualNetwork | PolicyDomain | Policy | Endpoint
    return replace(held, number=number(slot, 0)) if isinstance(held, numbered_kinds) else held


# Packets.


@st.composite
def pings(draw: st.DrawFn) -> Ping:
    """A ping between any two addresses, at times from another's."""
    place, target, six = draw(st.integers(0, 3)), draw(st.integers(0, 5)), draw(st.integers(0, 1))
    ips = (IPV4, IPV6)[six]
    source = OUTSIDE[six] if draw(seldom) else ips[draw(near(place))]
    routers = (GATEWAY.ips[six], SECOND_GATEWAY.ips[0] if not six else GATEWAY.ips[1])
    to_ip = draw(st.sampled_from((ips[target], ips[target], ips[target], OUTSIDE[six], *routers)))
    to_mac = draw(st.sampled_from((MACS[target], MACS[target], GATEWAY.mac, GATEWAY.mac, SECOND_GATEWAY.mac, MACS[5])))
    ttl = draw(st.sampled_from((64, 64, 2, 1)))
    return Ping(draw(st.sampled_from(NETWORKS)), ENDPOINTS[place], MACS[place], source, to_mac, to_ip, ttl)


questions = pings().map(lambda ping: Question(ping.network, ping.sender, ping.mac, ping.ip, ping.to_ip))

BATTERY: tuple[Ping | Question, ...] = tuple(
    packet
    for network in NETWORKS
    for packet in (
        Question(network, "e1", MACS[0], IPV4[0], IPV4[3]),
        Ping(network, "e1", MACS[0], IPV4[0], MACS[3], IPV4[3]),
        Ping(network, "e1", MACS[0], IPV6[0], GATEWAY.mac, IPV6[3]),
        Ping(network, "e1", MACS[0], IPV4[0], MACS[1], IPV4[1]),
    )
)
"""Packets that pass in the usual state, from e1 to its own dSwitch and to another; each random test sends them too."""

packets = st.lists(pings() | questions, max_size=6, unique=True).map(lambda some: [*BATTERY, *some])


# A state, looked at.


def entities(state: State) -> Iterator[Entity]:
    """The entities of a state."""
    return (held for held in state.values() if held is not None and not isinstance(held, tuple))


def ports(state: State) -> dict[int, dict[str, int]]:
    """The ports of each dSwitch of a state."""
    return {int(slot[1]): dict(held) for slot, held in state.items() if isinstance(held, tuple)}


def oracle_of(state: State) -> Oracle:
    """Who knows what should happen in a state."""
    return Oracle(entities(state), ports(state))


def contradicts_itself(state: State) -> bool:
    """Whether two things in it claim the same VNI, port or address, which no store would hold for long."""
    oracle = oracle_of(state)
    claims: list[object] = [network.vni for network in oracle.every(VirtualNetwork)]
    claims += ((place.dpid, place.port) for place in oracle.every(Location))
    for network in NETWORKS:
        owners = oracle.endpoints(network)
        claims += ((network, address) for owner in owners for address in chain(owner.macs, owner.ips))
    return len(claims) != len(set(claims))


def teaches(state: State, what: Ping | Question) -> bool:
    """Whether a packet would teach its sender's address instead of being refused."""
    declared = state["endpoint", what.network, what.sender]
    known = oracle_of(state).endpoint(what.network, what.sender)
    return isinstance(declared, Endpoint) and not declared.ips and known is not None and what.ip not in known.ips
