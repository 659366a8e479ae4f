"""What is left of a run: raw data as JSON, tables for the manual, and figure 5."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dove_ryu
from dove_ryu.bench.arena import CONGESTION_CONTROL
from dove_ryu.bench.course import Course
from dove_ryu.bench.figure import draw_figure5
from dove_ryu.bench.goals import Verdict
from dove_ryu.bench.samples import Sample, of, significant, spread
from dove_ryu.bench.scenarios import CHANGES_PER_SECOND, DSWITCHES, FAST, MIDDLE, OUTSTANDING, REPORTED_LOAD, SLOW


def write_results(course: Course, verdicts: Sequence[Verdict], directory: Path) -> None:
    """Write everything into *directory*."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "results.json").write_text(json.dumps(_document(course, verdicts), indent=1) + "\n")
    (directory / "results.rst").write_text("\n".join(_page(course, verdicts)) + "\n")
    if any(each.scenario.startswith("load-") for each in course.samples):
        draw_figure5(course.samples, course.titles, directory)


def _document(course: Course, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    return {
        "machine": machine(),
        "workload": asdict(course.workload.plan),
        "titles": course.titles,
        "verdicts": [{"goal": each.goal, "verdict": each.word, "figure": each.figure} for each in verdicts],
        "samples": [asdict(each) for each in course.samples],
        "other": course.extras,
        "missing": course.missing,
        "failures": course.failures,
    }


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = {line.partition(":")[2].strip() for line in lines if line.startswith("model name")}
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": ", ".join(sorted(names)) or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(pages / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "dove_ryu": dove_ryu.__version__,
        "congestion_control": CONGESTION_CONTROL,
    }


def _page(course: Course, verdicts: Sequence[Verdict]) -> Iterator[str]:
    told = machine()
    yield f"Measured on {told['cores']} cores of {told['processor']}, Linux {told['kernel']}, Python {told['python']}."
    yield ""
    yield from table(
        "Goals", ("Goal", "", "Figure"), ([each.goal, each.word, each.figure] for each in verdicts), (60, 15, 25)
    )
    yield from _closed_table(course)
    yield from _steady_table(course)
    yield from _other_tables(course)
    if course.missing or course.failures:
        yield "Not measured:"
        yield ""
        yield from (f"* {name}: {why}" for name, why in course.missing.items())
        yield from (f"* {failure}" for failure in course.failures)
        yield ""


def _closed_table(course: Course) -> Iterator[str]:
    rows = []
    for name in (*FAST, *SLOW):
        if name not in course.titles:
            continue
        cells = [
            _cell(of(course.samples, f"closed-{dswitches}", name), lambda each: each.rate) for dswitches in DSWITCHES
        ]
        middle = of(course.samples, f"closed-{MIDDLE}", name)
        p50 = _cell(middle, lambda each: each.latency("p50"))
        rows.append([course.titles[name], *cells, p50])
    heads = ("Controller", *(f"{dswitches} dSwitch{'es' * (dswitches > 1)}" for dswitches in DSWITCHES))
    title = f"Answers a second, {OUTSTANDING} requests of each dSwitch under way; median (least–most)"
    yield from table(title, (*heads, f"p50, {MIDDLE} dSwitches, µs"), rows)


def _steady_table(course: Course) -> Iterator[str]:
    rows = []
    for scenario, what in (("steady", ""), ("steady-changes", f", {CHANGES_PER_SECOND} blueprint changes a second")):
        for name in FAST:
            samples = of(course.samples, scenario, name)
            if samples:
                latencies = [
                    _cell(samples, lambda each, which=which: each.latency(which))  # type: ignore[misc]
                    for which in ("p50", "p99", "p99.9", "windowed_p99")
                ]
                rows.append([course.titles[name] + what, *latencies, _percent(samples)])
    heads = ("Controller", "p50", "p99", "p99.9", "windowed p99", "its core")
    yield from table(f"Latency in µs at {REPORTED_LOAD:,} requests a second; median (least–most)", heads, rows)


def _other_tables(course: Course) -> Iterator[str]:
    extras = course.extras
    if "idle" in extras:
        idle = extras["idle"]
        yield (
            f"{idle['dswitches']:,} idle dSwitches, each with an echo request every 5 s, take {idle['cpu']:.1%} of a "
            f"core and {significant(idle['resident_mib_each'] * 1024)} KiB each."
        )
        yield ""
    if "switch" in extras:
        yield from _new_flows_table(extras["switch"])
    for peer, rows in extras.get("scale", {}).items():
        if rows:
            heads = (
                "Endpoints",
                "A new one's first ping",
                "Flows",
                "First packet",
                "Cached",
                "In control",
                "On a server",
            )
            yield from table(f"One large network: {peer}", heads, (_size_row(row) for row in rows))


def _new_flows_table(found: dict[str, Any]) -> Iterator[str]:
    rows = [
        [
            f"{each['rate']:,}/s",
            f"{each['delivered']:.1%}",
            f"{significant(each['per_second'])}/s",
            f"{each['dps_cpu']:.0%}",
            f"{each['vswitchd_cpu']:.0%}",
        ]
        for each in found["new_flows"]
    ]
    heads = ("New destinations", "Delivered", "Until the last", "DPS, of a core", "ovs-vswitchd")
    yield from table("New destinations of one dSwitch, through real Open vSwitch", heads, rows)


def _size_row(row: dict[str, Any]) -> list[str]:
    return [
        f"{row['endpoints']:,}",
        f"{significant(row['new_endpoint_s'])} s",
        str(row["flows"]),
        f"{significant(row['first_ms'])} ms",
        f"{significant(row['cached_ms'])} ms",
        f"{significant(row['control_mib'])} MiB",
        f"{significant(row['server_mib'])} MiB",
    ]


def _cell(samples: Sequence[Sample], figure: Callable[[Sample], float]) -> str:
    found = spread(map(figure, samples))
    return "" if found is None else str(found)


def _percent(samples: Sequence[Sample]) -> str:
    found = spread(each.cpu for each in samples)
    return "" if found is None else f"{found.median:.0%}"


def table(
    title: str, heads: Sequence[str], rows: Iterator[list[str]] | list[list[str]], widths: Sequence[int] = ()
) -> Iterator[str]:
    """A table as reStructuredText has them; nothing where there are no rows."""
    cells = list(rows)
    if not cells:
        return
    yield f".. list-table:: {title}"
    yield "   :header-rows: 1"
    if widths:
        yield f"   :widths: {' '.join(map(str, widths))}"
    yield ""
    for row in (heads, *cells):
        yield from (f"   {'*' if place == 0 else ' '} - {cell}".rstrip() for place, cell in enumerate(row))
    yield ""
