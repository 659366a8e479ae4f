"""What a table of the pipeline is: a declaration, and the only way to make a flow for it.

:meth:`Table.flow` refuses what the declaration does not allow, so an illegal flow dies in a unit test and not in a switch.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from dove_ryu.openflow import oxm
from dove_ryu.openflow.action import (
    Action,
    Clone,
    DecrementTtl,
    FinTimeout,
    Goto,
    Learn,
    Meter,
    Metered,
    Move,
    Multipath,
    Output,
    OutputTo,
    PopVlan,
    PushVlan,
    Resubmit,
    SetField,
    ToController,
    Track,
)
from dove_ryu.openflow.fields import (
    Bits,
    Cookie,
    Kind,
)
from dove_ryu.openflow.flow import Flow
from dove_ryu.openflow.match import Layout, Match, Value, layout
from dove_ryu.openflow.meters import ADDRESS_REPORTS, INVALIDATIONS
from dove_ryu.openflow.oxm import Field


class IllegalFlow(ValueError):
    """A flow that its table's declaration does not allow."""


class Miss(enum.Enum):
    """What a table does with a packet that no flow matches; each case is a counted flow of priority 0."""

    DROP = "dropped, counted"
    NEXT = "goes on"
    REQUEST = "to the DPS: policy request"
    REPORT = "to the DPS: address report"
    INVALIDATE = "to the DPS: location invalidation, metered"
    RETURN = "nothing limits it"
    UNKNOWN = "goes on where it was looked up from"


Names = Iterable[Field | Bits]


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """One table of the pipeline.

    :ivar number: its OpenFlow table number.
    :ivar matches: fields that its flows may compare; what a field requires is allowed with it.
    :ivar writes: fields that its flows may set.
    :ivar leads_to: names of the tables a packet may go to, all of them later; on a miss that goes on, the last of them.
    :ivar answers: whether its flows may send a packet back to where it came from or out of a port.
    :ivar looks_into: names of tables that its flows may have a packet looked up in, earlier ones too; what the packet
        then does is done before the flow's next action, or is all there is.
    :ivar matchable: the fields of *matches* with what they require.
    :ivar writable: the fields of *writes*.
    """

    number: int
    name: str
    purpose: str
    matches: tuple[Field | Bits, ...]
    writes: tuple[Field | Bits, ...]
    leads_to: tuple[str, ...]
    miss: Miss
    answers: bool
    looks_into: tuple[str, ...] = ()
    matchable: frozenset[Field] = field(init=False, repr=False)
    writable: frozenset[Field] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "matchable", _closure(self.matches))
        object.__setattr__(self, "writable", _holders(self.writes))

    def flow(
        self,
        priority: int,
        values: Mapping[Field | Bits, Value],
        actions: Iterable[Action],
        cookie: Cookie,
        hard_timeout: int = 0,
        idle_timeout: int = 0,
    ) -> Flow:
        """A flow of this table.  Of the end of one with an idle time-out the DPS hears.

        :raises IllegalFlow: naming the field, action or table that the declaration does not allow.
        """
        where = _layout(self, tuple(values)).match(values)
        told = tuple(actions)
        for action in told:
            _LAWS[type(action)](self, action)
        timeout, notify = min(hard_timeout, MAX_TIMEOUT), idle_timeout > 0
        return Flow(self.number, priority, where, told, int(cookie), timeout, idle_timeout, notify)

    def ask(self, priority: int, values: Mapping[Field | Bits, Value], meter: Meter | None = None) -> Flow:
        """A flow of this table that sends packets to the DPS, as a miss would.

        :param meter: limits the whole kind, beside what limits each endpoint.
        """
        made = self.flow(priority, values, (), Cookie(Kind.MISS, self.number))
        return made._replace(actions=_asking(meter))

    def miss_flow(self) -> Flow:
        """The flow of priority 0 that makes :attr:`miss` so; its cookie's number is the table's."""
        actions: tuple[Action, ...] = ()
        match self.miss:
            case Miss.NEXT:
                actions = (Goto(_number_of(self.leads_to[-1])),)
            case Miss.REQUEST:
                actions = _asking()
            case Miss.REPORT:
                actions = _asking(ADDRESS_REPORTS)
            case Miss.INVALIDATE:
                actions = (ToController(INVALIDATIONS.number),)
        return Flow(self.number, 0, Match(), actions, int(Cookie(Kind.MISS, self.number)))


MAX_TIMEOUT = 65535
"""The longest time-out that OpenFlow can say, in seconds."""


def _holders(names: Names) -> frozenset[Field]:
    return frozenset(name.field if isinstance(name, Bits) else name for name in names)


def _closure(names: Names) -> frozenset[Field]:
    fields = _holders(names)
    return fields | {needed for field in fields for needed, _ in field.requires}


@lru_cache(maxsize=1024)
def _layout(table: Table, names: tuple[Field | Bits, ...]) -> Layout:
    """The layout of a table's matches on *names*; IllegalFlow where it may have none."""
    made = layout(names)
    for which in made.fields:  # a prerequisite, which nobody wrote, is blamed last
        if which not in table.matchable:
            raise IllegalFlow(f"table {table.name} may not match {which.name}")
    return made


def _leads(table: Table, action: Goto | Track) -> None:
    if action.table is not None and DECLARED[action.table].name not in table.leads_to:
        raise IllegalFlow(f"table {table.name} does not lead to {DECLARED[action.table].name}")


def _looks(table: Table, action: Resubmit | Learn) -> None:
    if DECLARED[action.table].name not in table.looks_into:
        raise IllegalFlow(f"table {table.name} does not look into {DECLARED[action.table].name}")


def _sets(table: Table, action: SetField) -> None:
    _write(table, action.field)


def _copies(table: Table, action: Move | Multipath) -> None:
    _write(table, action.target)


def _tags(table: Table, action: PushVlan | PopVlan) -> None:
    _write(table, oxm.VLAN_VID)


def _write(table: Table, which: Field) -> None:
    if which not in table.writable:
        raise IllegalFlow(f"table {table.name} may not write {which.name}")


def _clones(table: Table, action: Clone) -> None:
    for each in action.actions:
        _LAWS[type(each)](table, each)


def _limits(table: Table, action: Metered) -> None:
    _refuse_unless(table.miss is Miss.RETURN, table, action)


def _tracks(table: Table, action: Track) -> None:
    """A connection is kept where packets come back from, and looked up on the way to a later table."""
    _refuse_unless(action.table is not None or table.miss is Miss.UNKNOWN, table, action)
    _leads(table, action)


def _answers(table: Table, action: Action) -> None:
    _refuse_unless(table.answers, table, action)


def _refuse_unless(allowed: bool, table: Table, action: Action) -> None:
    if not allowed:
        raise IllegalFlow(f"table {table.name} may not do {action}")


def _asks(table: Table, action: ToController) -> None:
    """Any table may."""


_LAWS: dict[type[Action], Callable[[Table, Any], None]] = {
    SetField: _sets,
    Move: _copies,
    Multipath: _copies,
    Learn: _looks,
    FinTimeout: _answers,
    Clone: _clones,
    PushVlan: _tags,
    PopVlan: _tags,
    Output: _answers,
    OutputTo: _answers,
    ToController: _asks,
    Metered: _limits,
    DecrementTtl: _answers,
    Resubmit: _looks,
    Track: _tracks,
    Goto: _leads,
}
"""What refuses an action that a table's declaration does not allow, by the action's kind."""


def _asking(kind: Meter | None = None) -> tuple[Action, ...]:
    """To the DPS, as far as the endpoint whose packet it is may ask it anything.

    LIMIT comes back here, so that the packet comes up from the table that it missed in.
    """
    return Resubmit(_number_of("LIMIT")), ToController(None if kind is None else kind.number)


DECLARED: list[Table] = []
"""Those that have been, by their numbers."""


def _number_of(name: str) -> int:
    return next(table.number for table in DECLARED if table.name == name)


def declare(
    name: str,
    purpose: str,
    *,
    matches: Iterable[Field | Bits] = (),
    writes: Iterable[Field | Bits] = (),
    leads_to: Iterable[str] = (),
    miss: Miss = Miss.DROP,
    answers: bool = False,
    looks_into: Iterable[str] = (),
) -> Table:
    """The next table; its number is how many there are by now."""
    made = Table(
        len(DECLARED), name, purpose, tuple(matches), tuple(writes), tuple(leads_to), miss, answers, tuple(looks_into)
    )
    DECLARED.append(made)
    return made
