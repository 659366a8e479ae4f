"""Probes on the wire: read with another's library, and known again when they come back (X10)."""

from __future__ import annotations

import pytest
from os_ken.lib.packet import arp, ethernet, icmpv6, ipv6, packet, vlan

from dove_ryu.openflow.probe import Mark, address_probe, mark_of, probe_frame, tagged

MARK = Mark(0xFEDCBA9876543210, 7, 0xFFFFFFFF)


def test_a_probe_frame_says_whose_it_is_tagged_or_not() -> None:
    frame = probe_frame(MARK)
    assert len(frame) == 60
    assert frame[12:14].hex() == "88b5"
    assert mark_of(frame) == mark_of(tagged(frame, 4094)) == MARK
    assert MARK.packed() in frame
    assert not frame[0] & 1, "it is for one, and for nobody"


def test_a_tag_is_one_as_others_read_it() -> None:
    parsed = packet.Packet(tagged(address_probe("192.0.2.1"), 4094))
    assert parsed.get_protocol(vlan.vlan).vid == 4094
    assert parsed.get_protocol(arp.arp).dst_ip == "192.0.2.1"


@pytest.mark.parametrize("frame", [b"", probe_frame(MARK)[:29], tagged(probe_frame(MARK), 1)[:33], bytes(60)])
def test_what_is_no_probe_frame_says_nothing(frame: bytes) -> None:
    assert mark_of(frame) is None


def test_an_ipv4_address_is_asked_for_from_none() -> None:
    """RFC 5227, 2.1.1."""
    parsed = packet.Packet(address_probe("192.0.2.1"))
    asked = parsed.get_protocol(arp.arp)
    assert parsed.get_protocol(ethernet.ethernet).dst == "ff:ff:ff:ff:ff:ff"
    assert (asked.opcode, asked.src_ip, asked.dst_ip) == (1, "0.0.0.0", "192.0.2.1")
    assert asked.src_mac == parsed.get_protocol(ethernet.ethernet).src


def test_an_ipv6_address_is_asked_for_from_none() -> None:
    """RFC 4862, 5.4.2, and RFC 4861, 4.3; the checksum is right, as another computes it."""
    frame = address_probe("2001:db8::a1:b2c3")
    parsed = packet.Packet(frame)
    header, solicitation = parsed.get_protocol(ipv6.ipv6), parsed.get_protocol(icmpv6.icmpv6)
    assert parsed.get_protocol(ethernet.ethernet).dst == "33:33:ff:a1:b2:c3"
    assert (header.src, header.dst, header.hop_limit) == ("::", "ff02::1:ffa1:b2c3", 255)
    assert (solicitation.type_, solicitation.data.dst) == (135, "2001:db8::a1:b2c3")
    again = packet.Packet(protocols=[*parsed.protocols])
    solicitation.csum = 0
    again.serialize()
    assert bytes(again.data) == frame
