"""Addresses are read from any frame, however short or hostile; the packet that we write satisfies another library."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from os_ken.lib.packet import ethernet, icmp, icmpv6, in_proto, ipv4, ipv6, packet, packet_utils

from dove_ryu.openflow.packet import (
    echo_request,
    eth_destination,
    eth_source,
    eth_type,
    ip_destination,
    ip_source,
    neighbour_target,
    time_exceeded,
)
from tests.pipeline.frames import arp_request, icmp_echo, icmpv6_echo, neighbour_solicitation

A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
ROUTER = "02:00:00:00:ff:01"
PING = icmp_echo((A, "10.0.0.10"), (B, "10.0.0.11"), 1)
PING6 = icmpv6_echo((A, "fd00::a"), (B, "fd00::b"), 1)
ARP = arp_request(A, "10.0.0.10", "10.0.0.11")
SOLICITATION = neighbour_solicitation(A, "fd00::a", "fd00::b")
KINDS = (PING, PING6, ARP, SOLICITATION)


@pytest.mark.parametrize(
    ("frame", "kind", "destination", "sender", "receiver", "asked"),
    [
        (PING, 0x0800, B, "10.0.0.10", "10.0.0.11", None),
        (PING6, 0x86DD, B, "fd00::a", "fd00::b", None),
        (ARP, 0x0806, "ff:ff:ff:ff:ff:ff", "10.0.0.10", None, "10.0.0.11"),
        (SOLICITATION, 0x86DD, "33:33:ff:00:00:01", "fd00::a", "ff02::1:ff00:1", "fd00::b"),
        (bytes(14), 0, "00:00:00:00:00:00", None, None, None),
    ],
)
def test_addresses_are_read(
    frame: bytes, kind: int, destination: str, sender: str | None, receiver: str | None, asked: str | None
) -> None:
    assert (eth_type(frame), eth_destination(frame)) == (kind, destination)
    assert (ip_source(frame), ip_destination(frame)) == (sender, receiver)
    if asked or kind == 0:
        assert neighbour_target(frame) == asked
    if kind:
        assert eth_source(frame) == A


cut = st.tuples(st.sampled_from(KINDS), st.integers(0, 80)).map(lambda pair: pair[0][: pair[1]])
scribbled = st.builds(
    lambda frame, at, what: frame[:at] + what + frame[at + len(what) :],
    st.sampled_from(KINDS),
    st.integers(12, 70),
    st.binary(max_size=8),
)
hostile = st.one_of(st.binary(max_size=100), cut, scribbled)


@given(hostile)
def test_no_frame_is_too_hostile_to_be_looked_at(frame: bytes) -> None:
    for read in (eth_source, eth_destination, ip_source, ip_destination, neighbour_target):
        address = read(frame)
        assert address is None or isinstance(address, str)
    for router in ("10.0.0.1", "fd00::1"):
        answer = time_exceeded(frame, ROUTER, router)
        assert answer is None or len(answer) >= 14 + 20 + 8


@given(cut)
def test_of_a_frame_that_is_cut_short_only_whole_addresses_are_read(frame: bytes) -> None:
    whole = next(kind for kind in KINDS if kind.startswith(frame))
    for read in (ip_source, ip_destination, neighbour_target):
        assert read(frame) in (None, read(whole))


@given(st.binary(max_size=2000), st.integers(0, 1))
def test_time_exceeded_over_ipv4_is_right(payload: bytes, ttl: int) -> None:
    frame = PING[:22] + bytes([ttl]) + PING[23:34] + b"\x08" + payload
    frame = frame[:16] + struct.pack("!H", len(frame) - 14) + frame[18:]
    answer = time_exceeded(frame, ROUTER, "10.0.0.1")
    assert answer is not None
    read = packet.Packet(answer)
    outer, inner, message = (read.get_protocol(kind) for kind in (ethernet.ethernet, ipv4.ipv4, icmp.icmp))
    assert (outer.dst, outer.src, outer.ethertype) == (A, ROUTER, 0x0800)
    assert (inner.src, inner.dst, inner.proto) == ("10.0.0.1", "10.0.0.10", in_proto.IPPROTO_ICMP)
    assert inner.total_length == len(answer) - 14 <= 576
    assert packet_utils.checksum(answer[14:34]) == packet_utils.checksum(answer[34:]) == 0
    assert (message.type, message.code) == (icmp.ICMP_TIME_EXCEEDED, 0)
    assert answer[42:] == frame[14 : 14 + 548]


@given(st.binary(max_size=2000), st.integers(0, 1))
def test_time_exceeded_over_ipv6_is_right(payload: bytes, hop_limit: int) -> None:
    frame = PING6[:18] + struct.pack("!H", 1 + len(payload)) + PING6[20:21] + bytes([hop_limit]) + PING6[22:54]
    frame += b"\x80" + payload
    answer = time_exceeded(frame, ROUTER, "fd00::1")
    assert answer is not None
    read = packet.Packet(answer)
    outer, inner, message = (read.get_protocol(kind) for kind in (ethernet.ethernet, ipv6.ipv6, icmpv6.icmpv6))
    assert (outer.dst, outer.src, outer.ethertype) == (A, ROUTER, 0x86DD)
    assert (inner.src, inner.dst, inner.nxt) == ("fd00::1", "fd00::a", in_proto.IPPROTO_ICMPV6)
    assert inner.payload_length == len(answer) - 54
    assert len(answer) - 14 <= 1280
    assert packet_utils.checksum_ip(inner, inner.payload_length, answer[54:]) == 0
    assert (message.type_, message.code) == (icmpv6.ICMPV6_TIME_EXCEEDED, 0)
    assert answer[62:] == frame[14 : 14 + 1232]


def test_an_echo_request_is_right() -> None:
    frame = echo_request((A, "10.0.0.10"), (B, "10.0.0.11"), 215)
    read = packet.Packet(frame)
    outer, inner, message = (read.get_protocol(kind) for kind in (ethernet.ethernet, ipv4.ipv4, icmp.icmp))
    assert (outer.dst, outer.src, inner.src, inner.dst) == (B, A, "10.0.0.10", "10.0.0.11")
    assert (message.type, message.code) == (icmp.ICMP_ECHO_REQUEST, 215)
    assert inner.total_length == len(frame) - 14
    assert packet_utils.checksum(frame[14:34]) == packet_utils.checksum(frame[34:]) == 0


def test_an_echo_request_over_ipv6_is_right() -> None:
    frame = echo_request((A, "fd00::a"), (B, "fd00::b"), 215)
    read = packet.Packet(frame)
    outer, inner, message = (read.get_protocol(kind) for kind in (ethernet.ethernet, ipv6.ipv6, icmpv6.icmpv6))
    assert (outer.dst, outer.src, inner.src, inner.dst) == (B, A, "fd00::a", "fd00::b")
    assert (message.type_, message.code) == (icmpv6.ICMPV6_ECHO_REQUEST, 215)
    assert inner.payload_length == len(frame) - 54
    assert packet_utils.checksum_ip(inner, inner.payload_length, frame[54:]) == 0


def test_padding_of_a_short_frame_is_not_quoted() -> None:
    assert time_exceeded(PING + bytes(20), ROUTER, "10.0.0.1") == time_exceeded(PING, ROUTER, "10.0.0.1")
    assert time_exceeded(PING6 + bytes(20), ROUTER, "fd00::1") == time_exceeded(PING6, ROUTER, "fd00::1")


def icmp_of(kind: int) -> bytes:
    return PING[:34] + bytes([kind]) + PING[35:]


def icmpv6_of(kind: int) -> bytes:
    return PING6[:54] + bytes([kind]) + PING6[55:]


@pytest.mark.parametrize(
    ("frame", "answered"),
    [
        (icmp_of(8), True),
        (icmp_of(0), True),
        (icmp_of(13), True),
        (icmp_of(3), False),
        (icmp_of(11), False),
        (icmpv6_of(128), True),
        (icmpv6_of(1), False),
        (icmpv6_of(3), False),
        (ARP, False),
        (b"", False),
        (PING[:20] + b"\x00\xb9" + PING[22:], False),
        (PING[:20] + b"\x20\x00" + PING[22:], True),
    ],
    ids=[
        "echo request",
        "echo reply",
        "timestamp",
        "unreachable",
        "time exceeded",
        "echo request over IPv6",
        "unreachable over IPv6",
        "time exceeded over IPv6",
        "no IP",
        "nothing",
        "a later fragment",
        "the first fragment",
    ],
)
def test_errors_are_not_answered_with_errors(frame: bytes, answered: bool) -> None:
    """RFC 1122, 3.2.2 and RFC 4443, 2.4: not to errors, not to fragments but the first."""
    router = "fd00::1" if eth_type(frame) == 0x86DD else "10.0.0.1"
    assert (time_exceeded(frame, ROUTER, router) is not None) == answered
