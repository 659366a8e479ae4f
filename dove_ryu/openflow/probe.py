"""What a dSwitch sends to an appliance to see whether it works, and what comes back (X10).

A probe frame is of a kind that nobody else sends: the first of the two Ethernet types for local experiments (IEEE 802,
clause 9.2.4).  It says who sent it, to which instance and which one it is, so that what a frame proves is known when it
comes back: that this instance passed that frame on.  Its addresses are locally administered and nobody's, the
destination's one that no bridge ever learns, so that a bridge passes it on like any unknown one.

An address is asked for as one does that wants to know whether anybody has it (RFC 5227, 2.1.1; RFC 4862, 5.4.2): from no
address of one's own.  What comes back is then like nothing else that an appliance says.
"""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

from dove_ryu.openflow import oxm
from dove_ryu.openflow.packet import checksum

PROBE_FRAME = 0x88B5
"""The Ethernet type of probe frames."""

SENDER, NOBODY = bytes.fromhex("02d05e000001"), bytes.fromhex("02d05e000002")
"""The MAC addresses that probes come from and that probe frames go to."""

_BROADCAST = b"\xff" * 6
_NONE_V4 = bytes(4)
_NONE_V6 = bytes(16)
_VLAN_TAG = 0x8100
_SHORTEST = 60
"""Bytes of an Ethernet frame without its checksum."""

_MARK = struct.Struct("!QII")
_SOLICITATION = struct.Struct("!BBHI16s")


class Mark(NamedTuple):
    """What a probe frame says.

    :ivar sender: a number of the DPS that sent it, drawn anew whenever it starts.
    :ivar number: whom it was sent to.
    :ivar sequence: how many had been sent there, with it.
    """

    sender: int
    number: int
    sequence: int

    def packed(self) -> bytes:
        """What it is in a frame; the sequence number last."""
        return _MARK.pack(*self)


def probe_frame(mark: Mark) -> bytes:
    """A frame to be passed on."""
    return _padded(NOBODY + SENDER + PROBE_FRAME.to_bytes(2, "big") + mark.packed())


def mark_of(frame: bytes) -> Mark | None:
    """What a frame that came back says; None where it is no probe frame.  Its tag may have been taken off."""
    start = 18 if frame[12:14] == _VLAN_TAG.to_bytes(2, "big") else 14
    if frame[start - 2 : start] != PROBE_FRAME.to_bytes(2, "big") or len(frame) < start + _MARK.size:
        return None
    return Mark(*_MARK.unpack_from(frame, start))


def address_probe(address: str) -> bytes:
    """An ARP probe or a neighbour solicitation for an IP address."""
    if ":" in address:
        return _solicitation(socket.inet_pton(socket.AF_INET6, address))
    asked = socket.inet_pton(socket.AF_INET, address)
    request = struct.pack("!HHBBH", 1, oxm.IPV4, 6, 4, 1) + SENDER + _NONE_V4 + bytes(6) + asked
    return _padded(_BROADCAST + SENDER + oxm.ARP.to_bytes(2, "big") + request)


def _solicitation(asked: bytes) -> bytes:
    group = bytes.fromhex("ff0200000000000000000001ff") + asked[13:]
    body = _SOLICITATION.pack(oxm.NEIGHBOUR_SOLICITATION, 0, 0, 0, asked)
    pseudo = _NONE_V6 + group + struct.pack("!II", len(body), oxm.ICMPV6)
    message = body[:2] + checksum(pseudo + body).to_bytes(2, "big") + body[4:]
    header = struct.pack("!IHBB", 6 << 28, len(message), oxm.ICMPV6, 255) + _NONE_V6 + group
    return b"\x33\x33" + group[12:] + SENDER + oxm.IPV6.to_bytes(2, "big") + header + message


def tagged(frame: bytes, vlan: int) -> bytes:
    """A frame with a VLAN tag."""
    return frame[:12] + struct.pack("!HH", _VLAN_TAG, vlan) + frame[12:]


def _padded(frame: bytes) -> bytes:
    return frame.ljust(_SHORTEST, b"\0")
