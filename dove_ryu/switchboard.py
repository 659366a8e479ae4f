"""The switchboard: every dSwitch's link, and what comes over it.

A greeting, the flows that a dSwitch holds, its ports, a batch of policy requests: each is dealt with on the DPS's
thread.  Answers and flow changes go back over the link, those of a batch in one write.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from types import ModuleType
from typing import Protocol

from dove_ryu.audits import Audits
from dove_ryu.consequences import Effects
from dove_ryu.dps import Dps, Observation, Refused, asked_for
from dove_ryu.expeditions import Expeditions
from dove_ryu.fairness import Admission
from dove_ryu.features import Answer
from dove_ryu.figures import Connection, LaneFigures, ProbeFigures
from dove_ryu.health import Judge
from dove_ryu.lane_tables import LaneTables
from dove_ryu.model.appliances import Health
from dove_ryu.model.entities import Learned, Location, dpid_text
from dove_ryu.openflow.fields import APPLICATION, APPLICATION_MASK
from dove_ryu.openflow.flow import Flow, FlowChange, FlowDelete, PacketIn
from dove_ryu.openflow.pipeline import CHAIN_RETURN
from dove_ryu.probes import Prober
from dove_ryu.southbound import codec, lane
from dove_ryu.southbound.link import Link
from dove_ryu.vigil import Later, Vigil

LOG = logging.getLogger(__name__)


PAUSE = 1.0
"""Seconds after which it is tried again to record what the store has refused."""

BREATH = 0.001
"""Seconds in which others have their turn while the lane's tables are filled."""


class Listener(Protocol):
    """Who wants to know what the DPS's thread cannot do itself, because it would have to wait."""

    def dswitch_up(self, dpid: int, peer: str) -> None:
        """A dSwitch has connected from *peer*, or one that is connected has been registered anew."""

    def arrived(self, location: Location) -> None:
        """An endpoint has spoken where a live migration was taking it."""

    def taught(self, learned: Learned, go_on: Callable[[], object]) -> None:
        """An endpoint's packet taught its addresses; once the world has them, *go_on* is to happen on this thread."""


class Switchboard:
    """The links by datapath id.  It lives on the DPS's thread.

    :param form: of the fast lane (:mod:`dove_ryu.southbound.lane`).
    :ivar admission: who may ask the DPS now.
    :ivar audits: those under way.
    :ivar expeditions: marked packets under way.
    :ivar lanes: what the fast lane knows.
    :ivar judge: says which instances of appliances work.
    :ivar listener: is told what is to be recorded.
    :ivar record: is told what is found of appliances' instances.
    :ivar later: how to be remembered to go on.
    :ivar prober: asks them for a sign that they do.
    :ivar sent: flow changes that followed a change of the world, by datapath id.
    :ivar requests: policy requests answered, by datapath id.
    :ivar revision: of the store, that the world is at.
    :ivar vigil: over the dSwitches that tell others of endpoints that have left them.
    """

    def __init__(self, dps: Dps, form: ModuleType = lane) -> None:
        self.listener: Listener | None = None
        self.record: Callable[[Health], object] | None = None
        self.later: Later | None = None
        self._dps = dps
        self.admission = Admission(dps)
        self.lanes = LaneTables(dps.world, form)
        dps.witness = self.lanes.hear
        self.sent: Counter[int] = Counter()
        self.requests: Counter[int] = Counter()
        self._by_lane = 0
        self.revision = 0
        self.audits = Audits(dps.audit)
        self.expeditions = Expeditions(self.link)
        self.vigil = Vigil(dps.relied_on, self._doubt)
        self._links: dict[int, Link] = {}
        self.judge = Judge(dps.world, self._tell, lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
        self.prober = Prober(dps.world, self.judge, self._links.get, codec.packet_out, time.monotonic)
        self._since: dict[int, datetime] = {}
        self._confirmed: dict[int, int] = {}
        self._filling = False

    def carry_out(self, effects: Effects, revision: int | None = None) -> None:
        """Send flow changes to whom they concern, and count them.

        :param revision: of the store, which they follow.
        """
        self.revision = self.revision if revision is None else revision
        self.admission.forget()
        for dpid, changes in effects.items():
            link = self._links.get(dpid)
            if link is not None:
                link.send(changes, revision)
                self.sent[dpid] += len(changes)
                self.vigil.watch(link)

    def follow_provider(self) -> None:
        """What the provider has may be another thing now: appliances, where their instances are, what is known of them."""
        self.judge.follow()
        self.prober.follow()

    def find_again(self, health: Health) -> None:
        """What was found of an instance could not be recorded: find it anew in a moment."""
        if self.later is not None:
            self.later(PAUSE, partial(self.judge.unrecorded, health))

    def _tell(self, health: Health) -> None:
        if self.record is not None:
            self.record(health)

    def _doubt(self, dpid: int) -> None:
        """A dSwitch is to tell others of endpoints that have left it; it may be dead, so they hear it from here (F22)."""
        LOG.warning("dSwitch %s is silent: others forget what has left it", dpid_text(dpid))
        self.carry_out(self._dps.doubt(dpid))

    def link(self, dpid: int) -> Link | None:
        """The link of a dSwitch that is connected."""
        return self._links.get(dpid)

    def connections(self) -> dict[int, Connection]:
        """How it stands with every dSwitch that has ever connected."""
        self._count()
        return {dpid: self._connection(dpid) for dpid in self._since}

    def lane_figures(self) -> LaneFigures:
        """What the fast lane has done until now."""
        self._count()
        form = "compiled" if self.lanes.compiled else "python"
        return LaneFigures(form, self._by_lane, self.requests.total() - self._by_lane)

    def probe_figures(self) -> ProbeFigures:
        """What has been found of appliances' instances until now."""
        return ProbeFigures(self.prober.sent, self.prober.unanswered, self.judge.changes)

    def _close(self, link: Link) -> None:
        """A dSwitch's requests are no longer answered over this link."""
        link.open(None)
        self._count()
        self.lanes.close(link.dpid)

    def _count(self) -> None:
        """Add what connections' own threads have answered and refused to what is counted."""
        for link in self._links.values():
            refused, link.refused = link.refused, 0
            self._dps.refused[Refused.TOO_MANY_WAIT] += refused
        for dpid, outcome, number in self.lanes.count():
            self._dps.requests[outcome] += number
            self.requests[dpid] += number
            self._by_lane += number

    def _connection(self, dpid: int) -> Connection:
        link, confirmed = self._links.get(dpid), self._confirmed_by(dpid)
        return Connection(
            self._since[dpid],
            confirmed,
            None if confirmed is None else self.revision - confirmed,
            self.requests[dpid],
            0 if link is None else link.received - link.answered,
            self.sent[dpid],
        )

    def _confirmed_by(self, dpid: int) -> int | None:
        """The revision that a dSwitch follows or, until it is live again, followed when its last connection ended."""
        link = self._links.get(dpid)
        return link.confirmed(self.revision) if link is not None and link.live else self._confirmed.get(dpid)

    def _end_of(self, dpid: int) -> None:
        """A dSwitch's connection is about to end: what it has confirmed by now it goes on with."""
        confirmed = self._confirmed_by(dpid)
        if confirmed is not None:
            self._confirmed[dpid] = confirmed

    def observe(self, dpid: int, **seen: str) -> None:
        """Note what is seen of a dSwitch's connections (:class:`Observation`)."""
        known = self._dps.observations.get(dpid, Observation())
        if seen.get("openflow", known.openflow) != known.openflow:
            self._since[dpid] = datetime.now(UTC)
        self._dps.observations[dpid] = replace(known, **seen)

    def greet(self, link: Link, ports: dict[str, int], dark: frozenset[str] = frozenset()) -> None:
        """A dSwitch's handshake is over.

        :param ports: numbers by name.
        :param dark: the names of those that have no link.
        """
        if link.dpid in self._links:
            LOG.warning("dSwitch %s connects anew from %s", dpid_text(link.dpid), link.peer)
            self._end_of(link.dpid)
            self._close(self._links[link.dpid])
            self.carry_out(self._dps.lose(link.dpid))  # it may have lost its flows with its connection
            self.judge.lose(link.dpid)
        self.audits.end(link.dpid)
        self._links[link.dpid] = link
        self._dps.world.ports[link.dpid] = ports
        self.judge.see_ports(link.dpid, dark)
        link.greet()
        self.observe(link.dpid, openflow=link.session.state.value, peer=link.peer)
        if self.listener is not None:
            self.listener.dswitch_up(link.dpid, link.peer)

    def hear_registration(self, dpid: int) -> None:
        """What is registered of a dSwitch has changed: where its OVSDB is, perhaps."""
        link = self._links.get(dpid)
        if link is not None and self.listener is not None:
            self.listener.dswitch_up(dpid, link.peer)

    def hear(self, link: Link, messages: list[bytes]) -> None:
        """What a dSwitch says of our flows, and its policy requests: all of one read."""
        requests = []
        for message in messages:
            kind = codec.kind(message)
            if codec.came_up_from(message, CHAIN_RETURN.number):
                self._hear_sign(link, message)
            elif kind == codec.PACKET_IN:
                requests.append(message)
            elif self._links.get(link.dpid) is link:
                self._hear_about_flows(link, kind, message)
        if requests:
            self._answer(link, requests)
        link.answered += len(messages)

    def hear_ports(self, link: Link, ports: dict[str, int], dark: frozenset[str] = frozenset()) -> None:
        """A dSwitch's ports are now *ports*, numbers by name; those of *dark* have no link."""
        if self._links.get(link.dpid) is link:
            effects = self._dps.show_ports(link.dpid, ports)
            self.lanes.forget_ways(link.dpid)
            self.carry_out(effects)
            self.judge.see_ports(link.dpid, dark)
            self.prober.follow()

    def lose(self, link: Link) -> None:
        """A dSwitch's connection is gone."""
        present = self._links.get(link.dpid) is link
        if present:
            self._end_of(link.dpid)
            self.audits.end(link.dpid)
            self._close(link)
        link.lose()
        if present:
            del self._links[link.dpid]
            self.carry_out(self._dps.lose(link.dpid))
            self.judge.lose(link.dpid)
            self.prober.follow()
            self.observe(link.dpid, openflow="stale", peer="")
            LOG.warning("dSwitch %s is no longer connected", dpid_text(link.dpid))

    def _hear_about_flows(self, link: Link, kind: int, message: bytes) -> None:
        if kind == codec.BARRIER_REPLY:
            self._hear_barrier(link, codec.xid(message))
        elif kind == codec.FLOW_REMOVED:
            self._hear_end(link, message)
        elif codec.is_about_meter_features(message):
            link.meters.hear_features(message)
        elif codec.is_about_meters(message):
            self._synchronise(link, link.hear_meters(message))
        elif not self.audits.hear(link, message):
            self._hear_flows(link, message)

    def _hear_sign(self, link: Link, message: bytes) -> None:
        """Something that an appliance gave back came up: an answer to a probe."""
        try:
            self.prober.hear(link.dpid, codec.read_packet_in(message))
        except codec.UnknownOnWire as error:
            LOG.warning("dSwitch %s: %s", dpid_text(link.dpid), error)

    def _hear_flows(self, link: Link, message: bytes) -> None:
        try:
            self._synchronise(link, link.hear_flows(message))
        except codec.UnknownOnWire as error:
            LOG.warning("dSwitch %s holds flows of another version, all are replaced: %s", dpid_text(link.dpid), error)
            self._synchronise(link, [], FlowDelete(APPLICATION << 56, APPLICATION_MASK))

    def _synchronise(self, link: Link, installed: list[Flow] | None, *first: FlowChange) -> None:
        if installed is not None:
            ports = self._dps.world.ports.get(link.dpid, {})
            changes = self._dps.connect(link.dpid, ports, installed, link.meters.most)
            link.synchronise([*first, *changes])
            self.observe(link.dpid, openflow=link.session.state.value)

    def _hear_barrier(self, link: Link, xid: int) -> None:
        self.prober.hear_barrier(link.dpid, xid)
        if link.hear_barrier(xid):
            link.open(self.lanes.open(link.dpid))
            self.observe(link.dpid, openflow=link.session.state.value)
            self.carry_out(self._dps.confirm(link.dpid))
            LOG.info("dSwitch %s is live", dpid_text(link.dpid))
            self.vigil.watch(link)  # it may hold tombstones from before
            self.prober.follow()

    def _hear_end(self, link: Link, message: bytes) -> None:
        try:
            end = codec.read_flow_end(message)
            if not self.expeditions.hear(end):
                link.send(self._dps.hear_end(link.dpid, end))
        except codec.UnknownOnWire as error:
            LOG.warning("dSwitch %s: %s", dpid_text(link.dpid), error)

    def _answer(self, link: Link, messages: list[bytes]) -> None:
        answers: list[Answer] = []
        now = time.monotonic()
        self.requests[link.dpid] += len(messages)
        for message in messages:
            try:
                packet_in = codec.read_packet_in(message)
                answer = self.admission.answer(link.dpid, packet_in, now)
                answers.append(answer)
                if answer.flows:
                    self._teach(link.dpid, packet_in)
            except codec.UnknownOnWire as error:
                self._dps.refused[Refused.UNREADABLE] += 1
                LOG.warning("dSwitch %s: %s", dpid_text(link.dpid), error)
            except Exception:  # one packet that we trip over must not cost the others their answers
                self._dps.refused[Refused.FAILED] += 1
                LOG.exception("dSwitch %s: a policy request is not answered", dpid_text(link.dpid))
        link.answer((answer.flows, answer.packets) for answer in answers if answer.learned is None)
        self.vigil.watch(link)
        for answer in answers:
            self.carry_out({dpid: list(flows) for dpid, flows in answer.elsewhere})
            if self.listener is not None:
                _tell(self.listener, link, answer)

    def _teach(self, dpid: int, packet_in: PacketIn) -> None:
        """Let the lane answer for itself the next time."""
        destination = asked_for(packet_in)
        if destination is not None:
            self.lanes.learn(dpid, packet_in, destination)
            self._fill()

    def _fill(self) -> None:
        if self._filling:  # it goes on in pauses: a request that waits need not wait for a slice as well
            return
        if self.lanes.fill() and self.later is not None:
            self._filling = True
            self.later(BREATH, self._fill_on)

    def _fill_on(self) -> None:
        self._filling = False
        self._fill()


def _tell(listener: Listener, link: Link, answer: Answer) -> None:
    if answer.learned is not None:
        # The packet waits: whoever answers it must find that its addresses are known.
        listener.taught(answer.learned, partial(link.answer, [(answer.flows, answer.packets)]))
    if answer.arrived is not None:
        listener.arrived(answer.arrived)
