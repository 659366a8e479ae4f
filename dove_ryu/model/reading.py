"""Reading a document that somebody wrote by hand.

A :class:`Part` is a value with its place in the document.  Asking it for what should be there always gives a
value of that type; where something else is there, the problem is noted with its place and reading goes on, so
that one pass finds every mistake.  What was read is to be used only if no problem was noted.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from dove_ryu.model.addresses import BadAddress

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
NAME_RULE = "use 1 to 63 letters, digits, '-', '_' and '.', the first one a letter or digit"


@dataclass(frozen=True, slots=True)
class Problem:
    """A mistake and where it is.

    :ivar place: like ``policies[3].to``; empty for the document as a whole.
    :ivar message: what is wrong there and what to do about it.
    """

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


@dataclass(frozen=True, slots=True)
class Part:
    """A value of the document.

    :ivar value: as it was loaded from YAML or JSON; None also where nothing was written.
    :ivar place: where it is.
    :ivar problems: where problems are noted; one list for the whole document.
    """

    value: object
    place: str
    problems: list[Problem]

    def __bool__(self) -> bool:
        """Whether anything was written."""
        return self.value is not None

    def complain(self, message: str) -> None:
        """Note a problem here."""
        self.problems.append(Problem(self.place, message))

    def fields(self, *known: str) -> dict[str, Part] | None:
        """The fields of a mapping, each of *known* among them, written or not; None where no mapping is."""
        if not isinstance(self.value, Mapping):
            self._expected("a mapping of fields")
            return None
        for key in self.value:
            if key not in known:
                self._within(key, None).complain(f"no such field{suggestion(key, known)}")
        return {key: self._within(key, self.value.get(key)) for key in known}

    def items(self) -> list[Part]:
        """The members of a list; none where nothing was written."""
        if self and not isinstance(self.value, list | tuple):
            self._expected("a list")
        content = self.value if isinstance(self.value, list | tuple) else ()
        return [Part(value, f"{self.place}[{index}]", self.problems) for index, value in enumerate(content)]

    def text(self, default: str) -> str:
        """Any text."""
        if not self:
            return default
        if isinstance(self.value, str):
            return self.value
        self._expected("text", "put it in quotes" if isinstance(self.value, bool | int | float) else "")
        return default

    def name(self) -> str:
        """A name as entities have it; empty for none."""
        if not isinstance(self.value, str):
            self._expected("a name", "put it in quotes" if isinstance(self.value, bool | int | float) else "")
        elif NAME.fullmatch(self.value):
            return self.value
        else:
            self.complain(f"'{self.value}' is no name; {NAME_RULE}")
        return ""

    def number(self, low: int, high: int, default: int) -> int:
        """A whole number from *low* to *high*."""
        if not self:
            return default
        if isinstance(self.value, int) and not isinstance(self.value, bool) and low <= self.value <= high:
            return self.value
        self._expected(f"a whole number from {low} to {high}")
        return default

    def seconds(self, low: float, high: float, default: float) -> float:
        """A time from *low* to *high* seconds."""
        if not self:
            return default
        if isinstance(self.value, int | float) and not isinstance(self.value, bool) and low <= self.value <= high:
            return float(self.value)
        self._expected(f"a number of seconds from {low:g} to {high:g}")
        return default

    def flag(self, default: bool) -> bool:
        """True or false."""
        if not self:
            return default
        if isinstance(self.value, bool):
            return self.value
        self._expected("true or false")
        return default

    def choice(self, options: Iterable[str], default: str) -> str:
        """One of a few words."""
        if not self:
            return default
        options = list(options)
        if isinstance(self.value, str) and self.value in options:
            return self.value
        hint = suggestion(self.value, options) if isinstance(self.value, str) else ""
        self._expected(" or ".join(options), hint.removeprefix("; "))
        return default

    def address(self, canonical: Callable[[object], str]) -> str:
        """An address in the spelling that *canonical* gives; empty for none."""
        if not self:
            self._expected("an address")
            return ""
        try:
            return canonical(self.value)
        except BadAddress as wrong:
            self.complain(str(wrong))
            return ""

    def one_of(self, known: Mapping[str, object], kind: str) -> str:
        """The name of something that is declared; empty for none."""
        name = self.name()
        if name and name not in known:
            hint = suggestion(name, known) or f"; declare it under {kind}s"
            self.complain(f"no {kind} '{name}'{hint}")
        return name

    def _within(self, key: object, value: object) -> Part:
        return Part(value, f"{self.place}.{key}" if self.place else str(key), self.problems)

    def _expected(self, what: str, hint: str = "") -> None:
        remedy = f"; {hint}" if hint else ""
        found = f"must be {what}, not {_described(self.value)}" if self else f"missing; write {what}"
        self.complain(f"{found}{remedy}")


def suggestion(name: object, known: Iterable[str]) -> str:
    """``; did you mean 'app'?`` where something known resembles *name*, else nothing."""
    spelled = {each.lower(): each for each in known}
    close = difflib.get_close_matches(str(name).lower(), spelled, n=1)
    return f"; did you mean '{spelled[close[0]]}'?" if close else ""


def _described(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return f"'{value}'"
        case int() | float():
            return str(value)
        case Mapping():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case _:
            return f"a {type(value).__name__}"
