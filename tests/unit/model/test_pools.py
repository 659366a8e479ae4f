"""Which instance takes which connections (X10): shares, failures and drains, slot by slot."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dove_ryu.model.appliances import Appliance, Health, Instance, OnFailure, Seat
from dove_ryu.model.pools import SLOTS, Share, lost, shares, spreads
from dove_ryu.model.provider import Provider

ONE, TWO, THREE = (Instance(name, dpid, "in", "out") for dpid, name in enumerate(("one", "two", "three"), 1))
POOL = Appliance("fw", "firewall", (ONE, TWO, THREE))
ALL_WORK: frozenset[str] = frozenset()


def takers(pool: Appliance, *without: str) -> list[str | None]:
    """Who takes each slot, by name."""
    return [None if share.taker is None else share.taker.name for share in shares(pool, frozenset(without))]


def drained(instance: Instance) -> Instance:
    return replace(instance, drain=True)


def pool(*instances: Instance, on_failure: OnFailure = OnFailure.STOP) -> Appliance:
    return replace(POOL, instances=instances, on_failure=on_failure)


def test_an_appliance_of_one_instance_has_no_slots() -> None:
    assert shares(pool(ONE), ALL_WORK) == (Share(ONE),)
    assert not spreads(pool(ONE, replace(TWO, weight=0)))
    assert takers(pool(ONE, replace(TWO, weight=0))) == ["one"]
    assert shares(pool(drained(ONE)), ALL_WORK) == (Share(drained(ONE)),), "nobody else takes what is new"


def test_slots_are_shared_by_weight() -> None:
    assert min(Counter(takers(POOL)).values()) > SLOTS / 6
    heavy = Counter(takers(pool(replace(ONE, weight=6), TWO, THREE)))
    assert SLOTS * 0.6 < heavy["one"] < SLOTS * 0.9


@given(st.permutations([ONE, TWO, THREE]))
def test_the_order_of_instances_does_not_matter(order: list[Instance]) -> None:
    assert takers(pool(*order)) == takers(POOL)


def test_only_the_slots_of_who_goes_move() -> None:
    before, after = takers(POOL), takers(pool(ONE, TWO))
    assert all(old == new for old, new in zip(before, after, strict=True) if old != "three")
    assert {new for old, new in zip(before, after, strict=True) if old == "three"} == {"one", "two"}


@pytest.mark.parametrize("on_failure", OnFailure)
def test_what_becomes_of_the_slots_of_an_instance_that_fails(on_failure: OnFailure) -> None:
    failing = replace(POOL, on_failure=on_failure)
    before, after = shares(failing, ALL_WORK), shares(failing, frozenset({"two"}))
    changed = {new for old, new in zip(before, after, strict=True) if old.taker is TWO}
    assert (
        changed
        == {
            OnFailure.STOP: {Share()},
            OnFailure.NEXT: {Share(ONE), Share(THREE)},
            OnFailure.LEAVE_OUT: {Share(left_out=True)},
        }[on_failure]
    )
    assert all(old == new for old, new in zip(before, after, strict=True) if old.taker is not TWO)


@pytest.mark.parametrize(("on_failure", "left_out"), [(each, each is OnFailure.LEAVE_OUT) for each in OnFailure])
def test_where_no_instance_works(on_failure: OnFailure, left_out: bool) -> None:
    failing = replace(POOL, on_failure=on_failure)
    assert set(shares(failing, frozenset({"one", "two", "three"}))) == {Share(left_out=left_out)}


def test_a_drained_instance_keeps_what_it_has_and_gets_nothing_new() -> None:
    before, during = shares(POOL, ALL_WORK), shares(pool(ONE, drained(TWO), THREE), ALL_WORK)
    assert {new.drained for old, new in zip(before, during, strict=True) if old.taker is TWO} == {drained(TWO)}
    assert {new.taker for old, new in zip(before, during, strict=True) if old.taker is TWO} == {ONE, THREE}
    assert all(old == new for old, new in zip(before, during, strict=True) if old.taker is not TWO)
    after = takers(pool(ONE, THREE))
    assert takers(pool(ONE, drained(TWO), THREE)) == after, "so that nothing moves when it is taken out at last"


def test_who_takes_a_drained_one_s_place_may_fail_and_so_may_it_itself() -> None:
    draining = pool(ONE, drained(TWO))
    slots = {share for share in shares(draining, frozenset({"one"})) if share.taker is not None}
    assert slots == {Share(drained(TWO))}, "it has its slots back"
    assert {share.drained for share in shares(draining, frozenset({"two"}))} == {None}
    assert takers(draining, "two") == ["one"] * SLOTS


def test_an_instance_is_lost_that_does_not_work_or_is_nowhere() -> None:
    provider, roaming = Provider(), replace(THREE, dpid=0, ingress="", egress="")
    provider.replace("fw/one", None, Health("fw", "one", up=False))
    assert lost(provider, pool(ONE, TWO, roaming)) == {"one", "three"}
    provider.replace("fw/three", None, Seat("fw", "three", 5, "in", "out"))
    assert lost(provider, pool(ONE, TWO, roaming)) == {"one"}
