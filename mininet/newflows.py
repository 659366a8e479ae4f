"""How many new things a second a path carries: TCP connections, and destinations that nobody has sent to before.

Both are closed loops: so many are under way at all times, and one that is done makes room for the next. The sender's and
the receiver's sockets are this process's own, each made in its machine's namespace, so that nothing is to be started and
nobody's clock is to be compared.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
import time
from collections.abc import Sequence

from emulated_node import EmulatedNode

#: Under way at the same time.
AT_ONCE = 32
CONNECTION_PORT, DATAGRAM_PORT = 7003, 7004
#: Seconds after which what has not come is lost.
PATIENCE = 0.5
#: SO_LINGER with no time to linger: closing resets the connection, which then needs no port of ours any more.
_AT_ONCE_GONE = struct.pack("ii", 1, 0)


def connections(near: EmulatedNode, far: EmulatedNode, address: str, seconds: float) -> float:
    """TCP connections a second from `near` to `far` at `address`; each is closed as soon as it stands."""
    with far.inside():
        listener = socket.create_server((address, CONNECTION_PORT), backlog=4 * AT_ONCE)
    listener.setblocking(False)
    with listener, select.epoll() as events:
        events.register(listener, select.EPOLLIN)
        with near.inside():
            under_way = dict(_connecting(events, address) for _ in range(AT_ONCE))
            began, done = time.monotonic(), 0
            while (now := time.monotonic()) < began + seconds:
                for number, _ in events.poll(PATIENCE):
                    if number == listener.fileno():
                        listener.accept()[0].close()
                    else:
                        done += _closed(under_way.pop(number))
                        under_way |= [_connecting(events, address)]
        for connection in under_way.values():
            connection.close()
    return done / (now - began)


def _connecting(events: select.epoll, address: str) -> tuple[int, socket.socket]:
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE_GONE)
    refused = connection.connect_ex((address, CONNECTION_PORT))
    if refused not in (0, errno.EINPROGRESS):
        raise OSError(refused, f"connecting to {address}")
    events.register(connection, select.EPOLLOUT)
    return connection.fileno(), connection


def _closed(connection: socket.socket) -> bool:
    """Whether the connection came to stand; it no longer does."""
    with connection:
        return not connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def destinations(near: EmulatedNode, far: EmulatedNode, addresses: Sequence[str]) -> float:
    """Datagrams a second from `near` to `far`, one to each of the addresses, all of which `far` has. RuntimeError where
    one of them does not arrive."""
    with far.inside():
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.bind(("", DATAGRAM_PORT))
    with near.inside():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.settimeout(PATIENCE)
    with receiver, sender:
        began = time.monotonic()
        for address in addresses[:AT_ONCE]:
            sender.sendto(b"new", (address, DATAGRAM_PORT))
        for number in range(len(addresses)):
            try:
                receiver.recv(16)
            except TimeoutError:
                raise RuntimeError(f"of {len(addresses)} datagrams, {number} arrived") from None
            for address in addresses[AT_ONCE + number : AT_ONCE + number + 1]:
                sender.sendto(b"new", (address, DATAGRAM_PORT))
        return len(addresses) / (time.monotonic() - began)
