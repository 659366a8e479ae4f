"""F54: a line is read and answered, and nobody is waited for: neither its dSwitch nor who has Python's lock."""

from __future__ import annotations

import ctypes
import select
import socket
import struct
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from dove_ryu.southbound import codec, lane_form
from tests.unit.dps.states import usual

from .office import Office
from .packets import cut
from .test_answers import everybody
from .test_hostile import DPID, WHOLE

ROOM = 1 << 18
DEADLINE = 5.0


class Keeper:
    """Takes down what a line tells."""

    def __init__(self) -> None:
        self.told: list[tuple[bytes, str | None]] = []
        self.apart = 0
        self.more = True

    def end_turn(self, unsent: bytes, reason: str | None) -> bool:
        """What was left over."""
        self.told.append((unsent, reason))
        return self.more

    def keep_unsent(self, unsent: bytes, reason: str | None) -> None:
        """What was not sent."""
        self.told.append((unsent, reason))

    def read_apart(self, buffer: bytearray) -> bool:
        """A turn that is not the line's."""
        self.apart += 1
        return self.more


class Connection:
    """A line with a desk that answers everybody in the usual state, its keeper, and the dSwitch's end of it."""

    def __init__(self, form: ModuleType) -> None:
        self.office = Office(usual(), form)
        for dpid, message in everybody():
            self.office.teach_all(dpid, [message])
        self.here, self.there = socket.socketpair()
        self.here.setblocking(False)
        self.there.settimeout(DEADLINE)
        self.keeper = Keeper()
        self.line: Any = form.Line(self.keeper, self.here.fileno())
        self.desk = self.line.desk = self.office.desks[DPID]
        self.line.clear = True

    def plain(self, message: bytes) -> bytes:
        """What must be answered."""
        return self.office.plain(DPID, message) or b""

    def hear(self, size: int) -> bytes:
        """The next bytes at the other end."""
        heard = b""
        while len(heard) < size:
            heard += self.there.recv(size - len(heard))
        return heard


@pytest.fixture
def connection(form: ModuleType) -> Iterator[Connection]:
    """A new one."""
    made = Connection(form)
    with made.here, made.there:
        yield made


def test_what_is_read_is_answered(connection: Connection) -> None:
    barrier, message, buffer = codec.barrier(5), WHOLE["ipv6"], bytearray(ROOM)
    answer = connection.plain(message)
    connection.there.sendall(message + barrier + message[:50])
    assert connection.line.turn(buffer)
    assert connection.hear(len(answer)) == answer
    assert connection.keeper.told == [(b"", None)]
    assert connection.desk.take_others() == [barrier]
    assert connection.line.rest == message[:50]
    connection.there.sendall(message[50:])
    assert connection.line.turn(buffer)
    assert connection.hear(len(answer)) == answer
    assert connection.line.rest == b""
    assert len(connection.keeper.told) == 1


def test_beginnings_of_any_length_are_kept(connection: Connection) -> None:
    stream = b"".join([codec.message(codec.BARRIER_REPLY, bytes(size)) for size in (1, 700, 65_000, 3)])
    buffer = bytearray(ROOM)
    for size in (1, 7, 500, 60_000, 5_000, 1, 10_000):
        connection.there.sendall(stream[:size])
        stream = stream[size:]
        assert connection.line.turn(buffer)
    assert [len(message) for message in connection.desk.take_others()] == [9, 708, 65_008, 11]
    assert connection.line.rest == b""


def test_nothing_to_read(connection: Connection) -> None:
    connection.line.rest = b"beginning"
    assert connection.line.turn(bytearray(ROOM))
    assert connection.line.rest == b"beginning"
    assert not connection.keeper.told


def test_no_more_is_read_than_there_is_room(connection: Connection) -> None:
    connection.there.sendall(bytes(5000))
    connection.keeper.more = False
    connection.line.rest = bytes(90)
    assert not connection.line.turn(bytearray(100))
    reason = "malformed message: it says it is 0 bytes long, the header alone has 8"
    assert connection.keeper.told == [(b"", reason)]
    assert len(connection.here.recv(5000)) == 4990


def test_the_end_of_the_stream(connection: Connection) -> None:
    connection.there.close()
    connection.line.turn(bytearray(ROOM))
    assert connection.keeper.told == [(b"", "the switch has closed it")]


def test_a_socket_that_cannot_be_used(connection: Connection) -> None:
    connection.there.sendall(WHOLE["mac"])
    connection.there.close()
    connection.line.turn(bytearray(ROOM))
    connection.here.close()
    connection.line.turn(bytearray(ROOM))
    reasons = ["cannot send: Broken pipe", "cannot receive: Bad file descriptor"]
    assert [reason for _, reason in connection.keeper.told] == reasons


def test_who_does_not_listen_is_not_waited_for(connection: Connection) -> None:
    message, lots = WHOLE["mac"], 0
    while not connection.keeper.told:
        connection.there.sendall(message * 100)
        assert connection.line.turn(bytearray(ROOM))
        lots += 1
    unsent, reason = connection.keeper.told.pop()
    assert reason is None
    expected = connection.plain(message) * 100 * lots
    assert connection.hear(len(expected) - len(unsent)) + unsent == expected


def test_what_is_said_is_sent(connection: Connection) -> None:
    assert connection.line.say(b"word")
    assert connection.hear(4) == b"word"
    connection.line.clear = False
    assert not connection.line.say(b"word")
    connection.line.clear = True
    lots = 1
    while connection.line.say(b"x" * 9000) and not connection.keeper.told:
        lots += 1
    unsent, reason = connection.keeper.told.pop()
    assert reason is None
    assert 0 < len(unsent) <= 9000
    connection.hear(9000 * lots - len(unsent))
    connection.there.close()
    assert connection.line.say(b"word")
    assert connection.keeper.told == [(b"word", "cannot send: Broken pipe")]


def test_a_line_that_is_not_clear_is_the_keepers(connection: Connection) -> None:
    connection.line.clear = False
    connection.there.sendall(WHOLE["mac"])
    assert connection.line.turn(bytearray(ROOM))
    assert connection.keeper.apart == 1
    assert connection.here.recv(ROOM) == WHOLE["mac"]


def test_a_line_that_is_held_is_waited_for(connection: Connection) -> None:
    """Whoever sends over it comes first."""
    connection.there.sendall(WHOLE["mac"])
    turn = threading.Thread(target=connection.line.turn, args=[bytearray(ROOM)])
    with connection.line:
        turn.start()
        connection.here.send(b"first")
        turn.join(0.05)
        assert turn.is_alive()
    turn.join(DEADLINE)
    assert connection.hear(5) == b"first"
    assert len(cut(connection.there.recv(ROOM))) == 3


@pytest.fixture
def ring(form: ModuleType, connection: Connection) -> Any:
    """A ring with the connection's line in it."""
    made = form.Ring(select.epoll())
    made.add(connection.line, connection.here.fileno())
    return made


def test_a_round_of_a_ring(ring: Any, connection: Connection) -> None:
    message = WHOLE["ipv4"]
    answer = connection.plain(message)
    ring.round()
    connection.there.sendall(message)
    ring.round()
    assert connection.hear(len(answer)) == answer
    connection.line.clear = False
    connection.there.sendall(message)
    ring.round()
    assert connection.keeper.apart == 1
    connection.keeper.more = False
    ring.round()
    ring.round()
    assert connection.keeper.apart == 2, "nothing more is to be read for now"
    ring.resume(connection.here.fileno())
    ring.round()
    assert connection.keeper.apart == 3
    ring.resume(connection.here.fileno())
    ring.remove(connection.here.fileno())
    ring.round()
    assert connection.keeper.apart == 3
    assert connection.here.recv(ROOM) == message


def test_a_ring_has_no_end(ring: Any, connection: Connection) -> None:
    threading.Thread(target=ring.serve, daemon=True, name="ring").start()
    message = WHOLE["ipv4"]
    answer = connection.plain(message)
    for _ in range(3):
        connection.there.sendall(message)
        assert connection.hear(len(answer)) == answer


def test_the_compiled_lane_does_without_pythons_lock() -> None:
    """Another thread that keeps it, as this one does by calls that do not let go of it, holds nobody up."""
    form = lane_form.load("compiled")
    connection, ring = Connection(form), form.Ring(select.epoll())
    ring.add(connection.line, connection.here.fileno())
    answer = connection.plain(WHOLE["ipv4"])
    threading.Thread(target=ring.serve, daemon=True, name="ring").start()
    connection.there.settimeout(None)  # the kernel's own time-out is to end it
    connection.there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", int(DEADLINE), 0))
    kept, heard = ctypes.PyDLL(None), ctypes.create_string_buffer(len(answer))
    kept.send(connection.there.fileno(), WHOLE["ipv4"], len(WHOLE["ipv4"]), 0)
    assert kept.recv(connection.there.fileno(), heard, len(answer), socket.MSG_WAITALL) == len(answer)
    assert heard.raw == answer
