"""One thread that reads the connections of all live dSwitches, so that the fast lane waits for nobody.

With a thread for each connection, every read and every write of any of them would hand Python's global lock on to
another, and with it the processor.  So a connection whose dSwitch is live lends its reading to this loop
(:meth:`LaneLoop.adopt`).  What the desks answer is written from here, by the compiled lane without Python's lock:
however long other threads keep it, a request that the tables can answer does not wait.  Everything else goes on to the
connection's own thread, where applications may take as long as they like.

Where it shares a core with other threads, the kernel would let it wait for them as well.  So it asks to be let on at once
(:func:`dove_ryu.southbound.lane_memory.be_prompt`).
"""

from __future__ import annotations

import threading
from select import epoll  # by name: eventlet takes it away from the module later
from types import ModuleType

from dove_ryu.southbound import framework
from dove_ryu.southbound.lane import Line, Ring


class LaneLoop:
    """The loop. Its thread starts with the first connection and ends with the process.

    :param form: of the lane.
    """

    def __init__(self, form: ModuleType) -> None:
        self._ring: Ring = form.Ring(epoll())
        self._lock = threading.Lock()
        self._started = False

    def adopt(self, line: Line, descriptor: int) -> None:
        """Read this connection from now on."""
        self._ring.add(line, descriptor)
        with self._lock:
            if not self._started:
                self._started = True
                framework.run_beside(self._run)

    def resume(self, descriptor: int) -> None:
        """A connection whose turn said that nothing more may be read can be read again."""
        self._ring.resume(descriptor)

    def release(self, descriptor: int) -> None:
        """Leave a connection alone, whose socket may then be closed."""
        self._ring.remove(descriptor)

    def _run(self) -> None:
        if not framework.is_eventlet():
            self._ring.serve()
        while True:
            framework.wait([self._ring.fileno()], [], None)
            self._ring.round()


def loop_of(form: ModuleType) -> LaneLoop:
    """The process has one for each form of the lane, as the framework has one hub."""
    with _LOOPS_LOCK:
        if form not in _LOOPS:
            _LOOPS[form] = LaneLoop(form)
        return _LOOPS[form]


_LOOPS: dict[ModuleType, LaneLoop] = {}
_LOOPS_LOCK = threading.Lock()
