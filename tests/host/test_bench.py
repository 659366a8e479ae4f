"""The benchmark against the real DPS, and its requests against real ovs-vswitchd (F54)."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from random import Random

import pytest

from dove_ryu.bench import contenders
from dove_ryu.bench.arena import Arena, ArenaError
from dove_ryu.bench.course import Course, Pace
from dove_ryu.bench.prepare import Workload, load_dps, prepare, store_url
from dove_ryu.bench.requests import first_packet, location_request
from dove_ryu.bench.world import Plan
from tests.pipeline.ovs import PrivateOvs
from tests.pipeline.switch import PACKET_IN, RawSwitch

SMALL = Workload(Plan(endpoints=400, networks=4, domains=4, policies=6, dswitches=8), (200,) * 8)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("bench") / "small"
    prepare(SMALL, place, lambda what, share: None)
    return place


@pytest.fixture
def course(world: Path) -> Course:
    return Course(Arena(world / "logs"), SMALL, world, Pace(1, 0.5, 0.2), lambda what: None)


def test_what_a_killed_run_has_left_is_taken_away(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as ended:
        pass
    name = f"dove-bench-{ended.pid}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    left = subprocess.Popen(["ip", "netns", "exec", name, "sleep", "600"])
    until = time.monotonic() + 5
    while not subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=True).stdout:
        assert time.monotonic() < until, "it does not start"
    with Arena(tmp_path / "logs"):
        assert left.wait(5) == -signal.SIGKILL
        assert name not in subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout


class Listener(RawSwitch):
    """A bridge whose packet-ins are kept as the bytes that they are."""

    def __init__(self, ovs: PrivateOvs, bridge: str, ports: dict[str, int]) -> None:
        super().__init__(ovs, bridge, ports)
        self.raw: list[bytes] = []

    def next_packet_in(self) -> bytes:
        """The next packet that comes up, as the bytes that it is."""
        deadline = time.monotonic() + 5
        while not self.raw:
            assert time.monotonic() < deadline, "nothing comes up"
            self.packet_ins()
        return self.raw.pop(0)

    def _take(self, message: bytes) -> None:
        if message[1] == PACKET_IN:
            self.raw.append(message)
        super()._take(message)


def test_requests_are_what_open_vswitch_sends(world: Path) -> None:
    """First packets go into a real dSwitch, and what comes up is byte for byte what the benchmark renders."""
    plan, random = SMALL.plan, Random(8)
    dps, ports = load_dps(store_url(world), lambda what, share: None), SMALL.plan.ports(1)
    with PrivateOvs() as ovs, (switch := Listener(ovs, "br-bench", ports)):
        switch.send(dps.connect(1, ports, switch.flows()))
        for network, member in plan.hosted(1)[:12]:
            sent = first_packet(plan, network, member, (member + 7) % plan.members, random)
            ovs.receive(f"p{plan.host(network, member).port}", sent.hex())
            asked = location_request(plan, dps, network, member, sent)
            assert switch.next_packet_in() == asked


def test_the_dps_gives_every_answer_that_it_must(course: Course) -> None:
    """Closed and open loop, alone and while a blueprint changes; and it all goes when the course is over."""
    with course.arena:
        dove = course.contender("pure")
        assert dove is not None, course.missing
        options = ("--dswitches", "8")
        alone = course.turn("closed-8", 0, dove, *options, "--outstanding", "4")
        with course.changing(dove, 20) as changes:
            changed = course.turn("steady-changes", 0, dove, *options, "--rate", "500", "--burst", "4")
        program = course.program("pure")
    assert course.failures == []
    assert alone is not None
    assert alone.figures["answers"] > 100
    assert changed is not None
    assert changed.figures["asides"] > 0
    assert changes["changes"] > 0
    assert not Path(f"/proc/{program.pid}").exists()
    assert course.arena.name not in subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout


def test_the_responder_is_measured_beside_it(course: Course) -> None:
    with course.arena:
        limit = contenders.responder(course.directory)
        limit.start(course.arena)
        command = course.generator_command(limit, "--dswitches", "8")
        figures = json.loads(course.arena.run(command))
    assert figures["answers"] > 1000
    assert figures["checked"] is False


def test_a_program_that_ends_is_told_with_its_last_words(course: Course) -> None:
    with course.arena:
        failing = course.arena.start("failing", ["sh", "-c", "echo it is broken; exit 3"], course.arena.server_core)
        with pytest.raises(ArenaError, match="failing has ended with 3: it is broken"):
            failing.await_port(1, 10)


def test_a_contender_that_cannot_be_had_is_left_out(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable() -> contenders.Contender:
        raise contenders.Unavailable("ryu-4.34 cannot be installed: no such package")

    monkeypatch.setattr(contenders, "ryu", unavailable)
    with course.arena:
        assert list(course.rounds(("ryu",))) == []
    assert course.missing == {"ryu": "ryu-4.34 cannot be installed: no such package"}
