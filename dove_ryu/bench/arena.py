"""Where controllers are measured: a network namespace with nothing but a loopback, and a core for each side.

Every controller and every load generator of a run lives in the run's own namespace, so that no port can be taken and
nothing else on the machine is reached; congestion control is fixed there, since a machine's own choice would be part of
the result.  The controller under measurement has core 0 and the generator core 1, or both the only one there is.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

CONGESTION_CONTROL = "reno"
_TICKS = os.sysconf("SC_CLK_TCK")
_LISTENING = "0A"


class ArenaError(RuntimeError):
    """The namespace cannot be had, or a program in it does not do what it should; the message says why."""


class Program:
    """A running program.

    :ivar log: where its output goes.
    """

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name, self.log = name, log
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def cpu_seconds(self) -> float:
        """The processor time that it has used so far, in and outside the kernel."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def resident_mib(self) -> float:
        """The memory that it holds."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def listens(self, port: int) -> bool:
        """Whether anything in its namespace listens on a TCP port.

        :raises ArenaError: where the program has ended.
        """
        if self._process.poll() is not None:
            raise ArenaError(f"{self.name} has ended with {self._process.returncode}: {self.last_words()}")
        lines = [
            line.split()
            for table in ("tcp", "tcp6")
            for line in Path(f"/proc/{self.pid}/net/{table}").read_text().splitlines()[1:]
        ]
        return any(line[3] == _LISTENING and int(line[1].rpartition(":")[2], 16) == port for line in lines)

    def await_port(self, port: int, deadline: float = 90.0) -> None:
        """Wait until it listens.

        :raises ArenaError: where it ends, or does not listen in time.
        """
        until = time.monotonic() + deadline
        while not self.listens(port):
            if time.monotonic() > until:
                raise ArenaError(
                    f"{self.name} does not listen on port {port} after {deadline:g} s: {self.last_words()}"
                )
            time.sleep(0.05)

    def await_word(self, text: str, deadline: float) -> None:
        """Wait until it has said something.

        :raises ArenaError: where it ends, or does not say it in time.
        """
        until = time.monotonic() + deadline
        while text not in self.log.read_text(errors="replace"):
            if self._process.poll() is not None or time.monotonic() > until:
                raise ArenaError(
                    f"{self.name} does not come to say '{text}' within {deadline:g} s: {self.last_words()}"
                )
            time.sleep(0.05)

    def last_words(self) -> str:
        """The end of what it said."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return " / ".join(lines[-3:]) or "it said nothing"

    def stop(self, patience: float = 5.0) -> None:
        """End it, by force where it does not end by itself."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
                return
            self._process.kill()
            self._process.wait()


class Arena:
    """A network namespace, and the programs that run in it; all of them end with the block."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.name = f"{_PREFIX}{os.getpid()}"
        self.cores = sorted(os.sched_getaffinity(0))
        self._programs: list[Program] = []

    def __enter__(self) -> Arena:
        self.directory.mkdir(parents=True, exist_ok=True)
        if os.geteuid() != 0:
            raise ArenaError("the benchmark makes a network namespace; run it as root")
        _sweep()
        _ip("netns", "add", self.name)
        try:
            _ip("-netns", self.name, "link", "set", "lo", "up")
            self.run(["sysctl", "-qw", f"net.ipv4.tcp_congestion_control={CONGESTION_CONTROL}"])
        except BaseException:
            _ip("netns", "delete", self.name)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        for program in self._programs:
            program.stop()
        _ip("netns", "delete", self.name)

    @property
    def server_core(self) -> int:
        """Where the controller under measurement runs."""
        return self.cores[0]

    @property
    def client_core(self) -> int:
        """Where the generator runs."""
        return self.cores[min(1, len(self.cores) - 1)]

    def start(
        self, name: str, command: Sequence[str], core: int, environment: Mapping[str, str] | None = None, nice: int = 0
    ) -> Program:
        """Start a program on a core; its output goes to a file of its name."""
        log = self.directory / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self._within(command, core, nice),
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        program = Program(name, process, log)
        self._programs.append(program)
        return program

    @contextlib.contextmanager
    def running(
        self, name: str, command: Sequence[str], core: int, environment: Mapping[str, str] | None = None, nice: int = 0
    ) -> Iterator[Program]:
        """A program that runs as long as the block."""
        program = self.start(name, command, core, environment, nice)
        try:
            yield program
        finally:
            program.stop()
            self._programs.remove(program)

    def run(self, command: Sequence[str], core: int | None = None, deadline: float = 120.0) -> str:
        """Run a program to its end; what it printed.

        :raises ArenaError: where it fails, with what it said of that.
        """
        within = self._within(command, self.client_core if core is None else core, 0)
        try:
            done = subprocess.run(within, capture_output=True, text=True, timeout=deadline, check=False)
        except subprocess.TimeoutExpired:
            raise ArenaError(f"{command[0]} does not end within {deadline:g} s") from None
        if done.returncode:
            raise ArenaError(f"{Path(command[0]).name} fails ({done.returncode}): {done.stderr.strip()}")
        return done.stdout

    def _within(self, command: Sequence[str], core: int, nice: int) -> list[str]:
        # `ip` and the others each become what they start: the process id stays.
        return ["ip", "netns", "exec", self.name, "nice", "-n", str(nice), "taskset", "-c", str(core), *command]


_PREFIX = "dove-bench-"
"""How a run's namespace is called, before the run's process id."""


def _sweep() -> None:
    """Take away what runs that were killed have left: their namespaces, and the programs in them."""
    names = [line.split()[0] for line in _ip("netns", "list").splitlines() if line]
    for name in names:
        left = name.removeprefix(_PREFIX)
        if left != name and not Path(f"/proc/{left}").exists():
            for process in _ip("netns", "pids", name).split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(process), signal.SIGKILL)
            _ip("netns", "delete", name)


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ArenaError(f"ip {' '.join(arguments)} fails: {done.stderr.strip()}")
    return done.stdout
