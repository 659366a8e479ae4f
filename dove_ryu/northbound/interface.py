"""What the REST workers know of the rest of the DPS.

The world is owned by one thread. A worker never touches it: it asks a question, which that thread answers, and it
changes nothing but the store, whose commits that thread hears of by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol, TypeVar

from dove_ryu.audit import Finding
from dove_ryu.dps import Dps
from dove_ryu.expeditions import Counts
from dove_ryu.figures import Connection, LaneFigures, ProbeFigures
from dove_ryu.lookouts import MarkedPacket
from dove_ryu.northbound.problems import Refusal
from dove_ryu.store import Conflict, Store

Answer = TypeVar("Answer")

WAIT_SECONDS = 30.0
"""How long an answer waits for the world; a blueprint of 50,000 endpoints takes some seconds to be taken in."""

ATTEMPTS = 50
"""How often a change is tried against others that come first; of several that collide, one always gets through."""


class Service(Protocol):
    """The DPS as a REST worker sees it.

    :ivar ready: whether the world has been read from the store and follows it.
    :ivar revision: of the store that the world is at.
    """

    @property
    def ready(self) -> bool: ...

    @property
    def revision(self) -> int: ...

    @property
    def started(self) -> datetime: ...

    @property
    def version(self) -> str: ...

    @property
    def store(self) -> Store: ...

    def ask(self, question: Callable[[Dps], Answer], timeout: float = 5.0) -> Answer:
        """What *question* answers in the DPS's own thread, or raises there.

        :raises TimeoutError: when that thread does not come to it in time.
        """

    def connections(self, timeout: float = 5.0) -> dict[int, Connection]:
        """How it stands with every dSwitch that has ever connected, by datapath id.

        :raises TimeoutError: as :meth:`ask` does.
        """

    def lane(self, timeout: float = 5.0) -> LaneFigures:
        """How it stands with the fast lane.

        :raises TimeoutError: as :meth:`ask` does.
        """

    def probes(self, timeout: float = 5.0) -> ProbeFigures:
        """How it stands with the probes of appliances' instances.

        :raises TimeoutError: as :meth:`ask` does.
        """

    def audit(self, dpid: int, repair: bool = False, timeout: float = 10.0) -> list[Finding] | None:
        """What differs between a dSwitch's flows and what they should be; None where it is not live.

        :param repair: whether to send the remedies too.
        :raises TimeoutError: where it does not answer in time.
        """

    def expedition(self, timeout: float = 5.0) -> int:
        """The number of the next marked packet.

        :raises TimeoutError: as :meth:`ask` does.
        """

    def send_marked(self, number: int, marked: MarkedPacket, timeout: float = 10.0) -> Counts:
        """Send a marked packet, and say how many packets each of its lookouts has seen.

        :raises TimeoutError: as :meth:`ask` does.
        """

    def reached(self, revision: int, timeout: float = 5.0) -> bool:
        """Wait until the world holds the store's *revision*; whether it came to that in time."""


def await_revision(service: Service, revision: int) -> None:
    """Return when the world holds *revision*.

    :raises Refusal: when it does not come to that in time.
    """
    if not service.reached(revision, WAIT_SECONDS):
        raise Refusal(
            503,
            f"revision {revision} is in the store, but the DPS has only taken in revision {service.revision}; "
            "nothing is lost, look again in a moment",
        )


def settle(service: Service, attempt: Callable[[], tuple[int, Answer]]) -> Answer:
    """Make a change that others may be making at the same time.

    :param attempt: reads what there is, judges, and commits what it has read on the condition that it is still so;
        gives the revision and what to return. It runs again when it comes too late.
    :raises Refusal: when others were quicker every time.
    """
    for _ in range(ATTEMPTS):
        try:
            revision, answer = attempt()
        except Conflict as lost:
            # The next attempt must see at least what this one lost against.
            await_revision(service, lost.actual)
            continue
        await_revision(service, revision)
        return answer
    raise Refusal(503, f"others changed the same object {ATTEMPTS} times in between; try again")
