"""The parts of the benchmark that are programs of their own: real dSwitches, OVN beside them, floods, a million endpoints.

Each is run as a process and hands back JSON; one that cannot run here leaves its reason in the results instead.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dove_ryu.bench.build import HERE
from dove_ryu.bench.course import Course

SIZES, QUICK_SIZES = (100, 1_000, 5_000), (100,)
_QUICK_FLOOD = ("--rounds", "1", "--packets", "10", "--seconds", "1")
_QUICK_STATE = ("--endpoints", "20000", "--networks", "200", "--policies", "2000", "--dswitches", "50")
_NEW_FLOW_ENDPOINTS = 32_000
_SHORTEST = 60.0


def switch(course: Course) -> None:
    """Real Open vSwitch: the first packet's round trip, and how many new destinations a second it can learn."""
    course.tell("switch: two emulated servers, new flows at rising rates")
    said = _run(course, "emulated", "--endpoints", str(_NEW_FLOW_ENDPOINTS), "--new-flows")
    if said is not None:
        course.extras["switch"] = said


def scale(course: Course) -> None:
    """The table by which such systems are compared, for dove and, where it can be had, for OVN."""
    for peer, module in (("dove", "emulated"), ("ovn", "ovn")):
        rows = []
        for endpoints in QUICK_SIZES if course.pace.quick else SIZES:
            course.tell(f"scale: {peer}, {endpoints} endpoints in one network")
            said = _run(course, module, "--endpoints", str(endpoints))
            if said is None:
                break
            rows.append(said["size"])
        course.extras.setdefault("scale", {})[peer] = rows


def flood(course: Course) -> None:
    """One endpoint asks for addresses that nobody has: what another network feels of it."""
    course.tell("flood: another network's first packets while one endpoint asks for what is not there")
    found = _run_to_file(course, "flood", *(_QUICK_FLOOD if course.pace.quick else ()))
    if found is not None:
        course.extras["flood"] = found


def state(course: Course) -> None:
    """A million endpoints in one DPS."""
    course.tell("state: a million endpoints")
    found = _run_to_file(course, "state", *(_QUICK_STATE if course.pace.quick else ()))
    if found is not None:
        course.extras["state"] = found


def _run_to_file(course: Course, module: str, *arguments: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "found.json"
        done = _process(course, module, [*arguments, "--json", str(file)])
        return json.loads(file.read_text()) if done is not None and file.exists() else None


def _run(course: Course, module: str, *arguments: str) -> Any:
    printed = _process(course, module, arguments)
    return None if printed is None else json.loads(printed.strip().splitlines()[-1])


def _process(course: Course, module: str, arguments: Sequence[str]) -> str | None:
    """Run a module of ours to its end; None, and the reason noted, where it is not here or fails."""
    if not (HERE / f"{module}.py").exists():
        course.missing[module] = "it is not in this installation"
        return None
    command = [sys.executable, "-m", f"dove_ryu.bench.{module}", *arguments]
    seconds = min(max(_SHORTEST, course.until - time.monotonic()), threading.TIMEOUT_MAX)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            printed, complaint = running.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            running.terminate()  # it takes away what it has built
            running.communicate()
            course.failures.append(f"{module} {' '.join(arguments)}: not done within {seconds:.0f} s")
            return None
    if running.returncode:
        course.missing[module] = (complaint.strip().splitlines() or ["it said nothing"])[-1]
        return None
    return printed
