"""The same end by any path: shuffled, repeated, split, with ports changing hands and dSwitches away in between."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dove_ryu.dps import Dps
from dove_ryu.model.entities import Location
from dove_ryu.model.facts import Change
from dove_ryu.openflow.flow import Flow, text
from dove_ryu.openflow.pipeline import RATE

from .oracle import Ping, Question
from .pipeline import Fabric
from .scenario import changes_between, does_as_fresh_ones_would, fabric_of, holds_standing_flows, patient, send
from .states import DPIDS, Filling, Slot, State, entities, fillings, packets, ports, usual

randoms = st.randoms(use_true_random=False)


def batches(changes: list[Change], random: Random) -> list[list[Change]]:
    """Changes in any order, some of them twice, in as many portions as chance will have it."""
    told = random.sample(changes, len(changes))
    told += random.sample(told, len(told) // 3)
    cuts = sorted(random.choices(range(len(told) + 1), k=random.randrange(5)))
    return [told[start:end] for start, end in pairwise((0, *cuts, len(told)))]


def unnumbered(fabric: Fabric, dpid: int) -> set[Flow]:
    """A dSwitch's standing flows without the numbers of meters, which depend on who asked for one first."""
    flows = fabric.dps.standing_flows(dpid)
    return {flow._replace(actions=()) if flow.table == RATE.number else flow for flow in flows}


@patient
@given(st.lists(fillings(), max_size=6), st.lists(fillings(), min_size=1, max_size=8), packets, randoms)
def test_changes_in_any_order_and_portions_come_to_the_same(
    first: list[Filling], then: list[Filling], sent: list[Ping | Question], random: Random
) -> None:
    before = usual() | dict(first)
    after: State = before | {slot: held for slot, held in then if slot[0] != "ports"}
    fabric = fabric_of(before)
    does_as_fresh_ones_would(fabric, before, sent)
    for batch in batches(changes_between(before, after), random):
        fabric.apply(batch)
        holds_standing_flows(fabric)
        for what in sent:  # whatever they meet halfway, they fill the cache
            send(fabric, before, what)
    does_as_fresh_ones_would(fabric, after, sent)
    direct = fabric_of(after)
    for dpid in DPIDS:
        assert unnumbered(fabric, dpid) == unnumbered(direct, dpid)


@patient
@given(st.lists(fillings(), max_size=6), st.lists(fillings(), min_size=1, max_size=4), packets, st.sampled_from(DPIDS))
def test_a_dswitch_that_was_away_is_brought_up_to_date(
    first: list[Filling], then: list[Filling], sent: list[Ping | Question], away: int
) -> None:
    before = usual() | dict(first)
    fabric = fabric_of(before)
    does_as_fresh_ones_would(fabric, before, sent)
    fabric.lose(away)
    assert fabric.dps.connected == set(DPIDS) - {away}
    after: State = before | dict(then)
    for changed in changes_between(before, after):
        fabric.apply([changed])
    for dpid, shown in ports(after).items():
        if dpid == away:
            fabric.connect(dpid, shown)
        elif shown != ports(before)[dpid]:
            fabric.show_ports(dpid, shown)
    does_as_fresh_ones_would(fabric, after, sent)


@patient
@given(st.lists(fillings(), max_size=12), randoms)
def test_connecting_again_changes_nothing(filled: list[Filling], random: Random) -> None:
    state = usual() | dict(filled)
    fabric = fabric_of(state)
    for dpid, shown in ports(state).items():
        held = random.sample(fabric.switches[dpid].flows, len(fabric.switches[dpid].flows))
        assert text(fabric.dps.connect(dpid, shown, held)) == ""


def test_a_world_that_is_there_before_any_dswitch_is_the_same_world() -> None:
    state = usual()
    early, late = fabric_of(state), Fabric(Dps())
    for dpid, shown in ports(state).items():
        late.connect(dpid, shown)
    late.apply(map(Change.put, entities(state)))
    for dpid in DPIDS:
        assert set(early.switches[dpid].flows) == set(late.switches[dpid].flows)


@pytest.mark.parametrize("taker", [("n1", "e2"), ("n2", "e1")], ids=["one network", "two networks"])
@pytest.mark.parametrize("order", [1, -1], ids=["given first", "taken first"])
def test_a_port_changes_hands(taker: tuple[str, str], order: int) -> None:
    before = usual()
    place = before["location", "n1", "e1"]
    assert isinstance(place, Location)
    taken: Slot = ("location", *taker)
    after: State = before | {("location", "n1", "e1"): None, taken: Location(*taker, place.dpid, place.port)}
    fabric = fabric_of(before)
    for change in changes_between(before, after)[::order]:
        fabric.apply([change])
        holds_standing_flows(fabric)
    assert set(fabric.switches[1].flows) == set(fabric_of(after).switches[1].flows)
