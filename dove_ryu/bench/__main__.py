"""``python -m dove_ryu.bench``: policy acquisition measured, compared, and held against what the report claims (F54).

It prepares a world, lets the contenders take turns in a namespace of its own, and leaves in the directory it is told
``results.json`` (all samples and what the machine is), ``results.rst`` (tables, and each goal met or missed) and figure 5
redrawn.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from dove_ryu.bench import elsewhere, scenarios
from dove_ryu.bench.arena import Arena, ArenaError
from dove_ryu.bench.build import BuildError, cache_directory
from dove_ryu.bench.course import Course, Pace
from dove_ryu.bench.goals import judge
from dove_ryu.bench.prepare import Workload, prepare
from dove_ryu.bench.report import write_results
from dove_ryu.bench.world import Plan

SCENARIOS: dict[str, tuple[Callable[[Course], object], float]] = {
    "closed": (scenarios.closed, 210),
    "others": (scenarios.others, 45),
    "steady": (scenarios.steady, 110),
    "figure5": (scenarios.figure5, 320),
    "idle": (scenarios.idle, 80),
    "switch": (elsewhere.switch, 60),
    "scale": (elsewhere.scale, 170),
    "flood": (elsewhere.flood, 90),
    "state": (elsewhere.state, 320),
}
"""What can be asked for by ``--only``, in the order in which it is measured, and the seconds that it may take: a machine
that is slow, or busy, has fewer rounds.  Together they are under 25 minutes."""

WHOLE = Workload(Plan(), (20_000, *[8_000] * 7, *[600] * 56), scenarios.IDLE)
QUICK = Workload(Plan(endpoints=10_000, networks=10, dswitches=200), (2_000,) * 8 + (200,) * 56, 200)


def main() -> int:
    """The command."""
    said = _arguments()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that all that was started ends
    console = Console(stderr=True)
    began = time.monotonic()
    pace = Pace(said.rounds or 2, 0.6, 0.3, quick=True) if said.quick else Pace(said.rounds or Pace().rounds)
    workload = QUICK if said.quick else WHOLE
    place = cache_directory() / ("quick" if said.quick else "whole")
    try:
        with console.status("preparing") as status:
            prepare(workload, place, lambda what, share: status.update(f"preparing {what}: {share:.0%}"))
            with Arena(place / "logs") as arena:
                course = Course(arena, workload, place, pace, status.update)
                for name in said.only or SCENARIOS:
                    measure, seconds = SCENARIOS[name]
                    course.until = time.monotonic() + seconds
                    measure(course)
                    console.print(f"{name}: done after {time.monotonic() - began:.0f} s", highlight=False)
    except (ArenaError, BuildError) as error:
        sys.exit(f"bench: {error}")
    verdicts = judge(course)
    write_results(course, verdicts, said.output)
    for verdict in verdicts:
        console.print(str(verdict), style="green" if verdict.met else "yellow", highlight=False)
    for note in (*course.failures, *(f"{name} is missing: {why}" for name, why in course.missing.items())):
        console.print(note, style="red", highlight=False)
    console.print(f"{time.monotonic() - began:.0f} s in all; results in {said.output}", highlight=False)
    return 1 if course.failures else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m dove_ryu.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small world and short turns: does it all work?")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"turns of each contender (default: {Pace().rounds})")
    parser.add_argument("--only", action="append", choices=SCENARIOS, metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument("--output", type=Path, default=Path("bench-results"), metavar="DIR", help="(bench-results)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
