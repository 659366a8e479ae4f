"""One OpenFlow connection: the fast lane, and beside it the framework's ordinary way.

A policy request is a packet-in whose cookie starts with our application number. Taking each one through the
framework (parse into objects, make an event, queue it, wake the application) costs some 400 microseconds; the
socket could deliver a hundred in that time. So the connection here reads as much as the kernel has, cuts it at the
OpenFlow lengths, and hands all that is ours in one read over in *one* call, as the bytes they came in: policy requests,
and what the switch says of our flows. The answer is
written the same way. Every other message goes the framework's ordinary way, so that applications named beside
ours see the events they know.

    socket -> receive buffer -> split -> ours (bytes) -> ours(datapath, [...]) -> write
                                      -> everything else         -> parse, events, handlers         -> send_msg

One thread of the hub reads the socket and waits for it; it is the only one that ever waits. Whoever wants to send
(`write`, `send`, `send_msg`, from any thread) adds to the one out buffer under a lock and passes on to the kernel what
it takes at that moment; the rest is sent by the connection's thread as soon as the kernel takes more. So no sender
ever blocks, and a handler may send from the connection's own thread as much as it likes. (os-ken has a queue of
sixteen messages and a second thread; a handler that sends seventeen can stop for ever.)

What bounds the memory: above `HIGH_WATER` bytes of pending output no more is read, so a switch that asks faster than
it listens throttles itself; above `OUTPUT_LIMIT` the connection is closed with the reason in the log.
"""

from __future__ import annotations

import contextlib
import logging
import os
import ssl
import time
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, ClassVar

from dove_ryu.southbound import framework, lane
from dove_ryu.southbound.framing import HEADER, HangUp, is_ours, split
from dove_ryu.southbound.lane import RECEIVE_BUFFER, Desk, Line
from dove_ryu.southbound.lane_loop import loop_of

LOG = logging.getLogger(__name__)

HIGH_WATER = 1024 * 1024
OUTPUT_LIMIT = 16 * 1024 * 1024
EARLY_REQUESTS = 1024  # policy messages of ours kept while the handshake is not over
HANDSHAKE_SECONDS = 6.0  # one that stalls would stall for ever
READS_IN_A_ROW = 32  # then the other connections of a cooperative hub have their turn
INBOX_LIMIT = 1024  # messages that wait for applications before no more is read


class Datapath(framework.Datapath):
    """The framework's Datapath with our own input and output; its interface for applications is unchanged."""

    application: ClassVar[int | None] = None
    """The first byte of our cookies and xids; None: nothing is ours, all goes the ordinary way."""

    ours: ClassVar[Callable[[Datapath, list[bytes]], None] | None] = None
    """Takes all messages of one read that are ours. It runs on the connection's thread, must not block, and answers
    with `write`, best once. An exception in it is logged and costs these requests, not the connection."""

    form: ClassVar[ModuleType] = lane
    """Of the fast lane."""

    live: ClassVar[set[Datapath]] = set()
    """The connections being served."""

    def __init__(self, connection: Any, address: Any) -> None:
        super().__init__(connection, address)
        # The framework counts from a random number: one that began with our byte would make its port list ours.
        self.xid &= 0x7FFFFFFF
        self._patience: float = connection.gettimeout()  # --socket-timeout, as the framework has just set it
        connection.setblocking(False)
        # OpenSSL's objects are not for two threads at a time: a TLS socket is read under the lock as well.
        self._descriptor = connection.fileno()
        self._tls = isinstance(connection, ssl.SSLSocket)
        self._line: Line = self.form.Line(self, self._descriptor)  # never held across anything that waits
        self._desk: Desk | None = None
        self._out = bytearray()
        self._moved = 0.0  # when output last moved, or began to be pending
        self._handshake_until = time.monotonic() + HANDSHAKE_SECONDS
        self._ending = False  # send what is pending, then close our half
        self._half_closed_at: float | None = None
        self._failure: str | None = None
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._waiting = False  # only then does news need the descriptor
        self._news = False
        self._early: list[bytes] = []
        self._lent = False  # the lane loop reads this connection, until its end
        self._paused = False
        self._inbox: list[bytes] = []  # what the lane loop has read and has to wait for applications
        self._next_echo = time.monotonic() + self.echo_request_interval

    # ---- sending: from any thread ----------------------------------------------------------------

    @property
    def desk(self) -> Desk | None:
        """Where what can be is answered at once; None: nowhere."""
        return self._desk

    @desk.setter
    def desk(self, desk: Desk | None) -> None:
        with self._line:
            self._desk = desk
            if desk is not None:
                self._line.desk = desk
            self._see()
            self._wake_up()

    @property
    def pending(self) -> int:
        """Bytes that wait for the switch to read. Who has much to send can pace itself by it."""
        return len(self._out)

    def write(self, data: bytes) -> bool:
        """Send ready OpenFlow bytes, whole messages, in order after all that was sent before; never blocks.

        False when the connection is closing: the bytes will not arrive.
        """
        if self._line.say(data):
            return self._failure is None
        with self._line:
            if self._failure or self._ending or not self.is_active:
                return False
            if not self._out:
                self._moved = time.monotonic()
            self._out += data
            self._flush()
            if len(self._out) > OUTPUT_LIMIT:
                self._failure = f"{len(self._out)} bytes wait for a switch that does not read them"
            if self._out or self._failure:
                self._wake_up()
            self._see()
            return self._failure is None

    def keep_unsent(self, unsent: bytes, reason: str | None) -> None:
        """What the kernel does not take now (:class:`dove_ryu.southbound.lane.Keeper`).  Holds the line."""
        self._moved = time.monotonic()
        self._out += unsent
        self._failure = reason
        self._see()
        self._wake_up()

    def send(self, buf: bytes | bytearray, close_socket: bool = False) -> bool:
        """The framework's way to send; `send_msg` ends here. With `close_socket` it is the last that is sent."""
        accepted = self.write(bytes(buf))
        if close_socket:
            with self._line:
                self._ending = True
                self._see()
                self._wake_up()
        return accepted

    def close(self) -> None:
        """End the connection, from any thread; observers learn of it by EventOFPStateChange."""
        self.set_state(framework.DEAD_DISPATCHER)
        with self._line:
            self._wake_up()

    def _see(self) -> None:
        """Let the lane know whether a turn is as most are.  Holds the line."""
        self._line.clear = self._desk is not None and not (self._tls or self._out or self._failure or self._ending)

    def _wake_up(self) -> None:
        """Let the connection's thread see what has changed. Holds the line."""
        if self._waiting and not self._news:
            os.eventfd_write(self._wake, 1)
        self._news = True

    def _flush(self) -> None:
        """Give the kernel what it takes now. Holds the line; an error is kept for the connection's thread."""
        try:
            while self._out:
                sent = self.socket.send(self._out)
                del self._out[:sent]
                self._moved = time.monotonic()
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError as error:
            self._failure = f"cannot send: {error.strerror or error}"

    # ---- the connection's own thread -------------------------------------------------------------

    def serve(self) -> None:
        """Run the connection until it ends. The framework calls it once, on a thread of its hub."""
        Datapath.live.add(self)
        LOG.info("%s: connected", self)
        try:
            self.send_msg(self.ofproto_parser.OFPHello(self))
            self._receive_loop()
            self._lend()
            LOG.info("%s: closed by us", self)
        except HangUp as reason:
            LOG.warning("%s: closed: %s", self, reason)
        finally:
            Datapath.live.discard(self)
            with self._line:
                self.is_active = False
                self._waiting = False  # so that nobody writes to the descriptor that is closed here
                self._out.clear()
                os.close(self._wake)
            self.socket.close()

    def _receive_loop(self) -> None:
        received_bytes = bytearray(RECEIVE_BUFFER)
        buffer = memoryview(received_bytes)
        filled = reads = 0
        while self.state != framework.DEAD_DISPATCHER and self.desk is None:
            received = self._receive(buffer[filled:])
            if not received:
                reads = 0
                self._wait()
                continue
            filled += received
            messages, consumed = split(buffer[:filled])
            self._take(messages)
            buffer[: filled - consumed] = buffer[consumed:filled]  # at most one unfinished message
            filled -= consumed
            self._push()
            reads += 1
            if reads % READS_IN_A_ROW == 0:
                framework.hub.sleep(0)
        self._line.rest = bytes(buffer[:filled])

    def _lend(self) -> None:
        """Let the lane loop read; here is left what may take its time."""
        self._lent = True
        if self.desk is not None:
            self.desk.echoes = not framework.is_observed(self.ofp_brick, framework.ofp_event.EventOFPEchoRequest)
        loop = loop_of(self.form)
        loop.adopt(self._line, self._descriptor)
        try:
            while self.state != framework.DEAD_DISPATCHER:
                self._wait()
                with self._line:
                    messages, self._inbox = self._inbox, []
                for message in messages:
                    self._dispatch(message)
                if self._paused and self.pending <= HIGH_WATER:
                    self._paused = False
                    loop.resume(self._descriptor)
        finally:
            loop.release(self._descriptor)

    # ---- the lane loop's thread ------------------------------------------------------------------

    def end_turn(self, unsent: bytes, reason: str | None) -> bool:
        """A turn of the line has left something over (:class:`dove_ryu.southbound.lane.Keeper`).  Holds the line."""
        if reason is not None:
            return self._fail(reason)
        if unsent:
            self.keep_unsent(unsent, None)
        return self._keep(self._line.desk.take_others())

    def _keep(self, messages: list[bytes]) -> bool:
        """Hand over what is ours, keep the rest for the applications; whether more may be read now.  Holds the line."""
        self._inbox += self._ordinary(messages)
        self._paused = self.pending > HIGH_WATER or len(self._inbox) > INBOX_LIMIT
        if self._inbox or self._out:
            self._wake_up()
        return not self._paused

    def _fail(self, reason: str) -> bool:
        """Let the connection end for this reason, if there is no other yet; no more is read.  Holds the line."""
        self._failure = self._failure or reason
        self._see()
        self._wake_up()
        return False

    def read_apart(self, buffer: bytearray) -> bool:
        """A turn of a connection that is encrypted, has output pending, has no desk, or is ending."""
        rest = self._line.rest
        kept = len(rest)
        buffer[:kept] = rest
        try:
            with memoryview(buffer) as view:
                filled = kept + self._receive(view[kept:])
            messages, consumed = self._answer(buffer, filled)
        except HangUp as reason:
            with self._line:
                return self._fail(str(reason))
        with self._line:
            self._line.rest = bytes(buffer[consumed:filled])
            return self._keep(messages)

    def _answer(self, buffer: bytearray, filled: int) -> tuple[list[bytes], int]:
        """Answer what the desk can; the other messages, and how many bytes the whole messages take.

        Under the lock, so that what takes an answer back is sent after it.
        """
        desk = self.desk
        if desk is None:
            return split(memoryview(buffer)[:filled])
        others: list[bytes] = []
        with self._line:
            try:
                consumed = desk.take(buffer, filled, others)
            except ValueError as error:
                raise HangUp(f"malformed message: {error}") from None
            if desk.used and not self._failure and not self._ending:
                if not self._out:
                    self._moved = time.monotonic()
                self._out += memoryview(desk.answers)[: desk.used]
                self._flush()
                self._see()
        return others, consumed

    def _receive(self, buffer: memoryview) -> int:
        """Read what the kernel has; 0 when there is nothing now, or nothing may be read while output is pending."""
        if self.pending > HIGH_WATER:
            return 0
        try:
            if self._tls:
                with self._line:
                    received = self.socket.recv_into(buffer)
            else:
                received = self.socket.recv_into(buffer)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0
        except OSError as error:
            raise HangUp(f"cannot receive: {error.strerror or error}") from None
        if not received:
            raise HangUp("the switch has closed it")
        return int(received)

    def _wait(self) -> None:
        """Wait for input, for room for output, for a sender's word or for the next deadline; then see to all."""
        with self._line:
            self._waiting = not self._news
            self._news = False
            pending = len(self._out)
        if self._waiting:
            reads = [self._wake, self.socket.fileno()] if pending <= HIGH_WATER and not self._lent else [self._wake]
            framework.wait(reads, [self.socket.fileno()] if pending else [], self._next_deadline(pending))
        with self._line:
            self._waiting = False
        self._push()
        self._drain_wake()
        self._check(time.monotonic())

    def _push(self) -> None:
        """Try again to send what the kernel did not take from the senders."""
        if self._out:
            with self._line:
                self._flush()
                self._see()

    def _drain_wake(self) -> None:
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            return

    def _next_deadline(self, pending: int) -> float | None:
        """Seconds until `_check` has something to say even if nothing happens; None: never."""
        deadlines = []
        if pending:
            deadlines.append(self._moved + self._patience)
        if self._half_closed_at is not None:
            deadlines.append(self._half_closed_at + self._patience)
        if self.max_unreplied_echo_requests:
            deadlines.append(self._next_echo)
        if self.state != framework.MAIN_DISPATCHER:
            deadlines.append(self._handshake_until)
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _check(self, now: float) -> None:
        """Everything that ends a connection other than the switch itself, and the keepalive."""
        if self._failure:
            raise HangUp(self._failure)
        if self._out and now - self._moved >= self._patience:
            raise HangUp(f"{self.pending} bytes wait for a switch that has read none for {self._patience:g} s")
        if self.state != framework.MAIN_DISPATCHER and now >= self._handshake_until and not self._ending:
            raise HangUp(f"its handshake is not over after {HANDSHAKE_SECONDS:g} s; it will connect anew")
        if self._ending:
            self._finish(now)
        elif self.max_unreplied_echo_requests and now >= self._next_echo:
            self._ask_for_echo(now)

    def _finish(self, now: float) -> None:
        """The last message is sent: close our half, and the whole when the switch does not follow."""
        if self._out:
            return
        if self._tls:  # Python's TLS sockets have no half
            raise HangUp("we ended it")
        if self._half_closed_at is None:
            self._close_write()
            self._half_closed_at = now
        elif now - self._half_closed_at >= self._patience:
            raise HangUp("we ended it, and the switch did not close its half")

    def _ask_for_echo(self, now: float) -> None:
        """The framework's keepalive (--maximum-unreplied-echo-requests), without a thread of its own."""
        if len(self.unreplied_echo_requests) > self.max_unreplied_echo_requests:
            raise HangUp(f"{len(self.unreplied_echo_requests)} echo requests are without a reply")
        request = self.ofproto_parser.OFPEchoRequest(self)
        self.unreplied_echo_requests.append(self.set_xid(request))
        self.send_msg(request)
        self._next_echo = now + self.echo_request_interval

    # ---- what was received -----------------------------------------------------------------------

    def _take(self, messages: Iterable[bytes]) -> None:
        """Policy requests together and first, for an endpoint waits for each; then the rest in its order.

        Before the handshake is over nobody can answer: requests of that time are kept (the switch holds no
        copy of their packets), the newest dropped beyond EARLY_REQUESTS.
        """
        for message in self._ordinary(messages):
            self._dispatch(message)
        self._hand_over()

    def _ordinary(self, messages: Iterable[bytes]) -> list[bytes]:
        """Hand over what is ours, and say what is not."""
        ordinary: list[bytes] = []
        for message in messages:
            (self._early if is_ours(message, self.application) else ordinary).append(message)
        self._hand_over()
        return ordinary

    def _hand_over(self) -> None:
        if self.state != framework.MAIN_DISPATCHER:
            del self._early[EARLY_REQUESTS:]
            return
        requests, self._early = self._early, []
        hook = type(self).ours  # by the class: an instance would bind a plain function to itself
        if not requests or hook is None:
            return
        try:
            hook(self, requests)
        except Exception:
            LOG.exception("%s: %d messages are lost", self, len(requests))

    def _dispatch(self, message: bytes) -> None:
        """The framework's ordinary way: parse, tell the observers, run the handshake's handlers in this thread."""
        version, kind, length, xid = HEADER.unpack_from(message)
        try:
            parsed = framework.ofproto_parser.msg(self, version, kind, length, xid, message)
        except framework.OFPException as error:
            raise HangUp(f"it does not speak OpenFlow as we know it: {error}") from None
        if parsed is None or self.ofp_brick is None:
            return
        event = framework.ofp_event.ofp_msg_to_ev(parsed)
        self.ofp_brick.send_event_to_observers(event, self.state)
        handlers = [
            handler
            for handler in self.ofp_brick.get_handlers(event)
            if self.state in handler.callers[event.__class__].dispatchers
        ]
        for handler in handlers:
            handler(event)

    def __str__(self) -> str:
        host, port = self.address[:2]
        name = "switch" if self.id is None else f"switch {self.id:016x}"
        return f"{name} at {host}:{port}"


def serve_connection(connection: Any, address: Any) -> None:
    """Run one accepted connection until it ends; what the framework's `datapath_connection_factory` does."""
    try:
        with contextlib.closing(Datapath(connection, address)) as datapath:
            datapath.serve()
    except Exception:  # os-ken's native hub would drop it without a word: its TaskExit is Exception itself
        LOG.exception("switch at %s: the connection failed", address[0])
