"""What is measured, as values: one sample for each turn of a contender, and the medians over the rounds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Sample:
    """One turn.

    :ivar scenario: what was done, like ``closed-8``.
    :ivar contender: who was measured.
    :ivar cpu: share of a core that it used meanwhile.
    :ivar figures: what the generator counted.
    """

    scenario: str
    contender: str
    round: int
    cpu: float
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return float(self.figures["answers_per_second"])

    def latency(self, which: str) -> float:
        """A latency in microseconds: ``p50``, ``p90``, ``p99``, ``p99.9``, ``max`` or ``windowed_p99``."""
        return float(self.figures["latency_us"][which])


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over the rounds."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{significant(self.median)} ({significant(self.least)}–{significant(self.most)})"


def spread(values: Iterable[float]) -> Spread | None:
    """The median and the range of some values; None where there are none."""
    known = list(values)
    return Spread(statistics.median(known), min(known), max(known)) if known else None


def of(samples: Iterable[Sample], scenario: str, contender: str) -> list[Sample]:
    """The samples of one contender in one scenario."""
    return [each for each in samples if (each.scenario, each.contender) == (scenario, contender)]


def median(samples: Iterable[Sample], scenario: str, contender: str, figure: Callable[[Sample], float]) -> float | None:
    """The median of a figure over the rounds of a contender in a scenario."""
    found = spread(map(figure, of(samples, scenario, contender)))
    return None if found is None else found.median


def ratio(
    samples: Iterable[Sample], scenario: str, pair: tuple[str, str], figure: Callable[[Sample], float]
) -> float | None:
    """The median of the rounds' own ratios of the first contender's figure to the second's.

    What else the machine does in a round strikes both, so that a ratio within a round says more than one of medians.
    """
    samples = list(samples)
    ours, theirs = ({each.round: figure(each) for each in of(samples, scenario, name)} for name in pair)
    found = spread(ours[number] / theirs[number] for number in ours.keys() & theirs.keys() if theirs[number])
    return None if found is None else found.median


def significant(value: float) -> str:
    """A figure as people read it: three significant digits, thousands set apart."""
    if value == 0:
        return "0"
    digits = max(0, 2 - _magnitude(value))
    whole = round(value, 2 - _magnitude(value))
    return f"{whole:,.{digits}f}"


def _magnitude(value: float) -> int:
    return int(f"{abs(value):e}".partition("e")[2])
