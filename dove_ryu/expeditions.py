"""Marked packets under way: the lookouts go up, the packet goes out, the lookouts come down and say what they saw (X2).

A dSwitch's datapath goes by what it has cached until it has looked at changed flows again, so there is a pause before the
packet; and it counts what it has passed from time to time, so there is one after it.  An expedition lives on the DPS's
thread, which waits for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from dove_ryu.lookouts import MarkedPacket
from dove_ryu.openflow.fields import NUMBER_BITS, OBJECT_MASK, Cookie, Kind
from dove_ryu.openflow.flow import FlowChange, FlowDelete, FlowEnd
from dove_ryu.southbound.link import Link
from dove_ryu.vigil import Later

SETTLING, FLIGHT, GRACE = 0.5, 1.0, 0.5
"""Seconds before the packet is sent, before it is asked for, and before what was not said by then is not waited for."""

Counts = list[int | None]
"""How many packets each lookout has seen; None where its dSwitch did not say."""

Done = Callable[[Counts], object]


@dataclass(slots=True)
class _Expedition:
    marked: MarkedPacket
    done: Done
    seen: dict[int, int] = field(default_factory=dict)


class Expeditions:
    """The expeditions under way, by the number in their lookouts' cookies.

    :ivar later: how to be remembered to go on.
    """

    def __init__(self, link: Callable[[int], Link | None]) -> None:
        self.later: Later | None = None
        self._link = link
        self._under_way: dict[int, _Expedition] = {}
        self._last = 0

    def next_number(self) -> int:
        """The number of the next one; its packet's mark depends on it."""
        self._last = (self._last + 1) % (1 << NUMBER_BITS)
        return self._last

    def begin(self, number: int, marked: MarkedPacket, done: Done) -> None:
        """Put the lookouts up."""
        assert self.later is not None
        self._under_way[number] = _Expedition(marked, done)
        for dpid in _dpids(marked):
            self._tell(dpid, [each.flow for each in marked.lookouts if each.dpid == dpid])
        self.later(SETTLING, partial(self._send, number, marked, self.later))

    def hear(self, end: FlowEnd) -> bool:
        """A flow has ended; whether it was a lookout."""
        cookie = Cookie.parse(end.flow.cookie)
        if cookie is None or cookie.kind is not Kind.LOOKOUT:
            return False
        expedition = self._under_way.get(cookie.number)
        if expedition is not None:
            expedition.seen[cookie.tracking] = end.packets
            if len(expedition.seen) == len(expedition.marked.lookouts):
                self._finish(cookie.number)
        return True

    def _send(self, number: int, marked: MarkedPacket, later: Later) -> None:
        link = self._link(marked.dpid)
        if link is not None:
            link.answer([((), (marked.packet,))])
        later(FLIGHT, partial(self._collect, number, marked, later))

    def _collect(self, number: int, marked: MarkedPacket, later: Later) -> None:
        """Take the lookouts down; each says as it goes how much it has seen."""
        for dpid in _dpids(marked):
            self._tell(dpid, [FlowDelete(int(Cookie(Kind.LOOKOUT, number)), OBJECT_MASK)])
        later(GRACE, partial(self._finish, number))

    def _finish(self, number: int) -> None:
        expedition = self._under_way.pop(number, None)
        if expedition is not None:
            expedition.done([expedition.seen.get(index) for index in range(len(expedition.marked.lookouts))])

    def _tell(self, dpid: int, changes: list[FlowChange]) -> None:
        link = self._link(dpid)
        if link is not None:
            link.send(changes)


def _dpids(marked: MarkedPacket) -> list[int]:
    return sorted({lookout.dpid for lookout in marked.lookouts})
