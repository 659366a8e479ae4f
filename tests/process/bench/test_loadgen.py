"""The load generator against controllers that are right, slow, wrong, silent, or not there (F54)."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dove_ryu.bench.build import program
from dove_ryu.bench.requests import read_dswitch
from dove_ryu.openflow.fields import VNI
from dove_ryu.openflow.flow import FlowDelete
from dove_ryu.openflow.match import match
from dove_ryu.openflow.pipeline import POLICY
from dove_ryu.southbound import codec
from dove_ryu.southbound.framing import split

from .conftest import Controller, Generate, message

Make = Callable[..., Controller]
ECHO_REQUEST, ECHO_REPLY, BARRIER_REPLY = 2, 3, 21


def test_right_answers_are_counted(generate: Generate, controller: Make) -> None:
    code, figures, complaint = generate(controller(), "--outstanding", "8")
    assert code == 0, complaint
    assert figures["mismatches"] == figures["unasked"] == 0
    assert figures["answers"] > 100
    assert figures["backlog"] == 8
    latency = figures["latency_us"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["p99.9"] <= latency["max"]


@pytest.mark.parametrize("piece", [1, 7, 100, 1461])
def test_answers_may_come_in_pieces(generate: Generate, controller: Make, piece: int) -> None:
    code, figures, complaint = generate(controller(piece=piece), "--outstanding", "3")
    assert (code, figures["mismatches"]) == (0, 0), complaint


def test_the_mean_answer_is_told(generate: Generate, controller: Make, world: Path) -> None:
    _, figures, _ = generate(controller(), "--outstanding", "8")
    lengths = [len(request.answer) for request in read_dswitch(world / "dove" / "1.dswitch")]
    assert figures["bytes_per_answer"] == pytest.approx(sum(lengths) / len(lengths), rel=0.05)


def test_an_open_loop_keeps_its_rate(generate: Generate, controller: Make) -> None:
    code, figures, complaint = generate(controller(), "--rate", "2000", "--burst", "4")
    assert code == 0, complaint
    assert figures["answers_per_second"] == pytest.approx(2000, rel=0.1)
    assert figures["rate"] == 2000


@pytest.mark.parametrize("where", [0, 1, 30, 95, 120, -1])
def test_a_wrong_byte_anywhere_fails_the_run(generate: Generate, controller: Make, where: int) -> None:
    """The eleventh answer differs from what it must be in one byte, but its length is right."""

    def lie(number: int, right: bytes) -> bytes:
        at = where % len(right)
        return right if number != 10 or at in (2, 3) else right[:at] + bytes([right[at] ^ 0x10]) + right[at + 1 :]

    code, _, complaint = generate(controller(lie), "--outstanding", "4", "--patience", "1")
    assert code == 1
    assert "the answer to request 10 is not what it must be" in complaint or "no answer" in complaint


def test_a_missing_answer_is_seen(generate: Generate, controller: Make) -> None:
    gap = controller(lambda number, right: b"" if number == 5 else right)
    code, _, complaint = generate(gap, "--outstanding", "4", "--patience", "0.5")
    assert code == 1
    assert "no answer has come for 0.5 s" in complaint
    assert "answered, not request" in complaint


@pytest.mark.parametrize("options", [("--outstanding", "8"), ("--rate", "3000", "--burst", "2")])
def test_answers_may_overtake_each_other(generate: Generate, controller: Make, options: tuple[str, ...]) -> None:
    """What takes a controller longer holds nobody up."""
    code, figures, complaint = generate(controller(_swapping()), *options)
    assert code == 0, complaint
    assert figures["answers"] > 100


def test_a_packet_may_follow_flows_that_are_on_their_way(generate: Generate, controller: Make) -> None:
    """Who asks again is answered by the packet alone; but somebody must have had the flows."""

    def alone(right: bytes) -> bytes:
        messages, _ = split(memoryview(right))
        return messages[-1]

    repeating = controller(lambda number, right: right if number < 40 else alone(right))
    code, figures, complaint = generate(repeating, "--outstanding", "4")
    assert code == 0, complaint
    assert figures["repeated"] >= figures["answers"] > 100
    code, _, complaint = generate(controller(lambda number, right: alone(right)), "--outstanding", "4")
    assert code == 1
    assert "the answer to request 0 is not what it must be" in complaint


def _swapping() -> Callable[[int, bytes], bytes]:
    """Of two answers that follow each other the second comes first."""
    held: list[bytes] = []

    def answer(number: int, right: bytes) -> bytes:
        if number % 2 == 0:
            held.append(right)
            return b""
        return right + held.pop()

    return answer


def test_an_answer_given_twice_is_seen(generate: Generate, controller: Make) -> None:
    twice = controller(lambda number, right: right * 2 if number == 5 else right)
    code, _, complaint = generate(twice, "--outstanding", "1")
    assert code == 1
    assert "nobody asked for this" in complaint or "is not what it must be" in complaint


def test_echoes_barriers_and_changes_between_answers_are_no_answers(generate: Generate, controller: Make) -> None:
    """Echo requests and barriers are answered; a deletion, which no request asked for, is passed over."""
    gone = codec.change(FlowDelete(0, 0, POLICY.number, match({VNI: 5})))
    asides = message(ECHO_REQUEST, b"still there?", xid=99) + gone + codec.barrier(100)
    made = controller(lambda number, right: asides + right if number % 7 == 0 else right)
    code, figures, complaint = generate(made, "--outstanding", "5")
    assert code == 0, complaint
    assert figures["asides"] > 3
    made.close()
    assert message(ECHO_REPLY, b"still there?", xid=99) in made.heard
    assert message(BARRIER_REPLY, xid=100) in made.heard


def test_counting_takes_any_answer_that_ends_so(generate: Generate, controller: Make) -> None:
    _, figures, _ = generate(controller(), "--outstanding", "4", "--ends-with", "packet-out")
    assert figures["checked"] is False
    assert figures["answers"] > 100
    code, by_flows, complaint = generate(controller(), "--outstanding", "4", "--ends-with", "flow-mod:2")
    assert code == 0, complaint
    assert by_flows["answers"] > 100


def test_a_refused_connection_is_one_clear_line(generate: Generate) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
    code, figures, complaint = generate(f"127.0.0.1:{free}")
    assert (code, figures) == (1, None)
    assert complaint.count("\n") == 1
    assert f"127.0.0.1:{free}: Connection refused; is the controller running" in complaint


def test_a_controller_that_says_nothing_is_given_up(generate: Generate) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        code, _, complaint = generate(f"127.0.0.1:{silent.getsockname()[1]}", "--patience", "0.3")
    assert code == 1
    assert "it asked 0 of 1 dSwitches for their features" in complaint


def test_a_controller_that_stops_answering_is_given_up(generate: Generate, controller: Make) -> None:
    stuck = controller(lambda number, right: right if number < 50 else b"")
    code, _, complaint = generate(stuck, "--outstanding", "8", "--patience", "0.3", "--seconds", "5")
    assert code == 1
    assert "no answer has come for 0.3 s, to anyone; 58 requests sent, 50 answered, not request 50" in complaint


def test_a_controller_that_hangs_up_is_told(generate: Generate, controller: Make) -> None:
    def hang_up(number: int, right: bytes) -> bytes:
        if number == 20:
            raise OSError
        return right

    code, _, complaint = generate(controller(hang_up), "--outstanding", "4")
    assert code == 1
    assert "the controller has closed the connection" in complaint or "the connection is broken" in complaint


def test_what_is_no_openflow_is_told(generate: Generate, controller: Make) -> None:
    code, _, complaint = generate(controller(lambda number, right: b"\0" * 16), "--outstanding", "4")
    assert code == 1
    assert "what is no OpenFlow message" in complaint


def test_without_requests_there_is_nothing_to_ask(generate: Generate, controller: Make) -> None:
    code, _, complaint = generate(controller(), dswitches=3)
    assert code == 2
    assert "it has no requests" in complaint


@contextlib.contextmanager
def responding(pattern: Path) -> Iterator[str]:
    """The responder, and where it listens."""
    command = [str(program("responder")), "127.0.0.1:0", str(pattern)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        try:
            yield running.stdout.readline().strip()
        finally:
            running.kill()


def test_the_responder_answers_everything(generate: Generate, world: Path) -> None:
    with responding(world / "dove" / "1.dswitch") as address:
        code, figures, complaint = generate(address, "--barrier", "--ends-with", "packet-out", dswitches=2)
    assert code == 0, complaint
    lengths = [len(request.answer) for request in read_dswitch(world / "dove" / "1.dswitch")]
    assert figures["bytes_per_answer"] == pytest.approx(sum(lengths) / len(lengths), rel=0.1)


def test_the_responder_is_not_mistaken_for_a_controller_that_is_right(generate: Generate, world: Path) -> None:
    with responding(world / "dove" / "1.dswitch") as address:
        code, figures, complaint = generate(address, dswitches=2)
    assert code == 1
    assert figures["mismatches"] > 0
    assert "expected (" in complaint


def test_idle_dswitches_send_keepalives(generate: Generate, world: Path) -> None:
    with responding(world / "dove" / "1.dswitch") as address:
        code, figures, complaint = generate(address, "--idle", "--echo-interval", "0.05", dswitches=3)
    assert code == 0, complaint
    assert figures["echo_requests"] == pytest.approx(18, abs=3)
