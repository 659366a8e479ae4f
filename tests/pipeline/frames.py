"""Frames as endpoints send them, made with the framework's packet library."""

from __future__ import annotations

from os_ken.lib.packet import arp, ethernet, icmp, icmpv6, ipv4, ipv6, packet, tcp

Host = tuple[str, str]
"""MAC and IP address."""

BROADCAST = "ff:ff:ff:ff:ff:ff"


def _bytes(*layers: object) -> bytes:
    made = packet.Packet()
    for layer in layers:
        made.add_protocol(layer)
    made.serialize()
    return bytes(made.data)


def arp_request(mac: str, ip: str, target: str, to: str = BROADCAST) -> bytes:
    """Who has *target*?"""
    return _bytes(ethernet.ethernet(to, mac, 0x0806), arp.arp(opcode=1, src_mac=mac, src_ip=ip, dst_ip=target))


def neighbour_solicitation(mac: str, ip: str, target: str) -> bytes:
    """Who has *target*?, over IPv6."""
    question = icmpv6.nd_neighbor(dst=target, option=icmpv6.nd_option_sla(hw_src=mac))
    return _bytes(
        ethernet.ethernet("33:33:ff:00:00:01", mac, 0x86DD),
        ipv6.ipv6(src=ip, dst="ff02::1:ff00:1", nxt=58, hop_limit=255),
        icmpv6.icmpv6(type_=135, data=question),
    )


def icmp_echo(sender: Host, receiver: Host, ttl: int = 64) -> bytes:
    """A ping."""
    return _bytes(
        ethernet.ethernet(receiver[0], sender[0], 0x0800),
        ipv4.ipv4(src=sender[1], dst=receiver[1], proto=1, ttl=ttl),
        icmp.icmp(type_=8, data=icmp.echo(id_=1, seq=1, data=b"ping")),
    )


def icmpv6_echo(sender: Host, receiver: Host, hop_limit: int = 64) -> bytes:
    """A ping over IPv6."""
    return _bytes(
        ethernet.ethernet(receiver[0], sender[0], 0x86DD),
        ipv6.ipv6(src=sender[1], dst=receiver[1], nxt=58, hop_limit=hop_limit),
        icmpv6.icmpv6(type_=128, data=icmpv6.echo(id_=1, seq=1, data=b"ping")),
    )


def tcp_segment(sender: Host, receiver: Host, ports: tuple[int, int], flags: int = tcp.TCP_ACK) -> bytes:
    """A segment of a connection, over either version of IP; by default not its first."""
    six = ":" in sender[1]
    inner = (
        ipv6.ipv6(src=sender[1], dst=receiver[1], nxt=6) if six else ipv4.ipv4(src=sender[1], dst=receiver[1], proto=6)
    )
    return _bytes(
        ethernet.ethernet(receiver[0], sender[0], 0x86DD if six else 0x0800),
        inner,
        tcp.tcp(src_port=ports[0], dst_port=ports[1], bits=flags),
    )
