"""A dSwitch's connection as the DPS uses it: flow changes out, flows that it holds and ports in.

It joins the framework's datapath, which has the socket, to the session's transition table, which has the order of
things. Every message goes out through the datapath's one buffer, many in one write.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any, Protocol

from dove_ryu.openflow.fields import APPLICATION, APPLICATION_MASK
from dove_ryu.openflow.flow import Flow, FlowChange, PacketOut
from dove_ryu.openflow.session import Event, Order, Session, State
from dove_ryu.southbound import codec


class Wire(Protocol):
    """What a link needs of a datapath."""

    id: int
    address: tuple[Any, ...]

    def write(self, data: bytes) -> bool:
        """Send ready messages; False when the connection is closing."""


class Link:
    """One connection of one dSwitch.  Only the DPS's thread uses it."""

    def __init__(self, wire: Wire) -> None:
        self.dpid = wire.id
        self.peer = str(wire.address[0])
        self.session = Session()
        self._wire = wire
        self._xids = itertools.count(1)
        self._held: list[Flow] = []
        self._confirmation: int | None = None

    @property
    def live(self) -> bool:
        """Whether the dSwitch holds what it should."""
        return self.session.state is State.LIVE

    def greet(self) -> None:
        """The handshake is over: ask for the flows that the dSwitch holds."""
        if self.session.take(Event.GREETED) is Order.READ_FLOWS:
            request = codec.flow_request(APPLICATION << 56, APPLICATION_MASK, next(self._xids))
            self._wire.write(request)

    def hear_flows(self, message: bytes) -> list[Flow] | None:
        """One part of the answer has come; all flows once the last part has.

        :raises UnknownOnWire: where a flow with our cookie is none that this version writes.
        """
        if self.session.state is not State.READING:
            return None
        self._held += codec.read_flows(message)
        return None if codec.more_follows(message) else self._held

    def synchronise(self, changes: Iterable[FlowChange]) -> None:
        """Send what differs; the dSwitch is live once it confirms."""
        if self.session.take(Event.FLOWS_READ) is Order.SEND_PLAN:
            self._confirmation = next(self._xids)
            self._wire.write(_joined(changes) + codec.barrier(self._confirmation))
            self._held = []

    def hear_barrier(self, xid: int) -> bool:
        """A barrier reply has come; whether it made the dSwitch live."""
        if xid != self._confirmation:
            return False
        self.session.take(Event.CONFIRMED)
        return True

    def lose(self) -> None:
        """The connection is gone."""
        self.session.take(Event.LOST)

    def send(self, changes: Iterable[FlowChange]) -> None:
        """Send flow changes, in order."""
        self._wire.write(_joined(changes))

    def answer(self, answers: Iterable[tuple[Iterable[FlowChange], Iterable[PacketOut]]]) -> None:
        """Send what a batch of policy requests brought, in one write."""
        data = b"".join(_joined(flows) + b"".join(map(codec.packet_out, packets)) for flows, packets in answers)
        if data:
            self._wire.write(data)


def _joined(changes: Iterable[FlowChange]) -> bytes:
    return b"".join(map(codec.change, changes))
