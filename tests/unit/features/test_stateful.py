"""The flows by which replies are known, and by which they are let go (X7)."""

from __future__ import annotations

from dataclasses import replace

from dove_ryu.features.neighbour import Neighbour
from dove_ryu.features.policy import PolicyCache
from dove_ryu.features.stateful import Stateful
from dove_ryu.openflow.flow import PacketIn
from dove_ryu.openflow.pipeline import LOCATION

from .small import (
    EVERYTHING,
    HERE,
    NETWORK,
    RED_TO_BLUE,
    cached,
    golden,
    lines,
    stale,
    standing,
    world_of,
)

STATEFUL = Stateful()
ZONED = replace(NETWORK, zone=9)
ANSWERED = replace(RED_TO_BLUE, source="blue", destination="red", stateful=True)
"""Of which red may only be the answerer: there is no policy for it to send to blue."""

QUIET = tuple(entity for entity in EVERYTHING if entity is not RED_TO_BLUE)
TO_B = "02:00:00:00:00:0b"
MISSED = PacketIn(0, LOCATION.number, {}, b"")


def test_whatever_may_be_a_reply_only_is_looked_up_and_ends_unless_it_is_one() -> None:
    assert lines(STATEFUL.dswitch_flows(world_of(), HERE)) == golden(
        """
        BASE:0/0, table=COMMIT, priority=100,ip actions=ct(commit,zone=NXM_NX_REG10[0..15])
        BASE:0/0, table=REPLIES, priority=100,ip actions=ct(table=CHECKED,zone=NXM_NX_REG10[0..15])
        BASE:0/0, table=COMMIT, priority=100,ipv6 actions=ct(commit,zone=NXM_NX_REG10[0..15])
        BASE:0/0, table=REPLIES, priority=100,ipv6 actions=ct(table=CHECKED,zone=NXM_NX_REG10[0..15])
        BASE:0/0, table=CHECKED, priority=100,ct_state=+est+rpl-inv+trk actions=goto_table:DELIVER
        BASE:0/0, table=CHECKED, priority=100,ct_state=+rel-inv+trk actions=goto_table:DELIVER
        BASE:0/0, table=OUTPUT, priority=300,reg0=0x100/0x100 actions=goto_table:REPLIES
        BASE:0/0, table=OUTPUT, priority=310,reg0=0x100/0x100,reg5=0xa
            actions=move:NXM_NX_REG6[0..23]->NXM_NX_TUN_ID[0..23],output:NXM_NX_REG5[]
        BASE:0/0, table=OUTPUT, priority=310,reg0=0x100/0x100,reg5=0xb
            actions=move:NXM_NX_REG6[0..23]->NXM_NX_TUN_ID[0..23],output:NXM_NX_REG5[]
        """
    )


def test_a_networks_label_leads_to_the_check() -> None:
    assert standing(STATEFUL, *EVERYTHING, ZONED) == golden(
        """
        NETWORK:10/0, table=TUNNEL_IN, priority=100,tun_id=0xff0009
            actions=set_field:0x5->metadata,load:0x9->NXM_NX_REG10[0..15],goto_table:REPLIES
        """
    )
    assert standing(STATEFUL, *EVERYTHING) == []


def test_a_stateful_policy_has_its_connections_kept() -> None:
    entry = cached(PolicyCache(), world_of(*EVERYTHING, ZONED, replace(RED_TO_BLUE, stateful=True)), MISSED, TO_B)
    assert entry == golden(
        """
        POLICY:15/7, table=POLICY, idle_timeout=60, hard_timeout=300,
            send_flow_rem priority=100,reg1=0xb,reg2=0xc,metadata=0x5
            actions=load:0x9->NXM_NX_REG10[0..15],resubmit(,COMMIT),goto_table:OUTPUT
        """
    )


def test_who_may_only_answer_has_an_entry_of_the_policy_that_it_answers() -> None:
    assert cached(PolicyCache(), world_of(*QUIET, ZONED, ANSWERED), MISSED, TO_B) == golden(
        """
        POLICY:15/7, table=POLICY, idle_timeout=60, hard_timeout=300,
            send_flow_rem priority=100,reg1=0xb,reg2=0xc,metadata=0x5
            actions=load:0xff0009->NXM_NX_REG6[0..23],load:0x9->NXM_NX_REG10[0..15],load:0x1->NXM_NX_REG0[8],goto_table:OUTPUT
        """
    )


def test_a_stateful_policy_that_changes_makes_the_other_direction_stale() -> None:
    world = world_of(*QUIET, ZONED, ANSWERED)
    assert stale(PolicyCache(), world, None, ANSWERED) == golden(
        """
        delete POLICY:15/*,table=POLICY
        delete cached,table=POLICY,reg1=0xb,reg2=0xc,metadata=0x5
        delete cached,table=POLICY,reg1=0xc,reg2=0xb,metadata=0x5
        """
    )
    assert stale(Neighbour(), world, ANSWERED, replace(ANSWERED, stateful=False)) == golden(
        """
        delete cached,table=NEIGHBOUR,reg1=0xc,metadata=0x5
        delete cached,table=NEIGHBOUR,reg1=0xb,metadata=0x5
        """
    )
