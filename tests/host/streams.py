"""Traffic that tells exactly what became of it: a stream of numbered datagrams, and a TCP transfer.

A stream sends 1,000 datagrams a second, each with its number. Sender and receiver are processes of their own in the
machines' namespaces, so that whatever the test does meanwhile does not disturb their pace; this file is also their
program, for which the standard library suffices. The time is the monotonic clock, which all processes of one machine
share: what was lost can be laid beside what the test did, and when.

The transfer sends a pattern slowly and without end, and its receiver compares every byte.
"""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from emulation import Endpoint

RATE = 1000
"""Datagrams a second."""

STREAM_PORT, TRANSFER_PORT = 7001, 7002

RECEIVE_BUFFER = 4 << 20
"""Bytes that the receiver's socket may hold while its process waits for a processor."""

PATIENCE = 20.0
"""Seconds that a program may take to finish.  A TCP connection that came to a halt for longer is kept waiting longer
still by its own retransmission timer, however well the network is by then."""

_SO_RCVBUFFORCE = 33
"""asm-generic/socket.h: beyond the system's limit, for root; Python's module has no name for it."""

CHUNK, CHUNKS_A_SECOND = bytes(range(256)) * 4, 200
"""What a transfer sends over and over, and how often unless told otherwise."""


@dataclass(frozen=True)
class Delivery:
    """What became of a stream.

    :ivar sent: when each datagram left, by its number.
    :ivar received: the number and the time of each that arrived, in order.
    """

    sent: list[float]
    received: list[tuple[int, float]]

    @cached_property
    def lost(self) -> list[int]:
        """The numbers of those that never arrived."""
        there = {number for number, _ in self.received}
        return [number for number in range(len(self.sent)) if number not in there]

    @cached_property
    def duplicates(self) -> int:
        """How many arrived again."""
        return sum(times - 1 for times in Counter(number for number, _ in self.received).values())

    def lost_between(self, start: float, end: float) -> list[int]:
        """Those of the lost that were sent in that time."""
        return [number for number in self.lost if start <= self.sent[number] < end]

    def back_after(self, moment: float) -> float:
        """Seconds from *moment* until the last lost datagram was sent: from then on all was well."""
        return max(0.0, self.sent[self.lost[-1]] - moment) if self.lost else 0.0

    def story(self, *moments: tuple[str, float]) -> str:
        """What was lost and when, from the beginning of the stream, for the message of a failed test."""
        start = self.sent[0]
        events = "".join(f", {name} at {moment - start:.3f} s" for name, moment in moments)
        losses = ", ".join(f"{first}-{last} at {self.sent[first] - start:.3f} s" for first, last in _runs(self.lost))
        return f"{len(self.lost)} of {len(self.sent)} lost ({losses}), {self.duplicates} twice{events}"


def _runs(numbers: list[int]) -> list[tuple[int, int]]:
    """Ascending numbers as (first, last) of each run without a gap."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


class _Process:
    """This file as a program in a machine's namespace, from its first line of output to SIGTERM."""

    def __init__(self, node: Endpoint, *arguments: str) -> None:
        self._node, self._name = node, f"{' '.join(arguments)} in {node.name}"
        self._process = node.popen([sys.executable, "-I", __file__, *arguments], stdin=subprocess.DEVNULL)
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            raise RuntimeError(f"{self._name}: {self._process.communicate()[1].decode()}")

    def end(self) -> str:
        """Let it finish; what it has to say."""
        self._process.send_signal(signal.SIGTERM)
        try:
            output, complaint = self._process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            sockets = self._node.run("ss", "-tinoem", check=False)
            self._process.kill()
            self._process.communicate()
            raise RuntimeError(f"{self._name} does not end within {PATIENCE:g} s; its sockets: {sockets}") from None
        if self._process.returncode:
            raise RuntimeError(f"{self._name}: {complaint.decode()}")
        return str(output.decode())


class Stream:
    """A stream of datagrams from one machine to the address of another, for the length of a `with` block."""

    def __init__(self, sender: Endpoint, receiver: Endpoint, address: str, rate: int = RATE) -> None:
        self._receiver = _Process(receiver, "receive", str(STREAM_PORT))
        self._sender = _Process(sender, "send", address, str(STREAM_PORT), str(rate))
        self._delivery: Delivery | None = None

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None:
            self.end()

    def end(self) -> Delivery:
        """Stop sending, let what is under way arrive, and say what became of it all."""
        if self._delivery is None:
            sent = json.loads(self._sender.end())
            self._delivery = Delivery(sent, [(number, when) for number, when in json.loads(self._receiver.end())])
        return self._delivery


class Transfer:
    """A TCP connection over which one machine sends to another for the length of a `with` block."""

    def __init__(
        self, sender: Endpoint, receiver: Endpoint, address: str, chunks_a_second: int = CHUNKS_A_SECOND
    ) -> None:
        self._receiver = _Process(receiver, "absorb", str(TRANSFER_PORT))
        self._sender = _Process(sender, "pour", address, str(TRANSFER_PORT), str(chunks_a_second))

    def __enter__(self) -> Transfer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None:
            self.end()

    def end(self) -> int:
        """Close the connection in order; the bytes that arrived, which are those that were sent."""
        sent = int(self._sender.end())
        received = int(self._receiver.end())
        assert received == sent, f"{sent} bytes sent, {received} received"
        return received


# ---- the program in the machine ------------------------------------------------------------------


class _Ended(Exception):
    """SIGTERM has come."""


def _end(_number: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _Ended


def _send(address: str, port: str, rate: str) -> object:
    """Keep to the rate: who was kept waiting catches up, so that the numbers tell the time."""
    times: list[float] = []
    with socket.socket(_family(address), socket.SOCK_DGRAM) as out:
        out.connect((address, int(port)))
        print("begins", flush=True)
        begin = time.monotonic()
        try:
            while True:
                time.sleep(max(0.0, begin + len(times) / int(rate) - time.monotonic()))
                times.append(time.monotonic())
                _offer(out, len(times) - 1)
        except _Ended:
            return times


def _offer(out: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # no neighbour, no route: as lost as one that is dropped on the way
        out.send(number.to_bytes(4, "big"))


def _receive(port: str) -> object:
    arrived: list[tuple[int, float]] = []
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as into:
        into.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER)
        into.bind(("::", int(port)))
        print("listens", flush=True)
        try:
            while True:
                arrived.append((int.from_bytes(into.recv(64), "big"), time.monotonic()))
        except _Ended:
            into.settimeout(0.5)  # what is still under way
        try:
            while True:
                arrived.append((int.from_bytes(into.recv(64), "big"), time.monotonic()))
        except TimeoutError:
            return arrived


def _pour(address: str, port: str, chunks_a_second: str) -> object:
    sent = 0
    with socket.create_connection((address, int(port)), timeout=10) as out:
        out.settimeout(60)
        print("connected", flush=True)
        begin = time.monotonic()
        try:
            while True:
                time.sleep(max(0.0, begin + sent / len(CHUNK) / int(chunks_a_second) - time.monotonic()))
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
                out.sendall(CHUNK)
                sent += len(CHUNK)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        except _Ended:
            return sent


def _absorb(port: str) -> object:
    """Ends with the connection; SIGTERM comes when the sender has closed its side."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    received = 0
    with socket.create_server(("::", int(port)), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        print("listens", flush=True)
        connection, _ = listener.accept()
    with connection:
        connection.settimeout(60)
        while data := connection.recv(len(CHUNK)):
            expected = (CHUNK + CHUNK)[received % len(CHUNK) :][: len(data)]
            if data != expected:
                raise SystemExit(f"byte {received} and after are not what was sent")
            received += len(data)
    return received


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


_PROGRAMS: dict[str, Callable[..., object]] = {"send": _send, "receive": _receive, "pour": _pour, "absorb": _absorb}

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    print(json.dumps(_PROGRAMS[sys.argv[1]](*sys.argv[2:])))
