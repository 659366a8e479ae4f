"""Which meter is whose, at one dSwitch.

Meters are few and their numbers small, so a number cannot say by itself which policy and which sender it is for.  Each
gets one when it is first asked about and keeps it.  Nobody says when one is no longer needed: now and then whoever knows
what is in use tells all of it.
"""

from __future__ import annotations

from collections.abc import Collection

Whose = tuple[int, int, int]
"""The numbers of a policy, of its tracking, and of a sender, 0 for all."""

LEAST_GROWTH = 1000
"""How many numbers are given out before it is asked which of them are in use."""


class MeterNumbers:
    """Numbers from 0 on.

    :param most: how many there are.
    :ivar refused: how often there was none left.
    """

    def __init__(self, most: int = 1 << 16) -> None:
        self.refused = 0
        self._most = most
        self._numbers: dict[Whose, int] = {}
        self._taken: set[int] = set()
        self._next = 0
        self._bound = LEAST_GROWTH

    def of(self, whose: Whose) -> int | None:
        """The number that somebody has; None where none is left to give."""
        number = self._numbers.get(whose)
        if number is None:
            if len(self._taken) >= self._most:
                self.refused += 1
                return None
            while self._next in self._taken:
                self._next = (self._next + 1) % self._most
            number = self._next
            self.adopt(whose, number)
        return number

    def adopt(self, whose: Whose, number: int) -> None:
        """Somebody has a number already."""
        self._numbers[whose] = number
        self._taken.add(number)

    @property
    def overgrown(self) -> bool:
        """Whether so many are out that some will be needed no more."""
        return len(self._numbers) > self._bound

    def retain(self, used: Collection[int]) -> None:
        """Take back all numbers but those in use."""
        self._numbers = {whose: number for whose, number in self._numbers.items() if number in used}
        self._taken = set(self._numbers.values())
        self._bound = 2 * len(self._numbers) + LEAST_GROWTH
