"""What a policy does to packets with no appliance for it: how it is said, what cannot be meant, what it comes to (X8)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dove_ryu.model.blueprint import BlueprintError, parse
from dove_ryu.model.entities import Policy, PolicyAction
from dove_ryu.model.facts import Change
from dove_ryu.model.meter_numbers import LEAST_GROWTH, MeterNumbers
from dove_ryu.model.qos import Mark, Per, Rate
from dove_ryu.model.tables import NetworkTables
from dove_ryu.model.treatment import NOTHING, Treatment, rated, treatment

from .worlds import world_of

ACTIONS = [
    {"name": "urgent", "kind": "mark", "config": {"dscp": 46}},
    {"name": "slow", "kind": "rate", "config": {"kbps": 1000, "burst": 500, "per": "endpoint"}},
    {"name": "fw", "kind": "firewall", "appliance": "X", "config": "any text"},
]
SLOW = Rate(1000, 500, Per.ENDPOINT)


def read(policy: dict[str, Any], *actions: dict[str, Any]) -> Any:
    """The blueprint with one policy."""
    said = {"from": "a", "to": "b", "actions": ["accept"], **policy}
    return parse({"network": "n", "domains": ["a", "b"], "actions": [*ACTIONS, *actions], "policies": [said]})


def problems(policy: dict[str, Any], *actions: dict[str, Any]) -> list[str]:
    with pytest.raises(BlueprintError) as refused:
        read(policy, *actions)
    return list(map(str, refused.value.problems))


def tables(policy: Policy) -> NetworkTables:
    known = (PolicyAction("n", "urgent", 1, "mark", None, Mark(46)), PolicyAction("n", "slow", 2, "rate", None, SLOW))
    return world_of([Change.put(entity) for entity in (*known, policy)]).tables["n"]


def test_a_configuration_is_read_as_its_kind_has_it() -> None:
    assert [plan.config for plan in read({}).actions] == [Mark(46), SLOW, "any text"]
    lavish = {"name": "lavish", "kind": "rate", "config": {"kbps": 10_000}}
    thrifty = {"name": "thrifty", "kind": "rate", "config": {"kbps": 10, "burst": 1, "per": "policy"}}
    assert [plan.config for plan in read({}, lavish, thrifty).actions[3:]] == [Rate(10_000, 2000), Rate(10, 1)]


def test_the_fields_of_a_policy_say_the_same() -> None:
    (plan,) = read({"dscp": 0, "rate": {"kbps": 7}}).policies
    assert (plan.dscp, plan.rate) == (0, Rate(7, 120))
    both = read({"actions": ["accept", "fw"], "dscp": 9, "symmetric": True}).policies
    assert [(plan.name, plan.dscp) for plan in both] == [("a>b", 9), ("b>a", 9)]


def test_a_rate_for_people() -> None:
    assert str(SLOW) == "1000 kbit/s (bursts of 500 kbit) per endpoint"


@pytest.mark.parametrize(
    ("kind", "config", "expected"),
    [
        ("mark", {"dscp": 64}, "actions[3].config.dscp: must be a whole number from 0 to 63, not 64"),
        ("mark", None, "actions[3].config: missing; write a mapping of fields"),
        ("mark", {}, "actions[3].config.dscp: missing; write a whole number from 0 to 63"),
        ("rate", "fast", "actions[3].config: must be a mapping of fields, not 'fast'"),
        ("rate", {"burst": 5}, "actions[3].config.kbps: missing; write a whole number from 1 to 1000000000"),
        ("rate", {"kbps": 5, "per": "flow"}, "actions[3].config.per: must be policy or endpoint, not 'flow'"),
        ("log", "all", "actions[3].config: an action of kind 'log' has no configuration; leave it out"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused_with_its_place(kind: str, config: object, expected: str) -> None:
    assert problems({}, {"name": "x", "kind": kind, "config": config}) == [expected]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({"actions": ["urgent", "fw", "urgent"]}, ["policies[0].actions[2]: a second 'mark'"]),
        ({"actions": ["urgent"], "dscp": 1}, ["policies[0].actions[0]: a second 'mark'"]),
        ({"actions": ["slow"], "rate": {"kbps": 1}}, ["policies[0].actions[0]: a second 'rate'"]),
        (
            {"stateful": True, "symmetric": True},
            ["policies[0].stateful: a symmetric policy lets all packets back already; leave one of them out"],
        ),
        (
            {"actions": ["deny"], "stateful": True},
            ["policies[0].stateful: of a policy that denies"],
        ),
        ({"actions": ["log", "deny", "fw"]}, ["policies[0].actions[2]: of a policy that denies"]),
        ({"actions": ["deny", "urgent"]}, ["policies[0].actions[1]: of a policy that denies"]),
        (
            {"actions": ["deny"], "dscp": 0, "rate": {"kbps": 1}},
            ["policies[0].dscp: of a policy that denies", "policies[0].rate: of a policy that denies"],
        ),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(policy: dict[str, Any], expected: list[str]) -> None:
    found = problems(policy)
    assert len(found) == len(expected)
    assert all(said.startswith(start) for said, start in zip(found, expected, strict=True)), found


def test_what_a_policy_comes_to() -> None:
    policy = Policy("n", "a", "b", 3, ("log", "urgent", "fw", "slow"))
    assert treatment(tables(policy), policy) == Treatment(46, SLOW, log=True)
    own = replace(policy, actions=("accept",), dscp=5, rate=Rate(1, 2))
    assert treatment(tables(own), own) == Treatment(5, Rate(1, 2))
    assert treatment(tables(own), None) == NOTHING


def test_the_policies_that_limit() -> None:
    by_action, by_field = Policy("n", "a", "b", 3, ("slow",)), Policy("n", "b", "a", 4, ("accept",), rate=Rate(1, 2))
    assert list(rated(tables(by_action))) == [(by_action, SLOW)]
    assert list(rated(tables(by_field))) == [(by_field, Rate(1, 2))]
    assert list(rated(tables(replace(by_field, rate=None)))) == []


# The numbers of meters.


def test_who_has_a_number_keeps_it_and_nobody_else_has_it() -> None:
    numbers = MeterNumbers(4)
    numbers.adopt((9, 1, 0), 1)
    assert [numbers.of((policy, 1, 0)) for policy in (1, 2, 9, 3, 1)] == [0, 2, 1, 3, 0]
    assert (numbers.of((4, 1, 0)), numbers.refused) == (None, 1)
    numbers.retain({1, 3})
    assert [numbers.of((policy, 1, 0)) for policy in (9, 3, 4, 5)] == [1, 3, 0, 2]


def test_numbers_are_collected_when_many_are_out() -> None:
    numbers = MeterNumbers()
    for policy in range(LEAST_GROWTH):
        numbers.of((policy, 1, 0))
    assert not numbers.overgrown
    numbers.of((LEAST_GROWTH, 1, 0))
    beyond = numbers.overgrown
    numbers.retain(range(LEAST_GROWTH))
    assert (beyond, numbers.overgrown) == (True, False)
