"""Flows as frozen values whose ``str()`` is ``ovs-ofctl``'s own syntax.

What a feature returns, what a test compares with golden text, what ``dove`` shows to an operator and what the codec
sends are the same value.  Nothing here sends anything.

A dSwitch of a thousand endpoints has twelve thousand flows, made, compared and sent when it connects.  What a flow is
known by is therefore made of tuples, which Python hashes and compares in C.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from dove_ryu.openflow import oxm
from dove_ryu.openflow.fields import Bits
from dove_ryu.openflow.oxm import Field


class Term(NamedTuple):
    """One field of a match with its value and mask."""

    field: Field
    value: int
    mask: int

    def __str__(self) -> str:
        text = self.field.notation.text
        if self.field is oxm.CT_STATE:
            states = ((bit, name) for bit, name in oxm.CONNECTION_STATES.items() if self.mask & bit)
            return "ct_state=" + "".join(f"{'+' if self.value & bit else '-'}{name}" for bit, name in states)
        if self.mask == self.field.full_mask:
            if self.field is oxm.VLAN_VID and self.value & oxm.TAGGED:
                return f"dl_vlan={self.value & ~oxm.TAGGED}"
            return f"{self.field.name}={text(self.value)}"
        if self.field.notation in (oxm.IPV4_ADDRESS, oxm.IPV6_ADDRESS):
            length = self.mask.bit_count()
            if self.mask == self.field.full_mask ^ self.field.full_mask >> length:
                return f"{self.field.name}={text(self.value)}/{length}"
        if self.field is oxm.TCP_FLAGS:
            compared = (each for each in enumerate(oxm.TCP_FLAG_NAMES) if self.mask >> each[0] & 1)
            return "tcp_flags=" + "".join("-+"[self.value >> bit & 1] + name for bit, name in compared)
        return f"{self.field.name}={text(self.value)}/{text(self.mask)}"


class Match(NamedTuple):
    """What a flow matches: terms in the order of :data:`oxm.FIELDS`, prerequisites included."""

    terms: tuple[Term, ...] = ()

    def __str__(self) -> str:
        return ",".join(self._words())

    def _words(self) -> Iterator[str]:
        values = {term.field: term.value for term in self.terms}
        eth_type, ip_proto = values.get(oxm.ETH_TYPE), values.get(oxm.IP_PROTO)
        spoken: set[Field] = set()
        if eth_type is not None:
            for proto, said in ((ip_proto, {oxm.ETH_TYPE, oxm.IP_PROTO}), (None, {oxm.ETH_TYPE})):
                if (eth_type, proto) in oxm.SHORTHANDS:
                    spoken = said
                    yield oxm.SHORTHANDS[eth_type, proto]
                    break
        for term in self.terms:
            if term.field not in spoken:
                yield str(term)

    def value(self, key: Field | Bits) -> int | None:
        """What a field, or some bits of one, must be; None where they are not compared."""
        sought = key.field if isinstance(key, Bits) else key
        for term in self.terms:
            if term.field is sought:
                return key.read(term.value) if isinstance(key, Bits) else term.value
        return None

    def text(self, key: Field) -> str | None:
        """The same, in the field's own notation."""
        value = self.value(key)
        return None if value is None else key.notation.text(value)

    def fields(self) -> frozenset[Field]:
        """The fields that are compared."""
        return frozenset(term.field for term in self.terms)


Masked = tuple[int | str, int | str]
Value = int | str | Masked
Terms = dict[Field | Bits, Value]
"""What a match is made of, before it is checked and put in order."""


def match(values: Mapping[Field | Bits, Value] | None = None) -> Match:
    """A match on *values*, with the prerequisites of each field added.

    :param values: a value is a number, the field's own notation, ``ADDRESS/LENGTH`` for IP addresses, or (value, mask).
    :raises ValueError: where a value does not suit its field or two prerequisites contradict each other.
    """
    terms: dict[Field, Term] = {}
    for key, value in (values or {}).items():
        term = _term(key, value)
        if term.mask:  # a switch forgets a term that compares nothing, and the flow would come back as another
            _merge(terms, term)
        for needed in _prerequisites(term.field):
            _merge(terms, needed)
    return Match(tuple(sorted(terms.values(), key=_rank)))


@cache
def _prerequisites(which: Field) -> tuple[Term, ...]:
    return tuple(Term(needed, value, needed.full_mask) for needed, value in which.requires)


def _rank(term: Term) -> int:
    return term.field.rank


def _term(key: Field | Bits, value: Value) -> Term:
    if isinstance(key, Bits):
        if not isinstance(value, int) or value >> key.width:
            raise ValueError(f"{key.name}: {value!r} does not fit {key.width} bits")
        if (key.low, key.width) == (0, key.field.width) or key.field is oxm.METADATA:
            return Term(key.field, value << key.low, key.field.full_mask)
        return Term(key.field, value << key.low, key.mask)
    if isinstance(value, tuple):
        number, mask = key.parse(value[0]), key.parse(value[1])
        return Term(key, number & mask, mask)
    if isinstance(value, str) and "/" in value:
        address, _, length = value.partition("/")
        if not length.isdecimal() or int(length) > key.width:
            raise ValueError(f"{key.name}: {value!r} needs a length of 0 to {key.width} bits")
        mask = key.full_mask ^ key.full_mask >> int(length)
        return Term(key, key.parse(address) & mask, mask)
    return Term(key, key.parse(value), key.full_mask)


def _merge(terms: dict[Field, Term], term: Term) -> None:
    known = terms.setdefault(term.field, term)
    if known is term or known == term:
        return
    if known.mask & term.mask:
        raise ValueError(f"{term} contradicts {known} in one match")
    terms[term.field] = Term(term.field, known.value | term.value, known.mask | term.mask)


def _span(which: Field, low: int, width: int) -> str:
    """Some bits of a field as ``ovs-ofctl`` writes them in an action."""
    if width == which.width:
        return f"{which.nxm}[]"
    return f"{which.nxm}[{low}]" if width == 1 else f"{which.nxm}[{low}..{low + width - 1}]"


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
        return f"load:{self.value >> low:#x}->{_span(self.field, low, self.mask.bit_count())}"


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
            f"move:{_span(self.source, self.source_low, self.width)}->{_span(self.target, self.target_low, self.width)}"
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
        return f"multipath(symmetric_l3l4+udp,0,modulo_n,{self.links},0,{_span(self.target, 0, self.width)})"


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


def put(key: Field | Bits, value: int | str) -> Action:
    """The action that gives a field, or some bits of it, a value."""
    term = _term(key, value)
    return SetField(term.field, term.value, term.mask)


def copy(source: Field, target: Field) -> Move:
    """The action that copies as many bits as both fields have."""
    return Move(source, target, min(source.width, target.width))


@dataclass(frozen=True, slots=True)
class Flow:
    """One flow entry.

    :ivar table: the table's number.
    :ivar priority: 0 to 65535, the larger wins.
    :ivar match: what it matches.
    :ivar actions: what it does, in order; none means drop.
    :ivar cookie: whose it is (:class:`fields.Cookie`).
    :ivar hard_timeout: seconds until it goes, 0 for never.
    :ivar idle_timeout: seconds without a packet after which it goes, 0 for never.
    :ivar notify: whether the DPS hears of its end.
    """

    table: int
    priority: int
    match: Match
    actions: tuple[Action, ...]
    cookie: int
    hard_timeout: int = 0
    idle_timeout: int = 0
    notify: bool = False

    @property
    def key(self) -> FlowKey:
        """What makes it another flow rather than a newer form of the same (OpenFlow 1.3.5, 6.4)."""
        return FlowKey(self.table, self.priority, self.match)

    def __str__(self) -> str:
        words = [f"cookie={self.cookie:#x}"]
        if self.table:
            words.append(f"table={self.table}")
        if self.idle_timeout:
            words.append(f"idle_timeout={self.idle_timeout}")
        if self.hard_timeout:
            words.append(f"hard_timeout={self.hard_timeout}")
        where = ",".join(filter(None, (f"priority={self.priority}", str(self.match))))
        if self.notify:
            where = f"send_flow_rem {where}"
        actions = ",".join(map(str, self.actions)) or "drop"
        return f"{', '.join([*words, where])} actions={actions}"


class FlowKey(NamedTuple):
    """Table, priority and match: the identity of a flow entry."""

    table: int
    priority: int
    match: Match


@dataclass(frozen=True, slots=True)
class FlowDelete:
    """Remove every flow that is at least as specific as *match* and whose cookie agrees under the mask.

    :ivar table: None for all tables.
    """

    cookie: int
    cookie_mask: int
    table: int | None = None
    match: Match = field(default_factory=Match)

    def __str__(self) -> str:
        words = (
            f"cookie={self.cookie:#x}/{self.cookie_mask:#x}",
            "" if self.table is None else f"table={self.table}",
            str(self.match),
        )
        return "delete " + ",".join(filter(None, words))


@dataclass(frozen=True, slots=True)
class FlowStrictDelete:
    """Remove exactly one flow."""

    key: FlowKey

    def __str__(self) -> str:
        where = ",".join(filter(None, (f"priority={self.key.priority}", str(self.key.match))))
        return f"delete --strict table={self.key.table},{where}"


FlowChange = Flow | FlowDelete | FlowStrictDelete
"""What a dSwitch can be told about flows; a :class:`Flow` stands for adding it."""


class End(enum.Enum):
    """Why a flow entry went (OpenFlow 1.3.5, 7.4.2)."""

    IDLE = 0
    HARD = 1
    DELETED = 2
    OTHER = 3


@dataclass(frozen=True, slots=True)
class FlowEnd:
    """A flow entry that went; its actions are not told.

    :ivar packets: how many it has matched.
    :ivar octets: how many bytes they had.
    :ivar seconds: how long it has been there.
    """

    flow: Flow
    why: End
    packets: int
    octets: int = 0
    seconds: float = 0


@dataclass(frozen=True, slots=True)
class PacketIn:
    """A packet that a flow sent to the DPS, with what the pipeline knew of it by then.

    :ivar cookie: the flow's.
    :ivar table: number of the flow's table.
    :ivar fields: metadata, registers and other pipeline fields that are not zero, with the port that it came from.
    :ivar data: the frame.
    """

    cookie: int
    table: int
    fields: Mapping[Field, int]
    data: bytes

    def read(self, bits: Bits) -> int:
        """What some bits of a pipeline field hold; 0 where the switch did not mention the field."""
        return bits.read(self.fields.get(bits.field, 0))

    @property
    def in_port(self) -> int:
        """The port that the packet came from."""
        return self.fields.get(oxm.IN_PORT, 0)

    def resume(self, table: int) -> PacketOut:
        """The held packet, sent on from *table* with everything as it was."""
        carried = (oxm.METADATA, *oxm.REGISTERS)
        known = (put(key, self.fields[key]) for key in carried if key in self.fields)
        return PacketOut(self.data, (*known, Resubmit(table)), self.in_port)


@dataclass(frozen=True, slots=True)
class PacketOut:
    """A packet to send into the pipeline or out of a port.

    :ivar data: the frame.
    :ivar actions: what to do with it.
    :ivar in_port: where it counts as having come from.
    """

    data: bytes
    actions: tuple[Action, ...]
    in_port: int


def text(changes: Iterable[FlowChange]) -> str:
    """*changes* as lines for tests and operators."""
    return "\n".join(map(str, changes))
