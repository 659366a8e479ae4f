"""What a table of the pipeline is: a declaration, and the only way to make a flow for it.

:meth:`Table.flow` refuses what the declaration does not allow, so an illegal flow dies in a unit test and not in a switch.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from dove_ryu.openflow import oxm
from dove_ryu.openflow.action import (
    Action,
    Clone,
    Goto,
    Learn,
    Meter,
    Metered,
    Move,
    Multipath,
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
from dove_ryu.openflow.match import Match, Value, match
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
        where = match(values)
        notify = idle_timeout > 0
        made = Flow(
            self.number,
            priority,
            where,
            tuple(actions),
            int(cookie),
            min(hard_timeout, MAX_TIMEOUT),
            idle_timeout,
            notify,
        )
        self._check_match(where)
        for action in made.actions:
            self._check_action(action)
        return made

    def _check_match(self, where: Match) -> None:
        for term in reversed(where.terms):  # a prerequisite, which nobody wrote, is blamed last
            if term.field not in self.matchable:
                raise IllegalFlow(f"table {self.name} may not match {term.field.name}")

    def _check_action(self, action: Action) -> None:
        if isinstance(action, Goto):
            if DECLARED[action.table].name not in self.leads_to:
                raise IllegalFlow(f"table {self.name} does not lead to {DECLARED[action.table].name}")
        elif isinstance(action, SetField | Move | Multipath | PushVlan | PopVlan):
            written = _written(action)
            if written not in self.writable:
                raise IllegalFlow(f"table {self.name} may not write {written.name}")
        elif isinstance(action, Resubmit | Learn):
            if DECLARED[action.table].name not in self.looks_into:
                raise IllegalFlow(f"table {self.name} does not look into {DECLARED[action.table].name}")
        elif isinstance(action, Clone):
            for each in action.actions:
                self._check_action(each)
        elif isinstance(action, Metered):
            if self.miss is not Miss.RETURN:
                raise IllegalFlow(f"table {self.name} may not do {action}")
        elif isinstance(action, Track):
            self._check_tracking(action)
        elif not self.answers and not isinstance(action, ToController):
            raise IllegalFlow(f"table {self.name} may not do {action}")

    def _check_tracking(self, action: Track) -> None:
        """A connection is kept where packets come back from, and looked up on the way to a later table."""
        if action.table is None and self.miss is not Miss.UNKNOWN:
            raise IllegalFlow(f"table {self.name} may not do {action}")
        if action.table is not None and DECLARED[action.table].name not in self.leads_to:
            raise IllegalFlow(f"table {self.name} does not lead to {DECLARED[action.table].name}")

    def ask(self, priority: int, values: Mapping[Field | Bits, Value], meter: Meter | None = None) -> Flow:
        """A flow of this table that sends packets to the DPS, as a miss would.

        :param meter: limits the whole kind, beside what limits each endpoint.
        """
        made = self.flow(priority, values, (), Cookie(Kind.MISS, self.number))
        return replace(made, actions=_asking(meter))

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


def _written(action: SetField | Move | Multipath | PushVlan | PopVlan) -> Field:
    if isinstance(action, PushVlan | PopVlan):
        return oxm.VLAN_VID
    return action.field if isinstance(action, SetField) else action.target


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
