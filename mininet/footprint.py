"""What a run of the emulation leaves on the machine, and how it is taken away again.

All network namespaces of a run are anonymous: the kernel frees them, with every device inside, when their
last process is gone. So a run leaves two things only: processes and one directory of sockets, databases and
logs. Every process carries the directory's path in its environment (children inherit it), and the directory's
name carries the owner's process id and start time. That is all `sweep` needs to remove what a killed run left
behind: it ends only processes that bear the mark of a directory whose owner no longer lives.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

#: Short, because the sockets inside must stay below the 108 bytes that a Unix socket's path may have.
RUNS = Path("/run/dove-emulation")
MARK = "DOVE_EMULATION"

_serial = itertools.count(1)


class DeadlineError(RuntimeError):
    """Something awaited did not come about in time."""


def wait_until(happens: Callable[[], bool], what: str, deadline: float = 10.0, interval: float = 0.01) -> float:
    """Ask `happens` until it is true; return the seconds it took. DeadlineError names `what` after
    `deadline` s."""
    began = time.monotonic()
    while not happens():
        if time.monotonic() - began > deadline:
            raise DeadlineError(f"{what}: not within {deadline:g} s")
        time.sleep(interval)
    return time.monotonic() - began


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """For a main program: SIGTERM and SIGHUP leave the block as Ctrl-C does, so that what is open is closed. The exit
    status is the one of a shell, 128 and the signal's number."""

    def leave(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def unsignalled() -> Iterator[None]:
    """Run the block to its end though someone presses Ctrl-C again; the signal is heard afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Footprint:
    """The directory of one run and the mark on its processes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def make(cls) -> Footprint:
        """A new one, owned by this process."""
        owner = os.getpid()
        directory = RUNS / f"{owner}-{start_time_of(owner)}-{next(_serial)}"
        directory.mkdir(parents=True)
        return cls(directory)

    @property
    def environment(self) -> dict[str, str]:
        """The environment for every process of the run."""
        return {**os.environ, MARK: str(self.directory)}

    def abandoned(self) -> bool:
        """The owner is dead (its number may by now belong to a younger process, hence the start time)."""
        owner, start_time, _ = self.directory.name.split("-")
        return start_time_of(int(owner)) != start_time

    def processes(self) -> list[int]:
        """The process ids that bear the mark."""
        return [pid for pid in _process_ids() if self._marks(pid)]

    def erase(self, deadline: float = 10.0) -> None:
        """End every process of the run and remove its directory. What is already gone is no error."""
        wait_until(lambda: not self._kill_all(), f"end of the processes of {self.directory}", deadline)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _marks(self, pid: int) -> bool:
        try:
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:  # gone meanwhile, or a zombie
            return False
        return f"{MARK}={self.directory}".encode() in variables

    def _kill_all(self) -> int:
        """Kill whom we find, and say how many: one of them may just have made another."""
        found = self.processes()
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                self._kill(pid)
        return len(found)

    def _kill(self, pid: int) -> None:
        """SIGKILL through a pidfd: looked at again once it is held, the number cannot change hands in
        between."""
        handle = os.pidfd_open(pid)
        try:
            if self._marks(pid):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)


def sweep() -> list[str]:
    """Erase the footprints of runs whose owner is dead; return their names."""
    if not RUNS.is_dir():
        return []
    left = [footprint for footprint in map(Footprint, RUNS.iterdir()) if footprint.abandoned()]
    for footprint in left:
        footprint.erase()
    return [footprint.directory.name for footprint in left]


def _process_ids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def start_time_of(pid: int) -> str:
    """Clock ticks after boot at which the process started (proc(5), stat, field 22); '' when there is none, or one
    that is dead and waits for its parent to notice."""
    state, *rest = _statistics(pid) or ("Z",)
    return "" if state == "Z" else rest[18]


def state_of(pid: int) -> str:
    """What the process does (proc(5), stat, field 3): R runs or would, S waits; '' when there is none."""
    state, *_ = _statistics(pid) or ("",)
    return state


def _statistics(pid: int) -> list[str]:
    """The fields of proc(5), stat, from the third on; none when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
