"""Worlds for pipeline tests: small, and with every kind of thing in them."""

from __future__ import annotations

from collections.abc import Iterator

from dove_ryu.dps import Dps
from dove_ryu.model.appliances import Appliance, Health, Instance, OnFailure, Sharing
from dove_ryu.model.entities import (
    DSwitch,
    Encapsulation,
    Endpoint,
    Entity,
    Gateway,
    Location,
    Place,
    Policy,
    PolicyAction,
    PolicyDomain,
    Segment,
    Service,
    VirtualNetwork,
)
from dove_ryu.model.facts import Change
from dove_ryu.model.qos import Per, Rate
from dove_ryu.openflow import oxm
from dove_ryu.openflow.fields import BY_ADDRESS, SOURCE_DOMAIN, SOURCE_ENDPOINT, VNI, Cookie, Kind
from dove_ryu.openflow.flow import Flow, PacketIn
from dove_ryu.openflow.pipeline import LOCATION, NEIGHBOUR, SOURCE_GUARD

from .frames import arp_request, icmp_echo, icmpv6_echo, neighbour_solicitation

HERE, THERE = 1, 2
PORTS = {
    "dove-geneve": 10,
    "dove-vxlan": 11,
    "a": 1,
    "b": 2,
    "r": 3,
    "free": 4,
    "s": 5,
    "c": 6,
    "leaving": 7,
    "coming": 8,
    "fw-in": 12,
    "fw-out": 13,
    "ids": 14,
    "nat": 15,
    **{f"p{number}": 20 + number for number in range(1, 6)},
}


def network(name: str, number: int, vni: int, service: Service) -> list[Entity]:
    """A network of three domains: ``red`` and ``blue`` may talk, ``grey`` may not be talked to."""
    gateway = Gateway("02:00:00:00:ff:01", ("10.0.0.1/24", "fd00::1/64"))
    return [
        VirtualNetwork(name, number, vni, service, (gateway,)),
        *(PolicyDomain(name, domain, number + place) for place, domain in enumerate(("red", "blue", "grey"), 1)),
        Policy(name, None, None, number + 4, ("deny",), 300),
        Policy(name, "red", "blue", number + 5, ("accept",), 200, 7, 46, Rate(1_000_000, 1_000_000, Per.ENDPOINT)),
        Policy(name, "blue", "red", number + 6, (), 0),
        Endpoint(name, "a", number + 10, "red", ("02:00:00:00:00:0a",), ("10.0.0.10", "fd00::a")),
        Endpoint(name, "b", number + 11, "blue", ("02:00:00:00:00:0b",), ("10.0.0.11", "fd00::b")),
        Endpoint(name, "c", number + 12, "grey", ("02:00:00:00:00:0c",), ("10.0.0.12", "fd00::c")),
        Endpoint(name, "r", number + 13, "blue", ("02:00:00:00:00:0d",), ("10.0.0.13", "fd00::d")),
        Endpoint(name, "free", number + 14, "red", ("02:00:00:00:00:0e",), ("10.0.0.14",), guard=False),
        Endpoint(name, "s", number + 15, "red", ("02:00:00:00:00:0f",), ()),
        Endpoint(name, "world", number + 16, "blue", ("02:00:00:00:00:10",), ("192.0.2.0/24", "2001:db8::/32")),
        Location(name, "a", HERE, "a"),
        Location(name, "b", HERE, "b"),
        Location(name, "c", HERE, "c"),
        Location(name, "free", HERE, "free"),
        Location(name, "s", HERE, "s"),
        Location(name, "world", HERE, "r"),
        Location(name, "r", THERE, "r"),
        *on_the_move(name, number),
    ]


def chain(name: str, number: int) -> list[Entity]:
    """From red to grey through appliances here and there, shared and dedicated, one of them a router."""
    ports = {"fw": ("fw-in", "fw-out"), "ids": ("ids", "ids"), "nat": ("nat", "nat")}
    places = {"fw": HERE, "ids": HERE, "nat": THERE}
    made: list[Entity] = [
        Appliance(
            each,
            each,
            (Instance("one", places[each], *ports[each], mac="02:00:00:00:0f:01"),),
            Sharing.DEDICATED if each == "ids" else Sharing.VLAN,
            each != "fw",
            number=number + 40 + at,
        )
        for at, each in enumerate(ports)
    ]
    made += [PolicyAction(name, each, number + 30 + at, each, each) for at, each in enumerate(ports)]
    made += [
        Segment(name, "red>grey", hop, 0x800000 + 2 * hop, each, 0 if each == "ids" else 4000 + hop)
        for hop, each in enumerate(ports, 1)
    ]
    return [*made, Policy(name, "red", "grey", number + 7, tuple(ports), 200)]


def pool(name: str, number: int) -> list[Entity]:
    """A chain from red to blue through a pool of two, of which one is drained, one that may be left out, and a tap."""
    mac = "02:00:00:00:0f:02"
    two = (Instance("one", HERE, "p1", "p1", drain=True, mac=mac), Instance("two", HERE, "p2", "p2", mac=mac))
    far = (Instance("one", HERE, "p3", "p3"), Instance("two", THERE, "p3", "p3", drain=True))
    appliances = (
        Appliance("pool", "x", two, number=number + 50, routed=True),
        Appliance("far", "x", far, number=number + 51),
        Appliance(
            "open", "x", (Instance("one", THERE, "p4", "p4"),), number=number + 52, on_failure=OnFailure.LEAVE_OUT
        ),
        Appliance("tap", "x", (Instance("one", HERE, "p5", "p5"),), tap=True, number=number + 53),
    )
    return [
        *appliances,
        Health("open", "one", up=False),
        *(PolicyAction(name, each.name, number + 60 + at, "x", each.name) for at, each in enumerate(appliances)),
        *(
            Segment(name, "blue>red", hop, 0x800100 + 2 * hop, each.name, 3000 + hop)
            for hop, each in enumerate(appliances, 1)
        ),
        Policy(name, "blue", "red", number + 6, tuple(each.name for each in appliances), 0),
    ]


def on_the_move(name: str, number: int) -> list[Entity]:
    """Endpoints that are leaving and coming by live migration."""
    return [
        Endpoint(name, "leaving", number + 17, "blue", ("02:00:00:00:00:11",), ("10.0.0.17", "fd00::11")),
        Endpoint(name, "coming", number + 18, "blue", ("02:00:00:00:00:12",), ("10.0.0.18", "fd00::12")),
        Location(name, "leaving", HERE, "leaving", migrating_to=Place(THERE, "leaving")),
        Location(name, "coming", THERE, "coming", migrating_to=Place(HERE, "coming")),
    ]


def dswitches(address: str = "10.9.0.2") -> list[Entity]:
    """Two dSwitches that speak both protocols; the second at *address*."""
    both = tuple(Encapsulation)
    return [DSwitch(HERE, "here", ("10.9.0.1", "fd09::1"), both), DSwitch(THERE, "there", (address,), both)]


def dps(*entities: Entity) -> Dps:
    """A DPS whose world holds *entities*."""
    made = Dps()
    made.apply(map(Change.put, entities))
    return made


def all_flows() -> Iterator[Flow]:
    """Flows of every kind, standing and cached, for an L2 and an L3 network over both underlays."""
    for service in Service:
        for address in ("10.9.0.2", "fd09::2"):
            known = dps(*network("n", 100, 5, service), *chain("n", 100), *pool("n", 100), *dswitches(address))
            known.connect(HERE, PORTS, ())
            known.connect(THERE, PORTS, ())
            flows = {flow.key: flow for flow in known.standing_flows(HERE)}
            flows |= {flow.key: flow for flow in _tombstones(known)}
            for packet_in in _requests(by_address=service is Service.L3):
                flows |= {flow.key: flow for flow in known.packet_in(HERE, packet_in).flows}
            yield from flows.values()


def _tombstones(known: Dps) -> Iterator[Flow]:
    """What is left of b when it moves; then it comes back."""
    for place in (Location("n", "b", THERE, "b"), Location("n", "b", HERE, "b")):
        changes = known.apply([Change.put(place)])[HERE]
        cookies = ((change, Cookie.parse(change.cookie)) for change in changes if isinstance(change, Flow))
        yield from (flow for flow, cookie in cookies if cookie is not None and cookie.kind is Kind.TOMBSTONE)


def _requests(by_address: bool) -> Iterator[PacketIn]:
    source = {VNI.field: 5, SOURCE_DOMAIN.field: 101, SOURCE_ENDPOINT.field: 110, oxm.IN_PORT: 1}
    sender = ("02:00:00:00:00:0a", "10.0.0.10")
    sender6 = ("02:00:00:00:00:0a", "fd00::a")
    for last in ("b", "c", "d", "99"):
        target, target6 = f"10.0.0.{int(last, 16) + (6 if last == '10' else 0)}", f"fd00::{last}"
        yield PacketIn(0, NEIGHBOUR.number, source, arp_request(*sender, target))
        yield PacketIn(0, NEIGHBOUR.number, source, neighbour_solicitation(*sender6, target6))
        mac = f"02:00:00:00:00:{last:>02}"
        located = source | ({BY_ADDRESS.field: 1} if by_address else {})
        yield PacketIn(0, LOCATION.number, located, icmp_echo(sender, (mac, target)))
        yield PacketIn(0, LOCATION.number, located, icmpv6_echo(sender6, (mac, target6)))
    stranger = source | {SOURCE_ENDPOINT.field: 110}
    yield PacketIn(
        0,
        SOURCE_GUARD.number,
        stranger,
        icmp_echo(("02:00:00:00:00:0a", "10.0.0.77"), ("02:00:00:00:00:0b", "10.0.0.11")),
    )
