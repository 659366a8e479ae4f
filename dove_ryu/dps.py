"""The DOVE Policy Service: events go in, flow changes and answers come out.

Down: a change of the world becomes facts; the standing flows of the touched networks at the touched dSwitches are
computed anew and compared with those before; what facts make stale is deleted from the cache of the dSwitches that host
the network (F22) and of no other.  Up: a packet that missed becomes a policy request, the request a reply, the reply
cached flows, and the packet goes on.

Nothing here does I/O, waits, or reads a clock; one thread of control owns it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from dove_ryu.features import TUNNEL_PORTS, Answer, Feature, Request
from dove_ryu.features.classify import Classify
from dove_ryu.features.multicast import Multicast
from dove_ryu.features.neighbour import Neighbour
from dove_ryu.features.policy import PolicyCache
from dove_ryu.features.router import Router
from dove_ryu.features.source_guard import SourceGuard
from dove_ryu.features.unicast import Unicast
from dove_ryu.model.entities import Appliance, DSwitch, Endpoint, Location, Policy, PolicyAction, VirtualNetwork
from dove_ryu.model.resolution import Outcome, PolicyRequest, resolve
from dove_ryu.model.world import Change, Fact, NetworkTables, World
from dove_ryu.openflow import packet
from dove_ryu.openflow.fields import (
    BY_ADDRESS,
    CACHED_COOKIE,
    CACHED_MASK,
    SOURCE_DOMAIN,
    VNI,
)
from dove_ryu.openflow.flow import Flow, FlowChange, FlowDelete, PacketIn, match
from dove_ryu.openflow.pipeline import LOCATION, NEIGHBOUR, POLICY
from dove_ryu.standing import WHOLE_DSWITCH, Scope, StandingFlows

FEATURES: tuple[Feature, ...] = (
    Classify(),
    SourceGuard(),
    Neighbour(),
    Multicast(),
    Router(),
    Unicast(),
    PolicyCache(),
)

Effects = dict[int, list[FlowChange]]
"""What to send, by datapath id."""

WHOLE_CACHE = FlowDelete(CACHED_COOKIE, CACHED_MASK)
"""Forgets every answer to a policy request."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What is seen of a dSwitch's connections.

    :ivar openflow: state of its OpenFlow session.
    :ivar peer: address that it connects from; empty while it does not.
    :ivar ovsdb: state of the connection to its OVSDB.
    :ivar reason: why a state is not the good one, and what to do about it; empty otherwise.
    """

    openflow: str = "down"
    peer: str = ""
    ovsdb: str = "unused"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Touched:
    """What a change asks to be computed anew or forgotten.

    :ivar scopes: (datapath id, scope) pairs.
    :ivar stale: what to delete from whose cache, in order and each once.
    """

    scopes: set[tuple[int, Scope]]
    stale: dict[int, dict[FlowDelete, None]]


class Dps:
    """The world, the features, and the standing flows of every connected dSwitch."""

    def __init__(self, features: Iterable[Feature] = FEATURES) -> None:
        self.world = World()
        self.requests: Counter[Outcome] = Counter()
        self.observations: dict[int, Observation] = {}
        self._features = tuple(features)
        self._standing = StandingFlows(self.world, self._features)

    @property
    def connected(self) -> frozenset[int]:
        """The datapath ids of the dSwitches whose flows are kept."""
        return self._standing.connected

    def standing_flows(self, dpid: int) -> list[Flow]:
        """All the flows that a dSwitch should hold besides its cache, computed from nothing but the world."""
        return self._standing.compute(dpid)

    def connect(self, dpid: int, ports: Mapping[str, int], installed: Iterable[Flow]) -> list[FlowChange]:
        """A dSwitch is there with *ports* and holds *installed* flows of ours: what makes it right.

        Its cache is forgotten, because nothing tells what it missed while it was away.
        """
        self.world.ports[dpid] = dict(ports)
        present = [flow for flow in installed if flow.cookie & CACHED_MASK != CACHED_COOKIE]
        return [*self._standing.begin(dpid, present), WHOLE_CACHE]

    def disconnect(self, dpid: int) -> None:
        """A dSwitch is gone; where its endpoints are stays known."""
        self._standing.end(dpid)
        self.world.ports.pop(dpid, None)

    def show_ports(self, dpid: int, ports: Mapping[str, int]) -> Effects:
        """A connected dSwitch's ports are now *ports*."""
        before = self.world.ports.get(dpid, {})
        self.world.ports[dpid] = dict(ports)
        changed = {name for name in before.keys() | ports.keys() if before.get(name) != ports.get(name)}
        touched = Touched({(dpid, WHOLE_DSWITCH)}, {})
        if not changed.isdisjoint(TUNNEL_PORTS.values()):
            _delete(touched, {dpid}, WHOLE_CACHE)
        for tables in self.world.hosted(dpid):
            places = [tables.locations[name] for name in sorted(tables.hosted[dpid])]
            moved = [place for place in places if place.port in changed]
            if moved:
                touched.scopes.add((dpid, tables.name))
            for place in moved:
                self._forget(touched, tables, Fact(place, place), {dpid})
        return self._carry_out(touched)

    def apply(self, changes: Iterable[Change]) -> Effects:
        """Take changes of the world in; what has to be sent comes out."""
        touched = Touched(set(), {})
        for change in changes:
            if not self.connected:  # nobody to tell; a million documents are read at the start
                self.world.apply(change)
                continue
            tables = self.world.tables.get(change.network)
            before = set() if tables is None else tables.hosts()
            if tables is not None and change.kind is Endpoint and change.name in tables.locations:
                # To declare what was learned changes no address, and so no fact, but ends the learning.
                touched.scopes.add((tables.locations[change.name].dpid, tables.name))
            for fact in self.world.apply(change):
                self._touch(touched, fact, tables or self.world.tables.get(change.network), before)
        return self._carry_out(touched)

    def packet_in(self, dpid: int, packet_in: PacketIn) -> Answer:
        """The answer to a packet that came up from a dSwitch."""
        tables = self.world.network_of_vni(packet_in.read(VNI))
        if tables is None or len(packet_in.data) < packet.ETHERNET_HEADER:
            return Answer()
        destination = _destination(packet_in)
        if destination is not None:
            return self._reply(dpid, tables, packet_in, destination)
        for feature in self._features:
            answer = feature.take(self.world, dpid, tables, packet_in)
            if answer is not None:
                return answer
        return Answer()

    def _reply(self, dpid: int, tables: NetworkTables, packet_in: PacketIn, destination: str) -> Answer:
        number = packet_in.read(SOURCE_DOMAIN)
        domain = tables.domain_of_number(number)
        if domain is None:
            return Answer()
        reply = resolve(tables, PolicyRequest(domain.name, destination))
        self.requests[reply.outcome] += 1
        request = Request(self.world, dpid, tables, packet_in, number, destination, reply)
        flows = tuple(flow for feature in self._features for flow in feature.cache(request))
        return Answer(flows, (packet_in.resume(_resumption(packet_in)),)) if flows else Answer()

    def _touch(self, touched: Touched, fact: Fact, tables: NetworkTables | None, before: set[int]) -> None:
        entity = fact.either
        if isinstance(entity, DSwitch):
            self._touch_dswitch(touched, fact, entity.dpid)
        elif tables is not None and not isinstance(entity, Appliance):
            after = tables.hosts()
            touched.scopes.update((dpid, tables.name) for dpid in _built_on(fact, tables, before | after))
            self._forget(touched, tables, fact, before | after)
            if tables.network is not None:
                _delete(touched, before - after, _forget_network(tables.network))
            if isinstance(entity, VirtualNetwork):
                self._touch_rivals(touched, fact, tables)

    def _touch_rivals(self, touched: Touched, fact: Fact, tables: NetworkTables) -> None:
        """Other networks that claim the same VNI may now have it, or no longer."""
        deletions = list(self._stale(tables, fact))
        vnis = {side.vni for side in (fact.before, fact.after) if isinstance(side, VirtualNetwork)}
        for rival in self.world.networks():
            if rival is not tables and rival.network is not None and rival.network.vni in vnis:
                touched.scopes.update((dpid, rival.name) for dpid in rival.hosts())
                for deletion in deletions:
                    _delete(touched, rival.hosts(), deletion)

    def _touch_dswitch(self, touched: Touched, fact: Fact, dpid: int) -> None:
        """Every entry that leads to a dSwitch is stale when the way to it changes, and all of its own are."""
        touched.scopes.add((dpid, WHOLE_DSWITCH))
        _delete(touched, {dpid}, WHOLE_CACHE)
        for tables in self.world.hosted(dpid):
            for name in sorted(tables.hosted[dpid]):
                place = tables.locations[name]
                self._forget(touched, tables, Fact(place, place), tables.hosts())

    def _forget(self, touched: Touched, tables: NetworkTables, fact: Fact, dpids: set[int]) -> None:
        for deletion in self._stale(tables, fact):
            _delete(touched, dpids, deletion)

    def _stale(self, tables: NetworkTables, fact: Fact) -> Iterator[FlowDelete]:
        if isinstance(fact.either, VirtualNetwork):
            for side in (fact.before, fact.after):
                if isinstance(side, VirtualNetwork):
                    yield _forget_network(side)
        elif tables.network is not None:
            for feature in self._features:
                yield from feature.stale(tables, fact)

    def _carry_out(self, touched: Touched) -> Effects:
        effects: Effects = {}
        for dpid in sorted({dpid for dpid, _ in touched.scopes} | touched.stale.keys()):
            if dpid in self.connected:
                changes = self._standing.renew(dpid, (scope for where, scope in touched.scopes if where == dpid))
                effects[dpid] = [*changes, *touched.stale.get(dpid, ())]
        return {dpid: changes for dpid, changes in effects.items() if changes}


def _built_on(fact: Fact, tables: NetworkTables, hosts: set[int]) -> set[int]:
    """The dSwitches, of all *hosts* of a network, whose standing flows a fact of the network can change."""
    match fact.either:
        case Policy() | PolicyAction():
            return set()
        case Endpoint(name=name):
            return {tables.locations[name].dpid} if name in tables.locations else set()
        case Location():
            return {side.dpid for side in (fact.before, fact.after) if isinstance(side, Location)}
        case _:
            return hosts


def _forget_network(network: VirtualNetwork) -> FlowDelete:
    return FlowDelete(CACHED_COOKIE, CACHED_MASK, None, match({VNI: network.vni}))


def _delete(touched: Touched, dpids: Iterable[int], deletion: FlowDelete) -> None:
    for dpid in dpids:
        touched.stale.setdefault(dpid, {})[deletion] = None


def _resumption(packet_in: PacketIn) -> int:
    """Where a held packet goes on: what missed, except that a pair of domains is looked up anew with its location.

    The destination's domain may have changed since LOCATION wrote it down; POLICY would miss again and again.
    """
    return LOCATION.number if packet_in.table == POLICY.number else packet_in.table


def _destination(packet_in: PacketIn) -> str | None:
    """The address that a policy request asks for; None where the packet is no policy request."""
    if packet_in.table == NEIGHBOUR.number:
        return packet.neighbour_target(packet_in.data)
    if packet_in.table not in (LOCATION.number, POLICY.number):
        return None
    if packet_in.read(BY_ADDRESS):
        return packet.ip_destination(packet_in.data)
    return packet.eth_destination(packet_in.data)
