"""What exists: the entries of the DPS tables (report, section 4.2.1) as frozen values.

Every entity has a *number*, unique in the whole DPS and never used again: it is what registers and cookies
carry.  Names are unique within their network.  References between entities are names, so that an entity does
not change when the one that it refers to does.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from dove_ryu.model.appliances import Provided
from dove_ryu.model.qos import Config, Rate

DEFAULT_TTL = 300
"""Seconds that a policy is cached for where its blueprint does not say (report, table 2)."""


class Service(enum.Enum):
    """What a virtual network carries for its endpoints (report, section 4.1.1; F13)."""

    L2 = "l2"
    L3 = "l3"


class Verdict(enum.Enum):
    """Whether packets may pass at all."""

    ALLOW = "allow"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A virtual router's interface, present at every dSwitch that hosts the network.

    :ivar mac: its MAC address.
    :ivar addresses: its IP addresses with subnet lengths, like ``10.0.0.1/24``.
    """

    mac: str
    addresses: tuple[str, ...]

    @property
    def ips(self) -> tuple[str, ...]:
        """The addresses without their lengths."""
        return tuple(address.partition("/")[0] for address in self.addresses)


@dataclass(frozen=True, slots=True)
class VirtualNetwork:
    """An entry of the Virtual Networks table.

    :ivar vni: what tunnels carry; the lower half of 24 bits, the upper half being labels.
    :ivar zone: of connection tracking, in which dSwitches keep its endpoints' connections apart from other networks'
        (X7); 0 as long as none of its policies is stateful.
    """

    name: str
    number: int
    vni: int
    service: Service = Service.L2
    gateways: tuple[Gateway, ...] = ()
    zone: int = 0

    @property
    def reply_label(self) -> int:
        """What tunnels carry instead of the VNI with what may only be a reply: a label that no segment has."""
        return FIRST_REPLY_LABEL | self.zone


FIRST_REPLY_LABEL = 0xFF0000
"""The last of the labels are for replies, one for each zone of 16 bits."""


@dataclass(frozen=True, slots=True)
class PolicyDomain:
    """An entry of the Policy Domain table; its members are the endpoints that name it."""

    network: str
    name: str
    number: int


@dataclass(frozen=True, slots=True)
class PolicyAction:
    """An entry of the Policy Action table (F31).

    :ivar kind: one of :data:`BUILT_IN_KINDS`, or what the appliance behind it does (``firewall``, ``ids``, ...).
    :ivar appliance: name of the appliance that it maps to; a built-in kind needs none.
    :ivar config: how to mark or what to limit; of any other kind handed on to the appliance unread.
    """

    network: str
    name: str
    number: int
    kind: str
    appliance: str | None = None
    config: Config = ""

    @property
    def needs_appliance(self) -> bool:
        """Whether infrastructure must stand behind it."""
        return self.kind not in BUILT_IN_KINDS


BUILT_IN_KINDS = ("accept", "deny", "mark", "rate", "log")
"""What dSwitches do themselves."""

BUILT_IN_ACTIONS = ("accept", "deny", "log")
"""Those that every network has without declaring them, each of its own kind."""


@dataclass(frozen=True, slots=True)
class Policy:
    """An entry of the Policy table: what packets from one domain to another may do (F1, F4).

    :ivar source: name of the source domain; None in the network's default policy (F5).
    :ivar destination: name of the destination domain; None likewise.
    :ivar actions: names of actions, in order (F2).
    :ivar ttl: seconds a dSwitch may cache it, 0 for until invalidated (F21).
    :ivar tracking: raised by one at each update, from 1 (F32).
    :ivar dscp: what packets are marked with, where no action says it (X8); None to leave them theirs.
    :ivar rate: what may be sent, likewise; None for all.
    :ivar stateful: whether replies of the connections that it lets begin pass without a policy of their own (X7).
    """

    network: str
    source: str | None
    destination: str | None
    number: int
    actions: tuple[str, ...]
    ttl: int = DEFAULT_TTL
    tracking: int = 1
    dscp: int | None = None
    rate: Rate | None = None
    stateful: bool = False

    @property
    def name(self) -> str:
        """What it is called in messages and URLs: ``web>app``, or ``default``."""
        return policy_name(self.source, self.destination)


def policy_name(source: str | None, destination: str | None) -> str:
    """The name of the policy for an ordered pair of domains; ``default`` for none."""
    return "default" if source is None or destination is None else f"{source}>{destination}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An entry of the Endpoint table (F33, F34).

    :ivar macs: its MAC addresses, the first being the one to answer ARP and ND with; none means they are
        learned.
    :ivar ips: its IP addresses, and prefixes for an endpoint that stands for many (external servers behind a
        router); none means they are learned.
    :ivar guard: whether it may send from its own addresses only (X6).
    """

    network: str
    name: str
    number: int
    domain: str
    macs: tuple[str, ...]
    ips: tuple[str, ...] = ()
    guard: bool = True

    @property
    def addresses(self) -> tuple[str, ...]:
        """The single addresses among :attr:`ips`."""
        return tuple(ip for ip in self.ips if "/" not in ip)

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The prefixes among :attr:`ips`."""
        return tuple(ip for ip in self.ips if "/" in ip)


@dataclass(frozen=True, slots=True)
class Segment:
    """A policy's way to one of its appliances (F16): what tunnels and the appliance's VLAN say of its packets.

    It is allotted when the policy is written, and stays the same for as long as the policy has that appliance there.

    :ivar policy: the policy's name.
    :ivar hop: which of the policy's appliances it leads to, from 1.
    :ivar label: what tunnels carry instead of a VNI; in the upper half of their 24 bits, and nobody else's.  It is even,
        and the odd one above it is the segment's too: it says that a packet is to go to an instance that is drained.
    :ivar vlan: the tag that its packets carry at the appliance, and no other's; 0 for none, at a dedicated one.
    """

    network: str
    policy: str
    hop: int
    label: int
    appliance: str
    vlan: int

    @property
    def name(self) -> str:
        """What it is called among its network's: ``web>app:1``."""
        return segment_name(self.policy, self.hop)


def segment_name(policy: str, hop: int) -> str:
    """The name of the segment to a policy's appliance of that hop."""
    return f"{policy}:{hop}"


@dataclass(frozen=True, slots=True)
class Place:
    """A port of a dSwitch."""

    dpid: int
    port: str


@dataclass(frozen=True, slots=True)
class Location:
    """Where an endpoint is: a port of a dSwitch (F24).

    :ivar tracking: raised by one at each move, from 1.
    :ivar observed: whether the port's own iface-id says so (X15), and the location ends when the port no longer does.
    :ivar migrating_to: where a live migration takes it; traffic reaches both places until it speaks there (X5).
    """

    network: str
    endpoint: str
    dpid: int
    port: str
    tracking: int = 1
    observed: bool = False
    migrating_to: Place | None = None

    @property
    def places(self) -> tuple[Place, ...]:
        """Everywhere that its packets are to reach it."""
        here = Place(self.dpid, self.port)
        return (here,) if self.migrating_to is None else (here, self.migrating_to)

    @property
    def dpids(self) -> frozenset[int]:
        """The datapath ids of :attr:`places`."""
        if self.migrating_to is None:
            return frozenset((self.dpid,))
        return frozenset((self.dpid, self.migrating_to.dpid))

    def port_at(self, dpid: int) -> str | None:
        """The name of its port at a dSwitch; None where it is not there."""
        if dpid == self.dpid:
            return self.port
        there = self.migrating_to
        return there.port if there is not None and dpid == there.dpid else None


@dataclass(frozen=True, slots=True)
class Learned:
    """Addresses that an endpoint was seen to use, or that its hypervisor hinted at (F24).

    They count where the endpoint's own entry leaves that kind of address open.
    """

    network: str
    endpoint: str
    macs: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()


class Encapsulation(enum.Enum):
    """A tunnel protocol (F10), in the order in which a pair of dSwitches prefers them."""

    GENEVE = "geneve"
    VXLAN = "vxlan"


@dataclass(frozen=True, slots=True)
class DSwitch:
    """A host's bridge as the provider registered it or its OVSDB tells.

    :ivar dpid: its datapath id.
    :ivar encap_ips: underlay addresses that other dSwitches send to, IPv4 or IPv6 or both.
    :ivar encap_types: tunnel protocols that it speaks.
    :ivar ovsdb: where its OVSDB is reached, as ``tcp:HOST:PORT``; None for its own address, ``none`` for
        nowhere.
    """

    dpid: int
    name: str = ""
    encap_ips: tuple[str, ...] = ()
    encap_types: tuple[Encapsulation, ...] = (Encapsulation.GENEVE,)
    ovsdb: str | None = None


def dpid_text(dpid: int) -> str:
    """A datapath id as operators write it: 16 hexadecimal digits."""
    return f"{dpid:016x}"


Entity = (
    VirtualNetwork | PolicyDomain | PolicyAction | Policy | Segment | Endpoint | Location | Learned | DSwitch | Provided
)
