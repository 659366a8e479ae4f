"""A door from the host into a namespace: a TCP port on the host's loopback whose connections go on inside.

Nothing of an emulation can be reached from the host, by design. Whoever wants to look at the DPS from a browser or a
shell of his own needs one way in; it is open for the length of a `with` block.
"""

from __future__ import annotations

import contextlib
import select
import socket
import socketserver
import threading
from collections.abc import Iterator

import namespace


class _Door(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, pid: int, inner: tuple[str, int], port: int) -> None:
        self.pid, self.inner = pid, inner
        super().__init__(("127.0.0.1", port), _Visit)


class _Visit(socketserver.BaseRequestHandler):
    server: _Door

    def handle(self) -> None:
        """Pass bytes both ways until one side has said all. A visitor who finds nobody in is sent away."""
        with contextlib.suppress(OSError):
            with namespace.inside(self.server.pid):
                inner = socket.create_connection(self.server.inner)
            with inner:
                far = {self.request: inner, inner: self.request}
                while True:
                    for near in select.select([*far], [], [])[0]:
                        data = near.recv(65536)
                        if not data:
                            return
                        far[near].sendall(data)


@contextlib.contextmanager
def forward(pid: int, inner: tuple[str, int], port: int = 0) -> Iterator[int]:
    """Lead connections to the host's 127.0.0.1:`port` (0: one that is free) to the address `inner` in the network
    namespace of process `pid`; yield the port."""
    with _Door(pid, inner, port) as door:
        threading.Thread(target=door.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        try:
            yield door.server_address[1]
        finally:
            door.shutdown()
