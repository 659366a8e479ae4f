"""A plan makes what is installed what is desired, in an order that is safe for packets in flight."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from dove_ryu.openflow import oxm
from dove_ryu.openflow.action import Goto, Output
from dove_ryu.openflow.flow import Flow, FlowChange, FlowKey, FlowStrictDelete, text
from dove_ryu.openflow.match import match
from dove_ryu.openflow.plan import by_key, plan

flows = st.builds(
    Flow,
    table=st.integers(0, 3),
    priority=st.integers(0, 2),
    match=st.sampled_from([match(), match({oxm.IN_PORT: 1}), match({oxm.IPV4_DST: "10.0.0.0/24"})]),
    actions=st.sampled_from([(), (Output(1),), (Goto(4),)]),
    cookie=st.integers(1, 2),
    hard_timeout=st.sampled_from([0, 300]),
)
tables = st.lists(flows, max_size=12, unique_by=lambda flow: flow.key)


def carried_out(changes: Iterable[FlowChange], installed: Iterable[Flow]) -> dict[FlowKey, Flow]:
    """A switch's flows after *changes*."""
    held = {flow.key: flow for flow in installed}
    for change in changes:
        if isinstance(change, Flow):
            held[change.key] = change
        else:
            assert isinstance(change, FlowStrictDelete)
            del held[change.key]
    return held


def made(desired: Iterable[Flow], installed: Iterable[Flow]) -> list[FlowChange]:
    """The plan from some flows to others."""
    return plan(by_key(desired), by_key(installed))


@given(tables, tables)
def test_a_plan_brings_about_what_is_desired(desired: list[Flow], installed: list[Flow]) -> None:
    assert carried_out(made(desired, installed), installed) == {flow.key: flow for flow in desired}


@given(tables, tables)
def test_a_plan_that_is_carried_out_leaves_nothing_to_do(desired: list[Flow], installed: list[Flow]) -> None:
    assert plan(by_key(desired), carried_out(made(desired, installed), installed)) == []


@given(tables, tables)
def test_a_plan_touches_nothing_that_is_right(desired: list[Flow], installed: list[Flow]) -> None:
    right = set(desired) & set(installed)
    touched = {change.key for change in made(desired, installed) if isinstance(change, Flow | FlowStrictDelete)}
    assert touched.isdisjoint(flow.key for flow in right)


@given(tables, tables)
def test_the_new_comes_first_from_the_last_table_on(desired: list[Flow], installed: list[Flow]) -> None:
    changes = made(desired, installed)
    added = [change.table for change in changes if isinstance(change, Flow)]
    gone = [change.key.table for change in changes if isinstance(change, FlowStrictDelete)]
    assert [isinstance(change, Flow) for change in changes] == [True] * len(added) + [False] * len(gone)
    assert (added, gone) == (sorted(added, reverse=True), sorted(gone))


def test_a_flow_with_other_actions_replaces_the_old_one() -> None:
    where = match({oxm.IN_PORT: 1})
    old = Flow(0, 1, where, (), 1)
    new = Flow(0, 1, where, (Goto(2),), 1)
    other = Flow(1, 1, where, (), 1)
    gone = Flow(2, 1, where, (), 1)
    assert text(made([new, other], [old, gone])).splitlines() == [
        "cookie=0x1, table=1, priority=1,in_port=1 actions=drop",
        "cookie=0x1, priority=1,in_port=1 actions=goto_table:2",
        "delete --strict table=2,priority=1,in_port=1",
    ]
