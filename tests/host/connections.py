"""Hundreds of TCP connections between two machines, each of which is asked now and then whether it still lives.

The server gives back whatever it is sent.  The client opens connections when told, and sends a number over each when asked;
those that bring it back in time live.  Both are processes in the machines' namespaces; this file is also their program, for
which the standard library suffices.
"""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from emulation import Endpoint

PORT = 7003


class Connections:
    """Connections from one machine to the address of another, for the length of a `with` block, by the client's port."""

    def __init__(self, client: Endpoint, server: Endpoint, address: str) -> None:
        self._processes = [
            node.popen([sys.executable, "-I", __file__, *arguments], stdin=subprocess.PIPE)
            for node, arguments in ((server, ("serve",)), (client, ("connect", address)))
        ]
        self._answer(0)

    def open(self, count: int) -> set[int]:
        """Open more connections, a few milliseconds apart; the ports of those that came about."""
        return set(self._ask("open", count))

    def alive(self, patience: float = 2.0) -> set[int]:
        """The ports of the connections over which a number comes back within so many seconds."""
        return set(self._ask("ask", patience))

    def __enter__(self) -> Connections:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in reversed(self._processes):
            process.kill()
            process.communicate()

    def _ask(self, *words: object) -> list[int]:
        client = self._processes[1]
        client.stdin.write(f"{json.dumps(words)}\n".encode())
        client.stdin.flush()
        return self._answer(1)

    def _answer(self, which: int) -> list[int]:
        line = self._processes[which].stdout.readline()
        if not line:
            raise RuntimeError(self._processes[which].communicate()[1].decode())
        answer: list[int] = json.loads(line)
        return answer


# ---- the programs in the machines ----------------------------------------------------------------


def _serve() -> None:
    with socket.create_server(("0.0.0.0", PORT), backlog=1000) as listener, selectors.DefaultSelector() as ready:
        listener.setblocking(False)
        ready.register(listener, selectors.EVENT_READ)
        print("[]", flush=True)
        while True:
            for key, _ in ready.select():
                if key.fileobj is listener:
                    accepted, _ = listener.accept()
                    ready.register(accepted, selectors.EVENT_READ)
                else:
                    assert isinstance(key.fileobj, socket.socket)
                    _give_back(key.fileobj, ready)


def _give_back(connection: socket.socket, ready: selectors.BaseSelector) -> None:
    try:
        data = connection.recv(1 << 16)
        connection.sendall(data)
    except OSError:
        data = b""
    if not data:
        ready.unregister(connection)
        connection.close()


def _connect(address: str) -> None:
    opened: dict[int, socket.socket] = {}
    number = 0
    for line in sys.stdin:
        word, value = json.loads(line)
        if word == "open":
            answer = [_open(address, opened) for _ in range(value)]
        else:
            number += 1
            answer = _ask_all(opened, number.to_bytes(4, "big"), value)
        print(json.dumps([port for port in answer if port]), flush=True)


def _open(address: str, opened: dict[int, socket.socket]) -> int:
    """A connection's port; 0 where none comes about."""
    time.sleep(0.003)
    try:
        made = socket.create_connection((address, PORT), timeout=5)
    except OSError:
        return 0
    port: int = made.getsockname()[1]
    opened[port] = made
    made.setblocking(False)
    return port


def _ask_all(opened: dict[int, socket.socket], number: bytes, patience: float) -> list[int]:
    with selectors.DefaultSelector() as ready:
        for port, connection in opened.items():
            connection.send(number)
            ready.register(connection, selectors.EVENT_READ, port)
        alive: list[int] = []
        end, heard = time.monotonic() + patience, dict.fromkeys(opened, b"")
        while len(alive) < len(opened) and (left := end - time.monotonic()) > 0:
            for key, _ in ready.select(left):
                heard[key.data] += opened[key.data].recv(4096)
                if heard[key.data].endswith(number):
                    ready.unregister(key.fileobj)
                    alive.append(key.data)
        return alive


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _serve()
    else:
        _connect(sys.argv[2])
