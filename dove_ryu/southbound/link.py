"""A dSwitch's connection as the DPS uses it: flow changes out, flows that it holds and ports in.

It joins the framework's datapath, which has the socket, to the session's transition table, which has the order of
things. Every message goes out through the datapath's one buffer, many in one write.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterable
from typing import Any, ClassVar, Protocol

from dove_ryu.openflow.fields import APPLICATION, APPLICATION_MASK
from dove_ryu.openflow.flow import Flow, FlowChange, PacketOut
from dove_ryu.openflow.pipeline import CHAIN_RETURN
from dove_ryu.openflow.session import Event, Order, Session, State
from dove_ryu.southbound import codec
from dove_ryu.southbound.lane import Desk
from dove_ryu.southbound.meters import Allowance, Meters

MOST_WAITING = 20_000
"""Messages of one dSwitch that may wait for the DPS's thread: some seconds of its work, a few megabytes."""


class Part(enum.Enum):
    """What a dSwitch is asked for before it is told anything."""

    FLOWS = "flows"
    METERS = "meters"


class Wire(Protocol):
    """What a link needs of a datapath."""

    id: int
    address: tuple[Any, ...]
    desk: Desk | None
    """Where requests are answered on the connection's own thread, while there is such a desk."""

    def write(self, data: bytes) -> bool:
        """Send ready messages; False when the connection is closing."""


class Link:
    """One connection of one dSwitch.  Only the DPS's thread uses it, but for :meth:`let_in`.

    :ivar received: policy requests, and messages about our flows, that have come over it.
    :ivar answered: how many of them have been dealt with.
    :ivar refused: packets that came while too many waited.
    :ivar meters: those of the dSwitch.
    """

    allowance: ClassVar[Allowance] = Allowance()
    """What each endpoint may ask the DPS."""

    def __init__(self, wire: Wire) -> None:
        self.dpid = wire.id
        self.peer = str(wire.address[0])
        self.session = Session()
        self._wire = wire
        self.received = 0
        self.answered = 0
        self.refused = 0
        self._xids = itertools.count(APPLICATION << 24)
        self._flows: list[Flow] = []
        self.meters = Meters(self.allowance)
        self._awaited = {Part.FLOWS, Part.METERS}
        self._confirmation: int | None = None
        self._unconfirmed: dict[int, int] = {}

    def let_in(self, messages: list[bytes]) -> list[bytes]:
        """What of some messages may wait for the DPS's thread: no packets while many do (X3).

        What the dSwitch says of our flows always may: it says it once.  So may an appliance's answer to a probe: it
        must not look dead because others ask much, and no more of them come than probes are sent.
        """
        if self.received - self.answered > MOST_WAITING:
            heard = [message for message in messages if not _is_question(message)]
            self.refused += len(messages) - len(heard)
            messages = heard
        self.received += len(messages)
        return messages

    def ask_flows(self) -> int:
        """Ask for all the flows that the dSwitch holds, whosever; the number by which the answer is known."""
        xid = next(self._xids)
        self._wire.write(codec.flow_request(0, 0, xid))
        return xid

    @property
    def live(self) -> bool:
        """Whether the dSwitch holds what it should."""
        return self.session.state is State.LIVE

    def greet(self) -> None:
        """The handshake is over: ask for the flows and meters that the dSwitch holds.

        Whether it can have meters is asked first: it answers in order, and one that cannot even say so has none.
        """
        if self.session.take(Event.GREETED) is Order.READ_FLOWS:
            flows = codec.flow_request(APPLICATION << 56, APPLICATION_MASK, next(self._xids))
            meters = codec.meter_features_request(next(self._xids)) + codec.meter_request(next(self._xids))
            self._wire.write(meters + flows)

    def hear_flows(self, message: bytes) -> list[Flow] | None:
        """A part of the flows has come; all of them once nothing more is awaited.

        :raises UnknownOnWire: where a flow with our cookie is none that this version writes.
        """
        self._flows += codec.read_flows(message)
        return self._heard(Part.FLOWS, message)

    def hear_meters(self, message: bytes) -> list[Flow] | None:
        """A part of the meters has come; all the flows once nothing more is awaited."""
        self.meters.hear(message)
        return self._heard(Part.METERS, message)

    def _heard(self, part: Part, message: bytes) -> list[Flow] | None:
        if self.session.state is not State.READING:
            return None
        if not codec.more_follows(message):
            self._awaited.discard(part)
        return None if self._awaited else self._flows

    def synchronise(self, changes: Iterable[FlowChange]) -> None:
        """Send what differs; the dSwitch is live once it confirms."""
        if self.session.take(Event.FLOWS_READ) is Order.SEND_PLAN:
            self._confirmation = next(self._xids)
            wanted = list(changes)
            before, after = self.meters.begin(self._flows, wanted)
            self._wire.write(before + _joined(wanted) + after + codec.barrier(self._confirmation))
            self._flows = []

    def hear_barrier(self, xid: int) -> bool:
        """A barrier reply has come; whether it made the dSwitch live."""
        self._unconfirmed.pop(xid, None)
        if xid != self._confirmation or self.live:
            return False
        self.session.take(Event.CONFIRMED)
        return True

    def confirmed(self, revision: int) -> int:
        """The store's revision that the dSwitch has confirmed to follow, the world being at *revision*."""
        return min(self._unconfirmed.values(), default=revision + 1) - 1

    def open(self, desk: Desk | None) -> None:
        """Let the connection's own thread answer what it can; None: nothing any more."""
        self._wire.desk = desk

    def lose(self) -> None:
        """The connection is gone."""
        self._wire.desk = None
        self.session.take(Event.LOST)

    def send(self, changes: Iterable[FlowChange], revision: int | None = None) -> None:
        """Send flow changes, in order; where they follow a revision of the store, ask to have it confirmed."""
        told = list(changes)
        before, after = self.meters.follow(told)
        data = before + _joined(told) + after
        if revision is not None:
            xid = next(self._xids)
            self._unconfirmed[xid] = revision
            data += codec.barrier(xid)
        self._wire.write(data)

    def ask_sign(self) -> None:
        """Ask for a sign of life: the reply counts among what is received, and confirms nothing."""
        self._wire.write(codec.barrier(next(self._xids)))

    def send_out(self, packets: bytes) -> int:
        """Send packet-outs, and ask to have it confirmed that they have been carried out: the number of the reply."""
        xid = next(self._xids)
        self._wire.write(packets + codec.barrier(xid))
        return xid

    def answer(self, answers: Iterable[tuple[Iterable[FlowChange], Iterable[PacketOut]]]) -> None:
        """Send what a batch of policy requests brought, in one write."""
        data = b"".join(_joined(flows) + b"".join(map(codec.packet_out, packets)) for flows, packets in answers)
        if data:
            self._wire.write(data)


def _is_question(message: bytes) -> bool:
    """Whether a message is a packet that somebody waits for."""
    return codec.kind(message) == codec.PACKET_IN and not codec.came_up_from(message, CHAIN_RETURN.number)


def _joined(changes: Iterable[FlowChange]) -> bytes:
    return b"".join(map(codec.change, changes))
