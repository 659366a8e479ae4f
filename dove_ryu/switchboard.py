"""The switchboard: every dSwitch's link, and what comes over it.

A greeting, the flows that a dSwitch holds, its ports, a batch of policy requests: each is dealt with on the DPS's
thread.  Answers and flow changes go back over the link, those of a batch in one write.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Protocol

from dove_ryu.dps import Dps, Effects, Observation
from dove_ryu.features import Answer
from dove_ryu.model.entities import Learned, dpid_text
from dove_ryu.openflow.fields import APPLICATION, APPLICATION_MASK
from dove_ryu.openflow.flow import Flow, FlowChange, FlowDelete
from dove_ryu.southbound import codec
from dove_ryu.southbound.link import Link

LOG = logging.getLogger(__name__)


class Listener(Protocol):
    """Who wants to know what the DPS's thread cannot do itself, because it would have to wait."""

    def dswitch_up(self, dpid: int, peer: str) -> None:
        """A dSwitch has connected from *peer*, or one that is connected has been registered anew."""

    def taught(self, learned: Learned, go_on: Callable[[], object]) -> None:
        """An endpoint's packet taught its addresses; once the world has them, *go_on* is to happen on this thread."""


class Switchboard:
    """The links by datapath id.  It lives on the DPS's thread.

    :ivar listener: is told what is to be recorded.
    """

    def __init__(self, dps: Dps) -> None:
        self.listener: Listener | None = None
        self._dps = dps
        self._links: dict[int, Link] = {}

    def carry_out(self, effects: Effects) -> None:
        """Send flow changes to whom they concern."""
        for dpid, changes in effects.items():
            link = self._links.get(dpid)
            if link is not None:
                link.send(changes)

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

    def hear_flows(self, link: Link, message: bytes) -> None:
        """A dSwitch has sent a part of the flows that it holds."""
        if self._links.get(link.dpid) is not link:
            return
        first: list[FlowChange] = []
        installed: list[Flow] | None
        try:
            installed = link.hear_flows(message)
        except codec.UnknownOnWire as error:
            LOG.warning("dSwitch %s holds flows of another version, all are replaced: %s", dpid_text(link.dpid), error)
            first, installed = [FlowDelete(APPLICATION << 56, APPLICATION_MASK)], []
        if installed is not None:
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
        if self._links.get(link.dpid) is link:
            del self._links[link.dpid]
            self._dps.disconnect(link.dpid)
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
        for answer in answers:
            if answer.learned is not None and self.listener is not None:
                # The packet waits: whoever answers it must find that its addresses are known.
                self.listener.taught(answer.learned, partial(link.answer, [(answer.flows, answer.packets)]))
