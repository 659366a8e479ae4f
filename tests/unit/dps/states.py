"""Random states of the world that meet each other: few names, few addresses, few ports, all of them shared.

A state is what every *slot* holds: a network's entry, one endpoint's location, one dSwitch's ports.  A step fills some slots
anew, so that whatever one fact alone must make stale stands alone at times.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
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

from .oracle import Ping, Question

Slot = tuple[str, ...]
Ports = tuple[tuple[str, int], ...]
State = dict[Slot, Entity | Ports | None]
Draw = Callable[..., object]

NETWORKS, DOMAINS = ("n1", "n2"), ("red", "blue")
ENDPOINTS = ("e1", "e2", "e3", "e4")
DPIDS = (1, 2, 3)
PORTS = ("p1", "p2", "p3", "p4", "p5")
ALL_PORTS = (*PORTS, *("q" + port[1:] for port in PORTS), "dove-geneve", "dove-vxlan")
GATEWAY = Gateway("02:00:00:00:ff:01", ("10.0.0.254/24", "fd00::254/64"))
MACS = tuple(f"02:00:00:00:00:0{number}" for number in range(1, 7))
IPV4 = tuple(f"10.0.0.{number}" for number in range(1, 7))
IPV6 = tuple(f"fd00::{number}" for number in range(1, 7))
PREFIXES = ("192.0.2.0/24", "2001:db8::/32", "10.0.0.0/24", "fd00::/64", "0.0.0.0/0")
OUTSIDE = ("192.0.2.7", "2001:db8::7")

SLOTS: tuple[Slot, ...] = (
    *(("network", network) for network in NETWORKS),
    *(("domain", network, domain) for network in NETWORKS for domain in DOMAINS),
    *(("action", network, "check") for network in NETWORKS),
    *(("default", network) for network in NETWORKS),
    *(("policy", network, one, two) for network in NETWORKS for one in DOMAINS for two in DOMAINS),
    *(("endpoint", network, name) for network in NETWORKS for name in ENDPOINTS),
    *(("learned", network, name) for network in NETWORKS for name in ENDPOINTS),
    *(("location", network, name) for network in NETWORKS for name in ENDPOINTS),
    *(("dswitch", str(dpid)) for dpid in DPIDS),
    *(("ports", str(dpid)) for dpid in DPIDS),
)

actions = st.sampled_from(((), ("accept",), ("accept",), ("deny",), ("check",), ("accept", "check"), ("check", "deny")))


def mostly(value: object) -> st.SearchStrategy[bool]:
    """True four times out of five."""
    return st.sampled_from((True, True, True, True, False)).map(lambda yes: yes and value is not None)


def number(slot: Slot, generation: int) -> int:
    """A number of one's own for each thing in a slot, another for each of its generations."""
    return 100 + 2 * SLOTS.index(slot) + generation


@st.composite
def contents(draw: Draw, slot: Slot) -> Entity | Ports | None:
    """What a slot can hold."""
    if not draw(mostly(slot)):
        return () if slot[0] == "ports" else None
    own = number(slot, int(draw(st.booleans())))  # type: ignore[call-overload]
    return FILLINGS[slot[0]](draw, slot, own)


def _network(draw: Draw, slot: Slot, own: int) -> Entity:
    vni = draw(st.sampled_from((5, 5, 5, 7) if slot[1] == "n1" else (6, 6, 6, 7)))
    gateways = draw(st.sampled_from(((GATEWAY,), (GATEWAY,), ())))
    return VirtualNetwork(slot[1], own, vni, draw(st.sampled_from(Service)), gateways)  # type: ignore[arg-type]


def _domain(draw: Draw, slot: Slot, own: int) -> Entity:
    return PolicyDomain(slot[1], slot[2], own)


def _action(draw: Draw, slot: Slot, own: int) -> Entity:
    kind = draw(st.sampled_from(("accept", "deny", "firewall")))
    return PolicyAction(slot[1], slot[2], own, str(kind))


def _policy(draw: Draw, slot: Slot, own: int) -> Entity:
    source, destination = slot[2:] if slot[0] == "policy" else (None, None)
    names, ttl = draw(actions), draw(st.sampled_from((0, 300)))
    return Policy(slot[1], source, destination, own, names, ttl, draw(st.integers(1, 3)))  # type: ignore[arg-type]


def _endpoint(draw: Draw, slot: Slot, own: int) -> Entity:
    place = ENDPOINTS.index(slot[2])
    others = (place, place, place, place, 4)
    macs = [MACS[place]] if draw(mostly(1)) else [MACS[5], MACS[place]]
    if draw(st.integers(0, 9)) == 9:
        macs = [MACS[(place + 1) % 4]]
    ips = [IPV4[draw(st.sampled_from(others))], IPV6[draw(st.sampled_from(others))]]  # type: ignore[call-overload]
    if draw(st.integers(0, 4)) == 4:
        ips = [str(draw(st.sampled_from(PREFIXES)))] + ips[: int(draw(st.integers(0, 2)))]  # type: ignore[call-overload]
    elif draw(st.integers(0, 4)) == 4:
        ips = []
    domain = str(draw(st.sampled_from(DOMAINS)))
    return Endpoint(slot[1], slot[2], own, domain, tuple(macs), tuple(ips), bool(draw(mostly(1))))


def _learned(draw: Draw, slot: Slot, own: int) -> Entity:
    place = ENDPOINTS.index(slot[2])
    return Learned(slot[1], slot[2], (MACS[place],), tuple(draw(st.sampled_from(((IPV4[place],), (IPV6[place],))))))  # type: ignore[call-overload]


def _location(draw: Draw, slot: Slot, own: int) -> Entity:
    place = ENDPOINTS.index(slot[2])
    port = PORTS[draw(st.sampled_from((place, place, place, place, 4)))]  # type: ignore[call-overload]
    port = port if slot[1] == "n1" else "q" + port[1:]
    if draw(st.integers(0, 9)) == 9:
        port = "p5"
    return Location(slot[1], slot[2], int(draw(st.sampled_from((1, 1, 2, 3)))), port)  # type: ignore[call-overload]


def _dswitch(draw: Draw, slot: Slot, own: int) -> Entity:
    dpid, generation = int(slot[1]), own % 2
    four, six = f"10.9.{generation}.{dpid}", f"fd09:{generation}::{dpid}"
    ips = draw(st.sampled_from(((four,), (four,), (four, six), (six, four), (six,))))
    geneve, vxlan = Encapsulation
    types = draw(st.sampled_from(((geneve, vxlan), (geneve, vxlan), (geneve,), (vxlan,))))
    return DSwitch(dpid, f"s{dpid}", ips, types)  # type: ignore[arg-type]


def _ports(draw: Draw, slot: Slot, own: int) -> Ports:
    first = 1 + own % 2
    missing = draw(st.sampled_from((*(("",) * 10), *ALL_PORTS)))
    return tuple((name, first + place) for place, name in enumerate(ALL_PORTS) if name != missing)


FILLINGS = {
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

fillings = st.sampled_from(SLOTS).flatmap(lambda slot: st.tuples(st.just(slot), contents(slot)))
steps = st.lists(fillings, min_size=1, max_size=3)


def usual() -> State:
    """A state in which all is there: n1 is an L2 network and n2 an L3 one, of equal addresses; red may talk to blue."""
    state: State = dict.fromkeys(SLOTS)
    for vni, network, service in ((5, "n1", Service.L2), (6, "n2", Service.L3)):
        own = {slot: number(slot, 0) for slot in SLOTS if network in slot}
        known: list[Entity] = [VirtualNetwork(network, own["network", network], vni, service, (GATEWAY,))]
        for place, name in enumerate(ENDPOINTS):
            domain, port = DOMAINS[place % 2], ("p", "q")[vni - 5] + str(place + 1)
            ips = (IPV4[place], IPV6[place])
            known.append(Endpoint(network, name, own["endpoint", network, name], domain, (MACS[place],), ips))
            known.append(Location(network, name, (1, 1, 2, 3)[place], port))
        known += (PolicyDomain(network, domain, own["domain", network, domain]) for domain in DOMAINS)
        known.append(Policy(network, None, None, own["default", network], ("deny",)))
        known.append(Policy(network, "red", "blue", own["policy", network, "red", "blue"], ("accept",)))
        state |= {slot_of(entity): entity for entity in known}
    for dpid in DPIDS:
        state["dswitch", str(dpid)] = DSwitch(dpid, f"s{dpid}", (f"10.9.0.{dpid}",), tuple(Encapsulation))
        state["ports", str(dpid)] = tuple((name, place) for place, name in enumerate(ALL_PORTS, 1))
    return state


def slot_of(entity: Entity) -> Slot:
    """The slot that an entity is in."""
    match entity:
        case VirtualNetwork(name=name):
            return "network", name
        case Policy(network=network, source=None):
            return "default", network
        case Policy(network=network, source=str(source), destination=str(destination)):
            return "policy", network, source, destination
        case Location(network=network, endpoint=name):
            return "location", network, name
        case PolicyDomain(network=network, name=name):
            return "domain", network, name
        case Endpoint(network=network, name=name):
            return "endpoint", network, name
    raise AssertionError(f"no slot for {entity}")


@st.composite
def pings(draw: Draw) -> Ping:
    """A ping between any two addresses, sometimes of another's."""
    place = int(draw(st.integers(0, 3)))  # type: ignore[call-overload]
    six = draw(st.booleans())
    mine = int(draw(st.sampled_from((place, place, place, place, 4))))  # type: ignore[call-overload]
    target = int(draw(st.integers(0, 5)))  # type: ignore[call-overload]
    ips = IPV6 if six else IPV4
    source = OUTSIDE[bool(six)] if draw(st.integers(0, 9)) == 9 else ips[mine]
    destination = draw(st.sampled_from((ips[target], ips[target], ips[target], OUTSIDE[bool(six)], _gateway_ip(six))))
    mac = draw(st.sampled_from((MACS[target], GATEWAY.mac, "02:00:00:00:00:99")))
    network, ttl = draw(st.sampled_from(NETWORKS)), draw(st.sampled_from((64, 64, 2, 1)))
    return Ping(str(network), ENDPOINTS[place], MACS[place], source, str(mac), str(destination), int(str(ttl)))


@st.composite
def questions(draw: Draw) -> Question:
    """A question for any address."""
    ping = draw(pings())
    assert isinstance(ping, Ping)
    return Question(ping.network, ping.sender, ping.mac, ping.ip, ping.to_ip)


def _gateway_ip(six: object) -> str:
    return GATEWAY.ips[1] if six else GATEWAY.ips[0]


packets = st.lists(pings() | questions(), min_size=1, max_size=12, unique=True)


def entities(state: State) -> Iterator[Entity]:
    """The entities of a state."""
    return (held for slot, held in state.items() if slot[0] != "ports" and held is not None)  # type: ignore[misc]


def ports(state: State) -> dict[int, dict[str, int]]:
    """The ports of each dSwitch of a state."""
    return {int(slot[1]): dict(held) for slot, held in state.items() if slot[0] == "ports"}  # type: ignore[call-overload]


def contradicts_itself(state: State) -> bool:
    """Whether two things in it claim the same VNI, port or address, which no store would hold for long."""
    known = list(entities(state))
    claims: list[object] = [network.vni for network in known if isinstance(network, VirtualNetwork)]
    claims += [(place.dpid, place.port) for place in known if isinstance(place, Location)]
    for endpoint in known:
        if isinstance(endpoint, Endpoint):
            learned = next(
                (
                    each
                    for each in known
                    if isinstance(each, Learned) and (each.network, each.endpoint) == (endpoint.network, endpoint.name)
                ),
                None,
            )
            ips = endpoint.ips or (learned.ips if learned else ())
            claims += ((endpoint.network, address) for address in chain(endpoint.macs, ips))
    return len(claims) != len(set(claims))


def is_open(state: State, what: Ping | Question) -> bool:
    """Whether a packet would teach its sender's address instead of being refused."""
    endpoint = state["endpoint", what.network, what.sender]
    if not isinstance(endpoint, Endpoint) or endpoint.ips:
        return False
    learned = state["learned", what.network, what.sender]
    return not (isinstance(learned, Learned) and what.ip in learned.ips)


def version(ip: str) -> int:
    """4 or 6."""
    return ipaddress.ip_address(ip).version
