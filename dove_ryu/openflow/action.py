"""What a flow does with a packet, as frozen values whose str() is ovs-ofctl's own syntax."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from functools import lru_cache

from dove_ryu.openflow import oxm
from dove_ryu.openflow.fields import Bits
from dove_ryu.openflow.match import Term, _term, span
from dove_ryu.openflow.oxm import Field


@dataclass(frozen=True, slots=True)
class SetField:
    """Give a field, or those bits of it that *mask* names (they are next to each other), a value."""

    field: Field
    value: int
    mask: int

    def __str__(self) -> str:
        if self.mask == self.field.full_mask:
            plain = self.field is oxm.VLAN_VID  # of which a match has another form
            value = str(self.value) if plain else self.field.notation.text(self.value)
            return f"set_field:{value}->{self.field.set_name}"
        low = (self.mask & -self.mask).bit_length() - 1
        return f"load:{self.value >> low:#x}->{span(self.field, low, self.mask.bit_count())}"


@dataclass(frozen=True, slots=True)
class Move:
    """Copy *width* bits of one field to another (NXAST_REG_MOVE).

    :ivar source_low: the lowest bit that is copied.
    :ivar target_low: where it goes.
    """

    source: Field
    target: Field
    width: int
    source_low: int = 0
    target_low: int = 0

    def __str__(self) -> str:
        return (
            f"move:{span(self.source, self.source_low, self.width)}->{span(self.target, self.target_low, self.width)}"
        )


@dataclass(frozen=True, slots=True)
class Multipath:
    """Give the low *width* bits of a field a number below *links*, the same for both directions of a connection.

    (NXAST_MULTIPATH.)

    It is a hash of the IP addresses, the protocol and the ports of TCP, UDP and SCTP; of no MAC address and no tag.
    What is no IP, and what has no ports because it is a fragment, has what its other fields say.
    """

    target: Field
    width: int
    links: int

    def __str__(self) -> str:
        return f"multipath(symmetric_l3l4+udp,0,modulo_n,{self.links},0,{span(self.target, 0, self.width)})"


@dataclass(frozen=True, slots=True)
class Learn:
    """Add a flow that is made of the packet (NXAST_LEARN), or begin its time-out anew where it is there.

    :ivar table: number of the table that it goes into.
    :ivar fin_timeout: what its idle time-out falls to when the connection ends.
    :ivar like: fields that it matches, each as the packet has it or as another of the packet's fields is.
    :ivar where: terms that it matches besides.
    :ivar load: the register that it loads with what the packet's own holds.
    """

    table: int
    priority: int
    cookie: int
    idle_timeout: int
    fin_timeout: int
    where: tuple[Term, ...]
    like: tuple[tuple[Field, Field], ...]
    load: Field

    def __str__(self) -> str:
        head = f"table={self.table},idle_timeout={self.idle_timeout},fin_idle_timeout={self.fin_timeout}"
        fixed = (f"{each.field.set_name}={each.field.notation.text(each.value)}" for each in self.where)
        alike = (
            f"{target.nxm}[]" if target is source else f"{target.nxm}[]={source.nxm}[]" for target, source in self.like
        )
        words = (head, f"priority={self.priority}", f"cookie={self.cookie:#x}", *fixed, *alike)
        return f"learn({','.join(words)},load:{self.load.nxm}[]->{self.load.nxm}[])"


@dataclass(frozen=True, slots=True)
class FinTimeout:
    """Let the flow's idle time-out fall when a TCP connection ends by it (NXAST_FIN_TIMEOUT)."""

    idle_timeout: int

    def __str__(self) -> str:
        return f"fin_timeout(idle_timeout={self.idle_timeout})"


@dataclass(frozen=True, slots=True)
class Clone:
    """Do something with a copy of the packet, and go on with the packet as it was (NXAST_CLONE)."""

    actions: tuple[Action, ...]

    def __str__(self) -> str:
        return f"clone({','.join(map(str, self.actions))})"


@dataclass(frozen=True, slots=True)
class PushVlan:
    """Put a VLAN tag of number 0 (IEEE 802.1Q) in front of what the frame carries."""

    def __str__(self) -> str:
        return "push_vlan:0x8100"


@dataclass(frozen=True, slots=True)
class PopVlan:
    """Take the outermost VLAN tag off."""

    def __str__(self) -> str:
        return "pop_vlan"


@dataclass(frozen=True, slots=True)
class Output:
    """Send the packet out of a port of the switch."""

    port: int

    def __str__(self) -> str:
        return "IN_PORT" if self.port == IN_PORT else f"output:{self.port}"


@dataclass(frozen=True, slots=True)
class OutputTo:
    """Send the packet out of the port that a field names (NXAST_OUTPUT_REG)."""

    field: Field

    def __str__(self) -> str:
        return f"output:{self.field.nxm}[]"


@dataclass(frozen=True, slots=True)
class ToController:
    """Send the whole packet to the DPS.

    :ivar meter: number of the meter that limits it, and only it: what follows is done for every packet.
    """

    meter: int | None = None

    def __str__(self) -> str:
        return "CONTROLLER:65535" if self.meter is None else f"controller(meter_id={self.meter})"


class Unit(enum.Enum):
    """What a meter counts, in ``ovs-ofctl``'s words."""

    PACKETS = "pktps"
    KILOBITS = "kbps"


@dataclass(frozen=True, slots=True)
class Meter:
    """A limit on packets.

    :ivar number: its number at the dSwitch, from 1.
    :ivar rate: so many of the unit a second.
    :ivar burst: so many of the unit may come at once.
    """

    number: int
    rate: int
    burst: int
    unit: Unit = Unit.PACKETS

    def __str__(self) -> str:
        return f"meter={self.number} {self.unit.value} burst bands=type=drop rate={self.rate} burst_size={self.burst}"


@dataclass(frozen=True, slots=True)
class Metered:
    """Let the packet go on as far as a meter lets it; over the meter's rate it ends here, whatever else was to follow.

    :ivar meter: the meter's number.
    :ivar limit: the meter itself, for whoever has to see that it is there; a switch that tells its flows does not say it.
    """

    meter: int
    limit: Meter | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return f"meter:{self.meter}"


@dataclass(frozen=True, slots=True)
class DecrementTtl:
    """Decrement the IPv4 TTL or IPv6 hop limit."""

    def __str__(self) -> str:
        return "dec_ttl"


@dataclass(frozen=True, slots=True)
class Resubmit:
    """Look the packet up in a table as it is now, then do what follows (NXAST_RESUBMIT_TABLE)."""

    table: int

    def __str__(self) -> str:
        return f"resubmit(,{self.table})"


@dataclass(frozen=True, slots=True)
class Track:
    """Look the packet's connection up in a zone of connection tracking, which some bits of a register name (NXAST_CT).

    :ivar table: where the packet goes on with what was found in ``ct_state``; None to have the connection kept, if it is
        new, and the packet go on as it is.
    """

    zone: Field
    width: int
    table: int | None = None

    def __str__(self) -> str:
        zone = f"zone={self.zone.nxm}[0..{self.width - 1}]"
        return f"ct(commit,{zone})" if self.table is None else f"ct(table={self.table},{zone})"


@dataclass(frozen=True, slots=True)
class Goto:
    """Go on in a later table; the last of a flow's actions."""

    table: int

    def __str__(self) -> str:
        return f"goto_table:{self.table}"


Action = (
    SetField
    | Move
    | Multipath
    | Learn
    | FinTimeout
    | Clone
    | PushVlan
    | PopVlan
    | Output
    | OutputTo
    | ToController
    | Metered
    | DecrementTtl
    | Resubmit
    | Track
    | Goto
)

FROM_DPS = 0xFFFFFFFD
"""Where a packet counts as having come from that the DPS itself sends (OFPP_CONTROLLER)."""

IN_PORT = 0xFFFFFFF8
"""OFPP_IN_PORT: back to where the packet came from."""


@lru_cache(maxsize=256)  # a network's flows give many packets the same
def put(key: Field | Bits, value: int | str) -> Action:
    """The action that gives a field, or some bits of it, a value."""
    term = _term(key, value)
    return SetField(term.field, term.value, term.mask)


def copy(source: Field, target: Field) -> Move:
    """The action that copies as many bits as both fields have."""
    return Move(source, target, min(source.width, target.width))
