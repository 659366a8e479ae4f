"""Flows as frozen values whose ``str()`` is ``ovs-ofctl``'s own syntax.

What a feature returns, what a test compares with golden text, what ``dove`` shows to an operator and what the codec
sends are the same value.  Nothing here sends anything.

A dSwitch of a thousand endpoints has twelve thousand flows, made, compared and sent when it connects.  A flow, and what
it is known by, are therefore tuples, which Python makes, hashes and compares in C.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from dove_ryu.openflow import oxm
from dove_ryu.openflow.action import Action, Resubmit, put
from dove_ryu.openflow.fields import Bits
from dove_ryu.openflow.match import Match
from dove_ryu.openflow.oxm import Field


class Flow(NamedTuple):
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
