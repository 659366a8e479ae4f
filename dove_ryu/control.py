"""The one thread of control, and the queue that leads to it.

Switch connections, the store's watch, REST workers and hosts all post to the queue; whatever they bring happens one
after another on this thread, which alone reads and writes the world.  It never waits for anything but the queue, and
for the time at which somebody wanted to be remembered.

What people and the store bring is *urgent*: it takes turns with the rest, and never waits behind all that a thousand
dSwitches have to say when they come back at once.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar

LOG = logging.getLogger(__name__)

T = TypeVar("T")

Act = Callable[[], object]


def _look() -> None:
    """Stands in the queue for something urgent, so that the thread wakes up."""


class Control:
    """A thread that does what is posted to it: what is urgent in its order, everything else in its own."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Act | None] = queue.SimpleQueue()
        self._urgent: deque[Act] = deque()
        self._urgent_had_its_turn = False
        self._due: list[tuple[float, int, Act]] = []
        self._serial = itertools.count()
        self._thread = threading.Thread(target=self._run, name="dps", daemon=True)

    def start(self) -> None:
        """Begin with what has been posted."""
        self._thread.start()

    def stop(self) -> None:
        """End after what has been posted."""
        self._queue.put(None)
        self._thread.join(1)

    def post(self, act: Act) -> None:
        """Let *act* happen on the thread; any thread may post."""
        self._queue.put(act)

    def post_urgent(self, act: Act) -> None:
        """Let *act* happen after at most one of the others; any thread may post."""
        self._urgent.append(act)
        self._queue.put(_look)

    def later(self, seconds: float, act: Act) -> None:
        """Let *act* happen on the thread, which alone may say so, when that time has passed."""
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._serial), act))

    def ask(self, question: Callable[[], T], timeout: float) -> T:
        """What *question* answers on the thread, or raises there: it is urgent.

        :raises TimeoutError: where it does not come to it within *timeout* seconds.
        """
        answered: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

        def act() -> None:
            try:
                answered.put((question(), None))
            except Exception as error:  # it belongs to the asker, whatever it is
                answered.put((None, error))

        self.post_urgent(act)
        try:
            value, error = answered.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError(f"the DPS did not answer within {timeout:g} s") from None
        if error is not None:
            raise error
        return value  # type: ignore[return-value]  # None only where T has it

    def _run(self) -> None:
        while (act := self._next()) is not None:
            try:
                act()
            except Exception:
                LOG.exception("an event was lost")

    def _next(self) -> Act | None:
        """What is to happen next: what is urgent, is due, or else is posted; None for the end."""
        if self._urgent and not self._urgent_had_its_turn:
            self._urgent_had_its_turn = True
            return self._urgent.popleft()
        self._urgent_had_its_turn = False
        while self._due:
            left = self._due[0][0] - time.monotonic()
            if left <= 0:
                return heapq.heappop(self._due)[2]
            try:
                return self._queue.get(timeout=left)
            except queue.Empty:
                continue
        return self._queue.get()
