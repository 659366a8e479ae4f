"""The meters of one dSwitch (X3): there before the flows that name them, gone after the last of them.

Flows say which meter; what a meter allows is the operator's word, and stands here.  A dSwitch tells at the beginning of
a connection which meters it has, and whether it can have any.  One that cannot is sent none: its flows still ask, and
nothing limits them but the bridge's own limit on packet-ins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dove_ryu.openflow import oxm
from dove_ryu.openflow.flow import Flow, FlowChange, FlowKey, FlowStrictDelete, Meter
from dove_ryu.openflow.pipeline import LIMIT, METERS, port_meter
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

    :ivar supported: whether it can have meters; not before it has said so.
    """

    def __init__(self, allowance: Allowance) -> None:
        self.supported = False
        self._allowance = allowance
        self._present: dict[int, Meter] = {}

    def hear_features(self, message: bytes) -> None:
        """The dSwitch has said how many meters it can have."""
        self.supported = codec.read_most_meters(message) > 0

    def hear(self, message: bytes) -> None:
        """The dSwitch has told some of its meters."""
        self._present |= {meter.number: meter for meter in codec.read_meters(message)}

    def begin(self, installed: Iterable[Flow], changes: Iterable[FlowChange]) -> tuple[bytes, bytes]:
        """What to send before *changes* and after them to a dSwitch that holds *installed* flows."""
        named = {flow.key for flow in installed if flow.table == LIMIT.number}
        for change in changes:
            if isinstance(change, FlowStrictDelete):
                named.discard(change.key)
            elif isinstance(change, Flow) and change.table == LIMIT.number:
                named.add(change.key)
        wanted = [*METERS, *map(self._of_port, filter(None, map(_port, named)))]
        surplus = self._present.keys() - {meter.number for meter in wanted}
        return self._make(wanted), self._remove(sorted(surplus))

    def follow(self, changes: Sequence[FlowChange]) -> tuple[bytes, bytes]:
        """What to send before some later *changes* and after them."""
        added = (_port(each.key) for each in changes if isinstance(each, Flow))
        gone = (_port(each.key) for each in changes if isinstance(each, FlowStrictDelete))
        return self._make(map(self._of_port, filter(None, added))), self._remove(map(port_meter, filter(None, gone)))

    def _of_port(self, port: int) -> Meter:
        return Meter(port_meter(port), self._allowance.rate, self._allowance.burst)

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
        return b"".join(codec.meter_deletion(number) for number in numbers if self._present.pop(number, None))


def _port(key: FlowKey) -> int | None:
    """The port whose endpoint a flow limits; None where it limits nobody, as no port is 0."""
    return key.match.value(oxm.IN_PORT) if key.table == LIMIT.number else None
