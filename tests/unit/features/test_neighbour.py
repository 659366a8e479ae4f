"""ARP and neighbour discovery answered here, as far as policy lets the asker know (F14, F25)."""

from dataclasses import replace

import pytest

from dove_ryu.features.neighbour import Neighbour
from dove_ryu.model.entities import Gateway, PolicyAction, Service
from dove_ryu.model.facts import Change
from dove_ryu.model.world import World
from dove_ryu.openflow.fields import SOURCE_DOMAIN
from dove_ryu.openflow.flow import Flow, PacketIn
from dove_ryu.openflow.match import Match, match
from dove_ryu.openflow.pipeline import LOCATION, NEIGHBOUR

from .small import (
    A_HERE,
    B_HERE,
    DEFAULT,
    EVERYTHING,
    HERE,
    NETWORK,
    RED,
    RED_TO_BLUE,
    VIRTUAL_ROUTER,
    A,
    B,
    cached,
    compiled,
    golden,
    lines,
    stale,
    standing,
    tables_of,
    world_of,
)

FEATURE = Neighbour()
REQUEST = PacketIn(0, NEIGHBOUR.number, {}, b"")


def test_what_is_not_answered_is_asked_and_what_is_announced_ends_here() -> None:
    assert lines(FEATURE.dswitch_flows(world_of(), HERE)) == golden(
        """
        MISS:3/0, table=NEIGHBOUR, priority=10,arp,arp_op=1 actions=resubmit(,LIMIT),controller(meter_id=4)
        MISS:3/0, table=NEIGHBOUR, priority=10,icmp6,icmp_type=135 actions=resubmit(,LIMIT),controller(meter_id=4)
        BASE:0/0, table=NEIGHBOUR, priority=300,arp,arp_op=2 actions=drop
        BASE:0/0, table=NEIGHBOUR, priority=300,icmp6,icmp_type=136 actions=drop
        BASE:0/0, table=NEIGHBOUR, priority=300,icmp6,ipv6_src=::,icmp_type=135 actions=drop
        BASE:0/0, table=NEIGHBOUR_REPLY, priority=100,icmp6,icmp_type=136
            actions=move:NXM_OF_ETH_SRC[]->NXM_NX_ND_TLL[],IN_PORT
        """
    )


def test_the_virtual_router_answers_and_nobody_hears_of_himself() -> None:
    gateway = Gateway("02:00:00:00:ff:01", ("10.0.0.1/24",))
    assert standing(FEATURE, *EVERYTHING, replace(NETWORK, gateways=(gateway,))) == golden(
        """
        NETWORK:10/0, table=NEIGHBOUR, priority=200,arp,metadata=0x5,arp_tpa=10.0.0.1,arp_op=1
            actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:02:00:00:00:ff:01->eth_src,
            set_field:2->arp_op,move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],set_field:02:00:00:00:ff:01->arp_sha,
            move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],set_field:10.0.0.1->arp_spa,IN_PORT
        NETWORK:10/0, table=NEIGHBOUR, priority=200,icmp6,metadata=0x5,icmp_type=135,nd_target=fe80::ff:fe00:ff01
            actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:02:00:00:00:ff:01->eth_src,
            move:NXM_NX_IPV6_SRC[]->NXM_NX_IPV6_DST[],set_field:fe80::ff:fe00:ff01->ipv6_src,
            set_field:136->icmpv6_type,set_field:2->nd_options_type,set_field:1610612736->nd_reserved,
            goto_table:NEIGHBOUR_REPLY
        ENDPOINT:21/0, table=NEIGHBOUR, priority=250,arp,reg3=0x15,arp_tpa=10.0.0.10,arp_op=1 actions=drop
        ENDPOINT:22/0, table=NEIGHBOUR, priority=250,arp,reg3=0x16,arp_tpa=10.0.0.11,arp_op=1 actions=drop
        ENDPOINT:22/0, table=NEIGHBOUR, priority=250,icmp6,reg3=0x16,icmp_type=135,nd_target=fd00::b actions=drop
        """
    )


def test_an_answer_is_for_the_askers_domain_and_as_old_as_its_policy() -> None:
    world = world_of(*EVERYTHING)
    assert cached(FEATURE, world, REQUEST, "10.0.0.11") + cached(FEATURE, world, REQUEST, "fd00::b") == golden(
        """
        NEIGHBOUR:15/7, table=NEIGHBOUR, hard_timeout=300,
            priority=100,arp,reg1=0xb,metadata=0x5,arp_tpa=10.0.0.11,arp_op=1
            actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:02:00:00:00:00:0b->eth_src,
            set_field:2->arp_op,move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],set_field:02:00:00:00:00:0b->arp_sha,
            move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],set_field:10.0.0.11->arp_spa,IN_PORT
        NEIGHBOUR:15/7, table=NEIGHBOUR, hard_timeout=300,
            priority=100,icmp6,reg1=0xb,metadata=0x5,icmp_type=135,nd_target=fd00::b
            actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:02:00:00:00:00:0b->eth_src,
            move:NXM_NX_IPV6_SRC[]->NXM_NX_IPV6_DST[],set_field:fd00::b->ipv6_src,
            set_field:136->icmpv6_type,set_field:2->nd_options_type,set_field:1610612736->nd_reserved,
            goto_table:NEIGHBOUR_REPLY
        """
    )


def test_who_may_not_be_reached_cannot_be_resolved() -> None:
    silent = golden(
        """
        UNKNOWN:0/0, table=NEIGHBOUR, hard_timeout=10,
            priority=100,arp,reg1=0xb,metadata=0x5,arp_tpa=10.0.0.11,arp_op=1 actions=drop
        """
    )
    for lesser in (replace(RED_TO_BLUE, actions=("deny",)), replace(B, macs=())):
        assert cached(FEATURE, world_of(*EVERYTHING, lesser), REQUEST, "10.0.0.11") == silent


@pytest.mark.parametrize(
    ("asked", "gap"),
    [
        ("10.0.0.99", "priority=267,arp,metadata=0x5,arp_tpa=10.0.0.64/26,arp_op=1"),
        ("192.0.2.1", "priority=292,arp,metadata=0x5,arp_tpa=128.0.0.0/1,arp_op=1"),
        ("fd00::c", "priority=263,icmp6,metadata=0x5,icmp_type=135,nd_target=fd00::c/126"),
        ("fe80::c", "priority=261,icmp6,metadata=0x5,icmp_type=135,nd_target=fe80::c"),
    ],
)
def test_nobody_answers_for_all_of_the_gap_around_nobodys_address(asked: str, gap: str) -> None:
    """X3: whoever asks; and never for the virtual router."""
    world = world_of(*EVERYTHING, replace(NETWORK, service=Service.L3, gateways=(VIRTUAL_ROUTER,)))
    (line,) = cached(FEATURE, world, REQUEST, asked)
    assert line.replace(", ", ",") == f"UNKNOWN:0/0,table=NEIGHBOUR,hard_timeout=10,{gap} actions=drop"
    installed = compiled(FEATURE, world, REQUEST, asked)[0]
    assert recalled(world, installed) == [line]
    assert recalled(world_of(*EVERYTHING, replace(A, ips=(asked,))), installed) == []
    assert recalled(world, installed._replace(match=Match())) == []


def test_only_questions_are_answered() -> None:
    assert cached(FEATURE, world_of(*EVERYTHING), PacketIn(0, LOCATION.number, {}, b""), "10.0.0.11") == []


def test_answers_about_a_changed_endpoint_are_stale() -> None:
    moved = replace(B, ips=("10.0.0.12", "192.0.2.0/24"))
    both = golden(
        """
        delete cached,table=NEIGHBOUR,arp,metadata=0x5,arp_tpa=10.0.0.11,arp_op=1
        delete cached,table=NEIGHBOUR,arp,metadata=0x5,arp_tpa=10.0.0.12,arp_op=1
        delete cached,table=NEIGHBOUR,arp,metadata=0x5,arp_tpa=192.0.2.0/24,arp_op=1
        delete cached,table=NEIGHBOUR,icmp6,metadata=0x5,icmp_type=135,nd_target=fd00::b
        """
    )
    world = world_of(*EVERYTHING)
    gaps = "delete UNKNOWN:0/*,table=NEIGHBOUR,metadata=0x5"
    assert stale(FEATURE, world, B, moved) == stale(FEATURE, world, moved, B) == [*both, gaps]
    assert stale(FEATURE, world, B, None) == stale(FEATURE, world, None, B_HERE) == [both[0], both[3]]


def test_a_place_of_nobody_concerns_nobody() -> None:
    assert stale(FEATURE, world_of(NETWORK, RED, A_HERE), None, A_HERE) == []


def test_answers_to_a_domain_whose_policy_changed_are_stale() -> None:
    world = world_of(*EVERYTHING)
    whole = ["delete cached,table=NEIGHBOUR,metadata=0x5"]
    assert stale(FEATURE, world, RED_TO_BLUE, None) == ["delete cached,table=NEIGHBOUR,reg1=0xb,metadata=0x5"]
    assert stale(FEATURE, world, DEFAULT, None) == whole
    assert stale(FEATURE, world, None, PolicyAction("n", "accept", 30, "deny")) == whole


def test_a_domain_by_itself_makes_no_answer_stale() -> None:
    assert stale(FEATURE, world_of(*EVERYTHING), RED, None) == []
    assert stale(FEATURE, world_of(*EVERYTHING), A, A) == [
        "delete cached,table=NEIGHBOUR,arp,metadata=0x5,arp_tpa=10.0.0.10,arp_op=1"
    ]


def recalled(world: World, installed: Flow) -> list[str]:
    """What should be in the place of a cached flow today."""
    flow = FEATURE.recall(world, HERE, tables_of(world), installed)
    return [] if flow is None else lines([flow])


@pytest.mark.parametrize("asked", ["10.0.0.11", "fd00::b"])
def test_an_answer_is_recalled_as_it_would_be_given_today(asked: str) -> None:
    world = world_of(*EVERYTHING)
    installed = compiled(FEATURE, world, REQUEST, asked)[0]
    assert recalled(world, installed) == cached(FEATURE, world, REQUEST, asked)
    for changed in (replace(RED_TO_BLUE, actions=("deny",)), replace(B, macs=("02:00:00:00:00:77",))):
        today = world_of(*EVERYTHING, changed)
        assert recalled(today, installed) == cached(FEATURE, today, REQUEST, asked) != recalled(world, installed)


def test_no_answer_is_recalled_for_a_domain_that_is_gone_or_to_what_is_no_question() -> None:
    world = world_of(*EVERYTHING)
    installed = compiled(FEATURE, world, REQUEST, "10.0.0.11")[0]
    assert recalled(world, installed._replace(table=LOCATION.number)) == []
    assert recalled(world, installed._replace(match=match({SOURCE_DOMAIN: RED.number}))) == []
    for gone in (B, RED):
        world.apply(Change.gone(gone))
        assert recalled(world, installed) == []
