"""Packet-ins as bytes: as Open vSwitch writes them and, piece by piece, as nobody should."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from dove_ryu.openflow import oxm
from dove_ryu.openflow.fields import APPLICATION, BY_ADDRESS, SOURCE_DOMAIN
from dove_ryu.openflow.oxm import Field
from dove_ryu.openflow.pipeline import LOCATION
from dove_ryu.southbound import codec

Fields = Iterable[tuple[Field, int]]

OURS = APPLICATION << 56
MATCH = 24
"""Where a packet-in's match begins."""


def oxm_bytes(fields: Fields) -> bytes:
    """Fields of a match in the order given."""
    pieces = (
        struct.pack("!HBB", field.oxm_class, field.number << 1, field.octets) + value.to_bytes(field.octets, "big")
        for field, value in fields
    )
    return b"".join(pieces)


def packet_in_of(oxms: bytes, frame: bytes, table: int = LOCATION.number, cookie: int = OURS) -> bytes:
    """A packet-in with these very bytes as its match's fields."""
    match = struct.pack("!HH", 1, 4 + len(oxms)) + oxms + bytes(-(4 + len(oxms)) % 8)
    head = struct.pack("!IHBBQ", 0xFFFFFFFF, len(frame) & 0xFFFF, 1, table, cookie)
    return codec.message(codec.PACKET_IN, head + match + bytes(2) + frame, 7)


def request(
    vni: int, source: int, frame: bytes, by_address: bool = False, in_port: int = 1, table: int = LOCATION.number
) -> bytes:
    """A policy request as Open vSwitch writes it, the port first and the metadata last."""
    fields = [(oxm.IN_PORT, in_port), (BY_ADDRESS.field, int(by_address)), (SOURCE_DOMAIN.field, source)]
    return packet_in_of(oxm_bytes([*fields, (oxm.METADATA, vni)]), frame, table)


def frame(mac: str, ip: str = "10.0.0.1", payload: bytes = bytes(8)) -> bytes:
    """A frame to a MAC and an IP address, of which only these two are anything."""
    to = oxm.mac_number(mac).to_bytes(6, "big")
    if ":" in ip:
        address = oxm.IPV6_DST.parse(ip).to_bytes(16, "big")
        return to + bytes(6) + b"\x86\xdd\x60" + bytes(3) + b"\0\x08\x3b\x40" + bytes(16) + address + payload
    address = oxm.IPV4_DST.parse(ip).to_bytes(4, "big")
    return to + bytes(6) + b"\x08\x00\x45" + bytes(15) + address + payload


def with_length(message: bytes) -> bytes:
    """A message whose header says how long it is."""
    return message[:2] + len(message).to_bytes(2, "big") + message[4:]


def cut(stream: bytes) -> list[bytes]:
    """The messages of a stream."""
    messages = []
    while stream:
        length = int.from_bytes(stream[2:4], "big")
        messages.append(stream[:length])
        stream = stream[length:]
    return messages
