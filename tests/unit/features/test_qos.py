"""Marks and meters: the flows that POLICY looks into (X8)."""

from __future__ import annotations

from dataclasses import replace

from dove_ryu.features.policy import PolicyCache
from dove_ryu.features.qos import QualityOfService
from dove_ryu.model.entities import PolicyAction
from dove_ryu.model.meter_numbers import MeterNumbers
from dove_ryu.model.qos import Mark, Per, Rate
from dove_ryu.openflow.action import Meter, Metered, Unit
from dove_ryu.openflow.flow import PacketIn
from dove_ryu.openflow.meters import FIRST_RATE_METER
from dove_ryu.openflow.pipeline import LOCATION, NEIGHBOUR, POLICY

from .small import (
    A_HERE,
    BLUE,
    EVERYTHING,
    HERE,
    NETWORK,
    RED,
    RED_TO_BLUE,
    A,
    cached,
    golden,
    lines,
    standing,
    tables_of,
    world_of,
)

QOS = QualityOfService()
LIMITED = replace(RED_TO_BLUE, rate=Rate(1000, 200))
EACH = replace(RED_TO_BLUE, rate=Rate(1000, 200, Per.ENDPOINT))
TO_B = "02:00:00:00:00:0b"


def test_what_is_to_be_marked_is_marked_in_either_version_of_ip() -> None:
    assert lines(QOS.dswitch_flows(world_of(), HERE)) == golden(
        """
        BASE:0/0, table=MARK, priority=100,ip actions=move:NXM_NX_REG0[2..7]->NXM_OF_IP_TOS[2..7]
        BASE:0/0, table=MARK, priority=100,ipv6 actions=move:NXM_NX_REG0[2..7]->NXM_OF_IP_TOS[2..7]
        """
    )


def test_a_policy_has_one_meter_or_one_for_each_sender_here() -> None:
    assert standing(QOS, *EVERYTHING, LIMITED) == golden(
        "NETWORK:15/7, table=RATE, priority=100,reg1=0xb,reg2=0xc actions=meter:65536"
    )
    assert standing(QOS, *EVERYTHING, EACH) == golden(
        "NETWORK:15/7, table=RATE, priority=100,reg1=0xb,reg2=0xc,reg3=0x15 actions=meter:65536"
    )
    assert standing(QOS, *EVERYTHING) == []


def test_a_meter_comes_with_its_flow() -> None:
    world = world_of(*EVERYTHING, LIMITED)
    (flow,) = QOS.network_flows(world, HERE, tables_of(world))
    (metered,) = flow.actions
    assert isinstance(metered, Metered)
    assert metered.limit == Meter(FIRST_RATE_METER, 1000, 200, Unit.KILOBITS)
    assert metered == Metered(FIRST_RATE_METER), "a switch that tells the flow does not say it"


def test_where_meters_or_domains_are_lacking_nothing_is_limited() -> None:
    world = world_of(*EVERYTHING, LIMITED)
    world.rate_meters[HERE] = MeterNumbers(0)
    assert list(QOS.network_flows(world, HERE, tables_of(world))) == []
    world = world_of(*EVERYTHING, LIMITED)
    world.unmetered.add(HERE)
    assert list(QOS.network_flows(world, HERE, tables_of(world))) == []
    assert standing(QOS, NETWORK, RED, A, A_HERE, LIMITED) == []
    assert standing(QOS, NETWORK, BLUE, A, A_HERE, LIMITED) == []


POLICY_CACHE = PolicyCache()


def test_policy_has_packets_limited_then_marked() -> None:
    both = replace(LIMITED, dscp=46)
    assert cached(POLICY_CACHE, world_of(*EVERYTHING, both), PacketIn(0, LOCATION.number, {}, b""), TO_B) == golden(
        """
        POLICY:15/7, table=POLICY, idle_timeout=60, hard_timeout=300,
            send_flow_rem priority=100,reg1=0xb,reg2=0xc,metadata=0x5
            actions=resubmit(,RATE),load:0x2e->NXM_NX_REG0[2..7],resubmit(,MARK),goto_table:OUTPUT
        """
    )


def test_who_is_denied_is_neither_limited_nor_marked() -> None:
    denied = replace(LIMITED, dscp=46, actions=("deny",))
    (entry,) = cached(POLICY_CACHE, world_of(*EVERYTHING, denied), PacketIn(0, LOCATION.number, {}, b""), TO_B)
    assert entry.endswith("actions=drop")


def test_the_entry_of_a_logged_policy_is_sent_when_policy_asks_for_it() -> None:
    """Sent with every answer it would count from 0 again."""
    world = world_of(*EVERYTHING, replace(RED_TO_BLUE, actions=("log",)))
    sent = {
        table: len(cached(POLICY_CACHE, world, PacketIn(0, table.number, {}, b""), TO_B))
        for table in (NEIGHBOUR, LOCATION, POLICY)
    }
    assert sent == {NEIGHBOUR: 0, LOCATION: 0, POLICY: 1}


def test_a_mark_may_be_shared_by_its_name() -> None:
    urgent = PolicyAction("n", "urgent", 30, "mark", None, Mark(0))
    world = world_of(*EVERYTHING, urgent, replace(RED_TO_BLUE, actions=("urgent",)))
    (entry,) = cached(POLICY_CACHE, world, PacketIn(0, LOCATION.number, {}, b""), TO_B)
    assert "actions=load:0x0->NXM_NX_REG0[2..7],resubmit(,MARK),goto_table:OUTPUT" in entry
