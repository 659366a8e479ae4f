"""A small world with its requests, made once; and a controller that replays what it is told to."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest

from dove_ryu.bench.build import program
from dove_ryu.bench.prepare import Workload, prepare
from dove_ryu.bench.requests import Request, read_dswitch
from dove_ryu.bench.world import Plan
from dove_ryu.southbound.framing import split

SMALL = Workload(Plan(endpoints=200, networks=4, domains=3, policies=4, dswitches=4), (40, 30), idle=3)
HELLO, FEATURES_REQUEST, PACKET_IN, BARRIER_REQUEST = 0, 5, 10, 20
FOUND = struct.Struct("!BBHI")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prepared directory of a small world, whose first two dSwitches ask and whose third is idle."""
    place = tmp_path_factory.mktemp("bench") / "small"
    prepare(SMALL, place, lambda what, share: None)
    return place


@dataclass
class Controller:
    """A controller on one connection: it does the handshake, then writes for each request what :attr:`answer` says.

    :ivar answer: from the number of a request, counted from 0, and the request to what is written for it.
    :ivar piece: how many bytes go out in one write.
    """

    requests: list[Request]
    answer: Callable[[int, bytes], bytes]
    piece: int = 1 << 20
    heard: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # nobody came
            return
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(message(HELLO) + message(FEATURES_REQUEST, xid=7) + message(BARRIER_REQUEST, xid=8))
            try:
                self._talk(connection)
            except OSError:  # the generator has ended
                return

    def _talk(self, connection: socket.socket) -> None:
        buffer, asked = b"", 0
        while received := connection.recv(1 << 16):
            messages, used = split(memoryview(buffer + received))
            buffer = (buffer + received)[used:]
            out = b""
            for each in messages:
                if each[1] == PACKET_IN:
                    out += self.answer(asked, each)
                    asked += 1
                else:
                    self.heard.append(each)
            for at in range(0, len(out), self.piece):
                connection.sendall(out[at : at + self.piece])


def message(kind: int, body: bytes = b"", xid: int = 0) -> bytes:
    return FOUND.pack(4, kind, 8 + len(body), xid) + body


class Generate(Protocol):
    """Runs the generator with these options, against an address or against a controller that answers so."""

    def __call__(self, where: str | Controller, *options: str, dswitches: int = 1) -> tuple[int, Any, str]: ...


@pytest.fixture
def generate(world: Path) -> Generate:
    """The generator's exit code, its figures, and what it complained of."""

    def run(where: str | Controller, *options: str, dswitches: int = 1) -> tuple[int, Any, str]:
        address = where if isinstance(where, str) else where.address
        command = (
            *(str(program("loadgen")), "--connect", address, "--requests", str(world / "dove")),
            *("--dswitches", str(dswitches), "--settle", "0.05", "--warm-up", "0.05", "--seconds", "0.3", *options),
        )
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr

    return run


@pytest.fixture
def controller(world: Path) -> Iterator[Callable[..., Controller]]:
    """controller(answer=..., piece=...): one that gives right answers unless *answer* makes others of them."""
    made: list[Controller] = []
    requests = read_dswitch(world / "dove" / "1.dswitch")

    def make(answer: Callable[[int, bytes], bytes] = lambda _, right: right, piece: int = 1 << 20) -> Controller:
        right = [request.answer for request in requests]
        made.append(Controller(requests, lambda number, _: answer(number, right[number % len(right)]), piece))
        return made[-1]

    yield make
    for each in made:
        each.close()
