"""The DOVE Policy Service: events go in, flow changes and answers come out.

Down: a change of the world becomes facts, and their consequences are flow changes for the dSwitches that they concern.
Up: a packet that missed becomes a policy request, the request a reply, the reply cached flows, and the packet goes on.  A
dSwitch that comes back keeps of its cache what is still true.

Nothing here does I/O, waits, or reads a clock; one thread of control owns it.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from dove_ryu.audit import Finding, audit
from dove_ryu.consequences import WHOLE_CACHE, Consequences, Effects, built_on
from dove_ryu.features import TUNNEL_PORTS, Answer, Feature, Request
from dove_ryu.features.chaining import Chaining
from dove_ryu.features.classify import Classify
from dove_ryu.features.limit import Limit
from dove_ryu.features.migration import Migration
from dove_ryu.features.multicast import Multicast
from dove_ryu.features.neighbour import Neighbour
from dove_ryu.features.policy import PolicyCache
from dove_ryu.features.pools import Pools
from dove_ryu.features.probing import Probing
from dove_ryu.features.qos import QualityOfService
from dove_ryu.features.router import Router
from dove_ryu.features.source_guard import SourceGuard
from dove_ryu.features.stateful import Stateful
from dove_ryu.features.unicast import Unicast
from dove_ryu.flow_log import FlowLog
from dove_ryu.model.entities import DSwitch, Endpoint, Service
from dove_ryu.model.facts import Change, Fact
from dove_ryu.model.meter_numbers import MeterNumbers, Whose
from dove_ryu.model.resolution import Outcome, PolicyRequest, resolve
from dove_ryu.model.tables import NetworkTables
from dove_ryu.model.world import World
from dove_ryu.openflow import oxm, packet
from dove_ryu.openflow.action import Metered
from dove_ryu.openflow.fields import BY_ADDRESS, SOURCE_DOMAIN, SOURCE_ENDPOINT, VNI, Cookie, Kind
from dove_ryu.openflow.flow import End, Flow, FlowChange, FlowEnd, FlowKey, PacketIn
from dove_ryu.openflow.meters import FIRST_RATE_METER
from dove_ryu.openflow.pipeline import DELIVER, LOCATION, NEIGHBOUR, POLICY, RATE
from dove_ryu.standing import WHOLE_DSWITCH, Parts, StandingFlows, appliance_scope

FEATURES: tuple[Feature, ...] = (
    Classify(),
    Limit(),
    SourceGuard(),
    Neighbour(),
    Multicast(),
    Router(),
    Unicast(),
    PolicyCache(),
    QualityOfService(),
    Stateful(),
    Chaining(),
    Pools(),
    Probing(),
    Migration(),
)

MANY_METERS = 1 << 18
"""As many as the userspace datapath has."""


class Refused(enum.Enum):
    """Why a packet that came up is not answered (X3)."""

    NETWORK_RATE = "network-rate"
    TOO_MANY_WAIT = "too-many-wait"
    UNKNOWN_NETWORK = "unknown-network"
    UNREADABLE = "unreadable"
    FAILED = "failed"


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


class Dps:
    """The world, the features, and the standing flows of every connected dSwitch.

    :ivar requests: policy requests answered, by outcome.
    :ivar refused: packets that came up and were not answered, by the reason.
    :ivar invalidations: location invalidations heard (F19).
    :ivar refreshed: cached flows in use whose time was up (F21).
    :ivar witness: is told each fact before its consequences come out.
    :ivar flow_log: of the policies that are logged.
    """

    def __init__(self, features: Iterable[Feature] = FEATURES) -> None:
        self.world = World()
        self.requests: Counter[Outcome] = Counter()
        self.refused: Counter[Refused] = Counter()
        self.invalidations = 0
        self.refreshed = 0
        self.witness: Callable[[Fact], None] = lambda _: None
        self.observations: dict[int, Observation] = {}
        self.flow_log = FlowLog()
        self._features = tuple(features)
        self._standing = StandingFlows(self.world, self._features)
        self._tombstones: dict[int, dict[FlowKey, int]] = {}

    @property
    def connected(self) -> frozenset[int]:
        """The datapath ids of the dSwitches whose flows are kept."""
        return self._standing.connected

    def standing_flows(self, dpid: int) -> list[Flow]:
        """All the flows that a dSwitch should hold besides its cache, computed from nothing but the world."""
        return self._standing.compute(dpid)

    def flows_about(self, dpid: int, tables: NetworkTables, endpoint: Endpoint) -> Iterable[Flow]:
        """Of a dSwitch's standing flows, those of all its packets, of a network's chains, and of one endpoint."""
        return self._standing.of(dpid, {WHOLE_DSWITCH: (), tables.name: {endpoint.name}}).values()

    def connect(
        self, dpid: int, ports: Mapping[str, int], installed: Iterable[Flow], most_meters: int = MANY_METERS
    ) -> list[FlowChange]:
        """A dSwitch is there with *ports* and holds *installed* flows of ours: what makes it right (X1).

        What it has cached stays where it is still true, is replaced where it is not, and goes where nothing is.

        :param most_meters: how many it can have.
        """
        self.world.ports[dpid] = dict(ports)
        (self.world.unmetered.discard if most_meters else self.world.unmetered.add)(dpid)
        held = list(installed)
        self.world.rate_meters[dpid] = _meters_of(held, most_meters)
        self._tombstones[dpid] = {}
        self._note_tombstones(dpid, held)
        self.flow_log.connect(dpid, self._tables_of, held)
        return self._standing.begin(dpid, held, self._current(dpid, held))

    def confirm(self, dpid: int) -> Effects:
        """A connected dSwitch holds what it should: it may be sent copies for endpoints that are on their way there."""
        work = self._consequences(self._copied_to(dpid))
        self.world.live.add(dpid)
        return work.effects()

    def disconnect(self, dpid: int) -> None:
        """A dSwitch's connection is gone; it goes on by itself, and where its endpoints are stays known."""
        self._standing.end(dpid)
        self.world.live.discard(dpid)
        self.world.ports.pop(dpid, None)

    def lose(self, dpid: int) -> Effects:
        """A dSwitch is gone."""
        work = self._consequences(self._copied_to(dpid))
        self.disconnect(dpid)
        return self._doubt(work, dpid)

    def doubt(self, dpid: int) -> Effects:
        """Nobody knows whether a dSwitch still tells others of endpoints that have left it: these now forget."""
        return self._doubt(self._consequences(), dpid)

    def _doubt(self, work: Consequences, dpid: int) -> Effects:
        self._forget_departed(work, dpid)
        self._tombstones.pop(dpid, None)
        return work.effects()

    def _copied_to(self, dpid: int) -> Parts:
        """The endpoints on their way to a dSwitch, where they are now."""
        parts: Parts = {}
        for place in self.world.located(dpid):
            if place.migrating_to is not None and place.migrating_to.dpid == dpid:
                parts.setdefault(place.dpid, {}).setdefault(place.network, set()).add(place.endpoint)
        return parts

    def relied_on(self, dpid: int) -> bool:
        """Whether a dSwitch has to tell others of endpoints that have left it."""
        return bool(self._tombstones.get(dpid))

    def show_ports(self, dpid: int, ports: Mapping[str, int]) -> Effects:
        """A connected dSwitch's ports are now *ports*."""
        before = self.world.ports.get(dpid, {})
        changed = {name for name in before.keys() | ports.keys() if before.get(name) != ports.get(name)}
        tunnels = not changed.isdisjoint(TUNNEL_PORTS.values())
        places = [place for place in self.world.located(dpid) if place.port_at(dpid) in changed]
        copied = [place for place in self.world.located(dpid) if tunnels and place.migrating_to is not None]
        parts: Parts = {dpid: {WHOLE_DSWITCH: set()}}
        for place in (*places, *copied):
            parts[dpid].setdefault(place.network, set()).add(place.endpoint)
        for tables in self.world.chained():
            parts[dpid].setdefault(tables.name, set())
        for name in self.world.appliances_at(dpid):
            parts[dpid].setdefault(appliance_scope(name), set())
        work = self._consequences(parts)
        self.world.ports[dpid] = dict(ports)
        if tunnels:
            work.forget({dpid}, WHOLE_CACHE)
        for place in places:
            work.forget_fact({dpid}, self.world.tables[place.network], Fact(place, place))
        return work.effects()

    def apply(self, changes: Iterable[Change]) -> Effects:
        """Take changes of the world in; what has to be sent comes out."""
        if not self.connected:  # nobody to tell; a million documents are read at the start
            for change in changes:
                for fact in self.world.apply(change):
                    self.witness(fact)
            return {}
        changes = list(changes)
        work, readdressed = self._consequences(built_on(self.world, changes)), []
        for change in changes:
            tables = self.world.tables.get(change.network)
            hosts = set() if tables is None else tables.hosts()
            for fact in self.world.apply(change):
                self.witness(fact)
                work.touch(fact, tables or self.world.tables.get(change.network), hosts)
                if isinstance(fact.either, DSwitch):
                    readdressed.append(fact.either.dpid)
        for dpid, tombstones in work.tombstones.items():
            self._note_tombstones(dpid, tombstones)
        for dpid in readdressed:
            self._forget_departed(work, dpid)  # whoever sends there may do so by an address that it had
        effects = work.effects()
        self._collect_meters()
        return effects

    def packet_in(self, dpid: int, packet_in: PacketIn) -> Answer:
        """The answer to a packet that came up from a dSwitch."""
        tables = self.world.network_of_vni(packet_in.read(VNI))
        if tables is None or len(packet_in.data) < packet.ETHERNET_HEADER:
            self.refused[Refused.UNKNOWN_NETWORK if tables is None else Refused.UNREADABLE] += 1
            return Answer()
        destination = asked_for(packet_in)
        if destination is not None:
            return self._reply(dpid, tables, packet_in, destination)
        for feature in self._features:
            answer = feature.take(self.world, dpid, tables, packet_in)
            if answer is not None:
                self._note_tombstones(dpid, answer.flows)
                return answer if answer.stale is None else self._correct(answer, answer.stale, tables, packet_in)
        return Answer()

    def hear_end(self, dpid: int, end: FlowEnd) -> list[Flow]:
        """A flow of a dSwitch has ended: what takes its place, if its time was up while it was in use (F21)."""
        self._tombstones.get(dpid, {}).pop(end.flow.key, None)
        self.flow_log.end(dpid, end)
        if end.why is not End.HARD or not end.packets or dpid not in self.connected:
            return []
        flow, tables = self.recall(dpid, end.flow), self._tables_of(end.flow)
        if flow is None or tables is None:
            return []
        self.refreshed += 1
        self.flow_log.begin(dpid, tables, [flow])
        return [flow]

    def audit(self, dpid: int, held: Iterable[Flow]) -> list[Finding]:
        """What differs between the flows that a dSwitch holds and those that it should hold."""
        return audit(self.standing_flows(dpid), held, lambda flow: self.recall(dpid, flow))

    def recall(self, dpid: int, installed: Flow) -> Flow | None:
        """What a dSwitch should hold today in the place of a flow that it has cached; None for nothing."""
        tables = self._tables_of(installed)
        if tables is None:
            return None
        recalled = (feature.recall(self.world, dpid, tables, installed) for feature in self._features)
        return next(filter(None, recalled), None)

    def _tables_of(self, cached: Flow) -> NetworkTables | None:
        """The network that a cached flow is about."""
        vni = cached.match.value(VNI) or cached.match.value(oxm.TUN_ID)
        return None if vni is None else self.world.network_of_vni(vni)

    def _current(self, dpid: int, installed: Iterable[Flow]) -> Iterator[Flow]:
        """What a dSwitch's cache should be, of what it is; a flow that differs in nothing but its age is as it is."""
        for flow in installed:
            cookie = Cookie.parse(flow.cookie)
            if cookie is not None and cookie.kind.recalled:
                today = self.recall(dpid, flow)
                if today is not None:
                    yield flow if (today.actions, today.cookie) == (flow.actions, flow.cookie) else today

    def _reply(self, dpid: int, tables: NetworkTables, packet_in: PacketIn, destination: str) -> Answer:
        flows, outcome = self._resolve(dpid, tables, packet_in, packet_in.read(SOURCE_DOMAIN), destination)
        if outcome is not None:
            self.requests[outcome] += 1
        self.flow_log.begin(dpid, tables, flows)
        return Answer(flows, (packet_in.resume(resumption(packet_in)),)) if flows else Answer()

    def _correct(self, answer: Answer, stale: int, tables: NetworkTables, packet_in: PacketIn) -> Answer:
        """Give a dSwitch whose entry is stale what it would get if it asked now (F20)."""
        self.invalidations += 1
        destination, sender = _delivery(tables, packet_in)
        domain = None if sender is None else tables.domains.get(sender.domain)
        if destination is None or stale not in self.connected:
            return answer
        if domain is None:
            return replace(answer, elsewhere=((stale, self._forgetting(stale, tables, destination)),))
        asked = replace(packet_in, table=LOCATION.number, fields={})
        flows, _ = self._resolve(stale, tables, asked, domain.number, destination)
        return replace(answer, elsewhere=((stale, flows),))

    def _forgetting(self, dpid: int, tables: NetworkTables, destination: str) -> tuple[FlowChange, ...]:
        """What makes a dSwitch ask anew for an address, where nobody can tell who sends there."""
        owner = tables.owner(destination)
        place = None if owner is None else tables.locations.get(owner.name)
        work = self._consequences()
        if place is not None:
            work.forget_fact({dpid}, tables, Fact(place, place))
        return tuple(work.effects().get(dpid, ()))

    def _forget_departed(self, work: Consequences, dpid: int) -> None:
        """Let all who can have an entry that leads to an endpoint by way of a dSwitch that it has left forget it."""
        gone = set(self._tombstones.get(dpid, {}).values())
        for tables in self.world.networks() if gone else ():
            for endpoint in filter(None, map(tables.endpoint_of_number, gone)):
                place = tables.locations.get(endpoint.name)
                if place is not None:
                    work.forget_fact(tables.hosts(), tables, Fact(place, place))

    def _note_tombstones(self, dpid: int, flows: Iterable[Flow]) -> None:
        """Remember the tombstones among some flows that a dSwitch holds: who goes by them is lost when it is."""
        for flow in flows:
            cookie = Cookie.parse(flow.cookie)
            if cookie is not None and cookie.kind is Kind.TOMBSTONE and flow.table == DELIVER.number:
                self._tombstones.setdefault(dpid, {})[flow.key] = cookie.number

    def _resolve(
        self, dpid: int, tables: NetworkTables, packet_in: PacketIn, number: int, destination: str
    ) -> tuple[tuple[Flow, ...], Outcome | None]:
        """The flows by which a dSwitch remembers the reply to a policy request, and how the request ends."""
        domain = tables.domain_of_number(number)
        if domain is None:
            return (), None
        reply = resolve(tables, PolicyRequest(domain.name, destination))
        request = Request(self.world, dpid, tables, packet_in, number, destination, reply)
        return tuple(flow for feature in self._features for flow in feature.cache(request)), reply.outcome

    def _collect_meters(self) -> None:
        """Take back the numbers of meters that are no longer needed, where many are out."""
        for dpid in self.connected:
            numbers = self.world.meter_numbers(dpid)
            if numbers.overgrown:
                numbers.retain(set(_rate_meters(self.standing_flows(dpid)).values()))

    def _consequences(self, parts: Parts | None = None) -> Consequences:
        return Consequences(self.world, self._features, self._standing, parts or {})


def _meters_of(held: Iterable[Flow], most: int) -> MeterNumbers:
    """Which meter is whose at a dSwitch that holds some flows: as it was, also after a restart of the DPS."""
    numbers = MeterNumbers(max(0, most - FIRST_RATE_METER))
    for whose, number in _rate_meters(held).items():
        numbers.adopt(whose, number)
    return numbers


def _rate_meters(flows: Iterable[Flow]) -> dict[Whose, int]:
    """The meters for policies' rates that some flows name."""
    named = {}
    for flow in flows:
        cookie = Cookie.parse(flow.cookie)
        meter = next((action.meter for action in flow.actions if isinstance(action, Metered)), None)
        if flow.table == RATE.number and cookie is not None and meter is not None:
            sender = flow.match.value(SOURCE_ENDPOINT) or 0
            named[cookie.number, cookie.tracking, sender] = meter - FIRST_RATE_METER
    return named


def _delivery(tables: NetworkTables, packet_in: PacketIn) -> tuple[str | None, Endpoint | None]:
    """The address by which a packet from the tunnel was sent here, and whose it is.

    Of a packet that was routed it is the IP address, and its source MAC address is the virtual router's.
    """
    assert tables.network is not None
    data = packet_in.data
    mac = packet.eth_source(data)
    if tables.network.service is Service.L2 and mac not in {gateway.mac for gateway in tables.network.gateways}:
        return packet.eth_destination(data), tables.owner(mac)
    sender = packet.ip_source(data)
    return packet.ip_destination(data), None if sender is None else tables.owner(sender)


def resumption(packet_in: PacketIn) -> int:
    """Where a held packet goes on: what missed, except that a pair of domains is looked up anew with its location.

    The destination's domain may have changed since LOCATION wrote it down; POLICY would miss again and again.
    """
    return LOCATION.number if packet_in.table == POLICY.number else packet_in.table


def asked_for(packet_in: PacketIn) -> str | None:
    """The address that a policy request asks for; None where the packet is no policy request."""
    if packet_in.table == NEIGHBOUR.number:
        return packet.neighbour_target(packet_in.data)
    if packet_in.table not in (LOCATION.number, POLICY.number):
        return None
    if packet_in.read(BY_ADDRESS):
        return packet.ip_destination(packet_in.data)
    return packet.eth_destination(packet_in.data)
