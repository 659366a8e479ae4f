"""What hosts and packets tell becomes documents in the store: locations, seats, tunnels, learned addresses (F24, X15).

Each connected dSwitch's OVSDB is followed.  An interface's iface-id places an endpoint, or an instance of an appliance, at
its port; when it no longer says so, the location ends.  The host's encapsulation settings are the dSwitch's.
Writing waits for the store, so this has a thread of its own, with a queue.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import islice

from dove_ryu.config import Settings
from dove_ryu.model.appliances import Seat
from dove_ryu.model.documents import change_of, document_of, key_of
from dove_ryu.model.entities import DSwitch, Encapsulation, Entity, Learned, Location, Place
from dove_ryu.service import Service
from dove_ryu.sightings import Spot, Spots, at, attached, beside, named, observed, spots, without
from dove_ryu.southbound.ovsdb import HostConnection, HostView
from dove_ryu.store import Conflict, StoreError

LOG = logging.getLogger(__name__)

ATTEMPTS = 20
"""How often a write is tried against others' writes to the same key."""

NOWHERE = "none"
"""A registered dSwitch's ``ovsdb`` where it has none that the DPS may reach."""


class Binder:
    """Follows the hosts and records what they and the endpoints' packets tell."""

    def __init__(self, service: Service, settings: Settings) -> None:
        self._service = service
        self._settings = settings
        self._hosts: dict[int, HostConnection] = {}
        self._said: dict[int, Spots] = {}
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="dps-binder", daemon=True)

    def start(self) -> None:
        """Begin to listen to the service."""
        self._service.switches.listener = self
        self._thread.start()

    def stop(self) -> None:
        """End the connections to all hosts."""
        self._service.switches.listener = None
        self._queue.put(None)
        self._thread.join(1)
        for host in self._hosts.values():
            host.close()

    def dswitch_up(self, dpid: int, peer: str) -> None:
        """A dSwitch is connected from *peer*: follow its OVSDB, where it has one."""
        self._queue.put(lambda: self._follow(dpid, peer))

    def arrived(self, location: Location) -> None:
        """An endpoint has spoken where a live migration was taking it."""
        self._queue.put(lambda: self._switch_over(location))

    def taught(self, learned: Learned, go_on: Callable[[], object]) -> None:
        """An endpoint's packet taught its addresses; it goes on when the world has them."""
        self._queue.put(lambda: self._learn(learned, go_on))

    def _run(self) -> None:
        while (act := self._queue.get()) is not None:
            try:
                act()
            except (StoreError, TimeoutError) as error:
                LOG.error("what a host told is not recorded: %s", error)
            except Exception:
                LOG.exception("what a host told is not recorded")

    def _follow(self, dpid: int, peer: str) -> None:
        known = self._service.ask(lambda dps: dps.world.dswitches.get(dpid))
        if known is None:
            self._record(DSwitch(dpid, encap_types=()))
        target = known.ovsdb if known is not None and known.ovsdb else _target(peer, self._settings.ovsdb_port)
        present = self._hosts.get(dpid)
        if present is not None and present.target == target:
            return
        if present is not None:
            self._hosts.pop(dpid).close()
            self._said.pop(dpid, None)
            self._service.post(self._service.switches.observe, dpid, ovsdb="unused", reason="")
        if not self._settings.ovsdb or target == NOWHERE:
            return
        host = HostConnection(
            dpid,
            target,
            on_view=lambda view: self._queue.put(lambda: self._see(view)),
            on_state=lambda dpid, state, reason: self._service.post(
                self._service.switches.observe, dpid, ovsdb=str(state), reason=reason
            ),
            rate_limit=self._settings.packet_in_rate,
            burst_limit=self._settings.packet_in_burst,
        )
        self._hosts[dpid] = host
        host.start()

    def _see(self, view: HostView) -> None:
        """Record a host's view: its encapsulation, and what is at its ports.

        Two hosts may have the same endpoint for a while, as in a live migration.  The latest word holds: what a host
        has said before, and be it to the DPS before this one, is no news.  When it is taken back, what another host
        still says holds again.
        """
        known = self._service.ask(lambda dps: dps.world.dswitches.get(view.dpid)) or DSwitch(view.dpid)
        types = tuple(map(Encapsulation, view.encap_types))
        self._record(replace(known, encap_ips=view.encap_ips, encap_types=types))
        recorded, here = self._service.ask(lambda dps: observed(dps, view.dpid)), spots(view)
        earlier = self._said.get(view.dpid, recorded)
        self._said[view.dpid] = here
        for key, spot in (recorded | earlier).items():
            if key not in here:
                self._leave(spot, view.dpid)
        for key, spot in here.items():
            if earlier.get(key) != spot or self._service.store.get(key) is None:
                self._record(spot)
        for learned in attached(view):
            self._record(learned)

    def _learn(self, learned: Learned, go_on: Callable[[], object]) -> None:
        """Record what a packet taught.  Where that fails the packet goes on all the same."""
        try:
            self._service.reached(self._record(learned))
        finally:
            self._service.post(go_on)

    def _record(self, entity: Entity) -> int:
        """Put *entity* unless it is there already; the revision that has it.

        A location that moves has its tracking number raised; what is learned adds to what was.
        """
        key = key_of(entity)
        for _ in range(ATTEMPTS):
            item = self._service.store.get(key)
            present = None if item is None else _entity(key, item.document)
            wanted = beside(present, entity)
            version = 0 if item is None else item.version
            if wanted == present:
                return version
            try:
                revision = self._service.store.commit({key: document_of(wanted)}, expect={key: version})
            except Conflict:
                continue
            if isinstance(wanted, Spot):
                LOG.info("%s is %s", named(wanted), at(wanted))
            return revision
        LOG.error("%s is written by others all the time; what a host told of it is lost", key)
        return 0

    def _switch_over(self, place: Location) -> None:
        """End a live migration where it was going to."""
        if place.migrating_to is not None:
            there = place.migrating_to
            after = replace(place, dpid=there.dpid, port=there.port, migrating_to=None, tracking=place.tracking + 1)
            self._exchange(place, after)

    def _leave(self, spot: Spot, dpid: int) -> None:
        """A host no longer has what it had at a dSwitch."""
        item = self._service.store.get(key_of(spot))
        present = None if item is None else _entity(key_of(spot), item.document)
        if isinstance(spot, Location) and isinstance(present, Location):
            self._unplug(present, spot, dpid)
        elif isinstance(spot, Seat) and isinstance(present, Seat):
            self._end(present, without(present, spot))

    def _unplug(self, present: Location, place: Location, dpid: int) -> None:
        """An endpoint's port at a dSwitch is gone: the end of its location, of a live migration, or of its origin."""
        if present.port_at(dpid) != place.port_at(dpid):
            return
        if present.migrating_to is None:
            self._end(present, None)
        elif present.dpid == dpid and present.migrating_to.port:
            self._switch_over(present)
        elif present.dpid != dpid:
            self._exchange(present, replace(present, migrating_to=Place(dpid, "")))

    def _end(self, present: Spot, after: Spot | None) -> None:
        """Something is no longer where it was; where it is nowhere now, another host may still have it."""
        if self._exchange(present, after) and after is None:
            elsewhere = (said[key_of(present)] for said in self._said.values() if key_of(present) in said)
            for spot in islice(elsewhere, 1):
                self._record(spot)

    def _exchange(self, before: Spot, after: Spot | None) -> bool:
        """Put *after* in the place of *before*, unless that has changed by now; whether it was done."""
        key = key_of(before)
        item = self._service.store.get(key)
        if before == after or item is None or _entity(key, item.document) != before:
            return False
        puts = {} if after is None else {key: document_of(after)}
        deletes = [key] if after is None else []
        try:
            self._service.store.commit(puts, deletes, expect={key: item.version})
        except Conflict:
            return False
        LOG.info("%s was %s and is %s", named(before), at(before), at(after))
        return True


def _target(peer: str, port: int) -> str:
    return f"tcp:[{peer}]:{port}" if ":" in peer else f"tcp:{peer}:{port}"


def _entity(key: str, document: dict[str, object]) -> Entity | None:
    change = change_of(key, document)
    return None if change is None else change.entity
