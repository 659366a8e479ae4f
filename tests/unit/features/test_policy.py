"""The policy half of the cache: verdicts, their time-out and tracking number, what makes them stale (F1, F21, F32)."""

from dataclasses import replace

import pytest

from dove_ryu.features.policy import PolicyCache
from dove_ryu.model.appliances import Appliance, Instance
from dove_ryu.model.entities import Entity, Policy, PolicyAction, Segment
from dove_ryu.model.facts import Change
from dove_ryu.model.world import World
from dove_ryu.openflow.flow import Flow, PacketIn
from dove_ryu.openflow.pipeline import LOCATION

from .small import (
    BLUE,
    DEFAULT,
    EVERYTHING,
    HERE,
    RED,
    RED_TO_BLUE,
    A,
    cached,
    compiled,
    golden,
    lines,
    stale,
    tables_of,
    world_of,
)

POLICY_CACHE = PolicyCache()
REQUEST = PacketIn(0, LOCATION.number, {}, b"")
TO_B = "02:00:00:00:00:0b"


def verdict(*entities: Entity, destination: str = TO_B) -> list[str]:
    """What is cached for a packet from domain red in a world with *entities* besides."""
    return cached(POLICY_CACHE, world_of(*EVERYTHING, *entities), REQUEST, destination)


def test_an_allowed_pair_goes_on_for_as_long_as_the_policy_says() -> None:
    assert verdict() == golden(
        """
        POLICY:15/7, table=POLICY, idle_timeout=60, hard_timeout=300,
            send_flow_rem priority=100,reg1=0xb,reg2=0xc,metadata=0x5
            actions=goto_table:OUTPUT
        """
    )


def test_a_policy_without_time_out_stays_until_it_is_invalidated() -> None:
    assert verdict(replace(RED_TO_BLUE, ttl=0)) == golden(
        """
        POLICY:15/7, table=POLICY, idle_timeout=60,
            send_flow_rem priority=100,reg1=0xb,reg2=0xc,metadata=0x5 actions=goto_table:OUTPUT
        """
    )


def test_the_default_policy_governs_a_pair_that_has_none() -> None:
    assert verdict(destination="02:00:00:00:00:0a") == golden(
        """
        POLICY:13/2, table=POLICY, idle_timeout=60, hard_timeout=60,
            send_flow_rem priority=100,reg1=0xb,reg2=0xb,metadata=0x5 actions=drop
        """
    )


def test_a_policy_with_an_appliance_leads_to_the_chain() -> None:
    firewall = PolicyAction("n", "check", 30, "firewall", "fw1")
    appliance = Appliance("fw1", "firewall", (Instance("one", 3, "in", "out"),))
    segment = Segment("n", "red>blue", 1, 0x800001, "fw1", 7)
    assert verdict(firewall, appliance, segment, replace(RED_TO_BLUE, actions=("check",))) == golden(
        """
        POLICY:15/7, table=POLICY, idle_timeout=60, hard_timeout=300,
            send_flow_rem priority=100,reg1=0xb,reg2=0xc,metadata=0x5
            actions=load:0x800001->NXM_NX_REG6[0..23],goto_table:CHAIN
        """
    )


def test_without_any_policy_nothing_passes() -> None:
    world = world_of(*(entity for entity in EVERYTHING if not isinstance(entity, Policy)))
    assert cached(POLICY_CACHE, world, REQUEST, TO_B) == golden(
        """
        POLICY:0/0, table=POLICY, idle_timeout=60,
            send_flow_rem priority=100,reg1=0xb,reg2=0xc,metadata=0x5 actions=drop
        """
    )


def test_no_pair_no_verdict() -> None:
    assert verdict(destination="02:00:00:00:00:99") == []
    world = world_of(*EVERYTHING)
    world.apply(Change.gone(BLUE))
    assert cached(POLICY_CACHE, world, REQUEST, TO_B) == []


@pytest.mark.parametrize(
    ("before", "after", "deleted"),
    [
        (RED_TO_BLUE, replace(RED_TO_BLUE, tracking=8), "delete POLICY:15/*,table=POLICY"),
        (RED_TO_BLUE, None, "delete POLICY:15/*,table=POLICY"),
        (replace(RED_TO_BLUE, number=16), RED_TO_BLUE, "delete POLICY:15/*,table=POLICY"),
        (DEFAULT, replace(DEFAULT, tracking=3), "delete POLICY:13/*,table=POLICY"),
    ],
)
def test_all_entries_of_a_policy_that_changed_are_stale(before: Entity, after: Entity | None, deleted: str) -> None:
    assert deleted in stale(POLICY_CACHE, world_of(*EVERYTHING), before, after)


def test_a_pairs_first_policy_takes_over_from_the_default() -> None:
    assert stale(POLICY_CACHE, world_of(*EVERYTHING), None, RED_TO_BLUE) == golden(
        """
        delete POLICY:15/*,table=POLICY
        delete cached,table=POLICY,reg1=0xb,reg2=0xc,metadata=0x5
        """
    )


def test_a_networks_first_default_takes_over_from_none() -> None:
    assert stale(POLICY_CACHE, world_of(*EVERYTHING), None, DEFAULT) == golden(
        """
        delete POLICY:13/*,table=POLICY
        delete POLICY:0/*,table=POLICY
        """
    )


def test_a_pair_that_cannot_be_has_no_entries() -> None:
    nobody = replace(RED_TO_BLUE, destination="grey")
    assert stale(POLICY_CACHE, world_of(*EVERYTHING), None, nobody) == ["delete POLICY:15/*,table=POLICY"]


def test_an_action_makes_the_policies_stale_that_name_it() -> None:
    accept = PolicyAction("n", "accept", 30, "deny")
    assert stale(POLICY_CACHE, world_of(*EVERYTHING), None, accept) == ["delete POLICY:15/*,table=POLICY"]


def test_other_facts_are_of_no_concern() -> None:
    assert stale(POLICY_CACHE, world_of(*EVERYTHING), A, None) == []
    assert stale(POLICY_CACHE, world_of(*EVERYTHING), RED, None) == []
    assert lines(POLICY_CACHE.dswitch_flows(world_of(), 1)) == []


def recalled(world: World, installed: Flow) -> list[str]:
    """What should be in the place of a cached flow today."""
    flow = POLICY_CACHE.recall(world, HERE, tables_of(world), installed)
    return [] if flow is None else lines([flow])


def test_an_entry_is_recalled_as_it_would_be_cached_today() -> None:
    """X1: of a dSwitch that was away, whatever the policy is by now."""
    world = world_of(*EVERYTHING)
    installed = compiled(POLICY_CACHE, world, REQUEST, TO_B)[0]
    assert recalled(world, installed) == verdict()
    for changed in (replace(RED_TO_BLUE, tracking=8), replace(RED_TO_BLUE, actions=("deny",), ttl=7)):
        assert recalled(world_of(*EVERYTHING, changed), installed) == verdict(changed)


def test_no_entry_is_recalled_of_a_pair_that_is_not_there_or_of_another_table() -> None:
    world = world_of(*EVERYTHING)
    installed = compiled(POLICY_CACHE, world, REQUEST, TO_B)[0]
    assert recalled(world, installed._replace(table=LOCATION.number)) == []
    for domain in (RED, BLUE):
        without = world_of(*EVERYTHING)
        without.apply(Change.gone(domain))
        assert recalled(without, installed) == []
