"""Replies pass where their connection was begun, and nothing else does: on simulated dSwitches (X7)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dove_ryu.model.entities import Entity, Location, Policy, PolicyAction, Service, VirtualNetwork
from dove_ryu.model.facts import Change
from dove_ryu.model.resolution import Outcome, PolicyRequest, resolve

from .oracle import Ping
from .pipeline import Fabric
from .scenario import fabric_of, holds_standing_flows, patient
from .states import DPIDS, GATEWAY, IPV4, IPV6, MACS, PORTS, Slot, number, usual
from .wire import frame

ONE_WAY: Slot = ("policy", "n1", "red", "blue")
STATEFUL = Policy("n1", "red", "blue", number(ONE_WAY, 0), ("accept",), stateful=True)
PLACES = {"e1": 0, "e4": 3}


def world(**fields: object) -> Fabric:
    """Only red may begin; e1 is red, and e4 is blue and elsewhere."""
    return fabric_of(usual() | {ONE_WAY: replace(STATEFUL, **fields)})  # type: ignore[arg-type]


def put(fabric: Fabric, *entities: Entity) -> None:
    fabric.apply(map(Change.put, entities))
    holds_standing_flows(fabric)


def send(fabric: Fabric, sender: str, to: str, six: bool = False, reply: bool = False) -> list[tuple[int, str]]:
    """Let an endpoint ping another, or answer its ping: where it comes out."""
    one, other, ips = PLACES[sender], PLACES[to], IPV6 if six else IPV4
    what = bytearray(frame(Ping("n1", sender, MACS[one], ips[one], MACS[other], ips[other])))
    if reply:
        at, kind = (54, 129) if six else (34, 0)
        what[at] = kind
    place = fabric.dps.world.tables["n1"].locations[sender]
    return [(each.dpid, each.port) for each in fabric.send(place.dpid, place.port, bytes(what))]


E1, E4 = (1, PORTS["n1"][0]), (3, PORTS["n1"][3])


@pytest.mark.parametrize("six", [False, True])
@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("service", Service)
def test_who_was_asked_may_answer_and_not_begin(service: Service, together: bool, six: bool) -> None:
    fabric = world()
    network = fabric.dps.world.tables["n1"].network
    assert network is not None
    put(fabric, replace(network, service=service))
    there = (1, PORTS["n1"][3]) if together else E4
    put(fabric, Location("n1", "e4", *there))
    assert send(fabric, "e4", "e1", six, reply=True) == [], "nobody has asked it"
    for _ in range(2):  # with nothing cached, and with all
        assert send(fabric, "e4", "e1", six) == [], "it may not begin"
        assert send(fabric, "e1", "e4", six) == [there]
        assert send(fabric, "e4", "e1", six, reply=True) == [E1]


def test_what_may_be_a_reply_only_goes_by_the_label_for_replies() -> None:
    fabric = world()
    network = fabric.dps.world.tables["n1"].network
    assert network is not None
    assert network.reply_label == 0xFF0005
    reply = resolve(fabric.dps.world.tables["n1"], PolicyRequest("blue", IPV4[0]))
    assert (reply.outcome, reply.replies, reply.policy) == (Outcome.ALLOWED, True, STATEFUL)
    assert "denies, but replies pass by the stateful policy 'red>blue'" in reply.reason


@pytest.mark.parametrize(
    "changed",
    [
        replace(STATEFUL, stateful=False),
        replace(STATEFUL, actions=("deny",)),
        replace(STATEFUL, actions=("unheard-of",)),
    ],
)
def test_an_answer_needs_a_policy_that_is_stateful_and_allows(changed: Policy) -> None:
    fabric = world()
    send(fabric, "e1", "e4")
    assert send(fabric, "e4", "e1", reply=True) == [E1]
    put(fabric, changed)
    assert send(fabric, "e4", "e1", reply=True) == []
    put(fabric, STATEFUL)
    assert send(fabric, "e4", "e1", reply=True) == [E1]


def test_a_policy_that_comes_to_allow_is_answered_at_once() -> None:
    fabric = world(actions=("unheard-of",))
    assert send(fabric, "e4", "e1", reply=True) == [], "and this is remembered"
    put(fabric, PolicyAction("n1", "unheard-of", 901, "accept"))
    assert send(fabric, "e1", "e4") == [E4]
    assert send(fabric, "e4", "e1", reply=True) == [E1]


def test_without_a_zone_nobody_answers() -> None:
    """A network that has not been applied since there were zones."""
    fabric = world()
    put(fabric, VirtualNetwork("n1", 100, 5, Service.L2, (GATEWAY,)))
    assert send(fabric, "e1", "e4") == [E4]
    assert send(fabric, "e4", "e1", reply=True) == []


def test_a_policy_of_its_own_is_stronger() -> None:
    fabric = world()
    back = Policy("n1", "blue", "red", 900, ("accept",))
    send(fabric, "e4", "e1")
    put(fabric, back)
    assert send(fabric, "e4", "e1") == [E1]
    put(fabric, replace(back, actions=("deny",)))
    assert send(fabric, "e4", "e1") == []
    send(fabric, "e1", "e4")
    assert send(fabric, "e4", "e1", reply=True) == [E1]


def test_who_began_and_has_moved_hears_nothing_until_it_speaks() -> None:
    fabric = world()
    send(fabric, "e1", "e4")
    assert send(fabric, "e4", "e1", reply=True) == [E1]
    put(fabric, Location("n1", "e1", 2, PORTS["n1"][0], 2))
    send(fabric, "e4", "e1", reply=True)  # by way of where it was, which tells that it has moved
    assert send(fabric, "e4", "e1", reply=True) == []
    assert send(fabric, "e1", "e4") == [E4]
    assert send(fabric, "e4", "e1", reply=True) == [(2, PORTS["n1"][0])]


def test_a_connection_that_begins_after_a_move_is_answered() -> None:
    """Where its beginner was nobody knows it, and who answers must not send there."""
    fabric = world()
    send(fabric, "e4", "e1")
    put(fabric, Location("n1", "e1", 2, PORTS["n1"][0], 2))
    assert send(fabric, "e1", "e4") == [E4]
    assert send(fabric, "e4", "e1", reply=True) == [(2, PORTS["n1"][0])]


@patient
@given(st.lists(st.tuples(st.sampled_from(("e1", "e4")), st.booleans(), st.sampled_from(DPIDS)), max_size=12))
def test_whatever_moves_nobody_but_red_ever_begins(steps: list[tuple[str, bool, int]]) -> None:
    fabric = world()
    for who, moves, dpid in steps:
        if moves:
            known = fabric.dps.world.tables["n1"].locations[who]
            put(fabric, Location("n1", who, dpid, known.port, known.tracking + 1))
        elif who == "e1":
            place = fabric.dps.world.tables["n1"].locations["e4"]
            send(fabric, "e1", "e4")  # the first may meet where it was
            assert send(fabric, "e1", "e4") == [(place.dpid, place.port)]
            place = fabric.dps.world.tables["n1"].locations["e1"]
            send(fabric, "e4", "e1", reply=True)
            assert send(fabric, "e4", "e1", reply=True) == [(place.dpid, place.port)]
        assert send(fabric, "e4", "e1") == []
