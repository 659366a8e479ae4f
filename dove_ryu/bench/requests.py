"""Policy requests as Open vSwitch sends them, and the answer that each must get.

A packet-in is rendered byte for byte as ovs-vswitchd 3.1 encodes one (a test holds a real one beside it): the match
carries the ingress port, then whatever registers are not zero, then metadata.  The expected answer comes from a
:class:`~dove_ryu.dps.Dps` with the same world, by the plain way: read, resolve, build flows, encode.  The fast lane has
to give these bytes and no others.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from random import Random

from dove_ryu.bench.world import GATEWAY_MAC, Host, Plan
from dove_ryu.dps import Dps
from dove_ryu.model.entities import Service
from dove_ryu.openflow import oxm
from dove_ryu.openflow.fields import BY_ADDRESS, SOURCE_DOMAIN, SOURCE_ENDPOINT, VNI, Cookie, Kind
from dove_ryu.openflow.pipeline import LOCATION
from dove_ryu.southbound import codec

MAGIC = b"DOVEDSW1"
LEARNING_VLAN = 100
LEARNING_PORTS = 4
"""Faucet takes a second for each hundred ports of a switch that connects."""
LEARNING_COOKIE = 1524372928
"""That of Faucet's own flows, which it looks for in a packet-in."""
_HEADER = struct.Struct("=8sQIIQQ")
_PORT = struct.Struct("!I4x6s2x16sII24x")
_OXM_WORD = struct.Struct("!HBBI")
_PACKET_IN = struct.Struct("!IHBBQHH")
_NO_BUFFER, _OXM = 0xFFFFFFFF, 1
_NO_MATCH, _BY_ACTION = 0, 1
_UDP, _TCP, _SYN, _TAGGED = 17, 6, 2, 0x8100
_TTL = 64
_SIZES = range(64, 101)
"""How long the packets are that come up, in bytes."""


@dataclass(frozen=True, slots=True)
class Request:
    """A policy request, and what has to come back."""

    packet_in: bytes
    answer: bytes


class UnansweredError(ValueError):
    """The plain way gives a request no answer, so nothing could be checked."""


def policy_requests(plan: Plan, dps: Dps, dpid: int, count: int, random: Random) -> Iterator[Request]:
    """Requests of a dSwitch for random pairs of one network: a host of its own asks for any other of its network.

    :param dps: whose world is that of *plan*, and knows the dSwitch's ports.
    :raises UnansweredError: where the DPS would not answer, so that the world is not that of *plan*.
    """
    hosted = plan.hosted(dpid)
    for _ in range(count):
        network, member = random.choice(hosted)
        other = (member + random.randrange(1, plan.members)) % plan.members
        sent = first_packet(plan, network, member, other, random)
        request = location_request(plan, dps, network, member, sent)
        answer = plain_answer(dps, dpid, request)
        if not answer:
            raise UnansweredError(f"dSwitch {dpid} gets no answer for {plan.network(network)}, e{member} to e{other}")
        yield Request(request, answer)


def plain_requests(plan: Plan, dpid: int, count: int, random: Random) -> Iterator[Request]:
    """The same packets as a switch with one empty table sends them up, for controllers that know no pipeline."""
    hosted = plan.hosted(dpid)
    for _ in range(count):
        network, member = random.choice(hosted)
        _, other = random.choice(hosted)
        sender, receiver = plan.host(network, member), plan.host(network, other)
        data = frame(sender, receiver, receiver.mac, random)
        yield Request(packet_in(0, 0, {oxm.IN_PORT: sender.port}, data), b"")


def learning_requests(dpid: int, count: int, random: Random) -> Iterator[Request]:
    """Packets of ever new senders in a VLAN, for Faucet, which answers a packet-in only to remember its sender."""
    tag = struct.pack("!HH", _TAGGED, LEARNING_VLAN)
    for serial in range(count):
        mac = (0x06 << 40 | dpid << 24 | serial).to_bytes(6, "big").hex(":")
        sender = Host("", mac, "10.0.0.1", "fd00::1", dpid, 0)
        data = frame(sender, sender, "02:00:00:00:00:01", random)
        fields = {oxm.IN_PORT: random.randrange(LEARNING_PORTS) + 1}
        yield Request(packet_in(LEARNING_COOKIE, 0, fields, data[:12] + tag + data[12:], _BY_ACTION), b"")


def plain_answer(dps: Dps, dpid: int, packet_in: bytes) -> bytes:
    """The bytes that the ordinary way writes for a packet-in."""
    answer = dps.packet_in(dpid, codec.read_packet_in(packet_in))
    return b"".join(map(codec.change, answer.flows)) + b"".join(map(codec.packet_out, answer.packets))


def first_packet(plan: Plan, network: int, member: int, other: int, random: Random) -> bytes:
    """What one endpoint of a network sends another one first; in an L3 network, by way of the gateway."""
    sender, receiver = plan.host(network, member), plan.host(network, other)
    return frame(sender, receiver, GATEWAY_MAC if _is_routed(plan, network) else receiver.mac, random)


def location_request(plan: Plan, dps: Dps, network: int, member: int, sent: bytes) -> bytes:
    """What an endpoint has sent, as it comes up from LOCATION; in an L3 network it has passed the router."""
    tables, routed = dps.world.tables[plan.network(network)], _is_routed(plan, network)
    sender = plan.host(network, member)
    source = tables.endpoints[sender.name]
    fields = {
        oxm.IN_PORT: sender.port,
        **({BY_ADDRESS.field: 1} if routed else {}),
        SOURCE_DOMAIN.field: tables.domains[source.domain].number,
        SOURCE_ENDPOINT.field: source.number,
        VNI.field: network + 1,
    }
    data = after_a_hop(sent, GATEWAY_MAC) if routed else sent
    return packet_in(int(Cookie(Kind.MISS, LOCATION.number)), LOCATION.number, fields, data)


def _is_routed(plan: Plan, network: int) -> bool:
    return plan.service(network) is Service.L3


def packet_in(cookie: int, table: int, fields: dict[oxm.Field, int], data: bytes, reason: int = _NO_MATCH) -> bytes:
    """A packet-in message with the whole packet."""
    terms = b"".join(
        _OXM_WORD.pack(field.oxm_class, field.number << 1, 4, value)
        if field.octets == 4
        else struct.pack("!HBBQ", field.oxm_class, field.number << 1, 8, value)
        for field, value in fields.items()
    )
    head = _PACKET_IN.pack(_NO_BUFFER, len(data), reason, table, cookie, _OXM, 4 + len(terms))
    return codec.message(codec.PACKET_IN, head + terms + bytes(-(4 + len(terms)) % 8) + b"\0\0" + data)


def frame(sender: Host, receiver: Host, to: str, random: Random, only_ipv4: bool = False) -> bytes:
    """A first packet: a TCP SYN or a UDP datagram, one in eight over IPv6; 64 to 100 bytes."""
    six = random.randrange(8) == 0 and not only_ipv4
    ports = struct.pack("!HH", random.randrange(1024, 65536), random.choice((53, 80, 443, 5432)))
    if random.randrange(2):
        protocol, transport = _TCP, ports + struct.pack("!IIBBHHH", random.getrandbits(32), 0, 0x50, _SYN, 64240, 0, 0)
    else:
        body = max(0, random.choice(_SIZES) - 14 - (40 if six else 20) - 8)
        protocol, transport = _UDP, ports + struct.pack("!HH", 8 + body, 0) + bytes(body)
    ethernet = _mac(to) + _mac(sender.mac)
    if six:
        addresses = IPv6Address(sender.ipv6).packed + IPv6Address(receiver.ipv6).packed
        header = struct.pack("!IHBB", 6 << 28, len(transport), protocol, _TTL) + addresses
    else:
        addresses = IPv4Address(sender.ipv4).packed + IPv4Address(receiver.ipv4).packed
        header = _checksummed(struct.pack("!BBHHHBBxx", 0x45, 0, 20 + len(transport), 0, 0, _TTL, protocol) + addresses)
    kind = oxm.IPV6 if six else oxm.IPV4
    whole: bytes = (ethernet + kind.to_bytes(2, "big") + header + transport).ljust(_SIZES.start, b"\0")
    return whole


def after_a_hop(sent: bytes, router: str) -> bytes:
    """A frame when it has passed a router: from its address, and with a hop less to live."""
    ethernet: bytes = sent[:6] + _mac(router) + sent[12:14]
    packet = sent[14:]
    if sent[12:14] == oxm.IPV6.to_bytes(2, "big"):
        return ethernet + packet[:7] + bytes([packet[7] - 1]) + packet[8:]
    header = packet[:8] + bytes([packet[8] - 1, packet[9], 0, 0]) + packet[12:20]
    return ethernet + _checksummed(header) + packet[20:]


def _checksummed(header: bytes) -> bytes:
    """An IPv4 header with its checksum (RFC 1071) in the place that is zero yet."""
    total: int = sum(struct.unpack("!10H", header))
    folded = (total & 0xFFFF) + (total >> 16)
    return header[:10] + (~(folded + (folded >> 16)) & 0xFFFF).to_bytes(2, "big") + header[12:]


def write_dswitch(path: Path, dpid: int, ports: dict[str, int], requests: list[Request]) -> None:
    """The file of one emulated dSwitch (``dswitch_file.h`` says its form)."""
    packet_ins = [request.packet_in for request in requests]
    answers = [request.answer for request in requests]
    parts = [
        _HEADER.pack(MAGIC, dpid, len(ports), len(requests), sum(map(len, packet_ins)), sum(map(len, answers))),
        *(_PORT.pack(number, _port_mac(dpid, number), name.encode(), 0, 4) for name, number in ports.items()),
        _offsets(packet_ins),
        _offsets(answers),
        *packet_ins,
        *answers,
    ]
    path.write_bytes(b"".join(parts))


def read_dswitch(path: Path) -> list[Request]:
    """The requests in a dSwitch's file, with their answers."""
    data = path.read_bytes()
    _, _, ports, count, request_bytes, _ = _HEADER.unpack_from(data)
    at = _HEADER.size + ports * _PORT.size
    offsets = struct.unpack_from(f"={2 * count + 2}I", data, at)
    requests = at + 4 * len(offsets)
    answers = requests + request_bytes
    return [
        Request(
            data[requests + offsets[each] : requests + offsets[each + 1]],
            data[answers + offsets[count + 1 + each] : answers + offsets[count + 2 + each]],
        )
        for each in range(count)
    ]


def _offsets(messages: list[bytes]) -> bytes:
    total, offsets = 0, [0]
    for message in messages:
        total += len(message)
        offsets.append(total)
    return struct.pack(f"={len(offsets)}I", *offsets)


def _port_mac(dpid: int, number: int) -> bytes:
    return struct.pack("!BBHH", 0x0A, 0, dpid & 0xFFFF, number)


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))
