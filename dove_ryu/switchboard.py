"""The switchboard: every dSwitch's link, and what comes over it.

A greeting, the flows that a dSwitch holds, its ports, a batch of policy requests: each is dealt with on the DPS's
thread.  Answers and flow changes go back over the link, those of a batch in one write.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from dove_ryu.audit import Finding
from dove_ryu.consequences import Effects
from dove_ryu.dps import Dps, Observation
from dove_ryu.features import Answer
from dove_ryu.model.entities import Learned, Location, dpid_text
from dove_ryu.openflow.fields import APPLICATION, APPLICATION_MASK, Cookie
from dove_ryu.openflow.flow import Flow, FlowChange, FlowDelete
from dove_ryu.southbound import codec
from dove_ryu.southbound.link import Link

LOG = logging.getLogger(__name__)


class Listener(Protocol):
    """Who wants to know what the DPS's thread cannot do itself, because it would have to wait."""

    def dswitch_up(self, dpid: int, peer: str) -> None:
        """A dSwitch has connected from *peer*, or one that is connected has been registered anew."""

    def arrived(self, location: Location) -> None:
        """An endpoint has spoken where a live migration was taking it."""

    def taught(self, learned: Learned, go_on: Callable[[], object]) -> None:
        """An endpoint's packet taught its addresses; once the world has them, *go_on* is to happen on this thread."""


@dataclass(slots=True)
class Audit:
    """An audit whose dSwitch has not answered in full yet."""

    done: Callable[[list[Finding] | None], None]
    repair: bool
    held: list[Flow] = field(default_factory=list)


class Switchboard:
    """The links by datapath id.  It lives on the DPS's thread.

    :ivar listener: is told what is to be recorded.
    :ivar sent: flow changes that followed a change of the world, by datapath id.
    """

    def __init__(self, dps: Dps) -> None:
        self.listener: Listener | None = None
        self._dps = dps
        self.sent: Counter[int] = Counter()
        self._links: dict[int, Link] = {}
        self._audits: dict[tuple[int, int], Audit] = {}

    def carry_out(self, effects: Effects, revision: int | None = None) -> None:
        """Send flow changes to whom they concern, and count them.

        :param revision: of the store, which they follow.
        """
        for dpid, changes in effects.items():
            link = self._links.get(dpid)
            if link is not None:
                link.send(changes, revision)
                self.sent[dpid] += len(changes)

    def link(self, dpid: int) -> Link | None:
        """The link of a dSwitch that is connected."""
        return self._links.get(dpid)

    def observe(self, dpid: int, **seen: str) -> None:
        """Note what is seen of a dSwitch's connections (:class:`Observation`)."""
        known = self._dps.observations.get(dpid, Observation())
        self._dps.observations[dpid] = replace(known, **seen)

    def greet(self, link: Link, ports: dict[str, int]) -> None:
        """A dSwitch's handshake is over."""
        if link.dpid in self._links:
            LOG.warning("dSwitch %s connects anew from %s", dpid_text(link.dpid), link.peer)
        self._links[link.dpid] = link
        self._dps.disconnect(link.dpid)
        self._dps.world.ports[link.dpid] = ports
        link.greet()
        self.observe(link.dpid, openflow=link.session.state.value, peer=link.peer)
        if self.listener is not None:
            self.listener.dswitch_up(link.dpid, link.peer)

    def hear_registration(self, dpid: int) -> None:
        """What is registered of a dSwitch has changed: where its OVSDB is, perhaps."""
        link = self._links.get(dpid)
        if link is not None and self.listener is not None:
            self.listener.dswitch_up(dpid, link.peer)

    def audit(self, dpid: int, repair: bool, done: Callable[[list[Finding] | None], None]) -> None:
        """Compare a dSwitch's flows with what they should be; *done* is told what differs, None where it is not live.

        :param repair: whether to send the remedies too.
        """
        link = self._links.get(dpid)
        if link is None or not link.live:
            done(None)
            return
        self._audits[dpid, link.ask_flows()] = Audit(done, repair)

    def hear_flows(self, link: Link, message: bytes) -> None:
        """A dSwitch has sent a part of the flows that it holds."""
        pending = self._audits.get((link.dpid, codec.xid(message)))
        if pending is not None:
            self._hear_audited(link, message, pending)
            return
        try:
            self._synchronise(link, link.hear_flows(message))
        except codec.UnknownOnWire as error:
            LOG.warning("dSwitch %s holds flows of another version, all are replaced: %s", dpid_text(link.dpid), error)
            self._synchronise(link, [], FlowDelete(APPLICATION << 56, APPLICATION_MASK))

    def hear_meters(self, link: Link, message: bytes) -> None:
        """A dSwitch has sent a part of the meters that it holds."""
        self._synchronise(link, link.hear_meters(message))

    def _synchronise(self, link: Link, installed: list[Flow] | None, *first: FlowChange) -> None:
        if installed is not None and self._links.get(link.dpid) is link:
            ports = self._dps.world.ports.get(link.dpid, {})
            link.synchronise([*first, *self._dps.connect(link.dpid, ports, installed)])
            self.observe(link.dpid, openflow=link.session.state.value)

    def hear_barrier(self, link: Link, xid: int) -> None:
        """A dSwitch has carried out all that was sent before a barrier."""
        if self._links.get(link.dpid) is link and link.hear_barrier(xid):
            self.observe(link.dpid, openflow=link.session.state.value)
            LOG.info("dSwitch %s is live", dpid_text(link.dpid))

    def hear_ports(self, link: Link, ports: dict[str, int]) -> None:
        """A dSwitch's ports are now *ports*, numbers by name."""
        if self._links.get(link.dpid) is link:
            self.carry_out(self._dps.show_ports(link.dpid, ports))

    def lose(self, link: Link) -> None:
        """A dSwitch's connection is gone."""
        link.lose()
        for key in [key for key in self._audits if key[0] == link.dpid]:
            self._audits.pop(key).done(None)
        if self._links.get(link.dpid) is link:
            del self._links[link.dpid]
            self.carry_out(self._dps.lose(link.dpid))
            self.observe(link.dpid, openflow="down", peer="")
            LOG.warning("dSwitch %s is no longer connected", dpid_text(link.dpid))

    def hear_requests(self, link: Link, messages: list[bytes]) -> None:
        """All the policy requests of one read."""
        answers: list[Answer] = []
        for message in messages:
            try:
                answers.append(self._dps.packet_in(link.dpid, codec.read_packet_in(message)))
            except codec.UnknownOnWire as error:
                LOG.warning("dSwitch %s: %s", dpid_text(link.dpid), error)
        link.answer((answer.flows, answer.packets) for answer in answers if answer.learned is None)
        link.answered += len(messages)
        for answer in answers:
            self.carry_out({dpid: list(flows) for dpid, flows in answer.elsewhere})
            if self.listener is not None:
                _tell(self.listener, link, answer)

    def hear_end(self, link: Link, message: bytes) -> None:
        """A flow of a dSwitch has ended."""
        try:
            end = codec.read_flow_end(message)
        except codec.UnknownOnWire:
            return  # not ours
        if self._links.get(link.dpid) is link and Cookie.parse(end.flow.cookie) is not None:
            link.send(self._dps.hear_end(link.dpid, end))

    def _hear_audited(self, link: Link, message: bytes, pending: Audit) -> None:
        pending.held += codec.read_any_flows(message)
        if codec.more_follows(message):
            return
        del self._audits[link.dpid, codec.xid(message)]
        findings = self._dps.audit(link.dpid, pending.held)
        if pending.repair:
            link.send(finding.remedy for finding in findings)
        pending.done(findings)


def _tell(listener: Listener, link: Link, answer: Answer) -> None:
    if answer.learned is not None:
        # The packet waits: whoever answers it must find that its addresses are known.
        listener.taught(answer.learned, partial(link.answer, [(answer.flows, answer.packets)]))
    if answer.arrived is not None:
        listener.arrived(answer.arrived)
