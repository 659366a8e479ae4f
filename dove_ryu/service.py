"""The DPS in motion: its world follows the store, its switchboard follows the dSwitches.

Down: a commit comes from the store's watch, the DPS says what it means for whom, the links carry it out.
"""

from __future__ import annotations

import gc
import logging
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from types import ModuleType
from typing import TypeVar

import dove_ryu
from dove_ryu.audit import Finding
from dove_ryu.collector import collector_resting
from dove_ryu.control import Control
from dove_ryu.dps import Dps
from dove_ryu.expeditions import Counts
from dove_ryu.figures import Connection, LaneFigures, ProbeFigures
from dove_ryu.lookouts import MarkedPacket
from dove_ryu.model.documents import ROOT, BadDocument, Pool, change_of
from dove_ryu.model.entities import DSwitch, dpid_text
from dove_ryu.model.facts import Change
from dove_ryu.model.provider import PROVIDED
from dove_ryu.southbound import lane_form
from dove_ryu.store import Commit, Compacted, Store, StoreError
from dove_ryu.switchboard import Switchboard

LOG = logging.getLogger(__name__)

FLOWS = logging.getLogger("dove_ryu.flows")
"""The flow log, for an operator to send where he will."""

T = TypeVar("T")


class Service:
    """The DPS with its thread of control, its store's watch and its switchboard.

    :ivar ready: whether the world has been read from the store and follows it.
    :ivar revision: of the store that the world is at.
    """

    version = dove_ryu.__version__

    def __init__(self, store: Store, lane: ModuleType | None = None) -> None:
        """:param lane: the form of the fast lane; None for the one that is there."""
        self.store = store
        self.started = datetime.now(UTC)
        self.ready = False
        self.revision = 0
        self._dps = Dps()
        self._dps.flow_log.sink = partial(FLOWS.info, "%s")
        self._control = Control()
        self.switches = Switchboard(self._dps, lane or lane_form.load())
        self.switches.later = self.switches.vigil.later = self._control.later
        self.switches.prober.later = self.switches.expeditions.later = self._control.later
        self._arrived = threading.Condition()
        self._watching = threading.Thread(target=self._watch, name="dps-watch", daemon=True)
        self._stopping = threading.Event()

    def start(self) -> None:
        """Read the store and begin.

        :raises StoreError: where the store cannot be read.
        """
        with collector_spared(), self.store.scan(ROOT) as scan:
            self._dps.apply(_changes(((item.key, item.document) for item in scan.items), Pool()))
        self.revision = self.switches.revision = scan.revision
        self.switches.follow_provider()
        self._commits = self.store.watch(scan.revision)
        self._control.start()
        self._watching.start()
        self.ready = True
        LOG.info("the world is as of revision %d: %d networks", scan.revision, len(self._dps.world.tables))

    def stop(self) -> None:
        """End both threads; dSwitches go on by themselves."""
        self.ready = False
        self._stopping.set()
        self._commits.close()
        self._control.stop()
        self._watching.join(1)

    def post(self, act: Callable[..., object], *args: object, **named: object) -> None:
        """Let ``act(*args)`` happen on the DPS's thread; return at once."""
        self._control.post(lambda: act(*args, **named))

    def ask(self, question: Callable[[Dps], T], timeout: float = 5.0) -> T:
        """What *question* answers on the DPS's thread, or raises there.

        :raises TimeoutError: where it does not come to it within *timeout* seconds.
        """
        return self._control.ask(lambda: question(self._dps), timeout)

    def connections(self, timeout: float = 5.0) -> dict[int, Connection]:
        """How it stands with every dSwitch that has ever connected, by datapath id (F28).

        :raises TimeoutError: where the DPS's thread does not come to it within *timeout* seconds.
        """
        return self._control.ask(self.switches.connections, timeout)

    def lane(self, timeout: float = 5.0) -> LaneFigures:
        """How it stands with the fast lane (F54).

        :raises TimeoutError: where the DPS's thread does not come to it within *timeout* seconds.
        """
        return self._control.ask(self.switches.lane_figures, timeout)

    def probes(self, timeout: float = 5.0) -> ProbeFigures:
        """How it stands with the probes of appliances' instances (X10).

        :raises TimeoutError: where the DPS's thread does not come to it within *timeout* seconds.
        """
        return self._control.ask(self.switches.probe_figures, timeout)

    def audit(self, dpid: int, repair: bool = False, timeout: float = 10.0) -> list[Finding] | None:
        """What differs between a dSwitch's flows and what they should be; None where it is not live.

        :raises TimeoutError: where it does not answer within *timeout* seconds.
        """
        answered: queue.SimpleQueue[list[Finding] | None] = queue.SimpleQueue()
        self.post(lambda: self.switches.audits.begin(self.switches.link(dpid), repair, answered.put))
        try:
            return answered.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError(f"dSwitch {dpid_text(dpid)} did not tell its flows within {timeout:g} s") from None

    def expedition(self, timeout: float = 5.0) -> int:
        """The number of the next marked packet (X2)."""
        return self._control.ask(self.switches.expeditions.next_number, timeout)

    def send_marked(self, number: int, marked: MarkedPacket, timeout: float = 10.0) -> Counts:
        """Send a marked packet, and say how many packets each of its lookouts has seen.

        :raises TimeoutError: where the DPS's thread does not come to it within *timeout* seconds.
        """
        answered: queue.SimpleQueue[Counts] = queue.SimpleQueue()
        self.post(self.switches.expeditions.begin, number, marked, answered.put)
        try:
            return answered.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError(f"a marked packet was not sent within {timeout:g} s") from None

    def reached(self, revision: int, timeout: float = 5.0) -> bool:
        """Wait until the world holds the store's *revision*; whether it did so within *timeout* seconds."""
        with self._arrived:
            return self._arrived.wait_for(lambda: self.revision >= revision, timeout)

    def _watch(self) -> None:
        try:
            for commit in self._commits:
                self._control.post_urgent(partial(self._apply, commit))
        except (Compacted, StoreError) as error:
            if not self._stopping.is_set():
                self.ready = False
                LOG.critical("changes no longer arrive from the store, restart the DPS: %s", error)

    def _apply(self, commit: Commit) -> None:
        changes = list(_changes((change.key, change.document) for change in commit.changes))
        self.switches.carry_out(self._dps.apply(changes), commit.revision)
        for change in changes:
            if isinstance(change.entity, DSwitch):
                self.switches.hear_registration(change.entity.dpid)
        if any(change.kind in PROVIDED for change in changes):
            self.switches.follow_provider()
        with self._arrived:
            self.revision = commit.revision
            self._arrived.notify_all()


@contextmanager
def collector_spared() -> Iterator[None]:
    """Let the garbage collector rest meanwhile, and never look at what has come to be by then.

    What is read from a store has no cycles and stays.  A collector that counts new objects would go through all of it
    some fifty times while a million endpoints are read, which takes as long as the reading; and later, in the midst of
    the traffic, through all of it at once, for seconds.
    """
    with collector_resting():
        yield
        gc.freeze()


def _changes(documents: Iterable[tuple[str, dict[str, object] | None]], pool: Pool | None = None) -> Iterable[Change]:
    """The changes that documents carry; one that cannot be read is reported and passed over."""
    for key, document in documents:
        try:
            change = change_of(key, document, pool)
        except BadDocument as error:
            LOG.error("%s", error)
            continue
        if change is not None:
            yield change
