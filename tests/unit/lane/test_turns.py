"""F54, X3: a connection's turn at the lane's loop, whatever the kernel takes and whatever has come of a message."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from types import ModuleType

import pytest

from dove_ryu import config
from dove_ryu.southbound import framework
from dove_ryu.southbound.datapath import HIGH_WATER, Datapath
from dove_ryu.southbound.lane import RECEIVE_BUFFER
from tests.unit.dps.states import usual

from .office import Office
from .test_answers import everybody
from .test_hostile import DPID, WHOLE

MESSAGES = [*WHOLE.values()] * 40
Turn = tuple[Datapath, socket.socket, bytes]


@pytest.fixture
def turn(form: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[Turn]:
    """(A connection with a desk, its far end, what that must hear for one lot of MESSAGES)."""
    config.register(framework.CONF)
    config.parse(framework.CONF, [], "test")
    office = Office(usual(), form)
    for dpid, message in everybody():
        office.teach_all(dpid, [message])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname(), timeout=5)
        here, address = listener.accept()
    here.settimeout(5)
    with here, peer:
        monkeypatch.setattr(Datapath, "form", form)
        datapath = Datapath(here, address)
        datapath.desk = office.desks[DPID]
        yield datapath, peer, b"".join(office.plain(DPID, message) or b"" for message in MESSAGES)
        os.close(datapath._wake)
    framework.CONF.reset()


def hear(peer: socket.socket, size: int) -> bytes:
    """The next bytes that the far end gets."""
    heard = b""
    while len(heard) < size:
        heard += peer.recv(size - len(heard))
    return heard


def test_messages_that_come_in_pieces(turn: Turn) -> None:
    datapath, peer, expected = turn
    stream, buffer = b"".join(MESSAGES), bytearray(RECEIVE_BUFFER)
    for at in range(0, len(stream), 1001):
        peer.sendall(stream[at : at + 1001])
        assert datapath._line.turn(buffer)
    while len(datapath._line.rest):  # loopback may have been behind
        assert datapath._line.turn(buffer)
    assert hear(peer, len(expected)) == expected


def test_answers_that_the_kernel_does_not_take_at_once(turn: Turn) -> None:
    """They wait, in order, those of later turns behind them; and while too many do, nothing more is read."""
    datapath, peer, expected = turn
    stream, lots, more = b"".join(MESSAGES), 0, True
    while more:
        peer.sendall(stream)
        lots += 1
        more = datapath._line.turn(bytearray(RECEIVE_BUFFER))
    assert datapath.pending > HIGH_WATER
    heard = b""
    while len(heard) < lots * len(expected):
        heard += peer.recv(1 << 20)
        datapath._push()
        datapath._line.turn(bytearray(RECEIVE_BUFFER))
    assert heard == expected * lots


def test_the_end_of_a_connection(turn: Turn) -> None:
    datapath, peer, _ = turn
    peer.shutdown(socket.SHUT_WR)
    assert not datapath._line.turn(bytearray(RECEIVE_BUFFER))
    assert datapath._failure == "the switch has closed it"


def test_what_is_no_message(turn: Turn) -> None:
    datapath, peer, _ = turn
    peer.sendall(MESSAGES[0] + bytes(8))
    assert not datapath._line.turn(bytearray(RECEIVE_BUFFER))
    assert datapath._failure is not None
    assert datapath._failure.startswith("malformed message: it says it is 0 bytes long")


def test_a_connection_that_is_reset(turn: Turn) -> None:
    datapath, peer, _ = turn
    datapath.write(b"unread")  # so that the far end's close is a reset
    peer.close()
    assert not datapath._line.turn(bytearray(RECEIVE_BUFFER))
    assert datapath._failure == "cannot receive: Connection reset by peer"
