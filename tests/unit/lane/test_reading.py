"""F54: a desk reads its dSwitch's socket and answers into it, and waits for neither."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from types import ModuleType

import pytest

from dove_ryu.southbound import codec
from tests.unit.dps.states import usual

from .office import Office
from .test_answers import everybody
from .test_hostile import DPID, WHOLE

ROOM = 1 << 18


@pytest.fixture
def office(form: ModuleType) -> Office:
    """One that answers everybody in the usual state."""
    made = Office(usual(), form)
    for dpid, message in everybody():
        made.teach_all(dpid, [message])
    return made


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection: the DPS's, which does not wait, and the dSwitch's."""
    here, there = socket.socketpair()
    here.setblocking(False)
    there.settimeout(5)
    with here, there:
        yield here, there


def test_what_is_read_is_answered(office: Office, ends: tuple[socket.socket, socket.socket]) -> None:
    here, there = ends
    desk, buffer, others = office.desks[DPID], bytearray(ROOM), list[bytes]()
    barrier = codec.barrier(5)
    message = WHOLE["ipv6"]
    there.sendall(message + barrier + message[:50])
    assert desk.read(here.fileno(), buffer, 0, others) == len(message) + len(barrier)
    assert desk.filled == len(message) + len(barrier) + 50
    assert others == [barrier]
    assert desk.send(here.fileno()) == desk.used
    assert there.recv(ROOM) == office.plain(DPID, message)
    buffer[:50] = message[:50]
    there.sendall(message[50:])
    assert desk.read(here.fileno(), buffer, 50, others) == desk.filled == len(message)
    assert bytes(desk.answers[: desk.used]) == office.plain(DPID, message)


def test_nothing_to_read(office: Office, ends: tuple[socket.socket, socket.socket]) -> None:
    here, _ = ends
    desk = office.desks[DPID]
    assert desk.read(here.fileno(), bytearray(ROOM), 30, []) == 0
    assert (desk.filled, desk.used) == (30, 0)


def test_no_more_is_read_than_there_is_room(office: Office, ends: tuple[socket.socket, socket.socket]) -> None:
    here, there = ends
    there.sendall(bytes(5000))
    buffer = bytearray(100)
    with pytest.raises(ValueError, match="it says it is 0 bytes long"):
        office.desks[DPID].read(here.fileno(), buffer, 90, [])
    assert office.desks[DPID].filled == len(buffer) == 100
    assert len(here.recv(5000)) == 4990


def test_the_end_of_the_stream(office: Office, ends: tuple[socket.socket, socket.socket]) -> None:
    here, there = ends
    there.close()
    with pytest.raises(EOFError, match="the switch has closed it"):
        office.desks[DPID].read(here.fileno(), bytearray(ROOM), 0, [])


def test_a_socket_that_cannot_be_used(office: Office, ends: tuple[socket.socket, socket.socket]) -> None:
    here, there = ends
    desk = office.desks[DPID]
    there.sendall(WHOLE["mac"])
    assert desk.read(here.fileno(), bytearray(ROOM), 0, []) == len(WHOLE["mac"])
    there.close()
    with pytest.raises(OSError, match="Broken pipe"):
        desk.send(here.fileno())
    with pytest.raises(OSError, match="Bad file descriptor"):
        desk.read(-1, bytearray(ROOM), 0, [])


def test_who_does_not_listen_is_not_waited_for(office: Office, ends: tuple[socket.socket, socket.socket]) -> None:
    here, there = ends
    desk, message = office.desks[DPID], WHOLE["mac"]
    sent = asked = 0
    while True:
        there.sendall(message * 100)
        assert desk.read(here.fileno(), bytearray(ROOM), 0, []) == len(message) * 100
        asked += desk.used
        taken = desk.send(here.fileno())
        sent += taken
        if taken < desk.used:
            break
    assert desk.send(here.fileno()) == 0
    received = 0
    while received < sent:
        received += len(there.recv(ROOM))
    assert sent < asked
