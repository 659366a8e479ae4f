"""Fair shares of the DPS's thread (X3).

The dSwitch's meters bound what one endpoint asks.  Many endpoints, of one tenant, may still ask together, so each
network has a share of the thread that answers: a rate with a burst.  Over it a request is refused, which costs little,
and the endpoint asks again as it would after any lost packet.

What was answered a moment ago is answered again without flows: these are on their way, in front of whatever goes over
the same connection now, and the packet only has to follow them.

Nothing here reads a clock.  What is remembered is bounded in time and in number.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from dove_ryu.dps import Dps, Refused, asked_for, resumption
from dove_ryu.features import Answer
from dove_ryu.openflow.fields import SOURCE_DOMAIN, VNI
from dove_ryu.openflow.flow import PacketIn

ON_THE_WAY = 0.02
"""Seconds for which an answer counts as being on its way.  A packet that comes up later has missed the flows anew."""

MOST_REMEMBERED = 65_536
"""How many questions are remembered at a time; the oldest go first."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one network may ask of the DPS's thread.

    :ivar rate: requests a second; 0 for any number.
    :ivar burst: requests that may come at once.
    """

    rate: int = 2000
    burst: int = 4000


class Buckets:
    """A token bucket for each of many; one that nobody has used for long is full, and is forgotten.

    :ivar share: what each allows, from now on.
    """

    def __init__(self, share: Share) -> None:
        self.share = share
        self._levels: dict[Hashable, tuple[float, float]] = {}

    def take(self, whose: Hashable, now: float) -> bool:
        """Take a token; whether there was one."""
        if not self.share.rate:
            return True
        level = self._level(whose, now)
        if level < 1:
            return False
        if len(self._levels) >= MOST_REMEMBERED:
            full = self.share.burst
            self._levels = {key: at for key, at in self._levels.items() if self._level(key, now) < full}
        self._levels[whose] = level - 1, now
        return True

    def _level(self, whose: Hashable, now: float) -> float:
        level, at = self._levels.get(whose, (float(self.share.burst), now))
        return min(self.share.burst, level + (now - at) * self.share.rate)


class Memory:
    """What has been noted in the last few seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._noted: dict[Hashable, float] = {}

    def __len__(self) -> int:
        return len(self._noted)

    def holds(self, what: Hashable, now: float) -> bool:
        """Whether it has been noted, and not too long ago."""
        return now - self._noted.get(what, now - 2 * self._seconds) < self._seconds

    def note(self, what: Hashable, now: float) -> None:
        """Remember it from now on; what is too old goes, and what is too much."""
        self._noted.pop(what, None)
        self._noted[what] = now
        while len(self._noted) > MOST_REMEMBERED or now - self._noted[self._oldest] >= self._seconds:
            del self._noted[self._oldest]

    @property
    def _oldest(self) -> Hashable:
        return next(iter(self._noted))

    def clear(self) -> None:
        """Forget everything."""
        self._noted.clear()


class Admission:
    """Stands before the DPS, on its thread: who may ask now, and what need not be asked."""

    def __init__(self, dps: Dps) -> None:
        self._dps = dps
        self._buckets = Buckets(Share())
        self._on_the_way = Memory(ON_THE_WAY)

    @property
    def share(self) -> Share:
        """What each network may ask."""
        return self._buckets.share

    @share.setter
    def share(self, share: Share) -> None:
        self._buckets.share = share

    def answer(self, dpid: int, packet_in: PacketIn, now: float) -> Answer:
        """The answer to a packet that came up from a dSwitch; an empty one where it is refused."""
        vni, destination = packet_in.read(VNI), asked_for(packet_in)
        asked = (dpid, packet_in.table, vni, packet_in.read(SOURCE_DOMAIN), destination)
        if destination is not None and self._on_the_way.holds(asked, now):
            return Answer(packets=(packet_in.resume(resumption(packet_in)),))
        if not self._buckets.take(vni, now):
            self._dps.refused[Refused.NETWORK_RATE] += 1
            return Answer()
        answer = self._dps.packet_in(dpid, packet_in)
        if destination is None or not answer.flows:
            return answer
        self._on_the_way.note(asked, now)
        return answer

    def forget(self) -> None:
        """Something has changed, and what was answered may be so no more: a packet that comes up asks anew."""
        self._on_the_way.clear()
