"""One switch connection as a transition table.

Greeting is over when the framework says so.  Then the flows that the switch holds are read, what differs is sent and
confirmed by a barrier, and the dSwitch is live: it is never emptied and never counts as live before it is right (X1).
There are no sockets and no clock here; :meth:`Session.take` says what to do next.
"""

from __future__ import annotations

import enum


class State(enum.Enum):
    """Where a connection is."""

    CONNECTING = "connecting"
    READING = "reading"
    SYNCING = "syncing"
    LIVE = "live"
    CLOSED = "closed"


class Event(enum.Enum):
    """What can happen to it."""

    GREETED = "the handshake is over"
    FLOWS_READ = "all flows that the switch holds have arrived"
    CONFIRMED = "the switch has carried out all that was sent"
    LOST = "the connection is gone"


class Order(enum.Enum):
    """What to do next."""

    READ_FLOWS = "ask for the flows of ours that the switch holds"
    SEND_PLAN = "send what differs, and a barrier"
    WAIT = "nothing"


TRANSITIONS: dict[tuple[State, Event], tuple[State, Order]] = {
    (State.CONNECTING, Event.GREETED): (State.READING, Order.READ_FLOWS),
    (State.READING, Event.FLOWS_READ): (State.SYNCING, Order.SEND_PLAN),
    (State.SYNCING, Event.CONFIRMED): (State.LIVE, Order.WAIT),
    (State.LIVE, Event.CONFIRMED): (State.LIVE, Order.WAIT),
    **{(state, Event.LOST): (State.CLOSED, Order.WAIT) for state in State},
}


class OutOfTurn(Exception):
    """An event that cannot happen in the state that a connection is in."""


class Session:
    """The state of one connection."""

    def __init__(self) -> None:
        self.state = State.CONNECTING

    def take(self, event: Event) -> Order:
        """Move on by *event*.

        :raises OutOfTurn: where the table has no such move.
        """
        try:
            self.state, order = TRANSITIONS[self.state, event]
        except KeyError:
            raise OutOfTurn(f"a connection that is {self.state.value} hears that {event.value}") from None
        return order
