"""When a probe counts as unanswered, with a clock handed in: never because it was the DPS that was late (X10)."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count

import pytest

from dove_ryu.health import Judge
from dove_ryu.model.appliances import Appliance, Health, Instance, Probe, ProbeKind, Sharing
from dove_ryu.model.facts import Change
from dove_ryu.model.world import World
from dove_ryu.openflow import oxm
from dove_ryu.openflow.action import FROM_DPS, Output
from dove_ryu.openflow.flow import PacketIn, PacketOut
from dove_ryu.openflow.pipeline import CHAIN_RETURN
from dove_ryu.openflow.probe import mark_of
from dove_ryu.probes import Prober

INTERVAL = 0.2
FW = Appliance("FW", "firewall", (Instance("one", 1, "in", "out"),), probe=Probe(ProbeKind.FRAME))
ROUTER = Appliance(
    "R", "router", (Instance("one", 1, "r", "r"),), Sharing.DEDICATED, True, Probe(ProbeKind.ARP, "192.0.2.1")
)
PORTS = {"in": 5, "out": 6, "r": 7}
ENDED = b"<ended>"
"""Behind each message, so that several in one write can be told apart."""


@dataclass
class Wire:
    """A dSwitch's connection.

    :ivar rounds: what was sent each time.
    :ivar live: whether the dSwitch is.
    """

    live: bool = True
    rounds: list[bytes] = field(default_factory=list)

    def send_out(self, packets: bytes) -> int:
        self.rounds.append(packets)
        return len(self.rounds)


class Clinic:
    """A prober, its dSwitches, and the time.

    :ivar prompt: whether the dSwitches confirm at once.
    :ivar well: the ports at which instances answer at once.
    """

    def __init__(self, *appliances: Appliance) -> None:
        self.world, self.now, self.prompt = World(), 100.0, True
        self.wires = {1: Wire()}
        self.well: set[int] = {6, 7}
        self.due: list[tuple[float, int, Callable[[], object]]] = []
        self.found: list[Health] = []
        self._serial = count()
        self.judge = Judge(self.world, self._hear, lambda: "")
        self.prober = Prober(self.world, self.judge, self.wires.get, self._encode, lambda: self.now)
        self.prober.later = lambda seconds, act: heapq.heappush(self.due, (self.now + seconds, next(self._serial), act))
        self.world.ports[1] = PORTS
        self.judge.see_ports(1, frozenset())
        self.put(*appliances)

    def put(self, *appliances: Appliance) -> None:
        for appliance in appliances:
            self.world.apply(Change.put(appliance))
        self.judge.follow()
        self.prober.follow()

    def run(self, seconds: float) -> None:
        """Let time pass; whatever is due is done in its time."""
        end = self.now + seconds
        while self.due and self.due[0][0] <= end + 1e-9:
            self.now, _, act = heapq.heappop(self.due)
            sent = {dpid: len(wire.rounds) for dpid, wire in self.wires.items()}
            act()
            for dpid, wire in self.wires.items():
                for number in range(sent[dpid] + 1, len(wire.rounds) + 1):
                    self.confirm(dpid, number) if self.prompt else None
        self.now = end

    def confirm(self, dpid: int = 1, number: int | None = None) -> None:
        """A dSwitch has sent a round, and whoever is well has answered by then."""
        number = len(self.wires[dpid].rounds) if number is None else number
        for message in filter(None, self.wires[dpid].rounds[number - 1].split(ENDED)):
            self.give_back(message, dpid)
        self.prober.hear_barrier(dpid, number)

    def give_back(self, message: bytes, dpid: int = 1, port: int | None = None) -> None:
        port = {b"5": 6, b"8": 6, b"7": 7}[message[:1]] if port is None else port
        if port in self.well:
            self.prober.hear(dpid, came_up(message[1:], port))

    def down(self) -> bool:
        return bool(self.world.down)

    @property
    def rounds(self) -> list[bytes]:
        return self.wires[1].rounds

    def _encode(self, what: PacketOut) -> bytes:
        (output,) = what.actions
        assert isinstance(output, Output)
        assert what.in_port == FROM_DPS
        return str(output.port).encode() + what.data + ENDED

    def _hear(self, health: Health) -> None:
        self.found.append(health)
        self.world.apply(Change.put(health))
        self.judge.follow()
        self.prober.follow()


def came_up(data: bytes, port: int) -> PacketIn:
    """A frame that came in at a port of an appliance and up."""
    return PacketIn(0, CHAIN_RETURN.number, {oxm.IN_PORT: port}, data)


@pytest.fixture
def clinic() -> Clinic:
    made = Clinic(FW)
    made.run(10 * INTERVAL)
    assert made.prober.sent == 11
    return made


def test_who_answers_is_well(clinic: Clinic) -> None:
    assert (clinic.prober.unanswered, clinic.found) == (0, [])
    marks = [mark_of(each[1:]) for each in clinic.rounds]
    assert [mark.sequence for mark in marks if mark] == list(range(1, 12))
    assert len({(mark.sender, mark.number) for mark in marks if mark}) == 1


def test_who_does_not_is_down_within_a_second(clinic: Clinic) -> None:
    """Even if it has answered the last probe just before it died."""
    clinic.well.clear()
    clinic.run(3.9 * INTERVAL)
    assert not clinic.down()
    clinic.run(0.2 * INTERVAL)
    assert clinic.down()
    clinic.well.add(6)
    clinic.run(2.1 * INTERVAL)
    assert not clinic.down()
    assert [each.up for each in clinic.found] == [False, True]
    assert clinic.prober.unanswered == 3


def test_a_router_answers_for_its_address() -> None:
    clinic = Clinic(ROUTER, FW)
    clinic.run(10 * INTERVAL)
    assert len(clinic.rounds[0].split(ENDED)) == 3, "both in one round"
    assert (clinic.prober.sent, clinic.prober.unanswered) == (22, 0)
    clinic.well.remove(7)
    clinic.run(5 * INTERVAL)
    assert clinic.world.down == {("R", "one")}


def test_a_dps_that_was_busy_finds_nobody_dead(clinic: Clinic) -> None:
    """For five seconds nothing is done; then what was due comes first, and then the answers that had been waiting."""
    clinic.prompt = False
    clinic.run(INTERVAL)
    clinic.now += 5
    for _ in range(10):
        clinic.run(0)
    clinic.confirm()
    clinic.prompt = True
    clinic.run(10 * INTERVAL)
    assert (clinic.prober.unanswered, clinic.found) == (0, [])


def test_a_dswitch_that_does_not_confirm_is_not_asked_again(clinic: Clinic) -> None:
    """And what it sends late, when it sends everything at once, is given its time to come back."""
    clinic.prompt = False
    sent = clinic.prober.sent
    clinic.run(20 * INTERVAL)
    assert clinic.prober.sent == sent + 1
    clinic.well.clear()
    clinic.confirm()
    clinic.run(1.1 * INTERVAL)
    assert clinic.prober.sent == sent + 2
    clinic.well.add(6)
    clinic.give_back(clinic.rounds[-2].removesuffix(ENDED))
    clinic.confirm()
    clinic.prompt = True
    clinic.run(5 * INTERVAL)
    assert (clinic.prober.unanswered, clinic.found) == (0, [])


def test_a_confirmation_too_soon_after_the_last_one_proves_nothing(clinic: Clinic) -> None:
    """The dSwitch was slow with one round and quick with the next."""
    clinic.well.clear()
    clinic.prompt = False
    clinic.run(INTERVAL)
    clinic.run(0.9 * INTERVAL)
    clinic.confirm()
    unanswered = clinic.prober.unanswered
    clinic.run(0.2 * INTERVAL)
    clinic.confirm()
    assert clinic.prober.unanswered == unanswered, "the probe before has had no time yet"
    clinic.run(INTERVAL)
    clinic.confirm()
    assert clinic.prober.unanswered == unanswered + 1


def test_a_late_answer_is_an_answer(clinic: Clinic) -> None:
    """An appliance that takes longer than an interval is slow, and works."""
    clinic.well.clear()
    for _ in range(10):
        clinic.run(INTERVAL)
        clinic.well.add(6)
        clinic.give_back(clinic.rounds[-2].removesuffix(ENDED))
        clinic.well.clear()
    assert clinic.prober.unanswered > 5
    assert clinic.found == []


def test_only_ones_own_answers_count(clinic: Clinic) -> None:
    """Another DPS's, of another start, at another port, twice, or before it was sent, prove nothing."""
    clinic.well.clear()
    for _ in range(4):
        clinic.run(INTERVAL)
        message = clinic.rounds[-1].removesuffix(ENDED)[1:]
        mark = mark_of(message)
        assert mark is not None
        forged = (
            mark._replace(sender=mark.sender ^ 1),
            mark._replace(number=mark.number + 1),
            mark._replace(sequence=mark.sequence + 1),
            mark._replace(sequence=11),
        )
        for each in forged:
            clinic.prober.hear(1, came_up(message.replace(mark.packed(), each.packed()), 6))
        clinic.prober.hear(1, came_up(message, 7))
        clinic.prober.hear(2, came_up(message, 6))
        clinic.prober.hear(1, came_up(bytes(60), 99))
    assert clinic.down()


def test_a_port_that_has_another_number_is_asked_by_that(clinic: Clinic) -> None:
    clinic.world.ports[1] = {**PORTS, "in": 8}
    clinic.prober.follow()
    clinic.run(INTERVAL)
    assert [each[:1] for each in clinic.rounds[-2:]] == [b"5", b"8"]


def test_a_dswitch_that_is_not_live_is_not_asked(clinic: Clinic) -> None:
    sent = clinic.prober.sent
    clinic.wires[1].live = False
    clinic.prober.follow()
    clinic.run(5 * INTERVAL)
    assert clinic.prober.sent == sent
    clinic.wires[1] = Wire()
    clinic.prober.follow()
    clinic.well.clear()
    clinic.run(2.5 * INTERVAL)
    assert clinic.prober.sent == sent + 3
    assert not clinic.down()
    clinic.run(INTERVAL)
    assert clinic.down()


def test_a_dswitch_that_connects_anew_begins_anew(clinic: Clinic) -> None:
    """What was out over the old connection is never confirmed."""
    clinic.prompt = False
    clinic.run(INTERVAL)
    clinic.wires[1] = Wire()
    clinic.prober.follow()
    clinic.prompt = True
    clinic.run(5 * INTERVAL)
    assert clinic.prober.unanswered == 0
    assert len(clinic.rounds) == 6


def test_ports_that_are_gone_are_not_asked_at(clinic: Clinic) -> None:
    sent = clinic.prober.sent
    for gone in ("in", "out"):
        clinic.world.ports[1] = {name: number for name, number in PORTS.items() if name != gone}
        clinic.prober.follow()
        clinic.run(2 * INTERVAL)
    clinic.put(replace(FW, probe=None))
    clinic.put(replace(FW, instances=(Instance("one", 0, "", ""),)))
    assert clinic.prober.sent == sent


def test_each_is_asked_at_its_own_interval(clinic: Clinic) -> None:
    slow = replace(ROUTER, probe=Probe(ProbeKind.ARP, "192.0.2.1", interval=1.0))
    clinic.put(slow)
    before = clinic.prober.sent
    clinic.run(1.95)
    assert clinic.prober.sent - before == 2 + 9
    clinic.confirm()


def test_without_a_clock_to_be_woken_by_nobody_is_asked() -> None:
    world = World()
    world.ports[1] = PORTS
    world.apply(Change.put(FW))
    wire = Wire()
    prober = Prober(world, Judge(world, lambda _: None, str), {1: wire}.get, lambda _: b"", float)
    prober.follow()
    assert wire.rounds == []
