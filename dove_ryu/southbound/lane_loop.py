"""One thread that reads the connections of all live dSwitches, so that the fast lane waits for nobody.

With a thread for each connection, every read and every write of any of them would hand Python's global lock on to
another, and with it the processor; a lane that is the only one to want the lock keeps it.  So a connection whose
dSwitch is live lends its reading to this loop (:meth:`LaneLoop.adopt`).  What the desks answer is written from here;
everything else goes on to the connection's own thread, where applications may take as long as they like.
"""

from __future__ import annotations

import contextlib
import select
import threading
from pathlib import Path
from typing import Protocol

from dove_ryu.southbound import framework

RECEIVE_BUFFER = 256 * 1024  # one read of the kernel; an OpenFlow message has at most 64 KiB


class Lender(Protocol):
    """A connection, as far as the loop needs it."""

    def fileno(self) -> int:
        """The descriptor of its socket."""

    def read_turn(self, buffer: bytearray) -> bool:
        """Read once and deal with it, without waiting; whether more may be read now."""


class LaneLoop:
    """The loop. Its thread starts with the first connection and ends with the process."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._lock = threading.Lock()  # held for all turns of a wait: who has been released has no turn any more
        self._lenders: dict[int, Lender] = {}
        self._started = False

    def adopt(self, lender: Lender) -> None:
        """Read this connection from now on."""
        with self._lock:
            self._lenders[lender.fileno()] = lender
            self._epoll.register(lender.fileno(), select.EPOLLIN)
            if not self._started:
                self._started = True
                framework.run_beside(self._run)

    def resume(self, lender: Lender) -> None:
        """A connection whose turn said that nothing more may be read can be read again."""
        with self._lock:
            if self._lenders.get(lender.fileno()) is lender:
                self._epoll.modify(lender.fileno(), select.EPOLLIN)

    def release(self, lender: Lender) -> None:
        """Leave a connection alone, whose socket may then be closed."""
        with self._lock:
            if self._lenders.get(lender.fileno()) is lender:
                del self._lenders[lender.fileno()]
                self._epoll.unregister(lender.fileno())

    def _run(self) -> None:
        buffer = bytearray(RECEIVE_BUFFER)
        _wake_on_time()
        while True:
            ready = self._wait()
            with self._lock:
                for descriptor, _ in ready:
                    lender = self._lenders.get(descriptor)
                    if lender is not None and not lender.read_turn(buffer):
                        self._epoll.modify(descriptor, select.EPOLLONESHOT)  # nothing more, not even of its end

    def _wait(self) -> list[tuple[int, int]]:
        if not framework.is_eventlet():
            return self._epoll.poll()
        framework.wait([self._epoll.fileno()], [], None)
        return self._epoll.poll(0)


def _wake_on_time() -> None:
    """Let short waits of this thread, for Python's lock above all, end when they are over.

    Linux takes its ease by 50 microseconds otherwise, which is as long as the wait itself: behind a busy thread a packet
    waited 170 instead of 120.  (A higher priority changed nothing; real-time scheduling made it milliseconds.)
    """
    with contextlib.suppress(OSError):
        Path(f"/proc/{threading.get_native_id()}/timerslack_ns").write_text("1000")


LANE_LOOP = LaneLoop()
"""The process has one, as the framework has one hub."""
