"""Tombstones for endpoints that have left, and what they say of those who still send there (F18-F20, figure 3)."""

from dataclasses import replace

import pytest

from dove_ryu.features.migration import Migration
from dove_ryu.model.entities import DSwitch, Endpoint, Entity, Location, Place, Service
from dove_ryu.model.facts import Change
from dove_ryu.model.world import World
from dove_ryu.openflow import oxm
from dove_ryu.openflow.fields import VNI, Cookie, Kind
from dove_ryu.openflow.flow import Flow, PacketIn
from dove_ryu.openflow.pipeline import DELIVER, LOCATION
from tests.pipeline.frames import icmp_echo

from .small import (
    A_HERE,
    B_HERE,
    B_THERE,
    BOTH,
    EVERYTHING,
    HERE,
    NETWORK,
    PORTS,
    THERE,
    A,
    B,
    golden,
    lines,
    tables_of,
    world_of,
)

MIGRATION = Migration()
B_MIGRATING = replace(B_THERE, migrating_to=Place(HERE, "tap-b"))
TO_B = icmp_echo((A.macs[0], A.ips[0]), (B.macs[0], B.ips[0]))
MISS, TOMBSTONE = Cookie(Kind.MISS, DELIVER.number), Cookie(Kind.TOMBSTONE, B.number)


def world_where(*entities: Entity, connected: bool = True) -> World:
    """Everything, and these; the other dSwitch is connected or not."""
    world = world_of(*EVERYTHING, *entities)
    if connected:
        world.ports[THERE] = PORTS
    return world


def tombstones(world: World, endpoint: Endpoint = B) -> list[Flow]:
    """What is here for an endpoint that has left."""
    return list(MIGRATION.depart(world, HERE, tables_of(world), endpoint))


def test_who_has_left_an_l2_network_leaves_tombstones_for_its_macs() -> None:
    assert lines(tombstones(world_where(B_THERE))) == golden(
        """
        TOMBSTONE:0/0, table=TUNNEL_IN, idle_timeout=90, send_flow_rem priority=90,tun_id=0x5
            actions=set_field:0x5->metadata,goto_table:DELIVER
        TOMBSTONE:22/0, table=DELIVER, idle_timeout=90,
            send_flow_rem priority=190,metadata=0x5,dl_dst=02:00:00:00:00:0b
            actions=controller(meter_id=1),set_field:0.0.0.0->tun_dst,set_field:::->tun_ipv6_dst,
            set_field:10.9.0.2->tun_dst,move:OXM_OF_METADATA[0..23]->NXM_NX_TUN_ID[0..23],
            set_field:0->in_port,output:10
        TOMBSTONE:22/0, table=DELIVER, idle_timeout=90,
            send_flow_rem priority=190,metadata=0x5,dl_dst=02:00:00:00:00:bb
            actions=controller(meter_id=1),set_field:0.0.0.0->tun_dst,set_field:::->tun_ipv6_dst,
            set_field:10.9.0.2->tun_dst,move:OXM_OF_METADATA[0..23]->NXM_NX_TUN_ID[0..23],
            set_field:0->in_port,output:10
        """
    )


def test_who_has_left_an_l3_network_leaves_tombstones_for_its_ips() -> None:
    world = world_where(
        B_THERE,
        replace(NETWORK, service=Service.L3),
        DSwitch(THERE, "", ("fd09::2",), BOTH),
        replace(B, ips=("fd00::b",)),
    )
    world.apply(Change.put(DSwitch(HERE, "", ("10.9.0.1", "fd09::1"), BOTH)))
    assert lines(tombstones(world, replace(B, ips=("fd00::b",))))[1:] == golden(
        """
        TOMBSTONE:22/0, table=DELIVER, idle_timeout=90,
            send_flow_rem priority=190,ipv6,metadata=0x5,ipv6_dst=fd00::b
            actions=controller(meter_id=1),set_field:02:00:00:00:00:0b->eth_dst,
            set_field:0.0.0.0->tun_dst,set_field:::->tun_ipv6_dst,
            set_field:fd09::2->tun_ipv6_dst,move:OXM_OF_METADATA[0..23]->NXM_NX_TUN_ID[0..23],
            set_field:0->in_port,output:10
        """
    )


@pytest.mark.parametrize(
    "world",
    [
        world_where(B_HERE),
        world_where(B_MIGRATING),
        world_where(B_THERE, connected=False),
        world_where(B_THERE, DSwitch(THERE, "", ("fd09::2",), BOTH)),
        world_where(Location("n", "c", THERE, "tap-c")),
    ],
    ids=["still here", "about to come", "where nobody is connected", "out of reach", "never elsewhere"],
)
def test_no_tombstone_for_whom_it_would_not_help(world: World) -> None:
    assert tombstones(world) == []


def test_a_network_that_is_gone_has_no_tombstones() -> None:
    world = world_where(B_THERE)
    stones = tombstones(world)
    world.apply(Change.gone(NETWORK))
    tables = tables_of(world)
    assert list(MIGRATION.depart(world, HERE, tables, B)) == []
    assert [MIGRATION.recall(world, HERE, tables, stone) for stone in stones] == [None] * 3


def test_who_comes_finds_its_tombstones_gone() -> None:
    assert lines(MIGRATION.arrive(B)) == ["delete TOMBSTONE:22/*,table=DELIVER"]


# What is recalled.


def recalled(world: World, installed: Flow) -> Flow | None:
    """What should be in the place of a flow today."""
    return MIGRATION.recall(world, HERE, tables_of(world), installed)


def test_tombstones_stay_while_they_lead_where_the_endpoint_is() -> None:
    world = world_where(B_THERE)
    assert [recalled(world, stone) for stone in tombstones(world)] == tombstones(world)


def test_tombstones_go_when_the_endpoint_is_back_or_gone_but_its_networks_may_be_anothers() -> None:
    """What lets the network's packets in ends when nothing comes any more."""
    into, *stones = tombstones(world_where(B_THERE))
    gone = world_where(B_THERE)
    gone.apply(Change.gone(B))
    for world in (world_where(B_HERE), gone, world_where(B_THERE, replace(B, macs=()))):
        assert recalled(world, into) == into
        assert [recalled(world, stone) for stone in stones] == [None, None]


def test_what_is_no_tombstone_is_not_recalled() -> None:
    stone = tombstones(world_where(B_THERE))[1]
    for cookie in (int(Cookie(Kind.LOCATION, B.number)), 5):
        assert recalled(world_where(B_THERE), stone._replace(cookie=cookie)) is None


# Location invalidations.


def invalidation(
    world: World, cookie: Cookie = MISS, source: str = "10.9.0.2", data: bytes = TO_B
) -> tuple[int | None, int, list[str]]:
    """Of a packet that came up from DELIVER: who is stale, how many flows are made, where the packet goes on."""
    key = oxm.TUN_IPV6_SRC if ":" in source else oxm.TUN_SRC
    fields = {VNI.field: 5, oxm.IN_PORT: 10, key: key.parse(source or "0.0.0.0")}
    packet_in = PacketIn(int(cookie), DELIVER.number, fields, data)
    answer = MIGRATION.take(world, HERE, tables_of(world), packet_in)
    assert answer is not None
    return answer.stale, len(answer.flows), [str(packet.actions[-1]) for packet in answer.packets]


def test_a_tombstone_tells_whose_entry_is_stale() -> None:
    """F19: the tunnel's source address says it; the packet itself has gone on."""
    assert invalidation(world_where(B_THERE), TOMBSTONE) == (THERE, 0, [])


def test_a_miss_tells_the_same_and_makes_the_tombstone_that_was_missing() -> None:
    assert invalidation(world_where(B_THERE)) == (THERE, 3, [f"resubmit(,{DELIVER.number})"])


def test_a_dswitch_is_known_by_its_ipv6_address_too() -> None:
    six = DSwitch(THERE, "there", ("10.9.0.2", "fd09::2"), BOTH)
    assert invalidation(world_where(B_THERE, six), TOMBSTONE, "fd09::2")[0] == THERE


@pytest.mark.parametrize("source", ["10.9.0.99", ""], ids=["nobody's", "none"])
def test_an_unknown_sender_is_nobody_but_its_packet_goes_on(source: str) -> None:
    assert invalidation(world_where(B_THERE), source=source) == (None, 3, [f"resubmit(,{DELIVER.number})"])


def test_who_is_nowhere_or_unknown_is_told_all_the_same() -> None:
    nowhere = world_where()
    nowhere.apply(Change.gone(B_HERE))
    stranger = icmp_echo((A.macs[0], A.ips[0]), ("02:00:00:00:00:99", B.ips[0]))
    assert invalidation(nowhere) == invalidation(world_where(), data=stranger) == (THERE, 0, [])


@pytest.mark.parametrize("place", [B_HERE, B_MIGRATING], ids=["here", "about to come"])
def test_who_is_here_but_not_at_its_port_yet_makes_nobody_stale(place: Location) -> None:
    assert invalidation(world_where(place)) == (None, 0, [])


def test_in_an_l3_network_the_ip_address_says_whose_packet_it_is() -> None:
    l3 = world_where(B_THERE, replace(NETWORK, service=Service.L3))
    elsewhere = icmp_echo((A.macs[0], A.ips[0]), ("02:00:00:00:00:99", B.ips[0]))
    assert invalidation(l3, data=elsewhere)[:2] == (THERE, 3)
    assert invalidation(l3, data=bytes(14)) == (THERE, 0, [])


def test_only_what_comes_from_deliver_is_taken() -> None:
    world = world_where(A_HERE)
    assert MIGRATION.take(world, HERE, tables_of(world), PacketIn(0, LOCATION.number, {}, b"")) is None
