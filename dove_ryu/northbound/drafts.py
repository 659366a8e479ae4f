"""One edit of a network as one commit: what it puts and deletes, and what must still be as it was read.

The network's own key guards everything within it: each edit expects it at the version that was read, and puts it
again so that its version moves. More keys keep what lies between networks: the allocation, from which numbers are
drawn, one for each VNI, zone, segment label and VLAN, and the locations of endpoints, which change without any edit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from dove_ryu.model.amendment import Numbers
from dove_ryu.model.documents import (
    ALLOCATION_KEY,
    Document,
    document_of,
    entry_of,
    key_of_change,
    label_key,
    network_key,
    vlan_key,
    vni_key,
    zone_key,
)
from dove_ryu.model.entities import Endpoint, Location, Segment, VirtualNetwork
from dove_ryu.model.facts import Change
from dove_ryu.store import ABSENT, Item, Store


class Allocation:
    """The numbers as they were read, and as they are after some were drawn."""

    def __init__(self, store: Store) -> None:
        self._item = store.get(ALLOCATION_KEY)
        known = None if self._item is None else self._item.document
        self.numbers = Numbers(
            known,
            lambda vni: store.get(vni_key(vni)) is not None,
            lambda label: store.get(label_key(label)) is not None,
            lambda appliance, vlan: store.get(vlan_key(appliance, vlan)) is not None,
            lambda zone: store.get(zone_key(zone)) is not None,
        )

    def keep(self, draft: Draft) -> None:
        """Let no number be drawn twice."""
        if self._item is None or self.numbers.document() != self._item.document:
            draft.expect[ALLOCATION_KEY] = version_of(self._item)
            draft.puts[ALLOCATION_KEY] = self.numbers.document()


@dataclass(slots=True)
class Draft:
    """What is to be committed, and on which condition; fields as :meth:`Store.commit` takes them."""

    puts: dict[str, Document] = field(default_factory=dict)
    deletes: set[str] = field(default_factory=set)
    expect: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, store: Store, version: int, network: VirtualNetwork | None, changes: Iterable[Change]) -> Draft:
        """The draft of *changes* to the network that was read at *version*; None and 0 where there was none."""
        draft, after, changes = cls(), network, list(changes)
        for change in changes:
            if change.kind is VirtualNetwork:
                after = change.entity if isinstance(change.entity, VirtualNetwork) else None
                draft.expect[network_key(change.network)] = version
            draft._take(store, change)
        if network is not None:
            draft.expect[network_key(network.name)] = version
        if after is not None:
            draft.puts[network_key(after.name)] = document_of(after)
        draft._claim(network, after)
        draft._claim_segments(store, (change for change in changes if change.kind is Segment))
        return draft

    def commit(self, store: Store) -> int:
        """Commit it; the revision."""
        return store.commit(self.puts, self.deletes, self.expect)

    def _take(self, store: Store, change: Change) -> None:
        key, document = entry_of(change)
        if document is not None:
            self.puts[key] = document
        elif change.kind is Endpoint:
            self.deletes.add(key)
            self._release(store, change)
        elif change.kind is not Location:
            self.deletes.add(key)

    def _release(self, store: Store, gone: Change) -> None:
        """The location of an endpoint that goes, as the store has it now: nobody must put a new one in between.

        One that the port's own iface-id says stays for as long as the port says so.
        """
        key = key_of_change(Change(Location, gone.network, gone.name, None))
        item = store.get(key)
        self.expect[key] = version_of(item)
        if item is not None and not item.document["observed"]:
            self.deletes.add(key)

    def _claim(self, before: VirtualNetwork | None, after: VirtualNetwork | None) -> None:
        """Of two networks that want one VNI, or one zone, only one finds its key absent."""
        held, wanted = _claims_of_network(before), _claims_of_network(after)
        self.deletes |= held - wanted
        for key in wanted - held:
            self.puts[key] = {"network": "" if after is None else after.name}
            self.expect[key] = ABSENT

    def _claim_segments(self, store: Store, changes: Iterable[Change]) -> None:
        """Of two segments that want one label, or one VLAN of an appliance, only one finds its key absent."""
        freed: set[str] = set()
        claimed: dict[str, Document] = {}
        for change in changes:
            key, document = entry_of(change)
            before = store.get(key)
            if before is not None:
                freed |= _claims_of(before.document)
            if document is not None:
                holder = {"network": change.network, "segment": change.name}
                claimed |= dict.fromkeys(_claims_of(document), holder)
        self.puts |= claimed
        self.deletes |= freed - claimed.keys()
        self.expect |= dict.fromkeys(claimed.keys() - freed, ABSENT)


def _claims_of(segment: Document) -> set[str]:
    """The keys that a segment's document lays claim to."""
    return {label_key(segment["label"]), vlan_key(segment["appliance"], segment["vlan"])}


def _claims_of_network(network: VirtualNetwork | None) -> set[str]:
    """The keys that a network lays claim to."""
    if network is None:
        return set()
    return {vni_key(network.vni), *([zone_key(network.zone)] if network.zone else [])}


def version_of(item: Item | None) -> int:
    """The version of what was read; 0 where nothing was there."""
    return ABSENT if item is None else item.version
