"""Addresses in one canonical spelling, so that equal addresses are equal strings.

MAC addresses are ``02:00:00:00:00:01``, IP addresses as RFC 5952 and RFC 6943 write them, prefixes ``192.0.2.0/24``.
Most addresses that are read are in that spelling already, and are taken as they are: a blueprint of thousands of
endpoints is read in half the time.
"""

from __future__ import annotations

import re
import socket

import netaddr

_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}", re.ASCII)


class BadAddress(ValueError):
    """A text that is no such address; the message says what would be."""


def canonical_mac(text: object) -> str:
    """A unicast MAC address; any notation that IEEE 802 or a vendor uses is understood."""
    try:
        if not isinstance(text, str):
            raise TypeError
        mac = text if _MAC.fullmatch(text) else str(netaddr.EUI(text, version=48, dialect=netaddr.mac_unix_expanded))
    except (netaddr.AddrFormatError, TypeError, ValueError):
        raise BadAddress(f"{text!r} is no MAC address; write it like '02:00:00:00:00:01'") from None
    if int(mac[:2], 16) & 1:
        raise BadAddress(f"'{mac}' is a group address; an endpoint needs a unicast MAC address")
    if mac == "00:00:00:00:00:00":
        raise BadAddress("'00:00:00:00:00:00' is no endpoint's MAC address")
    return mac


def canonical_ip(text: object) -> str:
    """A unicast IPv4 or IPv6 address."""
    try:
        if not isinstance(text, str):
            raise TypeError
        address = text if _is_ipv4(text) else str(netaddr.IPAddress(text, flags=netaddr.INET_PTON))
    except (netaddr.AddrFormatError, TypeError, ValueError):
        raise BadAddress(f"{text!r} is no IP address; write it like '10.0.0.1' or 'fd00::1'") from None
    octets = packed(address)
    group = octets[0] == 0xFF if is_ipv6(address) else octets[0] >> 4 == 0xE
    if group or not any(octets) or address == "255.255.255.255":
        raise BadAddress(f"'{address}' is not an address that one endpoint can have")
    return address


def canonical_prefix(text: object) -> str:
    """An IP prefix with no bits beyond its length, like ``192.0.2.0/24``."""
    network = _network(text)
    if network.ip != network.network:
        raise BadAddress(f"'{text}' has bits beyond its length; did you mean '{network.cidr}'?")
    return str(network)


def canonical_interface(text: object) -> str:
    """An IP address with the length of its subnet, like ``10.0.0.1/24``."""
    network = _network(text)
    return f"{canonical_ip(str(network.ip))}/{network.prefixlen}"


def _is_ipv4(text: str) -> bool:
    """Whether it is an IPv4 address; there is but one way to write one."""
    try:
        socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError):
        return False
    return True


def _network(text: object) -> netaddr.IPNetwork:
    try:
        if not isinstance(text, str) or "/" not in text:
            raise TypeError
        return netaddr.IPNetwork(text)
    except (netaddr.AddrFormatError, TypeError, ValueError):
        raise BadAddress(f"{text!r} is no prefix; write it like '10.0.0.0/24' or 'fd00::/64'") from None


def is_mac(address: str) -> bool:
    """Whether a canonical address is a MAC address: six groups of two digits, which no IPv6 address is."""
    return len(address) == 17 and address[2::3] == ":::::"


def is_ipv6(address: str) -> bool:
    """Whether an IP address, prefix or interface address is of IPv6."""
    return ":" in address


def link_local(mac: str) -> str:
    """The link-local IPv6 address that a host makes from its MAC address (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    interface = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return socket.inet_ntop(socket.AF_INET6, b"\xfe\x80" + bytes(6) + interface)


def packed(address: str) -> bytes:
    """An IP address as its 4 or 16 bytes on the wire."""
    return socket.inet_pton(socket.AF_INET6 if is_ipv6(address) else socket.AF_INET, address)
