"""What a resource of the REST interface is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from webob import Request, Response

from dove_ryu.model.edits import Difference

Names = Mapping[str, str]
"""What the URL has in place of the pattern's names, and the resource's ``kind``."""

Handler = Callable[[Request, Names], Response]


@dataclass(frozen=True, slots=True)
class Resource:
    """What answers at the URLs of a pattern.

    :ivar methods: by name; HEAD is GET's.
    :ivar kind: of the objects that it has, where they are in a network.
    :ivar parameters: those that the URL may have; None for any, which are not looked at.
    :ivar always: whether it answers before the DPS is ready.
    """

    pattern: str
    methods: Mapping[str, Handler]
    kind: str = ""
    parameters: tuple[str, ...] | None = ()
    always: bool = False

    @property
    def allow(self) -> str:
        """The methods for the header ``Allow``."""
        return ", ".join([*self.methods, *(["HEAD"] if "GET" in self.methods else [])])


def shown_change(difference: Difference) -> dict[str, Any]:
    """A change as a dry run, and an edit of a blueprint, tell it."""
    return {
        "line": str(difference),
        "sign": difference.sign,
        "path": difference.path,
        "old": difference.old,
        "new": difference.new,
    }
