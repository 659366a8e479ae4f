"""An endpoint sends from its own addresses only, and may teach those that nobody declared (F24, X6)."""

import struct
from dataclasses import replace

import pytest

from dove_ryu.features.source_guard import MOST_LEARNED, SourceGuard
from dove_ryu.model.entities import Endpoint, Entity, Learned, Location, Place
from dove_ryu.model.world import World
from dove_ryu.openflow import oxm
from dove_ryu.openflow.fields import SOURCE_ENDPOINT, Cookie, Kind
from dove_ryu.openflow.flow import PacketIn
from dove_ryu.openflow.pipeline import LOCATION, SOURCE_GUARD
from tests.pipeline.frames import arp_request, icmp_echo, icmpv6_echo

from .small import (
    A_HERE,
    B_HERE,
    BLUE,
    EVERYTHING,
    HERE,
    NETWORK,
    RED,
    A,
    B,
    golden,
    lines,
    standing,
    tables_of,
    world_of,
)

GUARD = SourceGuard()
OPEN = replace(A, macs=(), ips=())
MAC, OTHER = "02:00:00:00:00:0a", "02:00:00:00:00:0b"


def test_an_endpoint_sends_from_its_own_addresses_only() -> None:
    both = replace(A, ips=("10.0.0.10", "fd00::a"))
    assert standing(GUARD, NETWORK, RED, both, A_HERE) == golden(
        """
        ENDPOINT:21/0, table=SOURCE_GUARD, priority=100,arp,reg3=0x15,dl_src=02:00:00:00:00:0a,
            arp_spa=0.0.0.0,arp_sha=02:00:00:00:00:0a actions=goto_table:NEIGHBOUR
        ENDPOINT:21/0, table=SOURCE_GUARD, priority=100,ipv6,reg3=0x15,dl_src=02:00:00:00:00:0a,
            ipv6_src=fe80::ff:fe00:a actions=goto_table:NEIGHBOUR
        ENDPOINT:21/0, table=SOURCE_GUARD, priority=100,ip,reg3=0x15,dl_src=02:00:00:00:00:0a,
            nw_src=10.0.0.10 actions=goto_table:NEIGHBOUR
        ENDPOINT:21/0, table=SOURCE_GUARD, priority=100,arp,reg3=0x15,dl_src=02:00:00:00:00:0a,
            arp_spa=10.0.0.10,arp_sha=02:00:00:00:00:0a actions=goto_table:NEIGHBOUR
        ENDPOINT:21/0, table=SOURCE_GUARD, priority=100,ipv6,reg3=0x15,dl_src=02:00:00:00:00:0a,
            ipv6_src=fd00::a actions=goto_table:NEIGHBOUR
        ENDPOINT:21/0, table=SOURCE_GUARD, priority=50,ipv6,reg3=0x15,ipv6_src=:: actions=drop
        ENDPOINT:21/0, table=SOURCE_GUARD, priority=50,ip,reg3=0x15,nw_src=0.0.0.0 actions=drop
        ENDPOINT:21/0, table=SOURCE_GUARD, priority=1,reg3=0x15 actions=drop
        """
    )


def test_an_endpoint_without_guard_sends_what_it_likes() -> None:
    assert standing(GUARD, NETWORK, RED, replace(A, guard=False), A_HERE) == golden(
        """
        ENDPOINT:21/0, table=SOURCE_GUARD, priority=100,reg3=0x15 actions=goto_table:NEIGHBOUR
        """
    )


@pytest.mark.parametrize("declared", [OPEN, replace(A, ips=()), replace(A, macs=())])
def test_what_an_open_endpoint_sends_from_elsewhere_is_reported(declared: Endpoint) -> None:
    refusal = "ENDPOINT:21/0, table=SOURCE_GUARD, priority=1,reg3=0x15 actions=drop"
    learned = Learned("n", "a", (MAC,), ("10.0.0.10",))
    assert refusal in standing(GUARD, NETWORK, RED, A, A_HERE)
    assert refusal not in standing(GUARD, NETWORK, RED, declared, A_HERE)
    assert standing(GUARD, NETWORK, RED, declared, learned, A_HERE) == [
        line for line in standing(GUARD, NETWORK, RED, A, A_HERE) if line != refusal
    ]


def report(world: World, frame: bytes, number: int = A.number) -> tuple[Learned | None, list[str], list[str]]:
    """What becomes of a packet that no flow of SOURCE_GUARD let pass: lesson, flows, where the packet goes on."""
    packet_in = PacketIn(0, SOURCE_GUARD.number, {SOURCE_ENDPOINT.field: number, oxm.IN_PORT: 1}, frame)
    answer = GUARD.take(world, HERE, tables_of(world), packet_in)
    assert answer is not None
    return answer.learned, lines(answer.flows), [str(packet.actions[-1]) for packet in answer.packets]


def ping(mac: str, ip: str) -> bytes:
    if ":" in ip:
        return icmpv6_echo((mac, ip), (OTHER, "fd00::b"))
    return icmp_echo((mac, ip), (OTHER, "10.0.0.11"))


def some_world(*entities: Entity) -> World:
    return world_of(NETWORK, RED, BLUE, B, B_HERE, A_HERE, *entities)


@pytest.mark.parametrize(
    ("declared", "frame", "taught"),
    [
        (OPEN, ping(MAC, "10.0.0.10"), ((MAC,), ("10.0.0.10",))),
        (OPEN, ping(MAC, "fd00::a"), ((MAC,), ("fd00::a",))),
        (OPEN, arp_request(MAC, "10.0.0.10", "10.0.0.11"), ((MAC,), ("10.0.0.10",))),
        (OPEN, ping(MAC, "fe80::1"), ((MAC,), ())),
        (OPEN, bytes(6) + bytes.fromhex("02000000000a") + b"\x88\xcc", ((MAC,), ())),
        (replace(A, ips=()), ping(MAC, "10.0.0.10"), ((), ("10.0.0.10",))),
        (replace(A, macs=()), ping(MAC, "10.0.0.10"), ((MAC,), ())),
    ],
    ids=["all open", "IPv6", "ARP", "link-local", "no IP", "IP open", "MAC open"],
)
def test_a_packet_teaches_what_nobody_declared_and_goes_on(
    declared: Endpoint, frame: bytes, taught: tuple[tuple[str, ...], tuple[str, ...]]
) -> None:
    assert report(some_world(declared), frame) == (Learned("n", "a", *taught), [], ["resubmit(,3)"])


def test_what_is_learned_adds_up() -> None:
    world = some_world(OPEN, Learned("n", "a", (MAC,), ("10.0.0.10",)))
    learned, _, _ = report(world, ping(MAC, "10.0.0.20"))
    assert learned == Learned("n", "a", (MAC,), ("10.0.0.10", "10.0.0.20"))


def test_a_prefix_around_an_address_does_not_make_it_taken() -> None:
    world = some_world(OPEN, Endpoint("n", "world", 23, "blue", (), ("0.0.0.0/0",)))
    assert report(world, ping(MAC, "10.0.0.10"))[0] == Learned("n", "a", (MAC,), ("10.0.0.10",))


@pytest.mark.parametrize(
    "frame",
    [ping(MAC, "10.0.0.10"), arp_request(MAC, "10.0.0.10", "10.0.0.11"), ping(MAC, "fe80::ff:fe00:a")],
    ids=["IP", "ARP", "link-local"],
)
def test_what_came_up_before_its_lesson_was_learned_goes_on(frame: bytes) -> None:
    """F24: many packets may be on their way up when the first one of them teaches; none of them is lost."""
    world = some_world(OPEN, Learned("n", "a", (MAC,), ("10.0.0.10",)))
    assert report(world, frame) == (None, [], ["resubmit(,3)"])


FORGED_ARP = arp_request(OTHER, "10.0.0.10", "10.0.0.11")[:6] + bytes.fromhex("02000000000a")
FORGED_ARP += arp_request(OTHER, "10.0.0.10", "10.0.0.11")[12:]
"""From one MAC address, in the name of another."""

FULL = Learned("n", "a", (MAC,), tuple(f"10.0.1.{last}" for last in range(MOST_LEARNED)))


@pytest.mark.parametrize(
    ("entities", "frame", "refused"),
    [
        ((A,), ping(MAC, "10.0.0.66"), "ip,reg3=0x15,dl_src=02:00:00:00:00:0a,nw_src=10.0.0.66"),
        ((A,), ping("02:00:00:00:00:66", "10.0.0.10"), "ip,reg3=0x15,dl_src=02:00:00:00:00:66,nw_src=10.0.0.10"),
        ((A,), ping(MAC, "fd00::66"), "ipv6,reg3=0x15,dl_src=02:00:00:00:00:0a,ipv6_src=fd00::66"),
        ((A,), arp_request(MAC, "10.0.0.66", "10.0.0.11"), "arp,reg3=0x15,dl_src=02:00:00:00:00:0a,arp_spa=10.0.0.66"),
        ((A,), bytes(6) + bytes.fromhex("020000000066") + b"\x88\xcc", "reg3=0x15,dl_src=02:00:00:00:00:66"),
        ((OPEN,), ping(MAC, "10.0.0.11"), "ip,reg3=0x15,dl_src=02:00:00:00:00:0a,nw_src=10.0.0.11"),
        ((OPEN,), ping(OTHER, "10.0.0.10"), "ip,reg3=0x15,dl_src=02:00:00:00:00:0b,nw_src=10.0.0.10"),
        ((OPEN, FULL), ping(MAC, "10.0.0.66"), "ip,reg3=0x15,dl_src=02:00:00:00:00:0a,nw_src=10.0.0.66"),
        ((OPEN,), FORGED_ARP, "arp,reg3=0x15,dl_src=02:00:00:00:00:0a,arp_spa=10.0.0.10"),
        ((OPEN, FULL), FORGED_ARP, "arp,reg3=0x15,dl_src=02:00:00:00:00:0a,arp_spa=10.0.0.10"),
        ((OPEN,), ping("03:00:00:00:00:0a", "10.0.0.10"), "ip,reg3=0x15,dl_src=03:00:00:00:00:0a,nw_src=10.0.0.10"),
        ((OPEN,), ping(MAC, "224.0.0.1"), "ip,reg3=0x15,dl_src=02:00:00:00:00:0a,nw_src=224.0.0.1"),
    ],
    ids=[
        "IP",
        "MAC",
        "IPv6",
        "ARP",
        "no IP",
        "taken IP",
        "taken MAC",
        "too many",
        "ARP for another",
        "ARP for another of many",
        "group MAC",
        "group IP",
    ],
)
def test_what_may_not_be_believed_is_refused_for_a_while(
    entities: tuple[Entity, ...], frame: bytes, refused: str
) -> None:
    flow = f"UNKNOWN:21/0, table=SOURCE_GUARD, hard_timeout=10, priority=60,{refused} actions=drop"
    assert report(some_world(*entities), frame) == (None, [flow], [])


def test_an_endpoint_that_is_gone_teaches_nothing() -> None:
    assert report(some_world(A), ping(MAC, "10.0.0.10"), number=99) == (None, [], [])


def test_only_address_reports_are_taken() -> None:
    world = world_of(*EVERYTHING)
    assert GUARD.take(world, HERE, tables_of(world), PacketIn(0, LOCATION.number, {}, b"")) is None


@pytest.mark.parametrize("length", range(14, 42))
def test_a_frame_that_is_cut_short_is_refused_or_believed_but_never_an_error(length: int) -> None:
    for declared in (OPEN, A):
        learned, flows, resumed = report(some_world(declared), ping(MAC, "10.0.0.66")[:length])
        assert learned in (None, Learned("n", "a", (MAC,)), Learned("n", "a", (MAC,), ("10.0.0.66",)))
        assert bool(learned) == bool(resumed) == (declared is OPEN)
        assert bool(flows) == (declared is A)


def test_forged_arp_is_refused_by_the_flow_that_it_meets() -> None:
    """The refusal must match the frame that brought it, or every such frame comes up (X3)."""
    frame = arp_request(MAC, "10.0.0.66", "10.0.0.11")
    _, flows, _ = report(some_world(A), frame)
    assert struct.unpack("!H", frame[12:14])[0] == oxm.ARP
    assert ",arp," in flows[0]


# Live migration (X5).

COMING = Location("n", "a", 2, "tap-a", migrating_to=Place(HERE, "tap-a"))


def test_who_is_coming_is_reported_with_the_first_word_that_it_may_say() -> None:
    """Its packets go on like anybody's, its own meter limits the word; QEMU's announcement, RARP, has nowhere to go."""
    told = standing(GUARD, NETWORK, RED, A, COMING)
    here = standing(GUARD, NETWORK, RED, A, A_HERE)
    assert told[:-1] == [line.replace("actions=goto", "actions=controller(meter_id=17),goto") for line in here]
    assert told[-1:] == golden(
        """
        ENDPOINT:21/0, table=SOURCE_GUARD, priority=110,rarp,reg3=0x15,dl_src=02:00:00:00:00:0a
            actions=controller(meter_id=17)
        """
    )


def test_the_word_of_who_has_come_says_where_it_was_going() -> None:
    world = world_of(NETWORK, RED, A, COMING)
    for cookie, arrived in ((Cookie(Kind.ENDPOINT, A.number), COMING), (Cookie(Kind.MISS, SOURCE_GUARD.number), None)):
        fields = {SOURCE_ENDPOINT.field: A.number}
        packet_in = PacketIn(int(cookie), SOURCE_GUARD.number, fields, ping(MAC, "10.0.0.10"))
        answer = GUARD.take(world, HERE, tables_of(world), packet_in)
        assert answer is not None
        assert (answer.arrived, answer.flows) == (arrived, ())
