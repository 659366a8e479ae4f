"""A DPS with the fast lane in front of it, and the plain way beside it to compare with."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from types import ModuleType

from dove_ryu.dps import Dps, asked_for
from dove_ryu.features import Answer
from dove_ryu.lane_tables import LaneTables
from dove_ryu.model.facts import Change
from dove_ryu.openflow.fields import APPLICATION, VNI, Cookie, Kind
from dove_ryu.openflow.pipeline import LOCATION, POLICY
from dove_ryu.southbound import codec
from dove_ryu.southbound.framing import is_ours
from dove_ryu.southbound.lane import Desk
from tests.unit.dps.scenario import changes_of
from tests.unit.dps.states import Content, Slot, State, entities, ports


class Office:
    """What the switchboard has of the lane: the tables, a desk for each live dSwitch, and the DPS that they copy."""

    def __init__(self, state: State, form: ModuleType) -> None:
        self.state = dict(state)
        self.dps = Dps()
        self.tables = LaneTables(self.dps.world, form)
        self.dps.witness = self.tables.hear
        self.desks: dict[int, Desk] = {}
        self.dps.apply(map(Change.put, entities(state)))
        for dpid in ports(state):
            self.connect(dpid)

    def connect(self, dpid: int) -> None:
        """A dSwitch is live."""
        self.dps.connect(dpid, dict(ports(self.state)[dpid]), [])
        self.desks[dpid] = self.tables.open(dpid)

    def lose(self, dpid: int) -> None:
        """A dSwitch's connection is gone."""
        self.tables.close(dpid)
        del self.desks[dpid]
        self.dps.lose(dpid)

    def put(self, slot: Slot, held: Content) -> None:
        """Give a slot of the state another content."""
        before, self.state[slot] = self.state[slot], held
        if not isinstance(held, tuple):
            self.dps.apply(changes_of(before, held))
        elif int(slot[1]) in self.desks:
            self.dps.show_ports(int(slot[1]), dict(held))
            self.tables.forget_ways(int(slot[1]))

    def teach(self, dpid: int, message: bytes) -> None:
        """Let the lane learn from a request that went the plain way."""
        packet_in = codec.read_packet_in(message)
        destination = asked_for(packet_in)
        if destination is not None:
            self.tables.learn(dpid, packet_in, destination)

    def teach_all(self, dpid: int, messages: Iterable[bytes]) -> None:
        """Let the lane learn all that there is to be learned from requests."""
        for message in messages:
            self.teach(dpid, message)
        while self.tables.fill():
            pass

    def plain(self, dpid: int, message: bytes) -> bytes | None:
        """What the plain way answers to a policy request; None where it is none, or has no answer."""
        answer = self._plain(dpid, message)
        if answer is None:
            return None
        try:
            return b"".join((*map(codec.change, answer.flows), *map(codec.packet_out, answer.packets)))
        except struct.error:  # no message can be that long
            return None

    def _plain(self, dpid: int, message: bytes) -> Answer | None:
        if message[1] != codec.PACKET_IN or not is_ours(message, APPLICATION):
            return None
        try:
            packet_in = codec.read_packet_in(message)
        except codec.UnknownOnWire:
            return None
        if packet_in.table not in (LOCATION.number, POLICY.number):
            return None
        answer = self.dps.packet_in(dpid, packet_in)
        return answer if answer.packets else None

    def must_know(self, dpid: int, message: bytes) -> bool:
        """Whether the lane, once taught, has no excuse: both flows lead somewhere, and the address is no prefix's."""
        answer = self._plain(dpid, message)
        if answer is None or [flow.table for flow in answer.flows] != [LOCATION.number, POLICY.number]:
            return False
        packet_in = codec.read_packet_in(message)
        tables, destination = self.dps.world.network_of_vni(packet_in.read(VNI)), asked_for(packet_in)
        owner = None if tables is None or destination is None else tables.owner(destination)
        cookie = Cookie.parse(answer.flows[0].cookie)
        assert owner is not None
        assert cookie is not None
        return cookie.kind is Kind.LOCATION and destination in (*owner.macs, *owner.ips)

    def ask(self, dpid: int, messages: list[bytes], rest: bytes = b"") -> list[bool]:
        """Ask a desk for all of it in one read, and hold what it does against the plain way: whom it answered.

        It is asked twice, for a form of the lane may remember what it has answered.

        :param rest: the beginning of a message, behind the others.
        """
        desk, others = self.desks[dpid], list[bytes]()
        buffer = bytearray(b"".join(messages) + rest)
        before = bytes(buffer)
        assert desk.take(buffer, len(buffer), others) == len(buffer) - len(rest)
        assert buffer == before, "what was read is not the desk's to write"
        expected, left, answered = b"", list(others), list[bool]()
        for message in messages:
            answered.append(not (left and left[0] == message))
            if answered[-1]:
                expected += self.plain(dpid, message) or b"(no answer)"
            else:
                left.pop(0)
        assert not left, "what is handed over is handed over unchanged and in order"
        assert bytes(desk.answers[: desk.used]) == expected
        again = list[bytes]()
        assert desk.take(buffer, len(buffer), again) == len(buffer) - len(rest)
        assert (bytes(desk.answers[: desk.used]), again) == (expected, others)
        return answered
