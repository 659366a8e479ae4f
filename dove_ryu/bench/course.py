"""One run of the benchmark: who takes part, what was measured so far, and one turn after another.

Contenders are started when they are first needed and stay up; in each round all take their turn, so that what else the
machine does strikes them alike.
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dove_ryu.bench import contenders
from dove_ryu.bench.arena import Arena, ArenaError, Program
from dove_ryu.bench.build import program
from dove_ryu.bench.contenders import Contender, Unavailable
from dove_ryu.bench.prepare import Workload
from dove_ryu.bench.samples import Sample

Tell = Callable[[str], object]
"""Is told what is going on."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things take.

    :ivar rounds: how often each contender has its turn.
    :ivar seconds: that a turn is measured.
    :ivar warm_up: seconds before.
    :ivar quick: whether sizes are small as well, where nobody looks at the figures.
    """

    rounds: int = 6
    seconds: float = 1.5
    warm_up: float = 0.5
    quick: bool = False


@dataclass(slots=True)
class Course:
    """The state of a run.

    :ivar workload: what *directory* is prepared for.
    :ivar missing: why a contender, or a part of the benchmark, cannot be had.
    :ivar failures: turns that failed, in words.
    :ivar extras: what parts of the benchmark other than turns have found, by name.
    :ivar until: when the part that is being measured should be over; what is begun is finished, no round is added.
    """

    arena: Arena
    workload: Workload
    directory: Path
    pace: Pace
    tell: Tell
    samples: list[Sample] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    extras: dict[str, Any] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    until: float = math.inf
    _running: dict[str, tuple[Contender, Program]] = field(default_factory=dict)

    @property
    def late(self) -> bool:
        """Whether the time of this part is used up."""
        return time.monotonic() > self.until

    def contender(self, name: str) -> Contender | None:
        """A contender, running; None where it cannot be had, which is noted."""
        if name in self.missing:
            return None
        if name not in self._running:
            self.tell(f"starting {name}")
            try:
                made = self._make(name)
                self._running[name] = made, made.start(self.arena)
                self.titles[name] = made.title
            except (Unavailable, ArenaError) as error:
                self.missing[name] = str(error)
                return None
        return self._running[name][0]

    def program(self, name: str) -> Program:
        """The program of a contender that runs."""
        return self._running[name][1]

    def _make(self, name: str) -> Contender:
        if name in ("compiled", "pure"):
            return contenders.dove(name, self.directory)
        if name == "responder":
            return contenders.responder(self.directory)
        if name == "faucet":
            return contenders.faucet(self.workload, self.directory)
        return contenders.os_ken() if name == "os-ken" else contenders.ryu()

    def rounds(self, names: Sequence[str], rounds: int | None = None) -> Iterator[tuple[int, Contender]]:
        """Turns: in each round every contender that can be had, beginning with another one each time.

        There is one round at least, and no further one when it is late.
        """
        there = [found for found in map(self.contender, names) if found is not None]
        for number in range(self.pace.rounds if rounds is None else rounds):
            if number and self.late:
                return
            turn = number % len(there) if there else 0
            for contender in there[turn:] + there[:turn]:
                yield number, contender

    def turn(self, scenario: str, number: int, contender: Contender, *options: str) -> Sample | None:
        """One contender's turn: the generator's options besides its own; None where it failed, which is noted."""
        self.tell(f"{scenario}: round {number + 1}: {contender.title}")
        running = self.program(contender.name)
        before, began = running.cpu_seconds(), time.monotonic()
        try:
            figures = json.loads(self.arena.run(self.generator_command(contender, *options)))
        except ArenaError as error:
            self.failures.append(f"{scenario}, {contender.title}, round {number + 1}: {error}")
            return None
        cpu = (running.cpu_seconds() - before) / (time.monotonic() - began)
        sample = Sample(scenario, contender.name, number, cpu, figures)
        self.samples.append(sample)
        return sample

    def generator_command(self, contender: Contender, *options: str) -> tuple[str, ...]:
        """How the load generator is run against a contender."""
        return (
            *(str(program("loadgen")), "--connect", f"127.0.0.1:{contender.port}"),
            *("--requests", str(self.directory / contender.requests), *contender.answers),
            *(
                "--warm-up",
                str(max(self.pace.warm_up, contender.learns)),
                "--seconds",
                str(self.pace.seconds),
                *options,
            ),
        )

    @contextlib.contextmanager
    def changing(self, contender: Contender, rate: float) -> Iterator[dict[str, Any]]:
        """Blueprint changes going on as long as the block; what became of them is in the dictionary after it.

        The one who makes them shares the contender's core, at the lowest priority: the generator's stays its own.
        """
        command = (
            *(sys.executable, "-m", "dove_ryu.bench.changes"),
            *("--port", str(contender.rest), "--rate", str(rate)),
        )
        told: dict[str, Any] = {}
        with self.arena.running("changes", command, self.arena.server_core, nice=19) as changes:
            yield told
        with contextlib.suppress(ValueError):
            told |= json.loads(changes.last_words())
        if not told:
            self.failures.append(f"changes of {contender.title}: {changes.last_words()}")
