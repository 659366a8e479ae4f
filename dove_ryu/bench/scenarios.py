"""What is measured of policy acquisition: closed loop, open loop, while blueprints change, and at rest (F54)."""

from __future__ import annotations

import time

from dove_ryu.bench.arena import ArenaError
from dove_ryu.bench.course import Course

DSWITCHES = (1, 8, 64)
MIDDLE = 8
OUTSTANDING = 32
REPORTED_RATE, REPORTED_LOAD, REPORTED_LATENCY = 380_000, 250_000, 150
"""Of the report's DPS: requests a second at most, and the load up to which they took less than so many microseconds."""

BURST = 16
CHANGES_PER_SECOND = 50
IDLE = 1_000
FAST = ("compiled", "pure", "responder")
SLOW = ("os-ken", "ryu", "faucet")
LOADS = (25_000, 50_000, 100_000, 150_000, 200_000, 250_000, 300_000, 380_000, 500_000, 750_000, 1_000_000, 1_500_000)
_KEEPS_UP = 0.97
_IDLE_SECONDS, _CONNECT_SECONDS = 15.0, 240.0


def closed(course: Course) -> None:
    """Each dSwitch has 32 requests under way: what comes out is the rate."""
    end = course.until
    for left, dswitches in zip(range(len(DSWITCHES), 0, -1), DSWITCHES, strict=True):
        course.until = time.monotonic() + (end - time.monotonic()) / left  # an equal share of the time for each
        for number, contender in course.rounds(FAST):
            options = ("--dswitches", str(dswitches), "--outstanding", str(OUTSTANDING))
            course.turn(f"closed-{dswitches}", number, contender, *options)


def others(course: Course) -> None:
    """Controllers that build objects and pass events."""
    for number, contender in course.rounds(SLOW, min(3, course.pace.rounds)):
        options = ("--dswitches", str(MIDDLE), "--outstanding", str(OUTSTANDING))
        course.turn(f"closed-{MIDDLE}", number, contender, *options)


def steady(course: Course) -> None:
    """Open loop at the load that the report names, alone and while a blueprint changes 50 times a second."""
    options = ("--dswitches", str(MIDDLE), "--rate", str(REPORTED_LOAD), "--burst", str(BURST))
    for number, contender in course.rounds(("compiled", "responder")):
        course.turn("steady", number, contender, *options)
        if contender.rest is not None:
            with course.changing(contender, CHANGES_PER_SECOND) as changes:
                course.turn("steady-changes", number, contender, *options)
            course.extras.setdefault("changes", []).append(changes)


def figure5(course: Course) -> None:
    """Open loop at rising loads, each contender as far as it keeps up."""
    fallen: set[str] = set()
    for load in LOADS:
        if course.late:
            course.failures.append(f"figure 5: no time was left for {load:,} requests a second and more")
            return
        for number, contender in course.rounds(FAST, 1 if course.pace.rounds < 3 else 2):
            if contender.name in fallen:
                continue
            options = ("--dswitches", str(MIDDLE), "--rate", str(load), "--burst", str(BURST))
            sample = course.turn(f"load-{load}", number, contender, *options)
            if sample is None or sample.rate < _KEEPS_UP * load:
                fallen.add(contender.name)


def idle(course: Course) -> None:
    """A thousand dSwitches that have nothing to ask, and send an echo request every five seconds."""
    contender = course.contender("compiled")
    if contender is None:
        return
    dswitches = min(IDLE, course.workload.emulated)
    course.tell(f"idle: {dswitches} dSwitches connect")
    running = course.program("compiled")
    before, began = running.resident_mib(), time.monotonic()
    options = ("--dswitches", str(dswitches), "--idle", "--seconds", "600", "--settle", "2", "--patience", "60")
    with course.arena.running(
        "idle", course.generator_command(contender, *options), course.arena.client_core
    ) as generator:
        try:
            generator.await_word("ready after", _CONNECT_SECONDS)
        except ArenaError as error:
            course.failures.append(f"idle: {error}")
            return
        connected = time.monotonic()
        course.tell(f"idle: {dswitches} dSwitches are connected")
        used = running.cpu_seconds()
        time.sleep(_IDLE_SECONDS)
        course.extras["idle"] = {
            "dswitches": dswitches,
            "cpu": (running.cpu_seconds() - used) / (time.monotonic() - connected),
            "connected_after_s": connected - began,
            "resident_mib_each": (running.resident_mib() - before) / dswitches,
        }
