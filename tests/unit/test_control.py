"""The thread of control: what is urgent takes turns with the rest."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial

import pytest

from dove_ryu.control import Control

DEADLINE = 10.0


@pytest.fixture
def control() -> Iterator[Control]:
    made = Control()
    made.start()
    yield made
    made.stop()


def test_urgent_and_other_acts_take_turns_each_in_their_order(control: Control) -> None:
    """X1: a question is answered and a change is carried out while a thousand dSwitches are read."""
    seen: list[str] = []
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def busy() -> None:
        begun.set()
        go_on.wait(DEADLINE)

    control.post(busy)
    assert begun.wait(DEADLINE)
    for number in range(4):
        control.post(partial(seen.append, f"flows {number}"))
    control.post(done.set)
    for number in range(2):
        control.post_urgent(partial(seen.append, f"change {number}"))
    go_on.set()
    assert done.wait(DEADLINE)
    assert seen == ["change 0", "flows 0", "change 1", "flows 1", "flows 2", "flows 3"]


def test_urgent_acts_of_many_threads_all_happen_in_each_ones_order(control: Control) -> None:
    seen: list[tuple[int, int]] = []

    def post(who: int) -> None:
        for number in range(500):
            (control.post_urgent if number % 3 else control.post)(partial(seen.append, (who, number)))

    threads = [threading.Thread(target=post, args=[who], daemon=True) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert control.ask(lambda: "after all that is urgent", DEADLINE)
    control.stop()  # after all the rest
    assert len(seen) == 2000
    for who in range(4):
        for urgent in (True, False):
            mine = [number for whose, number in seen if whose == who and bool(number % 3) is urgent]
            assert mine == sorted(mine)


def test_an_urgent_act_wakes_a_thread_that_waits_for_a_time(control: Control) -> None:
    """Somebody wants to be remembered in an hour."""
    control.ask(lambda: control.later(3600, pytest.fail), DEADLINE)
    assert control.ask(lambda: "now", DEADLINE) == "now"


def test_what_fails_belongs_to_the_asker_and_the_thread_goes_on(control: Control) -> None:
    with pytest.raises(ZeroDivisionError):
        control.ask(lambda: 1 // 0, DEADLINE)
    assert control.ask(lambda: 1, DEADLINE) == 1
