"""How the command ends: the exit codes, and one exception for each way of not being done.

Every exception carries lines that are ready to be printed after ``dove:``, each with the reason, the object and,
where there is one, the remedy.
"""

from __future__ import annotations

import enum


class Exit(enum.IntEnum):
    """What the command's exit codes mean; the manual has them as a table."""

    DONE = 0
    DIFFERENT = 1
    USAGE = 2
    REFUSED = 3
    UNREACHABLE = 4
    INTERRUPTED = 130  # what a shell makes of SIGINT
    UNREAD = 141  # and of SIGPIPE


class Failure(Exception):
    """The command was not carried out.

    :ivar reasons: at least one line, without line breaks.
    """

    code: Exit

    def __init__(self, *reasons: str) -> None:
        super().__init__("\n".join(reasons))
        self.reasons = tuple(" ".join(reason.split()) for reason in reasons)


class BadFile(Failure):
    """A file that cannot be read, or holds no blueprint that could be sent."""

    code = Exit.USAGE


class BadArgument(Failure):
    """What was asked cannot even be asked."""

    code = Exit.USAGE


class Refused(Failure):
    """The DPS answered, and said no.

    :ivar problems: (place, reason) of everything that is wrong with the document that was sent; empty if it was not
        the document.
    """

    code = Exit.REFUSED

    def __init__(self, *reasons: str, problems: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(*reasons)
        self.problems = problems


class Unreachable(Failure):
    """The DPS cannot be reached, or cannot serve just now: the same may well be done a little later."""

    code = Exit.UNREACHABLE
