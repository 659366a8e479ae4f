"""Who has promised to tell others is asked for a sign of life for as long as that matters (F22)."""

import heapq
import itertools
from collections.abc import Callable

import pytest

from dove_ryu.vigil import PATIENCE, Vigil

ROUND_TRIP = PATIENCE / 3


class Time:
    """What is to happen later happens when that much time is let pass."""

    def __init__(self) -> None:
        self._now = 0.0
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._serial = itertools.count()

    def later(self, seconds: float, act: Callable[[], object]) -> None:
        heapq.heappush(self._due, (self._now + seconds, next(self._serial), act))

    def let_pass(self, seconds: float) -> None:
        end = self._now + seconds
        while self._due and self._due[0][0] <= end:
            self._now, _, act = heapq.heappop(self._due)
            act()
        self._now = end


class DSwitch:
    """A connection to a dSwitch that answers after a round trip, while it is alive."""

    def __init__(self, time: Time, dpid: int = 1) -> None:
        self.dpid, self.received, self.asked, self.alive = dpid, 0, 0, True
        self._time = time

    def ask_sign(self) -> None:
        self.asked += 1
        self._time.later(ROUND_TRIP, self._answer)

    def _answer(self) -> None:
        self.received += self.alive


class Scene:
    """A vigil, who is relied on, and who was found silent."""

    def __init__(self) -> None:
        self.time, self.relied_on, self.silent = Time(), {1}, list[int]()
        self.vigil = Vigil(self.relied_on.__contains__, self.silent.append)
        self.vigil.later = self.time.later
        self.link = DSwitch(self.time)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_one_that_lives_is_asked_as_long_as_others_rely_on_it(scene: Scene) -> None:
    scene.vigil.watch(scene.link)
    scene.time.let_pass(10.5 * PATIENCE)
    assert (scene.link.asked, scene.silent) == (11, [])
    scene.relied_on.clear()
    scene.time.let_pass(10 * PATIENCE)
    assert (scene.link.asked, scene.silent) == (11, [])


@pytest.mark.parametrize("lives", [0, 0.1, 0.5, 1, 1.5, 7.9])
def test_one_that_dies_is_found_out_once_and_within_twice_the_patience(scene: Scene, lives: float) -> None:
    """However often it has answered before: that it has confirmed something does not mean that it lives."""
    scene.vigil.watch(scene.link)
    scene.time.let_pass(lives * PATIENCE)
    scene.link.alive = False
    scene.time.let_pass(2 * PATIENCE)
    assert scene.silent == [1]
    scene.time.let_pass(10 * PATIENCE)
    assert scene.silent == [1]


def test_whatever_it_says_is_a_sign_of_life(scene: Scene) -> None:
    scene.vigil.watch(scene.link)
    scene.link.alive = False
    for _ in range(5):
        scene.link.received += 1
        scene.time.let_pass(PATIENCE)
    assert scene.silent == []


def test_one_that_answers_at_once_lives(scene: Scene) -> None:
    """Its answer may be read while it is being asked."""

    class Quick(DSwitch):
        def ask_sign(self) -> None:
            self.received += 1

    scene.vigil.watch(Quick(scene.time))
    scene.time.let_pass(5 * PATIENCE)
    assert scene.silent == []


def test_one_on_whom_nobody_relies_is_left_alone(scene: Scene) -> None:
    scene.link.alive = False
    scene.relied_on.clear()
    scene.vigil.watch(scene.link)
    scene.time.let_pass(5 * PATIENCE)
    assert (scene.link.asked, scene.silent) == (0, [])


def test_a_dead_one_on_whom_nobody_relies_any_more_troubles_nobody(scene: Scene) -> None:
    scene.vigil.watch(scene.link)
    scene.link.alive = False
    scene.relied_on.clear()
    scene.time.let_pass(5 * PATIENCE)
    assert scene.silent == []


def test_one_that_is_watched_is_not_watched_twice(scene: Scene) -> None:
    scene.vigil.watch(scene.link)
    scene.vigil.watch(scene.link)
    assert scene.link.asked == 1


def test_one_that_was_silent_is_watched_when_it_is_relied_on_again(scene: Scene) -> None:
    scene.vigil.watch(scene.link)
    scene.link.alive = False
    scene.time.let_pass(5 * PATIENCE)
    scene.vigil.watch(scene.link)
    scene.time.let_pass(5 * PATIENCE)
    assert scene.silent == [1, 1]


def test_a_connection_that_another_took_the_place_of_says_nothing(scene: Scene) -> None:
    """The old one's silence means nothing, the new one's does."""
    scene.vigil.watch(scene.link)
    scene.link.alive = False
    anew = DSwitch(scene.time)
    scene.vigil.watch(anew)
    scene.time.let_pass(5 * PATIENCE)
    assert (scene.link.asked, scene.silent) == (1, [])
    anew.alive = False
    scene.time.let_pass(2 * PATIENCE)
    assert scene.silent == [1]


def test_where_nobody_can_look_again_nobody_is_asked(scene: Scene) -> None:
    scene.vigil.later = None
    scene.vigil.watch(scene.link)
    assert scene.link.asked == 0
