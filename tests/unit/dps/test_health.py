"""The judge of appliances' instances: what proves that one is down, and what does not (X10)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dove_ryu.health import Judge
from dove_ryu.model.appliances import Appliance, Health, Instance, Probe, ProbeKind, Seat
from dove_ryu.model.entities import Entity
from dove_ryu.model.facts import Change
from dove_ryu.model.world import World

PROBE = Probe(ProbeKind.FRAME, down_after=3, up_after=2)
ONE, TWO = Instance("one", 1, "in", "out"), Instance("two", 0, "", "")
FW = Appliance("FW", "firewall", (ONE, TWO))
PROBED = replace(FW, probe=PROBE)
FIRST = "FW", "one"
PORTS = {"in": 1, "out": 2, "tap": 3}
NO_PROBE_COMES_BACK = "no probe that goes in at port in comes back at port out"


class Court:
    """A judge over a small world, in which what he finds is recorded at once unless it is put off.

    :ivar found: all that he has found.
    """

    def __init__(self, *entities: Entity) -> None:
        self.world = World()
        self.found: list[Health] = []
        self.recording = True
        self.clock = 0
        self.judge = Judge(self.world, self._hear, lambda: f"at {self.clock}")
        self.put(*entities)

    def put(self, *entities: Entity | Change) -> None:
        for each in entities:
            self.world.apply(each if isinstance(each, Change) else Change.put(each))
        self.judge.follow()

    def connect(self, dpid: int = 1, *dark: str, ports: dict[str, int] = PORTS) -> None:
        self.world.ports[dpid] = ports
        self.judge.see_ports(dpid, frozenset(dark))

    def lose(self, dpid: int = 1) -> None:
        self.world.ports.pop(dpid, None)
        self.judge.lose(dpid)

    def miss(self, times: int = 3) -> None:
        for _ in range(times):
            self.judge.missed(FIRST)

    def answer(self, times: int = 2) -> None:
        for _ in range(times):
            self.judge.answered(FIRST)

    def down(self) -> str | None:
        """Why the first instance is down; None where it is not."""
        health = self.world.provider.health.get(FIRST)
        return None if health is None or health.up else health.reason

    def _hear(self, health: Health) -> None:
        self.found.append(health)
        if self.recording:
            self.world.apply(Change.put(health))


@pytest.fixture
def probed() -> Court:
    court = Court(PROBED)
    court.connect()
    return court


def test_ports_without_a_link_are_proof() -> None:
    court = Court(FW)
    court.connect()
    assert court.found == []
    for port in ("in", "out"):
        court.connect(1, port)
        assert court.down() == f"port {port} of dSwitch 0000000000000001 is down"
        court.connect()
        assert court.down() is None
    court.connect(1, "tap")
    assert len(court.found) == court.judge.changes == 4


def test_a_port_that_is_not_there_is_proof(probed: Court) -> None:
    probed.connect(ports={"in": 1})
    assert probed.down() == "dSwitch 0000000000000001 has no port out"


def test_it_takes_some_probes_in_a_row(probed: Court) -> None:
    probed.miss(2)
    probed.answer(1)
    probed.miss(2)
    assert probed.down() is None
    probed.miss(1)
    assert probed.down() == NO_PROBE_COMES_BACK
    probed.answer(1)
    probed.miss(1)
    probed.answer(1)
    assert probed.down() is not None
    probed.clock = 7
    probed.answer(1)
    assert probed.found[-1] == Health("FW", "one", True, "", "at 7")


def test_who_does_not_answer_for_its_address_is_named_by_it() -> None:
    court = Court(replace(FW, routed=True, probe=replace(PROBE, kind=ProbeKind.ARP, address="192.0.2.1")))
    court.connect()
    court.miss()
    assert court.down() == "192.0.2.1 is asked for at port in and does not answer"


def test_a_link_that_is_back_is_no_proof_where_probes_are_asked(probed: Court) -> None:
    probed.connect(1, "in")
    probed.connect()
    assert probed.down() == "port in of dSwitch 0000000000000001 is down", "as was last seen"
    probed.answer(1)
    assert probed.down() is not None
    probed.answer(1)
    assert probed.down() is None


def test_answers_from_before_a_fault_do_not_count_after_it(probed: Court) -> None:
    probed.answer(5)
    probed.connect(1, "in")
    probed.connect()
    assert probed.down() is not None
    probed.miss(2)
    probed.lose()
    probed.connect()
    probed.miss(1)
    assert "is down" in str(probed.down()), "two before and one after are not three in a row"


def test_a_dswitch_that_is_away_takes_nobody_with_it(probed: Court) -> None:
    probed.lose()
    assert probed.found == []
    probed.connect(1, "in")
    probed.lose()
    assert probed.down() is not None, "as was last seen"


def test_a_judge_who_begins_believes_what_is_recorded() -> None:
    for before in (Health("FW", "one", False, "gone mad"), Health("FW", "one", up=True)):
        court = Court(before, PROBED)
        court.connect()
        court.miss(2)
        assert court.found == []
        court.answer(1)
        court.miss(2)
        assert court.found == []
    court.miss(1)
    assert court.down() == NO_PROBE_COMES_BACK


def test_the_cause_may_change_and_the_time_does_not(probed: Court) -> None:
    probed.clock = 1
    probed.miss()
    probed.clock = 2
    probed.connect(1, "out")
    assert probed.found[-1] == Health("FW", "one", False, "port out of dSwitch 0000000000000001 is down", "at 1")
    assert probed.judge.changes == 1


def test_what_is_found_is_told_once_until_it_is_recorded(probed: Court) -> None:
    probed.recording = False
    probed.miss(5)
    assert len(probed.found) == 1
    probed.judge.unrecorded(probed.found[0])
    assert probed.found == [probed.found[0]] * 2
    probed.answer(5)
    probed.judge.unrecorded(probed.found[0])
    assert len(probed.found) == 2, "the world does not know that it was down"
    probed.judge.unrecorded(Health("FW", "none", up=False))


def test_what_somebody_else_records_against_the_evidence_is_put_right(probed: Court) -> None:
    probed.answer()
    probed.put(Health("FW", "one", False, "somebody's mistake"))
    assert probed.down() is None
    assert probed.found == [Health("FW", "one", True, "", "at 0")]


def test_an_instance_that_is_nowhere_is_neither_up_nor_down() -> None:
    court = Court(PROBED)
    court.judge.missed(("FW", "two"))
    court.put(Seat("FW", "two", 2, "tap", "tap"))
    court.connect(2)
    for _ in range(3):
        court.judge.missed(("FW", "two"))
    assert court.world.down == {("FW", "two")}
    court.put(Seat("FW", "two", 3, "tap", "tap"))
    court.connect(3)
    assert court.world.down == {("FW", "two")}, "until it answers from there"
    court.put(Change.gone(Seat("FW", "two", 3, "tap", "tap")))
    court.judge.answered(("FW", "two"))
    court.judge.answered(("FW", "two"))
    assert court.world.down == {("FW", "two")}


def test_an_instance_that_is_gone_is_nobodys_business(probed: Court) -> None:
    probed.put(Change.gone(PROBED))
    probed.miss()
    probed.connect(1, "in")
    assert probed.found == []


def test_another_way_to_ask_begins_anew(probed: Court) -> None:
    probed.miss(2)
    probed.put(replace(PROBED, probe=replace(PROBE, interval=1)))
    probed.miss(2)
    assert probed.down() is None
    probed.miss(1)
    assert probed.down() is not None
    probed.put(FW)
    assert probed.down() is None, "its ports are all that is looked at"
