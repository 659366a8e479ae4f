"""What is to be reached, and whether it was: each goal with its figure, met or missed, and nothing left out.

The report's DPS answered 380,000 requests a second on one core and took less than 150 microseconds at 250,000 (section
5).  Other goals are ratios to what the same machine can do at that moment: the C responder is the limit of a core and
the kernel's TCP, plain os-ken the floor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from dove_ryu.bench.course import Course
from dove_ryu.bench.samples import Sample, median, ratio, significant
from dove_ryu.bench.scenarios import DSWITCHES, IDLE, MIDDLE, REPORTED_LATENCY, REPORTED_RATE

SHARE_COMPILED, SHARE_PURE, TIMES_PLAIN = 0.6, 0.08, 500
TIMES_P50, TIMES_P99, TIMES_CHANGING = 1.5, 1.3, 3.0
IDLE_SHARE, REACHED_WITHIN, FLOWS_HELD, FLOODED_TIMES = 0.05, 1.0, 200, 2.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal and what came of it.

    :ivar met: None where it was not measured.
    :ivar figure: what was measured, in words; empty where it was not.
    """

    goal: str
    met: bool | None
    figure: str = ""

    @property
    def word(self) -> str:
        """``met``, ``missed`` or ``not measured``."""
        return "not measured" if self.met is None else "met" if self.met else "missed"

    def __str__(self) -> str:
        return f"{self.word:<12} {self.goal}" + (f": {self.figure}" if self.figure else "")


def judge(course: Course) -> list[Verdict]:
    """Every goal."""
    return [*_rates(course), *_steady(course), *_sizes(course), *_state(course)]


def _rate(sample: Sample) -> float:
    return sample.rate


def _figure(which: str) -> Callable[[Sample], float]:
    return lambda sample: sample.latency(which)


def _at_least(goal: str, value: float | None, least: float, unit: str) -> Verdict:
    return Verdict(goal, None) if value is None else Verdict(goal, value >= least, f"{significant(value)}{unit}")


def _at_most(goal: str, value: float | None, most: float, unit: str) -> Verdict:
    return Verdict(goal, None) if value is None else Verdict(goal, value <= most, f"{significant(value)}{unit}")


def _rates(course: Course) -> Iterator[Verdict]:
    samples, middle = course.samples, f"closed-{MIDDLE}"
    for dswitches in DSWITCHES:
        switches = "dSwitch" if dswitches == 1 else "dSwitches"
        goal = f"compiled, {dswitches} {switches}: at least {REPORTED_RATE:,}/s, every answer right"
        yield _at_least(goal, median(samples, f"closed-{dswitches}", "compiled", _rate), REPORTED_RATE, "/s")
    for lane, least in (("compiled", SHARE_COMPILED), ("pure", SHARE_PURE)):
        share = ratio(samples, middle, (lane, "responder"), _rate)
        yield _at_least(f"{lane}, {MIDDLE} dSwitches: at least {least} of the C responder", share, least, "")
    ours, plain = (median(samples, middle, name, _rate) for name in ("compiled", "os-ken"))
    times = None if ours is None or plain is None else ours / plain
    yield _at_least(f"compiled: at least {TIMES_PLAIN} times plain os-ken", times, TIMES_PLAIN, " times")


def _steady(course: Course) -> Iterator[Verdict]:
    """At the load that the report names; the responder has no blueprint, so its rounds stand beside both."""
    alone = list(course.samples)
    changing = [
        Sample("steady", each.contender, each.round, each.cpu, each.figures)
        for each in alone
        if each.scenario == "steady-changes" or (each.scenario, each.contender) == ("steady", "responder")
    ]
    for what, samples, times_p50, times_p99 in (
        ("250,000/s", alone, TIMES_P50, TIMES_P99),
        ("250,000/s while a blueprint changes 50 times a second", changing, TIMES_CHANGING, TIMES_CHANGING),
    ):
        pair = ("compiled", "responder")
        p50 = ratio(samples, "steady", pair, _figure("p50"))
        yield _at_most(f"{what}: p50 at most {times_p50} times the C responder's", p50, times_p50, " times")
        tail = median(samples, "steady", "compiled", _figure("windowed_p99"))
        times = ratio(samples, "steady", pair, _figure("windowed_p99"))
        goal = f"{what}: windowed p99 under {REPORTED_LATENCY} µs or at most {times_p99} times the C responder's"
        if tail is None or times is None:
            yield Verdict(goal, None)
        else:
            met = tail < REPORTED_LATENCY or times <= times_p99
            yield Verdict(goal, met, f"{significant(tail)} µs, {significant(times)} times")


def _sizes(course: Course) -> Iterator[Verdict]:
    idle: dict[str, Any] = course.extras.get("idle", {})
    dswitches = idle.get("dswitches", IDLE)
    goal = f"{dswitches:,} idle dSwitches: under {IDLE_SHARE:.0%} of a core"
    yield Verdict(goal, idle["cpu"] < IDLE_SHARE, f"{idle['cpu']:.1%}") if idle else Verdict(goal, None)
    rows = course.extras.get("scale", {}).get("dove", [])
    largest: dict[str, Any] = rows[-1] if rows else {}
    size = f"{largest.get('endpoints', 5000):,} endpoints in one network"
    goal = f"{size}: a new one's first ping within {REACHED_WITHIN:g} s of its binding"
    yield _at_most(goal, largest.get("new_endpoint_s"), REACHED_WITHIN, " s")
    goal = f"{size}: under {FLOWS_HELD} flows where 10 others were talked to"
    yield _at_most(goal, largest.get("flows"), FLOWS_HELD - 1, " flows")
    floods: dict[str, Any] = course.extras.get("flood", {}).get("kinds", {})
    worst = max((each["ratio"] for each in floods.values()), default=None)
    goal = f"50,000 unknown destinations a second: another network's first packet under {FLOODED_TIMES:g} times"
    yield _at_most(goal, worst, FLOODED_TIMES, " times")


def _state(course: Course) -> Iterator[Verdict]:
    found: dict[str, Any] = course.extras.get("state", {})
    figures = [each for each in found.get("figures", []) if each.get("goal") is not None]
    if not figures:
        yield Verdict("a million endpoints: loaded, held and changed as issued", None)
    for each in figures:
        goal = f"{found['shape']['endpoints']:,} endpoints, {each['name']}: under {each['goal']:g} {each['unit']}"
        yield Verdict(goal, each["value"] < each["goal"], f"{significant(each['value'])} {each['unit']}")
