"""Pings and questions as frames, and frames as what can be seen of them."""

from __future__ import annotations

import struct

from os_ken.lib.packet import arp, ethernet, icmp, icmpv6, ipv4, ipv6, packet

from dove_ryu.openflow import oxm
from tests.pipeline.frames import arp_request, icmp_echo, icmpv6_echo, neighbour_solicitation

from .oracle import Ping, Question, Seen
from .pipeline import Delivery


def frame(what: Ping | Question) -> bytes:
    """The frame that an endpoint sends."""
    if isinstance(what, Question):
        ask = neighbour_solicitation if ":" in what.ip else arp_request
        return ask(what.mac, what.ip, what.target)
    echo = icmpv6_echo if ":" in what.to_ip else icmp_echo
    return echo((what.mac, what.ip), (what.to_mac, what.to_ip), what.ttl)


def announcement(mac: str) -> bytes:
    """What QEMU says for a machine that it has taken over: RARP, op code 3, from and for its own MAC address."""
    own = bytes.fromhex(mac.replace(":", ""))
    return b"\xff" * 6 + own + struct.pack("!HHHBBH", oxm.RARP, 1, 0x0800, 6, 4, 3) + (own + bytes(4)) * 2 + bytes(18)


def seen(delivery: Delivery) -> Seen:
    """A ping, or the answer to one, that has come out of a port."""
    read = packet.Packet(delivery.frame)
    outer = read.get_protocol(ethernet.ethernet)
    four, six = read.get_protocol(ipv4.ipv4), read.get_protocol(ipv6.ipv6)
    inner = four or six
    ttl = four.ttl if four is not None else six.hop_limit
    kind = read.get_protocol(icmp.icmp).type if four is not None else read.get_protocol(icmpv6.icmpv6).type_
    return Seen(delivery.dpid, delivery.port, outer.dst, outer.src, inner.dst, inner.src, ttl, kind)


def answer(question: Question, delivery: Delivery) -> str:
    """The MAC address that an ARP reply or a neighbour advertisement brings, everything else in it being right."""
    read = packet.Packet(delivery.frame)
    outer = read.get_protocol(ethernet.ethernet)
    if ":" not in question.ip:
        reply = read.get_protocol(arp.arp)
        assert (reply.opcode, reply.src_ip, reply.dst_ip, reply.dst_mac) == (
            arp.ARP_REPLY,
            question.target,
            question.ip,
            question.mac,
        )
        assert (outer.dst, outer.src) == (question.mac, reply.src_mac)
        return reply.src_mac
    network, message = read.get_protocol(ipv6.ipv6), read.get_protocol(icmpv6.icmpv6)
    assert message.type_ == icmpv6.ND_NEIGHBOR_ADVERT
    assert (network.src, network.dst, network.hop_limit) == (question.target, question.ip, 255)
    assert (message.data.dst, message.data.res) == (question.target, 0b011)
    assert (outer.dst, outer.src) == (question.mac, message.data.option.hw_src)
    return message.data.option.hw_src
