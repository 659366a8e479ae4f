"""A dSwitch in memory: it holds the flows that it is told to hold, and tells them when it is asked."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator

from dove_ryu.dps import Dps, Observation
from dove_ryu.service import Service
from dove_ryu.southbound import codec
from dove_ryu.southbound.lane import Desk
from dove_ryu.southbound.link import Link

FLOW_MOD, MULTIPART_REQUEST, MULTIPART_REPLY, BARRIER_REQUEST, BARRIER_REPLY = 14, 18, 19, 20, 21
FLOWS, METERS, METER_FEATURES = 1, 10, 11
ADD, DELETE, DELETE_STRICT = 0, 3, 4
ANY_TABLE = 0xFF
NO_MATCH = bytes(8)
DEADLINE = 10.0

Key = tuple[int, int, bytes]
"""Table, priority and match of a flow."""


class Switch:
    """The far end of a link, in the bytes that go over it.

    :ivar flows: head and body (match and instructions) of each flow as a statistics reply has them.
    :ivar deaf: whether it no longer takes in anything, as when the host hangs.
    :ivar most_meters: how many meters it says that it can have.
    :ivar late: flows that the next reply does not tell yet.
    """

    address = ("192.0.2.1", 40000)

    def __init__(self, service: Service, dpid: int) -> None:
        self.id = dpid
        self.desk: Desk | None = None
        self.flows: dict[Key, tuple[tuple[int, ...], bytes]] = {}
        self.deaf = False
        self.most_meters = 1000
        self.late: set[Key] = set()
        self._service = service

    def connect(self, *ports: str) -> Link:
        """Connect and become live."""
        self.link = Link(self)
        self._tell("greet", {name: number for number, name in enumerate(ports, 1)})
        self.await_state("live")
        return self.link

    def disconnect(self) -> None:
        """Be gone."""
        self._tell("lose")
        self.await_state("stale")

    def await_state(self, state: str) -> None:
        """Return when the DPS sees it in a state; each question waits for all that was told before it."""
        deadline = time.monotonic() + DEADLINE
        while (seen := self._service.ask(self._state)) != state:
            assert time.monotonic() < deadline, f"{seen}, not {state}"

    def write(self, data: bytes) -> bool:
        """Take messages in."""
        while data and not self.deaf:
            length = int.from_bytes(data[2:4], "big")
            self._take(data[:length])
            data = data[length:]
        return True

    def _state(self, dps: Dps) -> str:
        return dps.observations.get(self.id, Observation()).openflow

    def _tell(self, event: str, *arguments: object) -> None:
        self._service.post(getattr(self._service.switches, event), self.link, *arguments)

    def _say(self, message: bytes) -> None:
        self.link.received += 1
        self._tell("hear", [message])

    def _take(self, message: bytes) -> None:
        kind, asked, xid = message[1], int.from_bytes(message[8:10], "big"), codec.xid(message)
        if kind == FLOW_MOD:
            self._change(message)
        elif kind == BARRIER_REQUEST:
            self._say(codec.message(BARRIER_REPLY, b"", xid))
        elif kind == MULTIPART_REQUEST and asked == FLOWS:
            cookie, mask = struct.unpack_from("!QQ", message, 32)
            self._say(reply(FLOWS, b"".join(self._entries(cookie, mask)), xid))
            self.late.clear()
        elif kind == MULTIPART_REQUEST and asked == METERS:
            self._say(reply(METERS, b"", xid))
        elif kind == MULTIPART_REQUEST and asked == METER_FEATURES:
            self._say(reply(METER_FEATURES, struct.pack("!IIIBB2x", self.most_meters, 2, 15, 8, 0), xid))

    def _change(self, message: bytes) -> None:
        cookie, mask, table, command, idle, hard, priority = struct.unpack_from("!QQBBHHH", message, 8)
        (flags,) = struct.unpack_from("!H", message, 44)
        length = -(-int.from_bytes(message[50:52], "big") // 8) * 8
        key = table, priority, message[48 : 48 + length]
        if command == ADD:
            self.flows[key] = (table, 0, 0, priority, idle, hard, flags, cookie, 0, 0), message[48:]
        elif command == DELETE_STRICT:
            self.flows.pop(key, None)
        elif command == DELETE and length == len(NO_MATCH):
            for each, (head, _) in list(self.flows.items()):
                if table in (each[0], ANY_TABLE) and head[7] & mask == cookie:
                    del self.flows[each]

    def _entries(self, cookie: int, mask: int) -> Iterator[bytes]:
        for key, (head, body) in self.flows.items():
            if head[7] & mask == cookie and key not in self.late:
                yield struct.pack("!HBxIIHHHH4xQQQ", 48 + len(body), *head) + body


def reply(kind: int, body: bytes, xid: int) -> bytes:
    """The whole of a multipart reply."""
    return codec.message(MULTIPART_REPLY, struct.pack("!HH4x", kind, 0) + body, xid)
