"""The one thread of control that owns the DPS, and the queue that leads to it.

Switch connections, the store's watch, REST workers and hosts all post to the queue; whatever they bring happens one after
another on this thread, which alone reads and writes the world.  It never waits for anything but the queue.

Down: a commit comes from the store's watch, the DPS says what it means for whom, the links carry it out.  Up: a batch of
policy requests comes from a connection's read, the answers go back in one write.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol, TypeVar

import dove_ryu
from dove_ryu.dps import Dps, Effects, Observation
from dove_ryu.features import Answer
from dove_ryu.model.documents import ROOT, BadDocument, change_of
from dove_ryu.model.entities import Learned, dpid_text
from dove_ryu.model.world import Change
from dove_ryu.openflow.fields import APPLICATION, APPLICATION_MASK
from dove_ryu.openflow.flow import Flow, FlowChange, FlowDelete
from dove_ryu.southbound import codec
from dove_ryu.southbound.link import Link
from dove_ryu.store import Commit, Compacted, Store, StoreError

LOG = logging.getLogger(__name__)

T = TypeVar("T")


class Listener(Protocol):
    """Who wants to know what the DPS's thread cannot do itself, because it would have to wait."""

    def dswitch_up(self, dpid: int, peer: str) -> None:
        """A dSwitch has connected from *peer*."""

    def taught(self, learned: Learned) -> None:
        """An endpoint's packet taught its addresses."""


class Service:
    """The DPS with its queue, its store's watch and its links."""

    version = dove_ryu.__version__

    def __init__(self, store: Store) -> None:
        self.store = store
        self.started = datetime.now(UTC)
        self.ready = False
        self.revision = 0
        self.listener: Listener | None = None
        self._dps = Dps()
        self._links: dict[int, Link] = {}
        self._queue: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._arrived = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="dps", daemon=True)
        self._watching = threading.Thread(target=self._watch, name="dps-watch", daemon=True)
        self._stopping = threading.Event()

    # Its life.

    def start(self) -> None:
        """Read the store and begin.

        :raises StoreError: where the store cannot be read.
        """
        snapshot = self.store.list(ROOT)
        self._dps.apply(_changes((item.key, item.document) for item in snapshot.items))
        self.revision = snapshot.revision
        self._watch_from = self.store.watch(snapshot.revision)
        self._thread.start()
        self._watching.start()
        self.ready = True
        LOG.info("the world is as of revision %d: %d documents", snapshot.revision, len(snapshot.items))

    def stop(self) -> None:
        """End both threads; dSwitches go on by themselves."""
        self.ready = False
        self._stopping.set()
        self._watch_from.close()
        self._queue.put(None)
        self._thread.join(1)
        self._watching.join(1)

    # For REST workers and hosts: any thread.

    def post(self, act: Callable[[], object]) -> None:
        """Let *act* happen on the DPS's thread."""
        self._queue.put(act)

    def ask(self, question: Callable[[Dps], T], timeout: float = 5.0) -> T:
        """What *question* answers on the DPS's thread.

        :raises TimeoutError: where it is not asked within *timeout* seconds.
        """
        answered: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

        def act() -> None:
            try:
                answered.put((question(self._dps), None))
            except Exception as error:  # it belongs to the asker, whatever it is
                answered.put((None, error))

        self.post(act)
        try:
            value, error = answered.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError(f"the DPS did not answer within {timeout:g} s") from None
        if error is not None:
            raise error
        return value  # type: ignore[return-value]  # None only where T has it

    def reached(self, revision: int, timeout: float = 5.0) -> bool:
        """Wait until the world holds the store's *revision*; whether it did so within *timeout* seconds."""
        with self._arrived:
            return self._arrived.wait_for(lambda: self.revision >= revision, timeout)

    def observe(self, dpid: int, **seen: str) -> None:
        """Note what is seen of a dSwitch's connections (:class:`Observation`)."""
        self.post(lambda: self._observe(dpid, **seen))

    # For connections: any thread; each returns at once.

    def greet(self, link: Link, ports: dict[str, int]) -> None:
        """A dSwitch's handshake is over."""
        self.post(lambda: self._greet(link, ports))

    def hear_flows(self, link: Link, message: bytes) -> None:
        """A dSwitch has sent a part of the flows that it holds."""
        self.post(lambda: self._hear_flows(link, message))

    def hear_barrier(self, link: Link, xid: int) -> None:
        """A dSwitch has carried out all that was sent before a barrier."""
        self.post(lambda: self._hear_barrier(link, xid))

    def hear_ports(self, link: Link, ports: dict[str, int]) -> None:
        """A dSwitch's ports are now *ports*, numbers by name."""
        self.post(lambda: self._hear_ports(link, ports))

    def lose(self, link: Link) -> None:
        """A dSwitch's connection is gone."""
        self.post(lambda: self._lose(link))

    def hear_requests(self, link: Link, messages: list[bytes]) -> None:
        """All the policy requests of one read."""
        self.post(lambda: self._hear_requests(link, messages))

    # On the DPS's thread.

    def _run(self) -> None:
        while (act := self._queue.get()) is not None:
            try:
                act()
            except Exception:
                LOG.exception("an event was lost")

    def _watch(self) -> None:
        try:
            for commit in self._watch_from:
                self.post(lambda commit=commit: self._apply(commit))  # type: ignore[misc]
        except (Compacted, StoreError) as error:
            if not self._stopping.is_set():
                self.ready = False
                LOG.critical("changes no longer arrive from the store, restart the DPS: %s", error)

    def _apply(self, commit: Commit) -> None:
        changes = _changes((change.key, change.document) for change in commit.changes)
        self._carry_out(self._dps.apply(changes))
        with self._arrived:
            self.revision = commit.revision
            self._arrived.notify_all()

    def _carry_out(self, effects: Effects) -> None:
        for dpid, changes in effects.items():
            link = self._links.get(dpid)
            if link is not None:
                link.send(changes)

    def _observe(self, dpid: int, **seen: str) -> None:
        known = self._dps.observations.get(dpid, Observation())
        self._dps.observations[dpid] = replace(known, **seen)

    def _greet(self, link: Link, ports: dict[str, int]) -> None:
        if link.dpid in self._links:
            LOG.warning("dSwitch %s connects anew from %s", dpid_text(link.dpid), link.peer)
        self._links[link.dpid] = link
        self._dps.disconnect(link.dpid)
        self._dps.world.ports[link.dpid] = ports
        link.greet()
        self._observe(link.dpid, openflow=link.session.state.value, peer=link.peer)
        if self.listener is not None:
            self.listener.dswitch_up(link.dpid, link.peer)

    def _hear_flows(self, link: Link, message: bytes) -> None:
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
            self._observe(link.dpid, openflow=link.session.state.value)

    def _hear_barrier(self, link: Link, xid: int) -> None:
        if self._links.get(link.dpid) is link and link.hear_barrier(xid):
            self._observe(link.dpid, openflow=link.session.state.value)
            LOG.info("dSwitch %s is live", dpid_text(link.dpid))

    def _hear_ports(self, link: Link, ports: dict[str, int]) -> None:
        if self._links.get(link.dpid) is link:
            self._carry_out(self._dps.show_ports(link.dpid, ports))

    def _lose(self, link: Link) -> None:
        link.lose()
        if self._links.get(link.dpid) is link:
            del self._links[link.dpid]
            self._dps.disconnect(link.dpid)
            self._observe(link.dpid, openflow="down", peer="")
            LOG.warning("dSwitch %s is no longer connected", dpid_text(link.dpid))

    def _hear_requests(self, link: Link, messages: list[bytes]) -> None:
        answers: list[Answer] = []
        for message in messages:
            try:
                answers.append(self._dps.packet_in(link.dpid, codec.read_packet_in(message)))
            except codec.UnknownOnWire as error:
                LOG.warning("dSwitch %s: %s", dpid_text(link.dpid), error)
        link.answer((answer.flows, answer.packets) for answer in answers)
        for answer in answers:
            if answer.learned is not None and self.listener is not None:
                self.listener.taught(answer.learned)


def _changes(documents: Iterable[tuple[str, dict[str, object] | None]]) -> Iterable[Change]:
    """The changes that documents carry; one that cannot be read is reported and passed over."""
    for key, document in documents:
        try:
            change = change_of(key, document)
        except BadDocument as error:
            LOG.error("%s", error)
            continue
        if change is not None:
            yield change
