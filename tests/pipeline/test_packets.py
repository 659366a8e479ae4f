"""Frames through the compiled tables of a real bridge: who is answered, what is delivered, what is dropped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from os_ken.lib.packet import arp, ethernet, icmp, icmpv6, ipv4, ipv6, packet

from dove_ryu.model.entities import Endpoint, Policy, Service

from . import frames
from .fabric import Fabric
from .ovs import PrivateOvs
from .worlds import HERE, PORTS, dps, dswitches, network

A, B = ("02:00:00:00:00:0a", "10.0.0.10"), ("02:00:00:00:00:0b", "10.0.0.11")
A6, B6 = (A[0], "fd00::a"), (B[0], "fd00::b")
GATEWAY, GATEWAY6 = ("02:00:00:00:ff:01", "10.0.0.1"), ("02:00:00:00:ff:01", "fd00::1")


@pytest.fixture(params=list(Service), ids=lambda service: service.value)
def fabric(ovs: PrivateOvs, request: pytest.FixtureRequest) -> Iterator[Fabric]:
    """The world of :mod:`worlds`, once as an L2 and once as an L3 network."""
    known = dps(*network("n", 100, 5, request.param), *dswitches())
    with Fabric(ovs, known, HERE, PORTS) as made:
        yield made


def only(sent: dict[str, list[bytes]], port: str) -> packet.Packet:
    """The one frame that was sent, which must be at *port*."""
    assert list(sent) == [port], f"sent at {list(sent)}"
    (frame,) = sent[port]
    return packet.Packet(frame)


def test_a_ping_passes_both_ways_first_packet_included(fabric: Fabric) -> None:
    """F9: the packet that misses is held and goes on; the next ones need nobody."""
    there = fabric.send("a", frames.icmp_echo(A, B))
    assert only(there, "b").get_protocol(ethernet.ethernet).dst == B[0]
    assert only(fabric.send("b", frames.icmp_echo(B, A)), "a").get_protocol(ipv4.ipv4).ttl == 64
    asked = fabric.misses
    fabric.send("a", frames.icmp_echo(A, B))
    assert fabric.misses == asked


def test_ipv6_passes_beside_ipv4(fabric: Fabric) -> None:
    """F12."""
    assert only(fabric.send("a", frames.icmpv6_echo(A6, B6)), "b").get_protocol(ipv6.ipv6).dst == B6[1]


def test_arp_is_answered_here(fabric: Fabric) -> None:
    """F14: the asker gets a whole reply, nobody else gets anything."""
    reply = only(fabric.send("a", frames.arp_request(*A, B[1])), "a").get_protocol(arp.arp)
    assert (reply.opcode, reply.src_mac, reply.src_ip, reply.dst_mac, reply.dst_ip) == (2, B[0], B[1], A[0], A[1])


def test_neighbour_solicitation_is_answered_here(fabric: Fabric) -> None:
    """F14, RFC 4861: solicited, override, with the link-layer address."""
    sent = fabric.send("a", frames.neighbour_solicitation(*A6, B6[1]))
    advertisement = only(sent, "a").get_protocol(icmpv6.icmpv6)
    assert (advertisement.type_, advertisement.data.res) == (136, 0b011)
    assert (advertisement.data.dst, advertisement.data.option.hw_src) == (B6[1], B[0])


@pytest.mark.parametrize("target", ["10.0.0.12", "10.0.0.99"], ids=["denied", "unknown"])
def test_what_may_not_be_reached_cannot_be_resolved(fabric: Fabric, target: str) -> None:
    """F25; and the silence is remembered."""
    assert fabric.send("a", frames.arp_request(*A, target)) == {}
    asked = fabric.misses
    assert fabric.send("a", frames.arp_request(*A, target)) == {}
    assert fabric.misses == asked


def test_denied_packets_are_dropped(fabric: Fabric) -> None:
    """F5: the default policy denies red to grey."""
    assert fabric.send("a", frames.icmp_echo(A, ("02:00:00:00:00:0c", "10.0.0.12"))) == {}


def test_a_forged_source_is_dropped(fabric: Fabric) -> None:
    """X6: neither IP nor MAC nor ARP sender of somebody else, and nobody is asked."""
    fabric.send("a", frames.icmp_echo(A, B))
    asked = fabric.misses
    for forged in (
        frames.icmp_echo((A[0], "10.0.0.77"), B),
        frames.icmp_echo(("02:00:00:00:00:77", A[1]), B),
        frames.arp_request(A[0], "10.0.0.77", B[1]),
        frames.icmpv6_echo((A[0], "fd00::77"), B6),
    ):
        assert fabric.send("a", forged) == {}
    assert fabric.misses == asked


def test_an_endpoint_without_guard_sends_what_it_likes(fabric: Fabric) -> None:
    """X6: the opt-out."""
    assert only(fabric.send("free", frames.icmp_echo(("02:00:00:00:00:77", "10.0.0.77"), B)), "b")


def test_the_gateway_answers_arp_nd_and_ping(fabric: Fabric) -> None:
    """F13: the virtual router is at every dSwitch, and asks nobody."""
    reply = only(fabric.send("a", frames.arp_request(*A, GATEWAY[1])), "a").get_protocol(arp.arp)
    assert (reply.src_mac, reply.src_ip) == GATEWAY
    found = only(fabric.send("a", frames.neighbour_solicitation(*A6, GATEWAY6[1])), "a")
    assert found.get_protocol(icmpv6.icmpv6).data.option.hw_src == GATEWAY[0]
    pong = only(fabric.send("a", frames.icmp_echo(A, GATEWAY)), "a")
    assert pong.get_protocol(icmp.icmp).type == 0
    assert (pong.get_protocol(ipv4.ipv4).src, pong.get_protocol(ipv4.ipv4).dst) == (GATEWAY[1], A[1])
    pong6 = only(fabric.send("a", frames.icmpv6_echo(A6, GATEWAY6)), "a")
    assert pong6.get_protocol(icmpv6.icmpv6).type_ == 129
    assert fabric.misses == 0


def test_a_routed_packet_loses_one_hop(fabric: Fabric) -> None:
    """F13: TTL down by one, MAC addresses those of router and destination, checksum right."""
    routed = only(fabric.send("a", frames.icmp_echo(A, (GATEWAY[0], B[1]))), "b")
    header = routed.get_protocol(ethernet.ethernet)
    assert (header.src, header.dst, routed.get_protocol(ipv4.ipv4).ttl) == (GATEWAY[0], B[0], 63)
    routed6 = only(fabric.send("a", frames.icmpv6_echo(A6, (GATEWAY[0], B6[1]))), "b")
    assert routed6.get_protocol(ipv6.ipv6).hop_limit == 63


def test_a_used_up_ttl_is_told(fabric: Fabric) -> None:
    """F13, RFC 1812: time exceeded, from the router, with the packet inside."""
    told = only(fabric.send("a", frames.icmp_echo(A, (GATEWAY[0], B[1]), ttl=1)), "a")
    assert (told.get_protocol(ipv4.ipv4).src, told.get_protocol(icmp.icmp).type) == (GATEWAY[1], 11)
    told6 = only(fabric.send("a", frames.icmpv6_echo(A6, (GATEWAY[0], B6[1]), hop_limit=1)), "a")
    assert (told6.get_protocol(ipv6.ipv6).src, told6.get_protocol(icmpv6.icmpv6).type_) == (GATEWAY6[1], 3)


def test_a_prefix_stands_for_many(fabric: Fabric) -> None:
    """F33: a packet to any address of an external endpoint's prefix goes to its port, with its MAC address."""
    sent = fabric.send("a", frames.icmp_echo(A, (GATEWAY[0], "192.0.2.77")))
    assert only(sent, "r").get_protocol(ethernet.ethernet).dst == "02:00:00:00:00:10"


def test_policy_from_allow_to_deny_and_back(fabric: Fabric) -> None:
    """F21, F32: the cached entries go with the change, and the tracking number shows in the next ones' cookies."""
    allowed = Policy("n", "red", "blue", 105, ("accept",), 200, 7)
    assert only(fabric.send("a", frames.icmp_echo(A, B)), "b")
    for tracking, actions, passes in ((8, ("deny",), False), (9, ("accept",), True)):
        fabric.apply(replace(allowed, tracking=tracking, actions=actions))
        assert bool(fabric.send("a", frames.icmp_echo(A, B))) is passes
        assert any(flow.startswith(f"cookie={0xD090000069000000 + tracking:#x}") for flow in fabric.flows())


def test_an_endpoint_changes_domain_while_it_talks(fabric: Fabric) -> None:
    """F8."""
    moved = Endpoint("n", "b", 111, "grey", (B[0],), (B[1], B6[1]))
    assert only(fabric.send("a", frames.icmp_echo(A, B)), "b")
    fabric.apply(moved)
    assert fabric.send("a", frames.icmp_echo(A, B)) == {}
    assert fabric.send("a", frames.arp_request(*A, B[1])) == {}
    fabric.apply(replace(moved, domain="blue"))
    assert only(fabric.send("a", frames.icmp_echo(A, B)), "b")


def test_an_endpoint_teaches_its_address(fabric: Fabric) -> None:
    """F24: the packet that taught it goes on, and the guard knows the address afterwards."""
    sender = ("02:00:00:00:00:0f", "10.0.0.15")
    assert only(fabric.send("s", frames.icmp_echo(sender, B)), "b")


def test_tagged_frames_and_broadcasts_go_nowhere(fabric: Fabric) -> None:
    """F14: an endpoint has no VLANs, and no broadcast leaves it."""
    plain = frames.icmp_echo(A, B)
    assert fabric.send("a", plain[:12] + bytes.fromhex("81000005") + plain[12:]) == {}
    assert fabric.send("a", frames.icmp_echo(A, (frames.BROADCAST, "10.0.0.255"))) == {}
