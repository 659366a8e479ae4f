"""Where a destination is, the way there, its delivery, and what makes that stale (F9, F10, F12, F13)."""

from dataclasses import replace

import pytest

from dove_ryu.features.unicast import Unicast
from dove_ryu.model.entities import DSwitch, Encapsulation, Entity, Location, Place, Service
from dove_ryu.model.facts import Change
from dove_ryu.model.world import World
from dove_ryu.openflow.fields import BY_ADDRESS
from dove_ryu.openflow.flow import Flow, PacketIn
from dove_ryu.openflow.match import Match
from dove_ryu.openflow.pipeline import LOCATION, NEIGHBOUR, POLICY

from .small import (
    A_HERE,
    B_HERE,
    B_THERE,
    BLUE,
    BOTH,
    DEFAULT,
    EVERYTHING,
    HERE,
    NETWORK,
    PORTS,
    RED,
    RED_TO_BLUE,
    THERE,
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

UNICAST = Unicast()
BY_MAC = PacketIn(0, LOCATION.number, {}, b"")
BY_IP = PacketIn(0, LOCATION.number, {BY_ADDRESS.field: 1}, b"")
QUESTION = PacketIn(0, NEIGHBOUR.number, {}, b"")
PAIR = PacketIn(0, POLICY.number, {}, b"")
MAC, SECOND_MAC = B.macs


def located(*entities: Entity, packet: PacketIn = BY_MAC, destination: str = MAC, here: Location = B_HERE) -> list[str]:
    """What is cached of b's location, for a packet from domain red."""
    return cached(UNICAST, world_of(*EVERYTHING, here, *entities), packet, destination)


def way(line: list[str]) -> str:
    """How a location entry leads to its destination."""
    return line[0].partition("set_field:0x16->reg4,")[2].partition(",goto_table")[0]


def test_packets_leave_through_ports_and_tunnels() -> None:
    assert lines(UNICAST.dswitch_flows(world_of(ports={"dove-geneve": 10, "tap-a": 1}), HERE)) == golden(
        """
        BASE:0/0, table=OUTPUT, priority=1 actions=output:NXM_NX_REG5[]
        BASE:0/0, table=OUTPUT, priority=100,reg5=0xa
            actions=move:OXM_OF_METADATA[0..23]->NXM_NX_TUN_ID[0..23],output:NXM_NX_REG5[]
        """
    )


def test_an_l2_network_delivers_by_mac() -> None:
    assert standing(UNICAST, *EVERYTHING) == golden(
        """
        ENDPOINT:21/0, table=DELIVER, priority=200,metadata=0x5,dl_dst=02:00:00:00:00:0a actions=output:1
        ENDPOINT:22/0, table=DELIVER, priority=200,metadata=0x5,dl_dst=02:00:00:00:00:0b actions=output:2
        ENDPOINT:22/0, table=DELIVER, priority=200,metadata=0x5,dl_dst=02:00:00:00:00:bb actions=output:2
        """
    )


def test_an_l3_network_delivers_by_ip_the_longest_prefix_first() -> None:
    world = (replace(A, ips=("192.0.2.0/24", "0.0.0.0/0", "2001:db8::/32")), replace(NETWORK, service=Service.L3))
    assert standing(UNICAST, *EVERYTHING, *world) == golden(
        """
        ENDPOINT:21/0, table=DELIVER, priority=44,ip,metadata=0x5,nw_dst=192.0.2.0/24
            actions=set_field:02:00:00:00:00:0a->eth_dst,output:1
        ENDPOINT:21/0, table=DELIVER, priority=20,ip,metadata=0x5
            actions=set_field:02:00:00:00:00:0a->eth_dst,output:1
        ENDPOINT:21/0, table=DELIVER, priority=52,ipv6,metadata=0x5,ipv6_dst=2001:db8::/32
            actions=set_field:02:00:00:00:00:0a->eth_dst,output:1
        ENDPOINT:22/0, table=DELIVER, priority=200,ip,metadata=0x5,nw_dst=10.0.0.11
            actions=set_field:02:00:00:00:00:0b->eth_dst,output:2
        ENDPOINT:22/0, table=DELIVER, priority=200,ipv6,metadata=0x5,ipv6_dst=fd00::b
            actions=set_field:02:00:00:00:00:0b->eth_dst,output:2
        """
    )


def test_who_has_no_mac_yet_gets_nothing_in_an_l3_network() -> None:
    l3 = replace(NETWORK, service=Service.L3)
    assert standing(UNICAST, *EVERYTHING, l3, replace(A, macs=()), replace(B, macs=())) == []


def test_a_neighbour_at_the_same_dswitch_is_reached_through_its_port() -> None:
    assert located() == golden(
        """
        LOCATION:22/4, table=LOCATION, idle_timeout=60, hard_timeout=300,
            send_flow_rem priority=100,reg0=0/0x1,metadata=0x5,dl_dst=02:00:00:00:00:0b
            actions=set_field:0xc->reg2,set_field:0x16->reg4,set_field:0x2->reg5,goto_table:POLICY
        """
    )


def test_a_packet_that_is_routed_is_given_its_destinations_mac() -> None:
    assert located(packet=BY_IP, destination="10.0.0.11") == golden(
        """
        LOCATION:22/4, table=LOCATION, idle_timeout=60, hard_timeout=300,
            send_flow_rem priority=100,ip,reg0=0x1/0x1,metadata=0x5,nw_dst=10.0.0.11
            actions=set_field:0xc->reg2,set_field:0x16->reg4,set_field:0x2->reg5,
            set_field:02:00:00:00:00:0b->eth_dst,goto_table:POLICY
        """
    )


BOTH_FAMILIES = ("10.9.0.2", "fd09::2")
SIX = ("fd09::1",)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ((("10.9.0.1",), BOTH), (("10.9.0.2",), BOTH), "set_field:0xa->reg5,set_field:10.9.0.2->tun_dst"),
        ((("10.9.0.1",), BOTH), (("10.9.0.2",), BOTH[1:]), "set_field:0xb->reg5,set_field:10.9.0.2->tun_dst"),
        ((SIX, BOTH), (BOTH_FAMILIES, BOTH), "set_field:0xa->reg5,set_field:fd09::2->tun_ipv6_dst"),
        ((("10.9.0.1", *SIX), BOTH), (BOTH_FAMILIES, BOTH), "set_field:0xa->reg5,set_field:10.9.0.2->tun_dst"),
    ],
)
def test_another_dswitch_is_reached_by_the_best_common_tunnel(
    ours: tuple[tuple[str, ...], tuple[Encapsulation, ...]],
    theirs: tuple[tuple[str, ...], tuple[Encapsulation, ...]],
    expected: str,
) -> None:
    assert way(located(DSwitch(HERE, "here", *ours), DSwitch(THERE, "there", *theirs), here=B_THERE)) == expected


NOWHERE = golden(
    """
    UNKNOWN:0/0, table=LOCATION, hard_timeout=10,
        priority=100,reg0=0/0x1,metadata=0x5,dl_dst=02:00:00:00:00:0b actions=drop
    """
)


@pytest.mark.parametrize(
    "entity",
    [
        DSwitch(THERE, "there", ("fd09::2",), BOTH),
        DSwitch(THERE, "there", (), BOTH),
        DSwitch(THERE, "there", ("10.9.0.2",), ()),
        Location("n", "b", 3, "tap-b"),
    ],
    ids=["other family", "no address", "no protocol", "unknown dSwitch"],
)
def test_what_cannot_be_reached_is_remembered_for_a_moment(entity: Entity) -> None:
    assert located(entity, here=B_THERE) == NOWHERE


def test_a_port_that_is_not_there_leads_nowhere() -> None:
    for missing, place in (("tap-b", B_HERE), ("dove-geneve", B_THERE)):
        ports = {name: number for name, number in PORTS.items() if name != missing}
        assert cached(UNICAST, world_of(*EVERYTHING, place, ports=ports), BY_MAC, MAC) == NOWHERE


def test_who_is_at_no_port_or_in_no_domain_is_nowhere() -> None:
    for gone in (B_HERE, BLUE):
        world = world_of(*EVERYTHING)
        world.apply(Change.gone(gone))
        assert cached(UNICAST, world, BY_MAC, MAC) == NOWHERE


def test_a_dswitch_that_nobody_registered_reaches_no_other() -> None:
    world = world_of(*EVERYTHING, B_THERE)
    world.apply(Change.gone(DSwitch(HERE)))
    assert cached(UNICAST, world, BY_MAC, MAC) == NOWHERE


def test_nobodys_address_is_remembered_where_it_was_looked_up() -> None:
    unknown = "02:00:00:00:00:99"
    assert located(destination=unknown)
    assert located(packet=QUESTION, destination="10.0.0.99") == located(packet=PAIR, destination=unknown) == []


@pytest.mark.parametrize(
    ("packet", "destination", "gap"),
    [
        (
            BY_MAC,
            "02:00:00:00:00:99",
            "priority=106,reg0=0/0x1,metadata=0x5,dl_dst=02:00:00:00:00:80/ff:ff:ff:ff:ff:e0",
        ),
        (
            BY_MAC,
            "02:00:00:00:00:0d",
            "priority=103,reg0=0/0x1,metadata=0x5,dl_dst=02:00:00:00:00:0c/ff:ff:ff:ff:ff:fc",
        ),
        (
            BY_MAC,
            "f2:00:00:00:00:0a",
            "priority=148,reg0=0/0x1,metadata=0x5,dl_dst=80:00:00:00:00:00/80:00:00:00:00:00",
        ),
        (BY_IP, "10.0.0.9", "priority=102,ip,reg0=0x1/0x1,metadata=0x5,nw_dst=10.0.0.8/31"),
        (BY_IP, "192.0.2.1", "priority=132,ip,reg0=0x1/0x1,metadata=0x5,nw_dst=128.0.0.0/1"),
        (BY_IP, "fd00::c", "priority=103,ipv6,reg0=0x1/0x1,metadata=0x5,ipv6_dst=fd00::c/126"),
        (BY_IP, "fe80::c", "priority=101,ipv6,reg0=0x1/0x1,metadata=0x5,ipv6_dst=fe80::c"),
    ],
)
def test_all_of_the_gap_around_nobodys_address_is_remembered(packet: PacketIn, destination: str, gap: str) -> None:
    """X3: wider gaps before narrower ones, and all before what is known."""
    (line,) = located(packet=packet, destination=destination)
    assert line == f"UNKNOWN:0/0, table=LOCATION, hard_timeout=10, {gap} actions=drop"


def test_a_gap_is_recalled_while_it_is_one() -> None:
    world = world_of(*EVERYTHING)
    installed = compiled(UNICAST, world, BY_MAC, "02:00:00:00:00:99")[0]
    assert recalled(world, installed) == lines([installed])
    farther = world_of(*EVERYTHING, replace(A, macs=("02:00:00:00:00:f0",)))
    assert recalled(farther, installed) == lines([installed])
    for there in ("02:00:00:00:00:9f", "02:00:00:00:00:80"):
        assert recalled(world_of(*EVERYTHING, replace(A, macs=(there,))), installed) == []
    assert recalled(world, installed._replace(match=Match())) == []


def test_who_comes_ends_the_gaps() -> None:
    """Somebody who only changes, or goes, has no address that nobody had."""
    world, gaps = world_of(*EVERYTHING), "delete UNKNOWN:0/*,table=LOCATION,metadata=0x5"
    assert gaps in stale(UNICAST, world, None, B)
    assert gaps in stale(UNICAST, world, replace(B, ips=()), B)
    assert gaps not in stale(UNICAST, world, B, replace(B, ips=(), domain="red"))
    assert gaps not in stale(UNICAST, world, B, None)


def test_who_has_no_mac_is_nowhere() -> None:
    silent = replace(B, macs=())
    assert located(silent, packet=BY_IP, destination="10.0.0.11") == golden(
        """
        UNKNOWN:0/0, table=LOCATION, hard_timeout=10,
            priority=100,ip,reg0=0x1/0x1,metadata=0x5,nw_dst=10.0.0.11 actions=drop
        """
    )
    assert located(silent, packet=QUESTION, destination="10.0.0.11") == located(
        silent, packet=BY_IP, destination="10.0.0.11"
    )


def test_a_question_brings_the_location_that_the_next_packet_looks_up() -> None:
    l3 = replace(NETWORK, service=Service.L3)
    assert located(packet=QUESTION, destination="fd00::b") == located()
    assert located(l3, packet=QUESTION, destination="10.0.0.11") == located(packet=BY_IP, destination="10.0.0.11")


def test_a_question_brings_no_location_of_a_mac_that_another_has() -> None:
    """Two claim it for a moment; b has the IP address that is asked for, a the MAC address."""
    assert located(replace(A, macs=(MAC,)), packet=QUESTION, destination="10.0.0.11") == []


def test_a_pair_that_missed_renews_the_location_that_it_came_by() -> None:
    for address in B.macs:
        assert located(packet=PAIR, destination=address) == located(destination=address)


def test_entries_about_an_endpoint_that_changed_or_moved_are_stale() -> None:
    world = world_of(*EVERYTHING)
    about_b = golden(
        """
        delete LOCATION:22/*,table=LOCATION
        delete cached,table=LOCATION,metadata=0x5,dl_dst=02:00:00:00:00:0b
        delete cached,table=LOCATION,metadata=0x5,dl_dst=02:00:00:00:00:bb
        delete cached,table=LOCATION,ip,metadata=0x5,nw_dst=10.0.0.11
        delete cached,table=LOCATION,ipv6,metadata=0x5,ipv6_dst=fd00::b
        """
    )
    gaps = "delete UNKNOWN:0/*,table=LOCATION,metadata=0x5"
    assert stale(UNICAST, world, B, None) == about_b
    assert stale(UNICAST, world, None, B) == [*about_b, gaps]
    assert stale(UNICAST, world, B_HERE, B_THERE) == stale(UNICAST, world, B_HERE, None) == about_b
    assert stale(UNICAST, world, B, replace(B, macs=(), ips=("192.0.2.0/24",))) == [
        *about_b,
        "delete LOCATION:22/*,table=LOCATION",
        "delete cached,table=LOCATION,ip,metadata=0x5,nw_dst=192.0.2.0/24",
        gaps,
    ]


def test_a_place_of_nobody_concerns_nobody() -> None:
    assert stale(UNICAST, world_of(*EVERYTHING), None, Location("n", "nobody", HERE, "tap-a")) == []


def test_a_domain_that_goes_takes_all_with_it_and_one_that_comes_finds_the_lost() -> None:
    world = world_of(*EVERYTHING)
    assert stale(UNICAST, world, RED, None) == stale(UNICAST, world, RED, replace(RED, number=99))
    assert stale(UNICAST, world, RED, None) == ["delete cached,metadata=0x5"]
    assert stale(UNICAST, world, None, RED) == ["delete UNKNOWN:0/*,table=LOCATION,metadata=0x5"]


def test_policies_make_no_location_stale() -> None:
    assert stale(UNICAST, world_of(*EVERYTHING), RED_TO_BLUE, DEFAULT) == []


# What is recalled.


def recalled(world: World, installed: Flow) -> list[str]:
    """What should be in the place of a cached flow today."""
    flow = UNICAST.recall(world, HERE, tables_of(world), installed)
    return [] if flow is None else lines([flow])


@pytest.mark.parametrize(("packet", "destination"), [(BY_MAC, MAC), (BY_IP, "10.0.0.11"), (BY_IP, "fd00::b")])
def test_an_entry_is_recalled_as_it_would_be_cached_today(packet: PacketIn, destination: str) -> None:
    """X1: of a dSwitch that was away, wherever the endpoint is by now."""
    world = world_of(*EVERYTHING)
    installed = compiled(UNICAST, world, packet, destination)[0]
    assert recalled(world, installed) == located(packet=packet, destination=destination)
    moved = located(packet=packet, destination=destination, here=B_THERE)
    assert (
        recalled(world_of(*EVERYTHING, B_THERE), installed) == moved != located(packet=packet, destination=destination)
    )


def test_an_entry_of_whom_nobody_reaches_is_recalled_as_nowhere_and_of_nobody_not_at_all() -> None:
    world = world_of(*EVERYTHING)
    installed = compiled(UNICAST, world, BY_MAC, MAC)[0]
    world.apply(Change.gone(B_HERE))
    assert recalled(world, installed) == NOWHERE
    world.apply(Change.gone(B))
    assert recalled(world, installed) == []


def test_what_is_no_location_is_not_recalled() -> None:
    world = world_of(*EVERYTHING)
    installed = compiled(UNICAST, world, BY_MAC, MAC)[0]
    assert recalled(world, installed._replace(table=POLICY.number)) == []
    assert recalled(world, installed._replace(match=Match())) == []


# Live migration (F45, X5).


def test_the_dswitch_that_an_endpoint_is_leaving_copies_whatever_is_for_it_to_where_it_will_be() -> None:
    migrating = replace(A_HERE, migrating_to=Place(THERE, "tap-a"))
    copy = (
        "set_field:0.0.0.0->tun_dst,set_field:::->tun_ipv6_dst,set_field:10.9.0.2->tun_dst,"
        "move:OXM_OF_METADATA[0..23]->NXM_NX_TUN_ID[0..23],set_field:0->in_port,output:10"
    )
    delivery, out, *_ = standing(UNICAST, *EVERYTHING, migrating)
    assert delivery == (
        "ENDPOINT:21/0, table=DELIVER, priority=200,metadata=0x5,dl_dst=02:00:00:00:00:0a actions=output:1," + copy
    )
    assert out == "ENDPOINT:21/0, table=OUTPUT, priority=200,reg5=0x1 actions=output:1," + copy


def test_without_a_way_to_where_it_will_be_nothing_is_copied() -> None:
    migrating = replace(A_HERE, migrating_to=Place(3, "tap-a"))
    assert standing(UNICAST, *EVERYTHING, migrating) == standing(UNICAST, *EVERYTHING)


def test_the_dswitch_that_an_endpoint_is_coming_to_delivers_the_copies_and_sends_it_where_it_still_is() -> None:
    coming = replace(B_THERE, migrating_to=Place(HERE, "tap-b"))
    assert standing(UNICAST, *EVERYTHING, coming) == standing(UNICAST, *EVERYTHING)
    assert way(located(here=coming)) == way(located(here=B_THERE))
