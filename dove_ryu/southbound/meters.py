"""The meters of one dSwitch (X3, X8): there before the flows that name them, gone after the last of them.

Flows say which meter.  What one allows that limits an endpoint's questions is the operator's word, and stands here; what
one allows that limits a policy's packets comes with its flow.  A dSwitch tells at the beginning of a connection which
meters it has, and how many it can have.  One that can have none is sent none: its flows still ask, and nothing limits
them but the bridge's own limit on packet-ins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dove_ryu.openflow import oxm
from dove_ryu.openflow.action import Meter, Metered
from dove_ryu.openflow.flow import Flow, FlowChange, FlowKey, FlowStrictDelete
from dove_ryu.openflow.meters import METERS, port_meter
from dove_ryu.openflow.pipeline import LIMIT, RATE
from dove_ryu.southbound import codec


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one endpoint may ask the DPS.

    :ivar rate: packets a second.
    :ivar burst: packets that may come at once.
    """

    rate: int = 200
    burst: int = 200


class Meters:
    """What a dSwitch has, as far as it has said and been told.

    :ivar most: how many it can have; 0 until it has said so.
    """

    def __init__(self, allowance: Allowance) -> None:
        self.most = 0
        self._allowance = allowance
        self._present: dict[int, Meter] = {}
        self._named: dict[FlowKey, int] = {}

    @property
    def supported(self) -> bool:
        """Whether it can have meters."""
        return self.most > 0

    def hear_features(self, message: bytes) -> None:
        """The dSwitch has said how many meters it can have."""
        self.most = codec.read_most_meters(message)

    def hear(self, message: bytes) -> None:
        """The dSwitch has told some of its meters."""
        self._present |= {meter.number: meter for meter in codec.read_meters(message)}

    def begin(self, installed: Iterable[Flow], changes: Iterable[FlowChange]) -> tuple[bytes, bytes]:
        """What to send before *changes* and after them to a dSwitch that holds *installed* flows.

        Those that *installed* flows name are there, or the flows were not; an operator may have changed his word.
        """
        self._named = {flow.key: number for flow in installed if (number := _named_by(flow)) is not None}
        before, after = self.follow(changes)
        kept = [*METERS, *(self._of_port(key) for key in self._named if key.table == LIMIT.number)]
        surplus = self._present.keys() - {meter.number for meter in kept} - set(self._named.values())
        return self._make(kept) + before, after + self._remove(surplus)

    def follow(self, changes: Iterable[FlowChange]) -> tuple[bytes, bytes]:
        """What to send before some later *changes* and after them."""
        wanted: list[Meter] = []
        left: set[int] = set()
        for change in _about_limits(changes):
            before = self._named.pop(change.key, None)
            if before is not None:
                left.add(before)
            number = _named_by(change) if isinstance(change, Flow) else None
            if isinstance(change, Flow) and number is not None:
                self._named[change.key] = number
                wanted.append(self._meter(change))
        return self._make(wanted), self._remove(left.difference(self._named.values()) if left else ())

    def _meter(self, flow: Flow) -> Meter:
        """The meter that a flow names."""
        if flow.key.table == LIMIT.number:
            return self._of_port(flow.key)
        (limit,) = (action.limit for action in flow.actions if isinstance(action, Metered))
        assert limit is not None, "whoever makes a flow that names a meter says what it limits"
        return limit

    def _of_port(self, key: FlowKey) -> Meter:
        """The meter of the endpoint whose port a flow of LIMIT matches."""
        return Meter(port_meter(key.match.value(oxm.IN_PORT) or 0), self._allowance.rate, self._allowance.burst)

    def _make(self, wanted: Iterable[Meter]) -> bytes:
        """Make those that are not there, and change those that are there and allow something else."""
        sent = b""
        for meter in wanted if self.supported else ():
            known = self._present.get(meter.number)
            if known != meter:
                sent += codec.meter_change(meter, known is not None)
                self._present[meter.number] = meter
        return sent

    def _remove(self, numbers: Iterable[int]) -> bytes:
        gone = (number for number in sorted(numbers) if self._present.pop(number, None) is not None)
        return b"".join(map(codec.meter_deletion, gone))


_LIMITING = frozenset({LIMIT.number, RATE.number})
"""The tables whose flows name meters that are not every dSwitch's."""


def _about_limits(changes: Iterable[FlowChange]) -> Iterator[Flow | FlowStrictDelete]:
    """Those of some changes that are about one flow of these tables: few of many."""
    for change in changes:
        if isinstance(change, Flow):
            if change.table in _LIMITING:
                yield change
        elif isinstance(change, FlowStrictDelete) and change.key.table in _LIMITING:
            yield change


def _named_by(flow: Flow) -> int | None:
    """The number of the meter that a flow names; None where it names none."""
    return next((action.meter for action in flow.actions if isinstance(action, Metered)), None)
