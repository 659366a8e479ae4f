"""Probes of appliances' instances: when they go out, and when one counts as unanswered (X10).

A DPS that was busy, or a connection that was, must not make every appliance look dead.  So nothing is concluded from the
DPS's own clock.  With each round of probes to a dSwitch goes a barrier.  Its reply says that the dSwitch has sent the
probes of this round, and also that whatever came back to it before has been heard here, because it comes after that over
the same connection.  A probe counts as unanswered when its dSwitch has confirmed one round more, at least half an
interval later, and no answer is there.  A dSwitch that is slow to confirm gets no new round until it has, and whatever
stalls here stalls sending, hearing and judging alike.

All instances at one dSwitch that are asked at the same interval are asked together: one write, and mostly one read.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Protocol

from dove_ryu.features.probing import answering_port, probe_of
from dove_ryu.health import Judge
from dove_ryu.model.appliances import Appliance, Instance, Probe, Seat
from dove_ryu.model.provider import Machine
from dove_ryu.model.world import World
from dove_ryu.openflow.action import FROM_DPS, Output
from dove_ryu.openflow.flow import PacketIn, PacketOut
from dove_ryu.openflow.probe import Mark, mark_of
from dove_ryu.vigil import Later

PROMPT = 0.5
"""How much of an interval a dSwitch must leave between two confirmations for what is unanswered by then to count."""


class Wired(Protocol):
    """What probing needs of a dSwitch's connection."""

    @property
    def live(self) -> bool:
        """Whether the dSwitch holds the flows that bring answers up."""

    def send_out(self, packets: bytes) -> int:
        """Send packet-outs and a barrier; the number by which its reply is known."""


@dataclass(frozen=True, slots=True)
class Target:
    """An instance to be asked, and how: all that is the same in each round."""

    machine: Machine
    appliance: Appliance
    probe: Probe
    dpid: int
    port: int
    answers_at: int


@dataclass(slots=True, eq=False)
class Asked:
    """An instance that is asked.

    :ivar number: what its probe frames call it.
    :ivar head: what a message to it is before the number of the probe.
    :ivar tail: and behind it.
    :ivar sent: the number of the last probe sent.
    :ivar heard: of the last one answered.
    :ivar due: of the last one whose answer, if any, will have been heard at the next confirmation.
    """

    target: Target
    number: int
    head: bytes
    tail: bytes
    sent: int = 0
    heard: int = 0
    due: int = 0


@dataclass(slots=True, eq=False)
class Beat:
    """The instances at one dSwitch that are asked at the same times.

    :ivar awaited: the number of the barrier that has not been replied to; None where none is out.
    :ivar confirmed: when the last reply came.
    """

    link: Wired
    interval: float
    asked: dict[Machine, Asked] = field(default_factory=dict)
    awaited: int | None = None
    confirmed: float | None = None


class Prober:
    """Asks instances for a sign that they work.  It lives on the DPS's thread.

    :ivar later: how to be remembered of the next round; None where nobody can, and nobody is asked.
    :ivar sent: probes sent.
    :ivar unanswered: probes that counted as unanswered.
    """

    def __init__(
        self,
        world: World,
        judge: Judge,
        link: Callable[[int], Wired | None],
        encode: Callable[[PacketOut], bytes],
        clock: Callable[[], float],
    ) -> None:
        """
        :param judge: is told who has answered and who has not.
        :param link: of the dSwitch of a datapath id; None where it is not connected.
        :param encode: a packet-out as it goes over the wire.
        :param clock: seconds, from any beginning.
        """
        self.later: Later | None = None
        self.sent = 0
        self.unanswered = 0
        self._world = world
        self._judge = judge
        self._link = link
        self._encode = encode
        self._clock = clock
        self._sender = random.getrandbits(64)
        self._numbers = count(1)
        self._beats: dict[tuple[int, float], Beat] = {}
        self._by_number: dict[int, Asked] = {}
        self._by_port: dict[tuple[int, int], Asked] = {}

    def follow(self) -> None:
        """Instances, their seats or ports, or the dSwitches that are live may be others now."""
        known = {machine: asked for beat in self._beats.values() for machine, asked in beat.asked.items()}
        for beat in self._beats.values():
            beat.asked = {}
        for target in self._targets():
            link = self._link(target.dpid)
            if link is not None and link.live:
                asked = known.get(target.machine)
                if asked is None or asked.target != target:
                    asked = self._begin(target)
                self._beat_for(target, link).asked[target.machine] = asked
        self._beats = {key: beat for key, beat in self._beats.items() if beat.asked}
        everybody = [asked for beat in self._beats.values() for asked in beat.asked.values()]
        self._by_number = {asked.number: asked for asked in everybody}
        self._by_port = {(asked.target.dpid, asked.target.answers_at): asked for asked in everybody}

    def hear(self, dpid: int, packet_in: PacketIn) -> None:
        """Something came back from an appliance that is probed."""
        asked, mark = self._by_port.get((dpid, packet_in.in_port)), mark_of(packet_in.data)
        if mark is not None and (mark.sender != self._sender or self._by_number.get(mark.number) is not asked):
            return  # it is another DPS's, or of another time, or came out where it should not
        if asked is not None:
            number = asked.sent if mark is None else mark.sequence
            if asked.heard < number <= asked.sent:
                asked.heard = number
                self._judge.answered(asked.target.machine)

    def hear_barrier(self, dpid: int, xid: int) -> None:
        """A dSwitch has confirmed something, perhaps a round of probes."""
        for (at, interval), beat in self._beats.items():
            if at == dpid and beat.awaited == xid:
                now, before = self._clock(), beat.confirmed
                beat.awaited, beat.confirmed = None, now
                prompt = before is not None and now - before >= PROMPT * interval
                for asked in list(beat.asked.values()):
                    self._settle(asked, prompt)
                return

    def _settle(self, asked: Asked, prompt: bool) -> None:
        """All answers to the round before this one have been heard, unless this one followed too soon."""
        due, asked.due = asked.due, asked.sent
        if prompt and asked.heard < due:
            self.unanswered += 1
            self._judge.missed(asked.target.machine)

    def _beat_for(self, target: Target, link: Wired) -> Beat:
        key = target.dpid, target.probe.interval
        beat = self._beats.get(key)
        if beat is None or beat.link is not link:
            beat = self._beats[key] = Beat(link, target.probe.interval)
            if self.later is not None:
                self.later(0, partial(self._ask, key, beat, self.later))
        return beat

    def _ask(self, key: tuple[int, float], beat: Beat, later: Later) -> None:
        """One round, and the next one in its time."""
        if self._beats.get(key) is not beat:
            return
        later(beat.interval, partial(self._ask, key, beat, later))
        if beat.awaited is None:
            beat.awaited = beat.link.send_out(b"".join(map(self._message, beat.asked.values())))

    def _message(self, asked: Asked) -> bytes:
        self.sent += 1
        asked.sent += 1
        return asked.head + (_SEQUENCE.pack(asked.sent) if asked.tail else b"") + asked.tail

    def _begin(self, target: Target) -> Asked:
        number = next(self._numbers)
        mark = Mark(self._sender, number, 0)
        frame = probe_of(target.appliance, target.probe, mark)
        message = self._encode(PacketOut(frame, (Output(target.port),), FROM_DPS))
        head, marked, tail = message.partition(mark.packed())
        return Asked(target, number, head + marked[: -_SEQUENCE.size], tail)

    def _targets(self) -> Iterator[Target]:
        for appliance in self._world.appliances.values():
            if appliance.probe is not None:
                for instance in appliance.instances:
                    seat = self._world.seat(appliance, instance)
                    if seat is not None:
                        yield from self._target(appliance, instance, appliance.probe, seat)

    def _target(self, appliance: Appliance, instance: Instance, probe: Probe, seat: Seat) -> Iterator[Target]:
        port = self._world.ports.get(seat.dpid, {}).get(seat.ingress)
        answers_at = answering_port(self._world, seat.dpid, seat, probe)
        if port is not None and answers_at is not None:
            yield Target((appliance.name, instance.name), appliance, probe, seat.dpid, port, answers_at)


_SEQUENCE = struct.Struct("!I")
