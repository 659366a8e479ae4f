"""Fair shares of the DPS's thread: rates by network, answers on the way, and scans that leave no trace (X3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dove_ryu.dps import Dps, Refused
from dove_ryu.fairness import MOST_REMEMBERED, ON_THE_WAY, Admission, Buckets, Memory, Share
from dove_ryu.features import Answer
from dove_ryu.model.entities import (
    DSwitch,
    Encapsulation,
    Endpoint,
    Entity,
    Location,
    Policy,
    PolicyDomain,
    VirtualNetwork,
)
from dove_ryu.model.facts import Change
from dove_ryu.openflow import oxm
from dove_ryu.openflow.action import Resubmit
from dove_ryu.openflow.fields import SOURCE_DOMAIN, SOURCE_ENDPOINT, VNI, Cookie, Kind
from dove_ryu.openflow.flow import PacketIn
from dove_ryu.openflow.pipeline import LOCATION, NEIGHBOUR, POLICY, SOURCE_GUARD
from dove_ryu.openflow.table import Table
from tests.pipeline.frames import arp_request, icmp_echo

from .oracle import Ping
from .pipeline import Fabric
from .wire import frame, seen

NOWHERE_MAC, NOWHERE_IP = "02:00:00:00:00:99", "10.0.0.99"
NETWORK, OTHER = VirtualNetwork("n", 10, 5), VirtualNetwork("o", 20, 6)
RED, GREY = PolicyDomain("n", "red", 11), PolicyDomain("o", "grey", 21)
ACCEPT = Policy("n", "red", "red", 13, ("accept",), 60)
A = Endpoint("n", "a", 14, "red", ("02:00:00:00:00:0a",), ("10.0.0.10",))
B = Endpoint("n", "b", 15, "red", ("02:00:00:00:00:0b",), ("10.0.0.11",))
PLACES = [Location("n", "a", 1, "p1"), Location("n", "b", 1, "p2")]
ITSELF = DSwitch(1, "s1", ("10.9.0.1",), tuple(Encapsulation))
EVERYTHING: list[Entity] = [NETWORK, OTHER, RED, GREY, ACCEPT, A, B, *PLACES, ITSELF]
PORTS = {"p1": 1, "p2": 2}


@pytest.fixture
def dps() -> Dps:
    made = Dps()
    made.connect(1, PORTS, [])
    made.apply(map(Change.put, EVERYTHING))
    return made


@pytest.fixture
def admission(dps: Dps) -> Admission:
    return Admission(dps)


def request(
    table: Table = LOCATION, target: str = B.macs[0], network: VirtualNetwork = NETWORK, domain: int = RED.number
) -> PacketIn:
    """A packet to an address that has come up."""
    known = {VNI.field: network.vni, SOURCE_DOMAIN.field: domain, oxm.IN_PORT: 1, SOURCE_ENDPOINT.field: A.number}
    data = icmp_echo((A.macs[0], A.ips[0]), (target, B.ips[0]), 64)
    return PacketIn(int(Cookie(Kind.MISS, table.number)), table.number, known, data)


def question(target: str) -> PacketIn:
    """An ARP request that has come up."""
    known = {VNI.field: NETWORK.vni, SOURCE_DOMAIN.field: RED.number, oxm.IN_PORT: 1}
    data = arp_request(A.macs[0], A.ips[0], target)
    return PacketIn(int(Cookie(Kind.MISS, NEIGHBOUR.number)), NEIGHBOUR.number, known, data)


# Each network has its share.


def test_a_network_has_its_burst_and_then_its_rate(dps: Dps, admission: Admission) -> None:
    admission.share = Share(rate=10, burst=3)
    assert admission.share == Share(10, 3)
    answers = [admission.answer(1, request(), at) for at in (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)]
    assert [bool(answer.flows) for answer in answers] == [True, True, True, True, True, False, True]
    assert dps.refused == {Refused.NETWORK_RATE: 1}


def test_the_share_of_one_network_is_not_that_of_another(dps: Dps, admission: Admission) -> None:
    admission.share = Share(rate=1, burst=1)
    theirs = request(target=NOWHERE_MAC, network=OTHER, domain=GREY.number)
    assert admission.answer(1, request(), 0.0).flows
    for _ in range(3):
        assert admission.answer(1, request(POLICY), 0.1) == Answer()
    admission.answer(1, theirs, 0.2)
    assert dps.refused == {Refused.NETWORK_RATE: 3}


def test_a_share_of_nothing_is_no_limit(dps: Dps, admission: Admission) -> None:
    admission.share = Share(rate=0, burst=1)
    assert all(admission.answer(1, request(), second / 10).flows for second in range(10))


def test_what_is_no_policy_request_has_to_wait_its_turn_too(dps: Dps, admission: Admission) -> None:
    """An address report; and it is never taken for one that was answered before."""
    admission.share = Share(rate=1, burst=2)
    report = request(SOURCE_GUARD)
    assert [bool(admission.answer(1, report, 0.0).packets) for _ in range(3)] == [True, True, False]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 2)), max_size=60))
def test_nobody_gets_more_than_the_rate_and_the_burst(asked: list[tuple[str, float]]) -> None:
    buckets, now = Buckets(Share(rate=5, burst=4)), 0.0
    got = {"a": 0, "b": 0}
    for whose, passed in asked:
        now += passed
        got[whose] += buckets.take(whose, now)
        assert got[whose] <= 4 + 5 * now + 1e-6


def test_buckets_that_nobody_uses_are_forgotten() -> None:
    buckets = Buckets(Share(rate=1, burst=1))
    assert all(buckets.take(number, number / MOST_REMEMBERED) for number in range(MOST_REMEMBERED))
    assert not buckets.take(0, 0.9)
    assert buckets.take("another", 1.5)
    assert not buckets.take(MOST_REMEMBERED - 1, 1.5)
    assert buckets.take(0, 1.5)


# What is on its way is not sent again.


@pytest.mark.parametrize("table", [LOCATION, POLICY])
def test_who_asks_again_at_once_gets_the_packet_back_and_no_flows(admission: Admission, table: Table) -> None:
    first = admission.answer(1, request(table), 0.0)
    again = admission.answer(1, request(table), ON_THE_WAY / 2)
    assert first.flows
    assert again == Answer(packets=first.packets)
    assert again.packets[0].actions[-1] == Resubmit(LOCATION.number)
    assert admission.answer(1, request(table), ON_THE_WAY * 2) == first


def test_another_question_is_answered_in_full(admission: Admission) -> None:
    admission.answer(1, request(), 0.0)
    for other in (request(POLICY), request(target=A.macs[0]), question(B.ips[0])):
        assert admission.answer(1, other, 0.0).flows
    assert admission.answer(2, request(), 0.0).flows


def test_what_was_answered_before_a_change_is_asked_anew(admission: Admission) -> None:
    """Else a packet whose flows the change has deleted would go to and fro."""
    first = admission.answer(1, request(), 0.0)
    admission.forget()
    assert admission.answer(1, request(), 0.0) == first


def test_a_memory_is_bounded_in_time_and_number() -> None:
    memory = Memory(10)
    memory.note("early", 0.0)
    assert memory.holds("early", 9.9)
    assert not memory.holds("early", 10.0)
    for number in range(MOST_REMEMBERED + 7):
        memory.note(number, 11.0)
    assert len(memory) == MOST_REMEMBERED
    assert not memory.holds(6, 11.0)
    assert memory.holds(7, 11.0)
    memory.note(7, 20.0)
    memory.note("late", 30.0)
    assert len(memory) == 1
    memory.clear()
    assert not memory.holds("late", 30.0)


# Nothing is lost by it.


def test_every_packet_between_endpoints_arrives_as_without_it(dps: Dps) -> None:
    fabric = Fabric(dps)
    fabric.connect(1, PORTS)
    fabric.admission = Admission(dps)
    ping = Ping("n", "a", A.macs[0], A.ips[0], B.macs[0], B.ips[0])
    for _ in range(3):
        (arrived,) = fabric.send(1, "p1", frame(ping))
        assert (arrived.dpid, arrived.port) == (1, "p2")
        assert seen(arrived).ip_src == A.ips[0]
        fabric.pass_time(70)
