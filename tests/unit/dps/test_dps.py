"""What the DPS says to whom: numbers in cookies, time-outs, invalidations for those concerned, nothing to noise."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dove_ryu.consequences import Effects
from dove_ryu.dps import Dps
from dove_ryu.features import Answer
from dove_ryu.model.appliances import Appliance
from dove_ryu.model.entities import (
    DSwitch,
    Encapsulation,
    Endpoint,
    Entity,
    Gateway,
    Learned,
    Location,
    Policy,
    PolicyDomain,
    VirtualNetwork,
)
from dove_ryu.model.facts import Change
from dove_ryu.model.resolution import Outcome
from dove_ryu.openflow import oxm
from dove_ryu.openflow.fields import SOURCE_DOMAIN, VNI, Cookie, Kind
from dove_ryu.openflow.flow import Flow, FlowDelete, PacketIn
from dove_ryu.openflow.pipeline import CLASSIFY, LOCATION, NEIGHBOUR, POLICY, ROUTER, SOURCE_GUARD, TABLES
from tests.pipeline.frames import arp_request, icmp_echo, icmpv6_echo, neighbour_solicitation

from .oracle import Ping, Question
from .pipeline import Fabric
from .scenario import fabric_of, holds_standing_flows
from .states import usual
from .wire import answer, frame, seen

PORTS = {"dove-geneve": 10, "dove-vxlan": 11, "p1": 1, "p2": 2}
NETWORK = VirtualNetwork("n", 10, 5, gateways=(Gateway("02:00:00:00:ff:01", ("10.0.0.254/24", "fd00::254/64")),))
RED, BLUE = PolicyDomain("n", "red", 11), PolicyDomain("n", "blue", 12)
DEFAULT = Policy("n", None, None, 13, ("deny",), 60)
RED_TO_BLUE = Policy("n", "red", "blue", 15, ("accept",), 300, 7)
A = Endpoint("n", "a", 21, "red", ("02:00:00:00:00:0a",), ("10.0.0.10", "fd00::a"))
B = Endpoint("n", "b", 22, "blue", ("02:00:00:00:00:0b",), ("10.0.0.11", "fd00::b"))
A_AT_1, B_AT_2 = Location("n", "a", 1, "p1"), Location("n", "b", 2, "p1")
DSWITCHES = [DSwitch(dpid, f"s{dpid}", (f"10.9.0.{dpid}",), tuple(Encapsulation)) for dpid in (1, 2, 3)]
EVERYTHING: list[Entity] = [NETWORK, RED, BLUE, DEFAULT, RED_TO_BLUE, A, B, A_AT_1, B_AT_2, *DSWITCHES]

PING = Ping("n", "a", A.macs[0], A.ips[0], B.macs[0], B.ips[0])
ARP = Question("n", "a", A.macs[0], A.ips[0], B.ips[0])

Thing = TypeVar("Thing", bound=Entity)


@pytest.fixture
def fabric() -> Fabric:
    """a at dSwitch 1 and b at dSwitch 2 of one network; dSwitch 3 is there, but hosts nothing of it."""
    fabric = Fabric(Dps())
    for dpid in (1, 2, 3):
        fabric.connect(dpid, PORTS)
    fabric.apply(map(Change.put, EVERYTHING))
    return fabric


def arrives(fabric: Fabric, ping: Ping = PING) -> bool:
    """Whether a ping from a's port comes out of b's."""
    deliveries = fabric.send(1, "p1", frame(ping))
    return [(seen(each).dpid, seen(each).port) for each in deliveries] == [(2, "p1")]


def answered(fabric: Fabric, question: Question = ARP) -> list[str]:
    """The MAC addresses that a's question brings."""
    return [answer(question, delivery) for delivery in fabric.send(1, "p1", frame(question))]


def cached(fabric: Fabric, dpid: int = 1) -> dict[Kind, Flow]:
    """A dSwitch's cache entries, by kind."""
    cookies = [(Cookie.parse(flow.cookie), flow) for flow in fabric.switches[dpid].flows]
    return {cookie.kind: flow for cookie, flow in cookies if cookie is not None and cookie.kind.cached}


def cookies_of(fabric: Fabric, kind: Kind) -> Cookie | None:
    """The number and tracking number that the entry of a kind shows."""
    flow = cached(fabric).get(kind)
    return None if flow is None else Cookie.parse(flow.cookie)


def deletions(effects: Effects) -> dict[int, list[FlowDelete]]:
    """What each dSwitch is told to forget."""
    found = {dpid: [each for each in changes if isinstance(each, FlowDelete)] for dpid, changes in effects.items()}
    return {dpid: each for dpid, each in found.items() if each}


# The report's numbers, seen in flows.


def test_tracking_numbers_show_in_the_cookies(fabric: Fabric) -> None:
    """F32: allowed, denied, allowed again: 7, 8, 9."""
    for tracking, action, passes in ((7, "accept", True), (8, "deny", False), (9, "accept", True)):
        fabric.apply([Change.put(replace(RED_TO_BLUE, actions=(action,), tracking=tracking))])
        assert arrives(fabric) is passes
        assert answered(fabric) == ([B.macs[0]] if passes else [])
        assert cookies_of(fabric, Kind.POLICY) == Cookie(Kind.POLICY, 15, tracking)
        if passes:
            assert cookies_of(fabric, Kind.NEIGHBOUR) == Cookie(Kind.NEIGHBOUR, 15, tracking)


def test_a_location_shows_how_often_it_has_moved(fabric: Fabric) -> None:
    assert arrives(fabric)
    assert cookies_of(fabric, Kind.LOCATION) == Cookie(Kind.LOCATION, 22, 1)
    fabric.apply([Change.put(replace(B_AT_2, dpid=3, tracking=2))])
    assert [delivery.dpid for delivery in fabric.send(1, "p1", frame(PING))] == [3]
    assert cookies_of(fabric, Kind.LOCATION) == Cookie(Kind.LOCATION, 22, 2)


@pytest.mark.parametrize(("ttl", "timeout"), [(300, 300), (0, 0), (65535, 65535), (86400, 65535)])
def test_a_policys_own_time_out_is_that_of_its_entries(fabric: Fabric, ttl: int, timeout: int) -> None:
    """F21, clamped to what OpenFlow can say."""
    fabric.apply([Change.put(replace(RED_TO_BLUE, ttl=ttl))])
    assert arrives(fabric)
    assert answered(fabric)
    kinds = (Kind.POLICY, Kind.LOCATION, Kind.NEIGHBOUR)
    assert [cached(fabric)[kind].hard_timeout for kind in kinds] == [timeout] * 3


def test_one_request_brings_location_and_policy(fabric: Fabric) -> None:
    """F35; and a question brings what the packet after it needs."""
    assert arrives(fabric)
    assert fabric.questions == 1
    assert arrives(fabric)
    assert fabric.questions == 1


def test_after_a_question_the_packet_needs_to_ask_no_more(fabric: Fabric) -> None:
    assert answered(fabric) == [B.macs[0]]
    assert arrives(fabric)
    assert fabric.questions == 1


def test_requests_are_counted_by_their_outcome(fabric: Fabric) -> None:
    arrives(fabric)
    arrives(fabric, replace(PING, to_mac="02:00:00:00:00:99"))
    fabric.apply([Change.gone(B_AT_2)])
    arrives(fabric)
    fabric.apply([Change.gone(RED_TO_BLUE), Change.put(B_AT_2)])
    arrives(fabric)
    assert fabric.dps.requests == dict.fromkeys(Outcome, 1)


def test_declaring_what_was_learned_ends_the_learning(fabric: Fabric) -> None:
    """The endpoint's addresses stay the same, but what it forges is no longer reported."""
    fabric.apply([Change.put(replace(A, ips=())), Change.put(Learned("n", "a", (), A.ips))])
    forged = replace(PING, ip="10.0.0.66")
    assert fabric.send(1, "p1", frame(forged)) != []
    fabric.apply([Change.put(A)])
    holds_standing_flows(fabric)
    assert fabric.send(1, "p1", frame(forged)) == []


# Who is told.


@pytest.mark.parametrize(
    "change",
    [
        Change.put(replace(RED_TO_BLUE, tracking=8)),
        Change.gone(RED_TO_BLUE),
        Change.put(replace(DEFAULT, actions=("accept",))),
        Change.put(replace(B, domain="red")),
        Change.put(replace(B, ips=("10.0.0.12",))),
        Change.gone(B),
        Change.gone(RED),
        Change.put(replace(NETWORK, vni=6)),
        Change.gone(NETWORK),
    ],
    ids=lambda change: f"{change.kind.__name__} {change.name} {'changes' if change.entity else 'goes'}",
)
def test_invalidations_go_to_those_who_host_the_network_and_to_no_other(fabric: Fabric, change: Change) -> None:
    """F22."""
    effects = fabric.dps.apply([change])
    assert set(deletions(effects)) == set(effects) == {1, 2}


def test_who_hosts_the_network_no_longer_forgets_it(fabric: Fabric) -> None:
    """Nobody would tell it what becomes stale from now on; it may host the network again some day."""
    assert arrives(fabric)
    moved = replace(A_AT_1, dpid=3)
    fabric.apply([Change.put(moved)])
    assert cached(fabric) == {}
    assert [delivery.dpid for delivery in fabric.send(3, "p1", frame(PING))] == [2]
    fabric.apply([Change.put(replace(RED_TO_BLUE, actions=("deny",), tracking=8)), Change.put(A_AT_1)])
    assert not arrives(fabric)


def test_what_changes_while_a_network_is_not_there_is_told_to_nobody(fabric: Fabric) -> None:
    fabric.apply([Change.gone(NETWORK)])
    assert fabric.dps.apply([Change.put(replace(RED_TO_BLUE, tracking=8)), Change.gone(A_AT_1)]) == {}


def test_what_changes_nothing_is_told_to_nobody(fabric: Fabric) -> None:
    assert fabric.dps.apply(map(Change.put, EVERYTHING)) == {}
    assert fabric.dps.apply([Change.put(Appliance("fw1", "firewall"))]) == {}
    assert fabric.dps.apply([Change.gone(Endpoint("elsewhere", "x", 99, "red", ()))]) == {}
    assert fabric.dps.show_ports(1, PORTS) == {}


def test_a_dswitch_that_is_away_is_told_nothing(fabric: Fabric) -> None:
    fabric.dps.disconnect(2)
    assert set(fabric.dps.apply([Change.put(replace(RED_TO_BLUE, tracking=8))])) == {1}
    assert fabric.dps.connected == {1, 3}


# What becomes stale, each by itself.


def test_an_address_that_moves_to_another_endpoint_leads_there(fabric: Fabric) -> None:
    assert arrives(fabric)
    new = replace(B, name="c", number=23)
    fabric.apply([Change.put(new), Change.put(Location("n", "c", 3, "p2")), Change.put(replace(B, macs=(), ips=()))])
    assert [(each.dpid, each.port) for each in fabric.send(1, "p1", frame(PING))] == [(3, "p2")]


def test_an_endpoint_that_comes_again_is_found(fabric: Fabric) -> None:
    assert arrives(fabric)
    fabric.apply([Change.gone(B)])
    assert not arrives(fabric)
    fabric.apply([Change.put(replace(B, number=29))])
    assert arrives(fabric)


def test_a_domain_changes_under_running_traffic(fabric: Fabric) -> None:
    """F8."""
    assert arrives(fabric)
    fabric.apply([Change.put(replace(B, domain="red"))])
    assert not arrives(fabric)
    fabric.apply([Change.put(B)])
    assert arrives(fabric)
    fabric.apply([Change.put(replace(A, domain="blue"))])
    assert not arrives(fabric)


def test_a_port_that_appears_later_is_used(fabric: Fabric) -> None:
    fabric.show_ports(2, {"dove-geneve": 10})
    assert not arrives(fabric)
    fabric.show_ports(2, {"dove-geneve": 10, "p1": 7})
    assert arrives(fabric)


def test_a_tunnel_port_that_appears_later_is_used(fabric: Fabric) -> None:
    fabric.show_ports(1, {"p1": 1})
    assert not arrives(fabric)
    fabric.show_ports(1, {"p1": 1, "dove-geneve": 33})
    assert arrives(fabric)


@pytest.mark.parametrize(
    "other",
    [
        replace(DSWITCHES[1], encap_types=(Encapsulation.VXLAN,)),
        replace(DSWITCHES[1], encap_ips=("10.9.9.9",)),
    ],
)
def test_the_way_to_a_dswitch_that_changes_is_taken_anew(fabric: Fabric, other: DSwitch) -> None:
    assert arrives(fabric)
    fabric.apply([Change.put(other)])
    assert arrives(fabric)
    assert fabric.questions == 2


def test_a_network_that_is_deleted_carries_nothing(fabric: Fabric) -> None:
    assert arrives(fabric)
    fabric.apply([Change.gone(NETWORK)])
    assert not arrives(fabric)
    assert cached(fabric) == {}
    fabric.apply([Change.put(NETWORK)])
    assert arrives(fabric)


def test_of_two_networks_that_claim_one_vni_one_has_it_and_the_other_carries_nothing() -> None:
    """A store refuses that; two of its clients at once might still bring it about for a moment."""
    state = usual()
    fabric = fabric_of(state)
    ping = Ping("n2", "e1", "02:00:00:00:00:01", "10.0.0.1", "02:00:00:00:00:02", "10.0.0.2")
    assert len(fabric.send(1, "q1", frame(ping))) == 1
    first = state["network", "n1"]
    assert isinstance(first, VirtualNetwork)
    fabric.apply([Change.put(replace(first, vni=6))])
    holds_standing_flows(fabric)
    assert fabric.send(1, "q1", frame(ping)) == []
    fabric.apply([Change.put(first)])
    holds_standing_flows(fabric)
    assert len(fabric.send(1, "q1", frame(ping))) == 1


def test_of_two_endpoints_that_claim_one_address_the_first_in_the_alphabet_has_it(fabric: Fabric) -> None:
    fabric.apply([Change.put(replace(B, name="c", number=23)), Change.put(Location("n", "c", 2, "p2"))])
    assert arrives(fabric)
    fabric.apply([Change.put(replace(B, name="a1", number=24)), Change.put(Location("n", "a1", 2, "p2"))])
    assert [(each.dpid, each.port) for each in fabric.send(1, "p1", frame(PING))] == [(2, "p2")]


# Noise.


def at(table: int, data: bytes = b"", vni: int = 5, domain: int = 11) -> PacketIn:
    """A packet that came up from a table."""
    return PacketIn(0, table, {VNI.field: vni, SOURCE_DOMAIN.field: domain, oxm.IN_PORT: 1}, data)


@pytest.mark.parametrize(
    "packet_in",
    [
        at(LOCATION.number, frame(PING), vni=99),
        at(LOCATION.number, frame(PING), domain=99),
        at(POLICY.number, frame(replace(PING, to_mac="02:00:00:00:00:99"))),
        at(CLASSIFY.number, frame(PING)),
        at(NEIGHBOUR.number, frame(PING)),
        at(ROUTER.number, frame(PING)),
    ],
    ids=["unknown network", "unknown domain", "nobody's address", "no question", "no ARP", "not to the router"],
)
def test_what_is_no_request_gets_no_answer(fabric: Fabric, packet_in: PacketIn) -> None:
    assert fabric.dps.packet_in(1, packet_in) == Answer()


SENDER, SENDER6, RECEIVER = (A.macs[0], A.ips[0]), (A.macs[0], A.ips[1]), (B.macs[0], B.ips[0])
FRAMES = (
    icmp_echo(SENDER, RECEIVER),
    icmpv6_echo(SENDER6, (B.macs[0], B.ips[1])),
    arp_request(*SENDER, B.ips[0]),
    neighbour_solicitation(*SENDER6, B.ips[1]),
)


def tampered(which: bytes, length: int, scribble: Iterable[tuple[int, int]]) -> bytes:
    """A frame with bytes overwritten, and cut short."""
    bad = bytearray(which)
    for place, value in scribble:
        bad[place % len(bad)] = value
    return bytes(bad[:length])


frames = st.builds(
    tampered,
    st.sampled_from(FRAMES),
    st.integers(0, 90),
    st.lists(st.tuples(st.integers(0, 80), st.integers(0, 255)), max_size=4),
)
registers = st.dictionaries(st.sampled_from(oxm.REGISTERS[:7]), st.integers(0, 23), max_size=4)


@given(st.sampled_from(TABLES), registers, st.binary(max_size=64) | frames, st.sampled_from((5, 0)))
def test_nothing_that_comes_up_does_harm(table: object, known: dict[oxm.Field, int], data: bytes, vni: int) -> None:
    """Whatever the frame and wherever it missed: an answer, an empty one, but never an exception."""
    dps = Dps()
    dps.apply(map(Change.put, [*EVERYTHING, replace(A, ips=()), Endpoint("n", "w", 24, "blue", (), ("0.0.0.0/0",))]))
    dps.connect(1, PORTS, ())
    fields = {VNI.field: vni, SOURCE_DOMAIN.field: 11, oxm.REGISTERS[3]: 21, **known}
    assert isinstance(dps.packet_in(1, PacketIn(0, table.number, fields, data)), Answer)  # type: ignore[attr-defined]


def test_a_frame_too_short_to_have_addresses_is_dropped(fabric: Fabric) -> None:
    for table in (SOURCE_GUARD, NEIGHBOUR, ROUTER, LOCATION, POLICY):
        assert fabric.dps.packet_in(1, at(table.number, b"\x02")) == Answer()
