"""Figure 5 of the report, redrawn: how long a policy request takes, at which load.

The report's own points are marked: 380,000 requests a second at most, and under 150 microseconds at 250,000.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dove_ryu.bench.samples import Sample, spread
from dove_ryu.bench.scenarios import FAST, REPORTED_LATENCY, REPORTED_LOAD, REPORTED_RATE

_COLOURS = {"compiled": "#1b6ca8", "pure": "#e07a1f", "responder": "#7a7a7a"}
_LINES = {"p50": "-", "windowed_p99": "--"}
_NAMES = {"p50": "median", "windowed_p99": "p99 (median over 100 ms windows)"}


def draw_figure5(samples: Iterable[Sample], titles: Mapping[str, str], directory: Path) -> None:
    """Draw ``figure5.svg`` and ``figure5.png``."""
    import matplotlib as mpl  # only here: a run without a figure does without it

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "dove"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 5.2))
    for name, which, points in curves(samples):
        loads, latencies = zip(*points, strict=True)
        label = f"{titles.get(name, name)}: {_NAMES[which]}"
        axes.plot(loads, latencies, _LINES[which], marker="o", markersize=3, color=_COLOURS[name], label=label)
    _mark_report(axes)
    axes.set(
        xscale="log", yscale="log", xlabel="policy requests a second, all dSwitches together", ylabel="latency, µs"
    )
    axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:,.0f} K")
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend(fontsize=8, loc="upper left")
    figure.tight_layout()
    figure.savefig(directory / "figure5.svg", metadata={"Date": None})
    figure.savefig(directory / "figure5.png", dpi=150)
    plt.close(figure)


def _mark_report(axes: Any) -> None:
    axes.axvline(REPORTED_RATE, color="#a02020", linewidth=1, linestyle=":")
    axes.annotate(
        f"the report's most: {REPORTED_RATE // 1000} K/s",
        (REPORTED_RATE, 0.02),
        xycoords=("data", "axes fraction"),
        rotation=90,
        fontsize=8,
        color="#a02020",
        ha="right",
        va="bottom",
    )
    axes.plot([REPORTED_LOAD], [REPORTED_LATENCY], marker="v", markersize=9, linestyle="", color="#a02020")
    axes.annotate(
        f"the report: under {REPORTED_LATENCY} µs",
        (REPORTED_LOAD, REPORTED_LATENCY),
        xytext=(-8, 8),
        textcoords="offset points",
        fontsize=8,
        color="#a02020",
        ha="right",
    )


def curves(samples: Iterable[Sample]) -> list[tuple[str, str, list[tuple[int, float]]]]:
    """For each contender and percentile its points: load, and the median latency over the rounds."""
    at: dict[tuple[str, str], dict[int, list[float]]] = {}
    for sample in samples:
        if sample.scenario.startswith("load-"):
            load = int(sample.scenario.removeprefix("load-"))
            for which in _LINES:
                at.setdefault((sample.contender, which), {}).setdefault(load, []).append(sample.latency(which))
    return [
        (name, which, [(load, found.median) for load in sorted(loads) if (found := spread(loads[load])) is not None])
        for name in FAST
        for which in _LINES
        if (loads := at.get((name, which)))
    ]
