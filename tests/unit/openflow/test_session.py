"""A connection goes its way step by step, and says what is wrong when an event comes out of turn."""

import itertools

import pytest

from dove_ryu.openflow.session import TRANSITIONS, Event, Order, OutOfTurn, Session, State


def test_a_connection_from_greeting_to_end() -> None:
    session = Session()
    events = (Event.GREETED, Event.FLOWS_READ, Event.CONFIRMED, Event.CONFIRMED, Event.LOST)
    way = [(session.state, session.take(event), session.state) for event in events]
    assert way == [
        (State.CONNECTING, Order.READ_FLOWS, State.READING),
        (State.READING, Order.SEND_PLAN, State.SYNCING),
        (State.SYNCING, Order.WAIT, State.LIVE),
        (State.LIVE, Order.WAIT, State.LIVE),
        (State.LIVE, Order.WAIT, State.CLOSED),
    ]


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_every_state_takes_the_events_that_it_knows_and_no_other(state: State, event: Event) -> None:
    session = Session()
    session.state = state
    if (state, event) in TRANSITIONS:
        after, order = TRANSITIONS[state, event]
        assert session.take(event) is order
        assert session.state is after
    else:
        with pytest.raises(OutOfTurn, match=f"a connection that is {state.value} hears that {event.value}"):
            session.take(event)
        assert session.state is state


def test_any_connection_can_be_lost() -> None:
    assert all(TRANSITIONS[state, Event.LOST] == (State.CLOSED, Order.WAIT) for state in State)


def test_nothing_is_live_before_the_switch_confirms() -> None:
    ways = [key for key, (after, _) in TRANSITIONS.items() if after is State.LIVE]
    assert {event for _, event in ways} == {Event.CONFIRMED}
