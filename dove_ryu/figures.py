"""How it stands with what the switchboard has to do: the figures that operators and their tools are shown.

They are values of one moment, counted where things happen and put together when somebody asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Connection:
    """How it stands with a dSwitch's OpenFlow connection, the last one where there is none now (F28).

    :ivar since: when it came to the state that it is in; None where it has never been seen.
    :ivar confirmed: the store's revision that the dSwitch is known to follow; None where it was never live.
    :ivar lag: by how many revisions that is behind the world.
    :ivar requests: policy requests of it that have been answered.
    :ivar outstanding: messages over the present connection that wait for the DPS; most are policy requests.
    :ivar flow_changes: sent to it for changes of the world.
    """

    since: datetime | None = None
    confirmed: int | None = None
    lag: int | None = None
    requests: int = 0
    outstanding: int = 0
    flow_changes: int = 0


@dataclass(frozen=True, slots=True)
class LaneFigures:
    """How it stands with the fast lane (F54).

    :ivar form: ``compiled`` or ``python``.
    :ivar answered: policy requests that it has answered.
    :ivar left: packets that it has left to the plain way: requests that it did not know, and all that are none.
    """

    form: str = "python"
    answered: int = 0
    left: int = 0


@dataclass(frozen=True, slots=True)
class ProbeFigures:
    """How it stands with the probes of appliances' instances (X10).

    :ivar sent: probes sent.
    :ivar unanswered: those that counted as unanswered.
    :ivar changes: how often an instance was found to be down, or up again.
    """

    sent: int = 0
    unanswered: int = 0
    changes: int = 0
