"""F54: the lane answers on one thread while the world changes on another, and what takes an answer back comes after it.

The connection is a real one, over loopback, with the DPS's thread and the lane's loop behind it.  At the other end a
dSwitch asks without pause.  After each change a barrier is sent; whatever stands behind it must know the change.
"""

from __future__ import annotations

import itertools
import selectors
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

import pytest

from dove_ryu import config
from dove_ryu.control import Control
from dove_ryu.dps import Dps
from dove_ryu.fairness import Share
from dove_ryu.model.entities import Location, Policy
from dove_ryu.model.facts import Change
from dove_ryu.openflow.fields import APPLICATION, Cookie, Kind
from dove_ryu.southbound import codec, framework
from dove_ryu.southbound.datapath import Datapath
from dove_ryu.southbound.link import Link
from dove_ryu.switchboard import Switchboard
from tests.unit.dps.states import State, entities, ports, usual

from .packets import cut
from .test_answers import to_everybody

DPID = 1
CHANGES = 100
PAUSE = 0.002
"""Seconds between two changes, in which the lane learns anew."""
MOST_OUTSTANDING = 64
DEADLINE = 15.0
PACKET_OUT, FLOW_MOD, MULTIPART_REQUEST, MULTIPART_REPLY, BARRIER_REQUEST, BARRIER_REPLY = 13, 14, 18, 19, 20, 21
ADD = 0

POLICY = ("policy", "n1", "red", "blue")
MOVING = ("location", "n1", "e4")


class Service:
    """The DPS's thread with all that it has, and one connection over which a dSwitch is live."""

    def __init__(self, state: State, form: ModuleType) -> None:
        self.state, self.made = state, 0
        self.dps = Dps()
        self.switches = Switchboard(self.dps, form)
        self.switches.admission.share = Share(rate=0)
        self.control = Control()
        self.switches.later = self.switches.vigil.later = self.control.later
        self.dps.apply(map(Change.put, entities(state)))
        self.control.start()

    def greet(self, datapath: Datapath) -> None:
        """Take a dSwitch in whose handshake is over."""
        datapath.id = DPID
        datapath.set_state(framework.MAIN_DISPATCHER)
        self.link = Link(datapath)
        self.control.post(lambda: self.switches.greet(self.link, ports(self.state)[DPID]))

    def hear(self, _: Datapath, messages: list[bytes]) -> None:
        """What the connection hands over."""
        self.link.received += len(messages)
        self.control.post(lambda: self.switches.hear(self.link, messages))

    def change(self) -> None:
        """A policy is another, or an endpoint moves between the two other dSwitches; and so on, in turn."""
        self.made += 1
        policy, place = self.state[POLICY], self.state[MOVING]
        assert isinstance(policy, Policy)
        assert isinstance(place, Location)
        tracking = self.made + 1
        moved = replace(place, dpid=2 + (self.made // 2 + 1) % 2, tracking=tracking)
        entity = replace(policy, tracking=tracking) if self.made % 2 else moved
        self.switches.carry_out(self.dps.apply([Change.put(entity)]), self.made)
        if self.made < CHANGES:
            self.control.later(PAUSE, self.change)


class Asker:
    """A dSwitch: it says that it holds nothing, asks without pause, and reads what comes.

    :ivar floors: by kind of flow, the least tracking number that may come now.
    :ivar seen: how many flows of each kind came.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._socket.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(connection, selectors.EVENT_READ)
        self._out = self._in = b""
        self.floors = {Kind.POLICY: 0, Kind.LOCATION: 0}
        self.seen: Counter[Kind] = Counter()
        self.live = False
        self.barriers = 0
        self._outstanding = 0

    def turn(self, requests: list[bytes]) -> None:
        """Send some requests, as soon as few enough wait for their answers, and take in what has come."""
        if self.live and self._outstanding < MOST_OUTSTANDING:
            self._out += b"".join(requests)
            self._outstanding += len(requests)
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._out else 0)
        self._selector.modify(self._socket, wanted)
        for _, ready in self._selector.select(DEADLINE):
            if ready & selectors.EVENT_WRITE:
                self._out = self._out[self._socket.send(self._out) :]
            if ready & selectors.EVENT_READ:
                self._in += self._socket.recv(1 << 18)
        whole = _whole(self._in)
        for message in cut(self._in[:whole]):
            self._take(message)
        self._in = self._in[whole:]

    def _take(self, message: bytes) -> None:
        if message[1] == MULTIPART_REQUEST:
            kind = int.from_bytes(message[8:10], "big")
            body = bytes(16) if kind == 11 else b""  # no meters
            self._out += codec.message(MULTIPART_REPLY, struct.pack("!HH4x", kind, 0) + body, codec.xid(message))
        elif message[1] == BARRIER_REQUEST:
            self._out += codec.message(BARRIER_REPLY, b"", codec.xid(message))
            self._hear_barrier()
        elif message[1] == PACKET_OUT:
            self._outstanding -= 1
        elif message[1] == FLOW_MOD and message[25] == ADD:
            self._hear_flow(Cookie.parse(int.from_bytes(message[8:16], "big")))

    def _hear_barrier(self) -> None:
        """The first makes it live; each later one ends a change, and which one is known by counting."""
        if self.live:
            self.barriers += 1
            self.floors[Kind.POLICY if self.barriers % 2 else Kind.LOCATION] = self.barriers + 1
        self.live = True

    def _hear_flow(self, cookie: Cookie | None) -> None:
        if cookie is not None and cookie.kind in self.floors:
            concerned = {Kind.POLICY: POLICY_NUMBER, Kind.LOCATION: ENDPOINT_NUMBER}[cookie.kind]
            if cookie.number == concerned:
                self.seen[cookie.kind] += 1
                assert cookie.tracking >= self.floors[cookie.kind], f"{cookie} after change {self.barriers}"


POLICY_NUMBER = usual()[POLICY].number  # type: ignore[union-attr]
ENDPOINT_NUMBER = usual()["endpoint", "n1", "e4"].number  # type: ignore[union-attr]


def _whole(stream: bytes) -> int:
    """How many bytes the whole messages of a stream take."""
    at = 0
    while len(stream) - at >= 8 and len(stream) - at >= (length := int.from_bytes(stream[at + 2 : at + 4], "big")):
        at += length
    return at


@pytest.fixture
def service(form: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """Everything but the framework's handshake."""
    config.register(framework.CONF)
    config.parse(framework.CONF, [], "test")
    made = Service(usual(), form)
    monkeypatch.setattr(Datapath, "application", APPLICATION)
    monkeypatch.setattr(Datapath, "ours", made.hear)
    monkeypatch.setattr(Datapath, "form", form)
    yield made
    made.control.stop()
    framework.CONF.reset()


@pytest.fixture
def asker(service: Service) -> Iterator[Asker]:
    """The far end of a connection to it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = socket.create_connection(listener.getsockname(), timeout=DEADLINE)
        datapath = Datapath(*listener.accept())
    thread = threading.Thread(target=datapath.serve)
    service.greet(datapath)
    thread.start()
    yield Asker(connection)
    datapath.close()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    connection.close()


def test_no_flow_follows_what_takes_it_back(form: ModuleType, service: Service, asker: Asker) -> None:
    requests = to_everybody("n1", by_address=False)
    until = time.monotonic() + DEADLINE
    for turn in itertools.count():
        asker.turn(requests)
        if turn == 10:
            service.control.post(service.change)
        if asker.barriers == CHANGES:
            break
        assert time.monotonic() < until, f"{asker.barriers} of {CHANGES} changes came"
    figures = service.control.ask(service.switches.lane_figures, DEADLINE)
    assert figures.form == ("compiled" if form.COMPILED else "python")
    assert min(figures.answered, figures.left) > CHANGES // 2, "both ways have taken part"
    assert min(asker.seen.values()) > CHANGES // 2
