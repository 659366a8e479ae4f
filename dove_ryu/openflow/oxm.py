"""The match fields of OpenFlow and Open vSwitch that the pipeline uses.

Each is declared once: the name that ``ovs-ofctl`` gives it, the name it has in a ``move`` action, its OXM header, its
size, how a value is written, and what must be matched along with it.  Everything else (:mod:`flow`, the wire codec, the
documentation) reads this table.

Sources: OpenFlow 1.3.5, 7.2.3 (OXM classes and fields); ovs-fields(7) for names, prerequisites and the Nicira classes.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

OPENFLOW_BASIC = 0x8000
NICIRA_EXTENSIBLE = 0x0001
NICIRA_BASIC = 0x0000
ND_EXTENSIONS = 0x1000
"""OXM class of ``nd_reserved`` and ``nd_options_type`` (ERICOXM in ovs-fields(7), OVS 2.11 and up)."""

ARP, RARP, IPV4, IPV6 = 0x0806, 0x8035, 0x0800, 0x86DD
ICMP, TCP, ICMPV6 = 1, 6, 58
NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT = 135, 136


def mac_text(value: int) -> str:
    """48 bits as ``00:00:00:00:00:01``."""
    return ":".join(f"{byte:02x}" for byte in value.to_bytes(6, "big"))


def mac_number(text: str) -> int:
    """The reverse of :func:`mac_text`; ValueError where *text* is no MAC address."""
    octets = bytes.fromhex(text.replace(":", " "))
    if len(octets) != 6 or text.count(":") != 5:
        raise ValueError(f"{text!r} is no MAC address: six octets joined by ':' are needed")
    return int.from_bytes(octets, "big")


def _ipv4_text(value: int) -> str:
    return socket.inet_ntop(socket.AF_INET, value.to_bytes(4, "big"))


def _ipv6_text(value: int) -> str:
    return socket.inet_ntop(socket.AF_INET6, value.to_bytes(16, "big"))


@dataclass(frozen=True, slots=True)
class Notation:
    """How ``ovs-ofctl`` writes and reads the values of a field."""

    text: Callable[[int], str]
    number: Callable[[str], int]


DECIMAL = Notation(str, lambda text: int(text, 0))
HEXADECIMAL = Notation(lambda value: f"{value:#x}" if value else "0", lambda text: int(text, 0))
VLAN = Notation("0x{:04x}/0x1fff".format, lambda text: int(text.partition("/")[0], 0))  # as ovs-ofctl writes a VID
TAGGED = 0x1000
"""The bit of a VID that says that there is a tag; 0 in all is no tag (OpenFlow 1.3.5, 7.2.3.7)."""

ESTABLISHED, RELATED, REPLYING, INVALID, TRACKED = 0x02, 0x04, 0x08, 0x10, 0x20
CONNECTION_STATES = {0x01: "new", ESTABLISHED: "est", RELATED: "rel", REPLYING: "rpl", INVALID: "inv", TRACKED: "trk"}
"""The bits of ``ct_state`` by their names, in the order in which ``ovs-ofctl`` writes them."""

MAC = Notation(mac_text, mac_number)
IPV4_ADDRESS = Notation(_ipv4_text, lambda text: int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big"))
IPV6_ADDRESS = Notation(_ipv6_text, lambda text: int.from_bytes(socket.inet_pton(socket.AF_INET6, text), "big"))


_HEADER = struct.Struct("!HBB")
"""Class, number with the bit for a mask, and length (OpenFlow 1.3.5, 7.2.3.2)."""


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """One match field.

    :ivar name: as ``ovs-ofctl`` writes it in a match.
    :ivar nxm: as ``ovs-ofctl`` writes it in a ``move`` or ``output`` action.
    :ivar oxm_class: OXM class.
    :ivar number: field number within the class.
    :ivar width: in bits.
    :ivar requires: the values that other fields must have in the same match, as (field, value) pairs.
    :ivar rank: place among the fields of a match when it is written or sent; prerequisites come first.
    :ivar octets: length of a value on the wire.
    :ivar full_mask: the mask that compares every bit.
    :ivar header: what comes before a value on the wire.
    :ivar masked_header: what comes before a value and a mask.
    """

    name: str
    nxm: str
    oxm_class: int
    number: int
    width: int
    notation: Notation
    requires: tuple[tuple[Field, int], ...] = ()
    set_name: str = ""
    rank: int = 0
    octets: int = field(init=False)
    full_mask: int = field(init=False)
    header: bytes = field(init=False)
    masked_header: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "octets", (self.width + 7) // 8)
        object.__setattr__(self, "full_mask", (1 << self.width) - 1)
        object.__setattr__(self, "header", _HEADER.pack(self.oxm_class, self.number << 1, self.octets))
        object.__setattr__(self, "masked_header", _HEADER.pack(self.oxm_class, self.number << 1 | 1, self.octets * 2))

    def parse(self, value: int | str) -> int:
        """*value* as a number; ValueError names the field when it is no such value or too large."""
        try:
            number = self.notation.number(value) if isinstance(value, str) else value
        except (ValueError, OSError) as error:
            raise ValueError(f"{self.name}: {value!r} is no value for it ({error})") from None
        if not 0 <= number <= self.full_mask:
            raise ValueError(f"{self.name}: {value!r} does not fit {self.width} bits")
        return number

    def __repr__(self) -> str:
        return f"<{self.name}>"


FIELDS: list[Field] = []
"""Every field, in the order in which ``ovs-ofctl`` writes a match."""

BY_HEADER: dict[tuple[int, int], Field] = {}
"""Every field by (OXM class, field number)."""


def _field(
    name: str,
    nxm: str,
    header: tuple[int, int],
    width: int,
    notation: Notation = HEXADECIMAL,
    requires: tuple[tuple[Field, int], ...] = (),
    set_name: str = "",
) -> Field:
    made = Field(name, nxm, *header, width, notation, requires, set_name or name, rank=len(FIELDS))
    FIELDS.append(made)
    BY_HEADER[header] = made
    return made


IN_PORT_NXM = Field("in_port", "NXM_OF_IN_PORT", 0x0000, 0, 16, DECIMAL, set_name="in_port")
"""The port a packet came from as an action may set it; 0 lets a packet go back into the tunnel it came from."""

REGISTERS = tuple(_field(f"reg{n}", f"NXM_NX_REG{n}", (NICIRA_EXTENSIBLE, n), 32) for n in range(16))
TUN_ID = _field("tun_id", "NXM_NX_TUN_ID", (OPENFLOW_BASIC, 38), 64)
TUN_SRC = _field("tun_src", "NXM_NX_TUN_IPV4_SRC", (NICIRA_EXTENSIBLE, 31), 32, IPV4_ADDRESS)
TUN_DST = _field("tun_dst", "NXM_NX_TUN_IPV4_DST", (NICIRA_EXTENSIBLE, 32), 32, IPV4_ADDRESS)
TUN_IPV6_SRC = _field("tun_ipv6_src", "NXM_NX_TUN_IPV6_SRC", (NICIRA_EXTENSIBLE, 109), 128, IPV6_ADDRESS)
TUN_IPV6_DST = _field("tun_ipv6_dst", "NXM_NX_TUN_IPV6_DST", (NICIRA_EXTENSIBLE, 110), 128, IPV6_ADDRESS)
CT_STATE = _field("ct_state", "NXM_NX_CT_STATE", (NICIRA_EXTENSIBLE, 105), 32)
METADATA = _field("metadata", "OXM_OF_METADATA", (OPENFLOW_BASIC, 2), 64)
IN_PORT = _field("in_port", "NXM_OF_IN_PORT", (OPENFLOW_BASIC, 0), 32, DECIMAL)
VLAN_VID = _field("vlan_tci", "NXM_OF_VLAN_TCI", (OPENFLOW_BASIC, 6), 13, VLAN, set_name="vlan_vid")
ETH_SRC = _field("dl_src", "NXM_OF_ETH_SRC", (OPENFLOW_BASIC, 4), 48, MAC, set_name="eth_src")
ETH_DST = _field("dl_dst", "NXM_OF_ETH_DST", (OPENFLOW_BASIC, 3), 48, MAC, set_name="eth_dst")
ETH_TYPE = _field("dl_type", "NXM_OF_ETH_TYPE", (OPENFLOW_BASIC, 5), 16, set_name="eth_type")

_IS_IPV4, _IS_IPV6, _IS_ARP = ((ETH_TYPE, IPV4),), ((ETH_TYPE, IPV6),), ((ETH_TYPE, ARP),)
IPV4_SRC = _field("nw_src", "NXM_OF_IP_SRC", (OPENFLOW_BASIC, 11), 32, IPV4_ADDRESS, _IS_IPV4, "ip_src")
IPV4_DST = _field("nw_dst", "NXM_OF_IP_DST", (OPENFLOW_BASIC, 12), 32, IPV4_ADDRESS, _IS_IPV4, "ip_dst")
IPV6_SRC = _field("ipv6_src", "NXM_NX_IPV6_SRC", (OPENFLOW_BASIC, 26), 128, IPV6_ADDRESS, _IS_IPV6)
IPV6_DST = _field("ipv6_dst", "NXM_NX_IPV6_DST", (OPENFLOW_BASIC, 27), 128, IPV6_ADDRESS, _IS_IPV6)
ARP_SPA = _field("arp_spa", "NXM_OF_ARP_SPA", (OPENFLOW_BASIC, 22), 32, IPV4_ADDRESS, _IS_ARP)
ARP_TPA = _field("arp_tpa", "NXM_OF_ARP_TPA", (OPENFLOW_BASIC, 23), 32, IPV4_ADDRESS, _IS_ARP)
IP_PROTO = _field("nw_proto", "NXM_OF_IP_PROTO", (OPENFLOW_BASIC, 10), 8, DECIMAL)
ARP_OP = _field("arp_op", "NXM_OF_ARP_OP", (OPENFLOW_BASIC, 21), 16, DECIMAL, _IS_ARP)
ARP_SHA = _field("arp_sha", "NXM_NX_ARP_SHA", (OPENFLOW_BASIC, 24), 48, MAC, _IS_ARP)
ARP_THA = _field("arp_tha", "NXM_NX_ARP_THA", (OPENFLOW_BASIC, 25), 48, MAC, _IS_ARP)
IP_TOS = _field("nw_tos", "NXM_OF_IP_TOS", (NICIRA_BASIC, 5), 8, DECIMAL)
IP_TTL = _field("nw_ttl", "NXM_NX_IP_TTL", (NICIRA_EXTENSIBLE, 29), 8, DECIMAL)

_IS_TCP = ((IP_PROTO, TCP),)  # over IPv4 or IPv6, which whoever matches it says
TCP_SRC = _field("tp_src", "NXM_OF_TCP_SRC", (OPENFLOW_BASIC, 13), 16, DECIMAL, _IS_TCP)
TCP_DST = _field("tp_dst", "NXM_OF_TCP_DST", (OPENFLOW_BASIC, 14), 16, DECIMAL, _IS_TCP)
TCP_FLAGS = _field("tcp_flags", "NXM_NX_TCP_FLAGS", (NICIRA_EXTENSIBLE, 34), 12, HEXADECIMAL, _IS_TCP)
SYN, ACK = 0x002, 0x010

_IS_ICMP = (*_IS_IPV4, (IP_PROTO, ICMP))
_IS_ICMPV6 = (*_IS_IPV6, (IP_PROTO, ICMPV6))
_IS_SOLICITATION_OR_ADVERTISEMENT = _IS_ICMPV6  # the type itself is checked by the switch: 135 or 136
ICMP_TYPE = _field("icmp_type", "NXM_OF_ICMP_TYPE", (OPENFLOW_BASIC, 19), 8, DECIMAL, _IS_ICMP)
ICMPV6_TYPE = _field("icmp_type", "NXM_NX_ICMPV6_TYPE", (OPENFLOW_BASIC, 29), 8, DECIMAL, _IS_ICMPV6, "icmpv6_type")
ICMP_CODE = _field("icmp_code", "NXM_OF_ICMP_CODE", (OPENFLOW_BASIC, 20), 8, DECIMAL, _IS_ICMP)
ICMPV6_CODE = _field("icmp_code", "NXM_NX_ICMPV6_CODE", (OPENFLOW_BASIC, 30), 8, DECIMAL, _IS_ICMPV6, "icmpv6_code")
ND_TARGET = _field(
    "nd_target",
    "NXM_NX_ND_TARGET",
    (OPENFLOW_BASIC, 31),
    128,
    IPV6_ADDRESS,
    _IS_SOLICITATION_OR_ADVERTISEMENT,
)
ND_SLL = _field(
    "nd_sll", "NXM_NX_ND_SLL", (OPENFLOW_BASIC, 32), 48, MAC, (*_IS_ICMPV6, (ICMPV6_TYPE, NEIGHBOUR_SOLICITATION))
)
ND_TLL = _field(
    "nd_tll", "NXM_NX_ND_TLL", (OPENFLOW_BASIC, 33), 48, MAC, (*_IS_ICMPV6, (ICMPV6_TYPE, NEIGHBOUR_ADVERTISEMENT))
)
ND_RESERVED = _field("nd_reserved", "ERICOXM_OF_ICMPV6_ND_RESERVED", (ND_EXTENSIONS, 1), 32, DECIMAL, _IS_ICMPV6)
ND_OPTIONS_TYPE = _field(
    "nd_options_type", "ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE", (ND_EXTENSIONS, 2), 8, DECIMAL, _IS_ICMPV6
)

BY_HEADER |= {
    (NICIRA_BASIC, 0): IN_PORT_NXM,
    (NICIRA_BASIC, 1): ETH_DST,
    (NICIRA_BASIC, 2): ETH_SRC,
    (NICIRA_BASIC, 3): ETH_TYPE,
    (NICIRA_BASIC, 6): IP_PROTO,
    (NICIRA_BASIC, 7): IPV4_SRC,
    (NICIRA_BASIC, 8): IPV4_DST,
    (NICIRA_BASIC, 9): TCP_SRC,
    (NICIRA_BASIC, 10): TCP_DST,
    (NICIRA_BASIC, 16): ARP_SPA,
    (NICIRA_BASIC, 17): ARP_TPA,
    (NICIRA_EXTENSIBLE, 16): TUN_ID,
    (NICIRA_EXTENSIBLE, 17): ARP_SHA,
    (NICIRA_EXTENSIBLE, 18): ARP_THA,
    (NICIRA_EXTENSIBLE, 19): IPV6_SRC,
    (NICIRA_EXTENSIBLE, 20): IPV6_DST,
    (NICIRA_EXTENSIBLE, 25): ND_TLL,
}
"""Open vSwitch says the fields of an action back in its older numbering, whichever they were sent in."""

TCP_FLAG_NAMES = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns")
"""The flags of a TCP header, from the lowest bit."""

SHORTHANDS: Mapping[tuple[int, int | None], str] = {
    (ARP, None): "arp",
    (RARP, None): "rarp",
    (IPV4, None): "ip",
    (IPV6, None): "ipv6",
    (IPV4, ICMP): "icmp",
    (IPV6, ICMPV6): "icmp6",
    (IPV4, TCP): "tcp",
    (IPV6, TCP): "tcp6",
}
"""(Ethernet type, IP protocol) -> the word that stands for both in a match."""
