"""The distributed virtual router: its own addresses, its hops, and the packets that end at it (F13)."""

from dataclasses import replace

import pytest

from dove_ryu.features.router import Router
from dove_ryu.model.entities import Gateway, Service, VirtualNetwork
from dove_ryu.model.facts import Change
from dove_ryu.openflow import oxm
from dove_ryu.openflow.flow import PacketIn
from dove_ryu.openflow.pipeline import LOCATION, ROUTER
from tests.pipeline.frames import icmp_echo, icmpv6_echo

from .small import EVERYTHING, HERE, NETWORK, VIRTUAL_ROUTER, golden, standing, tables_of, world_of

FEATURE = Router()
ROUTED = replace(NETWORK, gateways=(VIRTUAL_ROUTER,))
GATEWAY, SENDER = "02:00:00:00:ff:01", ("02:00:00:00:00:0a", "10.0.0.10")


def test_a_network_without_a_router_has_no_flows() -> None:
    assert standing(FEATURE, *EVERYTHING) == []


def test_the_router_answers_pings_and_takes_a_hop_off_what_is_sent_to_it() -> None:
    assert standing(FEATURE, *EVERYTHING, ROUTED) == golden(
        """
        NETWORK:10/0, table=ROUTER, priority=300,icmp,metadata=0x5,dl_dst=02:00:00:00:ff:01,
            nw_dst=10.0.0.1,icmp_type=8
            actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:02:00:00:00:ff:01->eth_src,
            move:NXM_OF_IP_SRC[]->NXM_OF_IP_DST[],set_field:10.0.0.1->ip_src,set_field:0->icmp_type,
            set_field:64->nw_ttl,IN_PORT
        NETWORK:10/0, table=ROUTER, priority=290,ip,metadata=0x5,dl_dst=02:00:00:00:ff:01,nw_dst=10.0.0.1 actions=drop
        NETWORK:10/0, table=ROUTER, priority=300,icmp6,metadata=0x5,dl_dst=02:00:00:00:ff:01,
            ipv6_dst=fe80::ff:fe00:ff01,icmp_type=128
            actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:02:00:00:00:ff:01->eth_src,
            move:NXM_NX_IPV6_SRC[]->NXM_NX_IPV6_DST[],set_field:fe80::ff:fe00:ff01->ipv6_src,
            set_field:129->icmpv6_type,set_field:64->nw_ttl,IN_PORT
        NETWORK:10/0, table=ROUTER, priority=290,ipv6,metadata=0x5,dl_dst=02:00:00:00:ff:01,
            ipv6_dst=fe80::ff:fe00:ff01 actions=drop
        MISS:7/0, table=ROUTER, priority=200,ip,metadata=0x5,dl_dst=02:00:00:00:ff:01,nw_ttl=0
            actions=resubmit(,LIMIT),controller(meter_id=3)
        MISS:7/0, table=ROUTER, priority=200,ip,metadata=0x5,dl_dst=02:00:00:00:ff:01,nw_ttl=1
            actions=resubmit(,LIMIT),controller(meter_id=3)
        NETWORK:10/0, table=ROUTER, priority=100,ip,metadata=0x5,dl_dst=02:00:00:00:ff:01
            actions=dec_ttl,set_field:02:00:00:00:ff:01->eth_src,load:0x1->NXM_NX_REG0[0],goto_table:LOCATION
        MISS:7/0, table=ROUTER, priority=200,ipv6,metadata=0x5,dl_dst=02:00:00:00:ff:01,nw_ttl=0
            actions=resubmit(,LIMIT),controller(meter_id=3)
        MISS:7/0, table=ROUTER, priority=200,ipv6,metadata=0x5,dl_dst=02:00:00:00:ff:01,nw_ttl=1
            actions=resubmit(,LIMIT),controller(meter_id=3)
        NETWORK:10/0, table=ROUTER, priority=100,ipv6,metadata=0x5,dl_dst=02:00:00:00:ff:01
            actions=dec_ttl,set_field:02:00:00:00:ff:01->eth_src,load:0x1->NXM_NX_REG0[0],goto_table:LOCATION
        """
    )


def test_in_an_l3_network_all_goes_by_its_ip_address() -> None:
    assert standing(FEATURE, *EVERYTHING, replace(NETWORK, service=Service.L3)) == golden(
        """
        NETWORK:10/0, table=ROUTER, priority=50,ip,metadata=0x5 actions=load:0x1->NXM_NX_REG0[0],goto_table:LOCATION
        NETWORK:10/0, table=ROUTER, priority=50,ipv6,metadata=0x5 actions=load:0x1->NXM_NX_REG0[0],goto_table:LOCATION
        NETWORK:10/0, table=ROUTER, priority=10,metadata=0x5 actions=drop
        """
    )


def test_in_an_l3_network_the_router_answers_whatever_the_ethernet_header_says() -> None:
    first, second = standing(FEATURE, *EVERYTHING, replace(ROUTED, service=Service.L3))[:2]
    assert first.startswith("NETWORK:10/0, table=ROUTER, priority=300,icmp,metadata=0x5,nw_dst=10.0.0.1,icmp_type=8 ")
    assert second == "NETWORK:10/0, table=ROUTER, priority=290,ip,metadata=0x5,nw_dst=10.0.0.1 actions=drop"


def answers(network: VirtualNetwork, frame: bytes) -> list[str]:
    """What the DPS sends for a packet whose TTL is used up: destinations and actions of its packets."""
    world = world_of(network)
    answer = FEATURE.take(world, HERE, tables_of(world), PacketIn(0, ROUTER.number, {oxm.IN_PORT: 1}, frame))
    assert answer is not None
    assert answer.flows == ()
    return [f"{packet.data[:6].hex(':')} {packet.in_port} {packet.actions[0]}" for packet in answer.packets]


FOUR = icmp_echo(SENDER, (GATEWAY, "10.0.0.11"), 1)
SIX = icmpv6_echo((SENDER[0], "fd00::a"), (GATEWAY, "fd00::b"), 1)
OTHER = replace(VIRTUAL_ROUTER, mac="02:00:00:00:ff:02")
TWO_FAMILIES = replace(VIRTUAL_ROUTER, addresses=("10.0.0.1/24", "fd00::1/64"))


@pytest.mark.parametrize(
    ("gateways", "frame", "answered"),
    [
        ((VIRTUAL_ROUTER,), FOUR, True),
        ((TWO_FAMILIES,), FOUR, True),
        ((TWO_FAMILIES,), SIX, True),
        ((OTHER, VIRTUAL_ROUTER), FOUR, True),
        ((VIRTUAL_ROUTER,), SIX, False),
        ((OTHER,), FOUR, False),
        ((), FOUR, False),
        ((VIRTUAL_ROUTER,), FOUR[:34] + b"\x0b" + FOUR[35:], False),
        ((VIRTUAL_ROUTER,), b"", False),
    ],
    ids=[
        "IPv4",
        "of two",
        "IPv6",
        "second gateway",
        "no address of the family",
        "another gateway",
        "no gateway",
        "an error",
        "nothing",
    ],
)
def test_a_packet_whose_hops_are_used_up_is_answered(
    gateways: tuple[Gateway, ...], frame: bytes, answered: bool
) -> None:
    expected = [f"{SENDER[0]} 1 IN_PORT"] if answered else []
    assert answers(replace(NETWORK, gateways=gateways), frame) == expected


def test_other_packets_and_networks_that_are_gone_are_not_its_business() -> None:
    world = world_of(*EVERYTHING)
    assert FEATURE.take(world, HERE, tables_of(world), PacketIn(0, LOCATION.number, {}, FOUR)) is None
    world.apply(Change.gone(NETWORK))
    assert FEATURE.take(world, HERE, tables_of(world), PacketIn(0, ROUTER.number, {}, FOUR)) is None
