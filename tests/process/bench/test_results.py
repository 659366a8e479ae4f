"""From samples to medians, verdicts, tables and the figure (F54)."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dove_ryu.bench.course import Course
from dove_ryu.bench.figure import curves
from dove_ryu.bench.goals import Verdict, judge
from dove_ryu.bench.report import write_results
from dove_ryu.bench.samples import Sample, Spread, median, ratio, significant, spread

from .conftest import SMALL


def sample(scenario: str, contender: str, number: int, rate: float, p50: float = 20.0, tail: float = 90.0) -> Sample:
    latency = {"p50": p50, "p90": 2 * p50, "p99": 3 * p50, "p99.9": 4 * p50, "max": 5 * p50, "windowed_p99": tail}
    return Sample(scenario, contender, number, 0.5, {"answers_per_second": rate, "latency_us": latency})


def course(*samples: Sample, **extras: Any) -> Course:
    """A run that has been measured."""
    made = SimpleNamespace(
        samples=list(samples),
        extras=extras,
        workload=SMALL,
        titles={"compiled": "dove_ryu, compiled", "responder": "C responder (the limit)", "os-ken": "os-ken"},
        missing={"ryu": "it cannot be installed: no such package"},
        failures=[],
    )
    return cast("Course", made)


def verdicts(*samples: Sample, **extras: Any) -> dict[str, Verdict]:
    return {each.goal: each for each in judge(course(*samples, **extras))}


def found(goals: dict[str, Verdict], *words: str) -> Verdict:
    (one,) = (each for goal, each in goals.items() if all(word in goal for word in words))
    return one


def test_a_ratio_is_the_median_of_the_rounds_own() -> None:
    samples = [
        *(sample("s", "a", number, rate) for number, rate in enumerate((10, 40, 90))),
        *(sample("s", "b", number, rate) for number, rate in enumerate((10, 20, 30))),
    ]
    assert ratio(samples, "s", ("a", "b"), lambda each: each.rate) == 2
    assert ratio(samples, "t", ("a", "b"), lambda each: each.rate) is None
    assert median(samples, "s", "a", lambda each: each.rate) == 40


def test_a_spread_is_median_and_range() -> None:
    assert spread([3, 1, 2]) == Spread(2, 1, 3)
    assert spread([]) is None
    assert str(Spread(1234567, 980000, 2000000)) == "1,230,000 (980,000–2,000,000)"


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.01234, "0.0123"), (1.5, "1.50"), (149.6, "150"), (1851234, "1,850,000")]
)
def test_three_digits_are_told(value: float, text: str) -> None:
    assert significant(value) == text


def test_goals_are_met_or_missed_by_their_figures() -> None:
    goals = verdicts(
        sample("closed-1", "compiled", 0, 500_000),
        sample("closed-8", "compiled", 0, 2_000_000),
        sample("closed-8", "responder", 0, 4_000_000),
        sample("closed-8", "pure", 0, 300_000),
        sample("closed-8", "os-ken", 0, 4_000),
        sample("closed-64", "compiled", 0, 300_000),
    )
    assert found(goals, "compiled, 1 dSwitch:").met is True
    assert found(goals, "compiled, 64 dSwitches").met is False
    assert found(goals, "compiled, 8 dSwitches", "0.6 of").figure == "0.500"
    assert found(goals, "compiled, 8 dSwitches", "0.6 of").met is False
    assert found(goals, "pure, 8 dSwitches").met is False
    assert found(goals, "500 times").met is True


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    assert {each.word for each in verdicts().values()} == {"not measured"}
    assert {each.figure for each in verdicts().values()} == {""}


def test_a_tail_may_be_short_by_itself_or_beside_the_limit() -> None:
    for tail, limit, met in ((140, 50, True), (400, 350, True), (400, 200, False)):
        goals = verdicts(sample("steady", "compiled", 0, 1, 20, tail), sample("steady", "responder", 0, 1, 15, limit))
        assert found(goals, "250,000/s: windowed p99").met is met
        assert found(goals, "250,000/s: p50").met is True
        assert found(goals, "250,000/s while", "p50").met is None


def test_changes_are_held_against_the_same_limit() -> None:
    samples = (
        sample("steady", "compiled", 0, 1, 20, 100),
        sample("steady-changes", "compiled", 0, 1, 60, 500),
        sample("steady", "responder", 0, 1, 15, 100),
    )
    goals = verdicts(*samples)
    assert found(goals, "while a blueprint changes", "p50").figure == "4.00 times"
    assert found(goals, "while a blueprint changes", "p50").met is False
    assert found(goals, "while a blueprint changes", "windowed").met is False


def test_the_other_parts_are_judged_as_well() -> None:
    goals = verdicts(
        idle={"dswitches": 1000, "cpu": 0.03},
        scale={"dove": [{"endpoints": 100}, {"endpoints": 5000, "new_endpoint_s": 1.2, "flows": 61}]},
        flood={"kinds": {"mac": {"ratio": 1.2}, "ip": {"ratio": 2.4}}},
        state={
            "shape": {"endpoints": 1_000_000},
            "figures": [{"name": "load", "value": 70, "unit": "s", "goal": 60}, {"name": "x", "value": 1}],
        },
    )
    assert found(goals, "1,000 idle dSwitches").met is True
    assert found(goals, "5,000 endpoints", "first ping").met is False
    assert found(goals, "5,000 endpoints", "flows").met is True
    assert found(goals, "unknown destinations").met is False
    assert found(goals, "1,000,000 endpoints, load").met is False


SIZE = {"endpoints": 100, "new_endpoint_s": 0.1, "flows": 61, "first_ms": 3.0, "cached_ms": 0.4}
NEW_FLOWS = {"rate": 500, "delivered": 1.0, "per_second": 480.0, "dps_cpu": 0.1, "vswitchd_cpu": 0.3}


def test_results_are_raw_data_tables_and_a_figure(tmp_path: Path) -> None:
    measured = course(
        sample("closed-8", "compiled", 0, 2_000_000),
        sample("steady", "compiled", 0, 250_000),
        *(sample(f"load-{load}", "compiled", 0, load) for load in (25_000, 250_000)),
        idle={"dswitches": 1000, "cpu": 0.03, "resident_mib_each": 0.1},
        switch={"new_flows": [NEW_FLOWS]},
        scale={"dove": [SIZE | {"control_mib": 90.0, "server_mib": 18.0}]},
    )
    write_results(measured, judge(measured), tmp_path)
    document = json.loads((tmp_path / "results.json").read_text())
    assert document["machine"]["cores"] >= 1
    assert len(document["samples"]) == 4
    assert {each["verdict"] for each in document["verdicts"]} >= {"met", "not measured"}
    text = (tmp_path / "results.rst").read_text()
    for words in ("dove_ryu, compiled", "2,000,000", "1,000 idle dSwitches", "ryu: it cannot be installed", "480/s"):
        assert words in text
    assert (tmp_path / "figure5.png").read_bytes().startswith(b"\x89PNG")
    assert "the report's most: 380 K/s" in (tmp_path / "figure5.svg").read_text()


def test_without_a_curve_no_figure_is_drawn(tmp_path: Path) -> None:
    write_results(course(), judge(course()), tmp_path)
    assert not (tmp_path / "figure5.svg").exists()


def test_a_curve_is_the_median_at_each_load() -> None:
    samples = [sample("load-100", "pure", number, 100, p50) for number, p50 in enumerate((10, 30, 20))]
    assert ("pure", "p50", [(100, 20)]) in curves(samples)
