"""What the DPS reads from a frame that came up with a policy request, and the packets that it writes itself.

Only addresses are read, at their fixed offsets; a frame that is too short or of another kind has none.  The
time-exceeded message of the virtual router follows RFC 792 and RFC 4443, section 3.3, and the echo request that a live
trace sends RFC 792 and RFC 4443, section 4.1.
"""

from __future__ import annotations

import socket
import struct

from dove_ryu.openflow import oxm

ETHERNET_HEADER = 14
"""Bytes before the payload; a frame that has fewer has no addresses."""
_NEIGHBOUR_SOLICITATION_TARGET = slice(62, 78)
_ECHOED = b"dove trace --live"


def eth_type(frame: bytes) -> int:
    """The Ethernet type; 0 where the frame is too short to have one."""
    return int.from_bytes(frame[12:14], "big") if len(frame) >= ETHERNET_HEADER else 0


def eth_destination(frame: bytes) -> str:
    """The destination MAC address."""
    return frame[0:6].hex(":")


def eth_source(frame: bytes) -> str:
    """The source MAC address."""
    return frame[6:12].hex(":")


def ip_source(frame: bytes) -> str | None:
    """The source of an IP packet or the sender of an ARP packet; None for neither."""
    return _address(frame, {oxm.IPV4: slice(26, 30), oxm.IPV6: slice(22, 38), oxm.ARP: slice(28, 32)})


def ip_destination(frame: bytes) -> str | None:
    """The destination of an IP packet; None for another packet."""
    return _address(frame, {oxm.IPV4: slice(30, 34), oxm.IPV6: slice(38, 54)})


def arp_sender(frame: bytes) -> str | None:
    """The MAC address that an ARP packet says its sender has; None for another packet."""
    return frame[22:28].hex(":") if eth_type(frame) == oxm.ARP and len(frame) >= 28 else None


def neighbour_target(frame: bytes) -> str | None:
    """The address that an ARP request or a neighbour solicitation asks for; None for another packet."""
    return _address(frame, {oxm.ARP: slice(38, 42), oxm.IPV6: _NEIGHBOUR_SOLICITATION_TARGET})


def _address(frame: bytes, where: dict[int, slice]) -> str | None:
    span = where.get(eth_type(frame))
    if span is None or len(frame) < span.stop:
        return None
    raw = frame[span]
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)


def time_exceeded(frame: bytes, router_mac: str, router_ip: str) -> bytes | None:
    """The answer to a packet whose TTL is used up, or None where none may be sent.

    :param frame: the packet that is dropped.
    :param router_mac: the MAC address to answer from.
    :param router_ip: the router's address of the packet's own family.
    """
    source, cause = ip_source(frame), _ip_packet(frame)
    if source is None or not cause or _is_icmp_error(frame) or _is_later_fragment(frame):
        return None
    router, sender = _packed(router_ip), _packed(source)
    if len(router) == 4:
        message = _checksummed(b"\x0b\x00\x00\x00" + bytes(4) + cause[:548])
        header = _checksummed_at(
            struct.pack("!BBHHHBBH4s4s", 0x45, 0xC0, 20 + len(message), 0, 0, 64, oxm.ICMP, 0, router, sender), 10
        )
        kind = oxm.IPV4
    else:
        body = b"\x03\x00\x00\x00" + bytes(4) + cause[:1232]
        pseudo = router + sender + struct.pack("!II", len(body), oxm.ICMPV6)
        message = _checksummed(body, pseudo)
        header = struct.pack("!IHBB16s16s", 6 << 28, len(message), oxm.ICMPV6, 64, router, sender)
        kind = oxm.IPV6
    ethernet = frame[6:12] + oxm.mac_number(router_mac).to_bytes(6, "big") + kind.to_bytes(2, "big")
    return ethernet + header + message


def echo_request(sender: tuple[str, str], receiver: tuple[str, str], code: int) -> bytes:
    """A ping, of the version of IP that both addresses are of.

    :param sender: MAC and IP address.
    :param receiver: likewise.
    :param code: of the ICMP message. It has no meaning there, and who answers says it back.
    """
    source, destination = _packed(sender[1]), _packed(receiver[1])
    message = struct.pack("!BBHHH", 8 if len(source) == 4 else 128, code, 0, 0, 1) + _ECHOED
    if len(source) == 4:
        message = _checksummed(message)
        header = _checksummed_at(
            struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(message), 0, 0, 64, oxm.ICMP, 0, source, destination), 10
        )
        kind = oxm.IPV4
    else:
        message = _checksummed(message, source + destination + struct.pack("!II", len(message), oxm.ICMPV6))
        header = struct.pack("!IHBB16s16s", 6 << 28, len(message), oxm.ICMPV6, 64, source, destination)
        kind = oxm.IPV6
    macs = (oxm.mac_number(mac).to_bytes(6, "big") for mac in (receiver[0], sender[0]))
    return b"".join((*macs, kind.to_bytes(2, "big"), header, message))


def _ip_packet(frame: bytes) -> bytes:
    """The IP packet in a frame, without the padding behind it; empty where there is none."""
    lengths = {oxm.IPV4: int.from_bytes(frame[16:18], "big"), oxm.IPV6: 40 + int.from_bytes(frame[18:20], "big")}
    return frame[ETHERNET_HEADER : ETHERNET_HEADER + lengths.get(eth_type(frame), 0)]


def _is_later_fragment(frame: bytes) -> bool:
    return eth_type(frame) == oxm.IPV4 and int.from_bytes(frame[20:22], "big") & 0x1FFF != 0


def _is_icmp_error(frame: bytes) -> bool:
    if eth_type(frame) == oxm.IPV6:
        return frame[20:21] == bytes([oxm.ICMPV6]) and frame[54:55] < b"\x80"
    offset = ETHERNET_HEADER + (frame[ETHERNET_HEADER] & 0x0F) * 4
    return frame[23:24] == bytes([oxm.ICMP]) and frame[offset : offset + 1] not in (b"\x08", b"\x00", b"\x0d")


def _packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def _checksummed(message: bytes, pseudo: bytes = b"") -> bytes:
    return message[:2] + checksum(pseudo + message).to_bytes(2, "big") + message[4:]


def _checksummed_at(header: bytes, offset: int) -> bytes:
    return header[:offset] + checksum(header).to_bytes(2, "big") + header[offset + 2 :]


def checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071)."""
    padded = data + bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
