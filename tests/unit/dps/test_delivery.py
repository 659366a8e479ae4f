"""Packets through simulated dSwitches reach whom the report says, and what is cached never differs from what is true.

The states are random and so are the steps between them.  After each step every dSwitch must hold exactly the standing
flows that the world alone gives (the path does not matter), packets must fare as they would at dSwitches that have
cached nothing (whatever the step made stale is gone), and where the state does not contradict itself, as the oracle
tells.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from .oracle import Ping, Question
from .scenario import does_as_fresh_ones_would, does_as_the_oracle_says, fabric_of, fill, patient
from .states import Filling, contradicts_itself, fillings, packets, usual

steps = st.lists(fillings(), min_size=1, max_size=3)


@patient
@given(st.lists(fillings(), max_size=12), packets)
def test_packets_go_where_the_report_says(filled: list[Filling], sent: list[Ping | Question]) -> None:
    """Delivered to the endpoint that policy and location name, or dropped; twice, the second time from the cache."""
    state = usual()
    for slot, held in filled:
        if not contradicts_itself(state | {slot: held}):
            state[slot] = held
    fabric = fabric_of(state)
    does_as_the_oracle_says(fabric, state, sent)
    does_as_the_oracle_says(fabric, state, sent)


@patient
@given(st.lists(fillings(), max_size=6), st.lists(steps, min_size=1, max_size=4), packets)
def test_what_is_cached_is_true(
    filled: list[Filling], history: list[list[Filling]], sent: list[Ping | Question]
) -> None:
    """After any change, a dSwitch with a full cache does what one with an empty cache would do."""
    state = usual() | dict(filled)
    fabric = fabric_of(state)
    for step in [[], *history]:
        for slot, held in step:
            fill(fabric, state, slot, held)
        does_as_fresh_ones_would(fabric, state, sent)
        if not contradicts_itself(state):
            does_as_the_oracle_says(fabric, state, sent)
