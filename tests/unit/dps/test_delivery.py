"""Packets through simulated dSwitches reach whom the report says, and what is cached never differs from what is true.

The states are random and so are the steps between them.  After each step every dSwitch must hold exactly the standing flows
that the world alone gives (the path does not matter), packets must meet the same fate as at dSwitches that have cached
nothing (whatever the step made stale is gone), and where the state does not contradict itself, the fate that the oracle
tells.
"""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dove_ryu.dps import Dps
from dove_ryu.model.world import Change
from dove_ryu.openflow.fields import CACHED_COOKIE, CACHED_MASK
from dove_ryu.openflow.flow import text

from .oracle import Oracle, Ping, Question, Seen
from .pipeline import Delivery, Fabric
from .states import (
    Slot,
    State,
    contradicts_itself,
    entities,
    fillings,
    is_open,
    packets,
    ports,
    steps,
    usual,
)
from .wire import answer, frame, seen

Filling = tuple[Slot, Any]
EXAMPLES = int(os.environ.get("DOVE_EXAMPLES", "60"))
patient = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


def fabric_of(state: State) -> Fabric:
    """dSwitches in a state, by the shortest path."""
    fabric = Fabric(Dps())
    fabric.apply(map(Change.put, entities(state)))
    for dpid, shown in ports(state).items():
        fabric.connect(dpid, shown)
    return fabric


def fill(fabric: Fabric, state: State, slot: Slot, held: object) -> None:
    """Give a slot another content, and tell the DPS."""
    before, state[slot] = state[slot], held  # type: ignore[assignment]
    if slot[0] == "ports":
        fabric.show_ports(int(slot[1]), ports(state)[int(slot[1])])
    elif held is not None:
        fabric.apply([Change.put(held)])  # type: ignore[arg-type]
    elif before is not None:
        fabric.apply([Change.gone(before)])  # type: ignore[arg-type]


def send(fabric: Fabric, state: State, what: Ping | Question) -> list[Delivery]:
    """Let an endpoint send; nothing comes of one that is nowhere."""
    place = state["location", what.network, what.sender]
    return [] if place is None else fabric.send(place.dpid, place.port, frame(what))  # type: ignore[union-attr]


def holds_standing_flows(fabric: Fabric) -> None:
    """Each dSwitch holds what the world alone says, besides its cache."""
    for dpid, switch in fabric.switches.items():
        held = [flow for flow in switch.flows if flow.cookie & CACHED_MASK != CACHED_COOKIE]
        assert text(sorted(held, key=str)) == text(sorted(fabric.dps.standing_flows(dpid), key=str))


def as_the_oracle_says(state: State, what: Ping | Question, deliveries: list[Delivery]) -> None:
    """What came out is what a look through all entities tells."""
    oracle = Oracle(entities(state), ports(state))
    if isinstance(what, Question):
        mac = oracle.question(what)
        assert [answer(what, delivery) for delivery in deliveries] == ([] if mac is None else [mac])
    else:
        expected = oracle.ping(what)
        assert list(map(seen, deliveries)) == ([] if expected is None else [expected])


@patient
@given(st.lists(fillings, max_size=12), packets)
def test_packets_go_where_the_report_says(filled: list[Filling], sent: list[Ping | Question]) -> None:
    """Delivered to the endpoint that policy and location name, or dropped; twice, the second time from the cache."""
    state = usual()
    for slot, held in filled:
        if not contradicts_itself(state | {slot: held}):
            state[slot] = held
    fabric = fabric_of(state)
    sent = [what for what in sent if not is_open(state, what)]
    for what in sent:
        as_the_oracle_says(state, what, send(fabric, state, what))
    asked = fabric.questions
    for what in sent:
        as_the_oracle_says(state, what, send(fabric, state, what))


@patient
@given(st.lists(fillings, max_size=6), st.lists(steps, min_size=1, max_size=4), packets)
def test_what_is_cached_is_true(
    filled: list[Filling], history: list[list[Filling]], sent: list[Ping | Question]
) -> None:
    """After any change, a dSwitch with a full cache does what one with an empty cache would do."""
    state = usual() | dict(filled)
    fabric = fabric_of(state)
    for step in [[], *history]:
        for slot, held in step:
            fill(fabric, state, slot, held)
        holds_standing_flows(fabric)
        contradictory = contradicts_itself(state)
        fresh = fabric.fresh()
        for what in sent:
            if is_open(state, what):
                continue
            deliveries = send(fabric, state, what)
            assert deliveries == send(fresh, state, what), what
            if not contradictory:
                as_the_oracle_says(state, what, deliveries)
