"""The real command as a process, and a little OpenFlow 1.3 switch that is nothing but bytes on a socket."""

from __future__ import annotations

import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
APPS = Path(__file__).parent / "apps"

HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY, FEATURES_REPLY, PACKET_IN, PORT_STATUS = 0, 1, 2, 3, 6, 10, 12
MULTIPART_REPLY, BARRIER_REQUEST = 19, 20


class Manager:
    """A running ryu-manager; what it says on stderr can be waited for."""

    def __init__(self, *arguments: str, hub: str = "native") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dove_ryu.southbound.manager", *arguments],
            cwd=ROOT,
            env={**os.environ, "OSKEN_HUB_TYPE": hub, "PYTHONWARNINGS": "ignore"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()

    def says(self, pattern: str, seconds: float = 15.0) -> re.Match[str]:
        """The first line with `pattern`, however late within the deadline."""

        def found() -> re.Match[str] | None:
            return next(filter(None, (re.search(pattern, line) for line in self.lines)), None)

        with self._changed:
            match = self._changed.wait_for(found, seconds)
        assert match, f"{pattern!r} was not said; but\n" + "\n".join(self.lines)
        return match

    def port(self) -> int:
        return int(self.says(r"awaiting switches on \S+ port (\d+)")[1])

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """(exit code, seconds it took)."""
        begin = time.monotonic()
        self.process.send_signal(number)
        return self.wait(), time.monotonic() - begin

    def wait(self) -> int:
        try:
            code = self.process.wait(10)
        except subprocess.TimeoutExpired:
            raise AssertionError("it does not end; it said\n" + "\n".join(self.lines)) from None
        self._reader.join()
        return code

    def end(self) -> None:
        self.process.kill()
        self.wait()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream
            stream.close()


class Switch:
    """A connection to the controller: messages as (type, xid, body)."""

    def __init__(self, connection: socket.socket, dpid: int = 7) -> None:
        self.socket = connection
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(5)
        self.dpid = dpid

    @staticmethod
    def message(kind: int, body: bytes = b"", xid: int = 1) -> bytes:
        return struct.pack("!BBHI", 4, kind, 8 + len(body), xid) + body

    @classmethod
    def packet_in(cls, cookie: int, data: bytes = b"abcd", xid: int = 1) -> bytes:
        in_port = struct.pack("!HHII4x", 1, 12, 0x80000004, 3)
        header = struct.pack("!IHBBQ", 0xFFFFFFFF, len(data), 1, 0, cookie)
        return cls.message(PACKET_IN, header + in_port + b"\0\0" + data, xid)

    @classmethod
    def port_status(cls, name: bytes) -> bytes:
        return cls.message(PORT_STATUS, struct.pack("!B7xI4x6s2x16s8I", 0, 1, b"\2" * 6, name, *[0] * 8))

    def send(self, *messages: bytes) -> None:
        self.socket.sendall(b"".join(messages))

    def receive(self) -> tuple[int, int, bytes]:
        _, kind, length, xid = struct.unpack("!BBHI", self._exactly(8))
        return kind, xid, self._exactly(length - 8)

    def _exactly(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            more = self.socket.recv(length - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def greet(self, before_the_end: bytes = b"") -> None:
        """The handshake; `before_the_end` is sent together with its last message, in front of it."""
        self.send(self.message(HELLO))
        assert self.receive()[0] == HELLO
        _, xid, _ = self.receive()
        self.send(self.message(FEATURES_REPLY, struct.pack("!QIBB2xII", self.dpid, 0, 254, 0, 0, 0), xid))
        _, xid, _ = self.receive()
        self.send(before_the_end, self.message(MULTIPART_REPLY, struct.pack("!HH4x", 13, 0), xid))

    def is_closed(self) -> bool:
        """Whether the controller has ended the connection; waits for it."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            return True
        return True


@pytest.fixture
def manager() -> Iterator[Callable[..., Manager]]:
    """Start ryu-manager with these applications (files in `apps`, or as they are) and options."""
    started: list[Manager] = []

    def start(*arguments: str, hub: str = "native", host: str = "127.0.0.1", port: int = 0) -> Manager:
        named = [str(APPS / f"{word}.py") if (APPS / f"{word}.py").exists() else word for word in arguments]
        address = ["--ofp-listen-host", host, "--ofp-tcp-listen-port", str(port)]
        started.append(Manager(*named, *address, hub=hub))
        return started[-1]

    yield start
    for process in started:
        process.end()


@pytest.fixture
def switch() -> Iterator[Callable[..., Switch]]:
    """Connect a switch to a manager; its handshake is still to come."""
    connected: list[Switch] = []

    def connect(to: Manager, wrap: Callable[[socket.socket], socket.socket] | None = None) -> Switch:
        plain = socket.create_connection(("127.0.0.1", to.port()), timeout=5)
        connected.append(Switch(wrap(plain) if wrap else plain))
        return connected[-1]

    yield connect
    for each in connected:
        each.socket.close()


@pytest.fixture(params=["native", "eventlet"])
def hub(request: pytest.FixtureRequest) -> str:
    return str(request.param)
