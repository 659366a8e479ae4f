"""What a change of the world means for the dSwitches: which standing flows to renew, and what whose cache must forget.

What standing flows are built on is told before a change (:func:`built_on`), because they are not kept; what caches must
forget follows from the facts that come out of it.  A change reaches exactly the dSwitches that can hold something about
it: those that host the network, or an appliance that its packets pass, before it or after it (F22).  A moved endpoint is
the exception that the report makes: the dSwitch that it left keeps tombstones, and tells only those who still send there
(F19).  Of a network with stateful policies all are told (X7).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

from dove_ryu.features import Feature
from dove_ryu.model.appliances import Appliance, Health, Seat
from dove_ryu.model.entities import (
    DSwitch,
    Endpoint,
    Entity,
    Learned,
    Location,
    Policy,
    PolicyAction,
    PolicyDomain,
    Segment,
    VirtualNetwork,
)
from dove_ryu.model.facts import Change, Fact
from dove_ryu.model.pools import outline
from dove_ryu.model.provider import PROVIDED
from dove_ryu.model.qos import Rate
from dove_ryu.model.tables import NetworkTables
from dove_ryu.model.world import World
from dove_ryu.openflow.fields import CACHED_COOKIE, CACHED_MASK, VNI
from dove_ryu.openflow.flow import Flow, FlowChange, FlowDelete
from dove_ryu.openflow.match import match
from dove_ryu.standing import WHOLE_DSWITCH, Parts, Scope, StandingFlows, appliance_scope

Effects = dict[int, list[FlowChange]]
"""What to send, by datapath id."""

WHOLE_CACHE = FlowDelete(CACHED_COOKIE, CACHED_MASK)
"""Makes a dSwitch forget every answer."""


class Consequences:
    """What some changes, taken together, ask for.  It is made before they happen.

    :param parts: those whose standing flows the changes can make others.
    :ivar tombstones: what dSwitches hold from now on for endpoints that have left them, by datapath id.
    """

    def __init__(self, world: World, features: Sequence[Feature], standing: StandingFlows, parts: Parts) -> None:
        self.tombstones: dict[int, list[Flow]] = {}
        self._world = world
        self._features = features
        self._standing = standing
        self._renewal = standing.renewal(parts)
        self._stale: dict[int, dict[FlowDelete, None]] = {}

    def effects(self) -> Effects:
        """What to send to whom: tombstones, then what the standing flows differ in, then what is to be forgotten."""
        effects: Effects = {}
        renewed = self._renewal.differences()
        for dpid in sorted((renewed.keys() | self._stale.keys() | self.tombstones.keys()) & self._standing.connected):
            standing, stale = renewed.get(dpid, ()), self._stale.get(dpid, ())
            effects[dpid] = [*self.tombstones.get(dpid, ()), *standing, *stale]
        return {dpid: changes for dpid, changes in effects.items() if changes}

    def forget(self, dpids: Iterable[int], deletion: FlowDelete) -> None:
        """Let some dSwitches delete something from their caches."""
        for dpid in dpids:
            self._stale.setdefault(dpid, {})[deletion] = None

    def forget_fact(self, dpids: Iterable[int], tables: NetworkTables, fact: Fact) -> None:
        """Let some dSwitches forget what a fact makes stale."""
        told = set(dpids)
        for deletion in self._outdated(tables, fact):
            self.forget(told, deletion)

    def touch(self, fact: Fact, tables: NetworkTables | None, hosts: set[int]) -> None:
        """Take in a fact about the network of *tables*, which *hosts* hosted before it."""
        entity = fact.either
        if isinstance(entity, DSwitch):
            self._touch_dswitch(entity.dpid)
        elif isinstance(entity, Appliance):
            if not _same_outline(fact.before, fact.after):
                self._touch_appliance(entity.name)
                self._vacate(entity.name, fact)
        elif isinstance(entity, Seat):  # what is cached leads to segments, wherever these lead
            self._vacate(entity.appliance, fact)
        elif not isinstance(entity, Health):  # of which only standing flows are made
            assert tables is not None, "what is in a network has tables"
            self._touch_network(fact, tables, hosts)

    def _touch_network(self, fact: Fact, tables: NetworkTables, hosts: set[int]) -> None:
        after = tables.hosts()
        self._welcome(fact, tables)
        self.forget_fact(self._affected(fact, tables, hosts | after), tables, fact)
        if tables.network is not None:
            self.forget(hosts - after, _whole_network(tables.network))
        if isinstance(fact.either, VirtualNetwork):
            self._touch_rivals(fact, tables)

    def _welcome(self, fact: Fact, tables: NetworkTables) -> None:
        """An endpoint comes to a dSwitch, maybe back."""
        before, after = fact.before, fact.after
        endpoint = tables.endpoints.get(after.endpoint) if isinstance(after, Location) else None
        if isinstance(after, Location) and endpoint is not None:
            new = after.dpids - (before.dpids if isinstance(before, Location) else frozenset())
            for deletion in (each for feature in self._features for each in feature.arrive(endpoint)):
                self.forget(new, deletion)

    def _touch_rivals(self, fact: Fact, tables: NetworkTables) -> None:
        """Other networks that claim the same VNI may now have it, or no longer."""
        for rival in _claimants(self._world, fact.before, fact.after):
            if rival is not tables:
                self.forget_fact(rival.hosts(), tables, fact)

    def _touch_appliance(self, name: str) -> None:
        """What policies say that lead through an appliance may be another thing now."""
        for tables in self._world.tables.values():
            for action in tables.actions.values():
                if action.appliance == name:
                    self.forget_fact(tables.hosts(), tables, Fact(action, action))

    def _vacate(self, name: str, fact: Fact) -> None:
        """An appliance's instances may have left dSwitches, where nobody needs to know of its networks any more."""
        places = _places(self._world, fact.before) | _places(self._world, fact.after)
        for tables in self._world.chained():
            if tables.network is not None and any(segment.appliance == name for segment in tables.segments.values()):
                self.forget(places - tables.hosts(), _whole_network(tables.network))

    def _touch_dswitch(self, dpid: int) -> None:
        """Every entry that leads to a dSwitch is stale when the way to it changes, and all of its own are."""
        self.forget({dpid}, WHOLE_CACHE)
        for tables in self._world.hosted(dpid):
            for name in tables.hosted[dpid]:
                place = tables.locations[name]
                self.forget_fact(tables.hosts(), tables, Fact(place, place))

    def _affected(self, fact: Fact, tables: NetworkTables, hosts: set[int]) -> set[int]:
        """Who forgets what a fact makes stale: every host of the network, except when an endpoint moves."""
        before, after = fact.before, fact.after
        if not isinstance(before, Location) or not isinstance(after, Location):
            return hosts
        if (before.dpid, before.port) == (after.dpid, after.port):
            return set()
        endpoint = tables.endpoints.get(after.endpoint)
        if endpoint is None or before.dpid not in self._standing.connected:
            return hosts
        if before.dpid != after.dpid:
            departed = (each.depart(self._world, before.dpid, tables, endpoint) for each in self._features)
            tombstones = [flow for flows in departed for flow in flows]
            if not tombstones:
                return hosts
            self.tombstones.setdefault(before.dpid, []).extend(tombstones)
            if tables.network is not None and tables.network.zone:
                return hosts  # what may be a reply only ends where it was, and nobody would hear that it moved
        return {before.dpid, after.dpid}

    def _outdated(self, tables: NetworkTables, fact: Fact) -> Iterator[FlowDelete]:
        if isinstance(fact.either, Segment):  # it is as if its policy had changed
            policy = tables.policies.get(fact.either.policy)
            if policy is None:
                return
            fact = Fact(policy, policy)
        if isinstance(fact.either, VirtualNetwork):
            for side in (fact.before, fact.after):
                if isinstance(side, VirtualNetwork):
                    yield _whole_network(side)
        elif tables.network is not None:
            for feature in self._features:
                yield from feature.stale(tables, fact)


def built_on(world: World, changes: Collection[Change]) -> Parts:
    """The parts whose standing flows some changes, which are yet to happen, can make others.

    Whatever else must be renewed because a change leads to another names itself: each endpoint, location or network
    that the changes are about is among them.
    """
    parts: Parts = {}
    chained, limited = Chained(world, changes), Limited(world, changes)
    for change in changes:
        before = world.present(change)
        if before != change.entity:
            parts_of_it = (
                *_built_on(world, change, before),
                *chained.built_on(change),
                *limited.built_on(change, before),
            )
            for dpid, scope, names in parts_of_it:
                parts.setdefault(dpid, {}).setdefault(scope, set()).update(names)
    return parts


Part = tuple[int, Scope, Collection[str]]


def _built_on(world: World, change: Change, before: Entity | None) -> Iterator[Part]:
    if change.kind is DSwitch:
        yield from _on_dswitch(world, int(change.name, 16))
    elif change.kind in (Appliance, Seat):
        for dpid in _places(world, before) | _places(world, change.entity):
            yield dpid, WHOLE_DSWITCH, ()
    elif change.kind is VirtualNetwork:
        own = world.tables.get(change.network)
        for tables in (*_claimants(world, before, change.entity), *([] if own is None else [own])):
            for dpid in tables.hosts():
                yield dpid, tables.name, tables.hosted.get(dpid, ())
    elif change.kind is Location:
        for place in (before, change.entity):
            for dpid in place.dpids if isinstance(place, Location) else ():
                yield dpid, change.network, (change.name,)
    elif change.network in world.tables:
        tables = world.tables[change.network]
        members: Collection[str] = ()
        if change.kind in (Endpoint, Learned):
            members = (change.name,)
        elif change.kind is PolicyDomain:
            members = [endpoint.name for endpoint in tables.endpoints.values() if endpoint.domain == change.name]
        for place in filter(None, map(tables.locations.get, members)):
            for dpid in place.dpids:
                yield dpid, change.network, (place.endpoint,)


def _on_dswitch(world: World, dpid: int) -> Iterator[Part]:
    """What is built on where a dSwitch's tunnels end: its own flows, and copies for endpoints that are on the move."""
    yield dpid, WHOLE_DSWITCH, ()
    for place in world.located(dpid):
        for each in place.dpids if place.migrating_to is not None else ():
            yield each, place.network, (place.endpoint,)


class Limited:
    """What is built on policies that limit what is sent: the meters of their senders.

    A batch may bring a policy before the action that limits it, so that it is looked at as a whole.

    :param changes: the batch.
    """

    def __init__(self, world: World, changes: Iterable[Change]) -> None:
        self._world = world
        self._coming = {(each.network, each.name) for each in changes if _is_limit(each.entity)}

    def built_on(self, change: Change, before: Entity | None) -> Iterator[Part]:
        """What a change can make others: the flows of who sends under a policy that it is about."""
        tables = self._world.tables.get(change.network)
        if tables is None or change.kind not in (Policy, PolicyAction, PolicyDomain):
            return
        concerned = [each for each in (before, change.entity) if isinstance(each, Policy)]
        if change.kind is PolicyAction:
            concerned = [policy for policy in tables.policies.values() if change.name in policy.actions]
        elif change.kind is PolicyDomain:
            concerned = [each for each in tables.policies.values() if change.name in (each.source, each.destination)]
        senders = {policy.source for policy in concerned if self._limits(tables, policy)}
        for dpid, names in tables.hosted.items() if senders else ():
            yield dpid, tables.name, [name for name in names if _domain_of(tables, name) in senders]

    def _limits(self, tables: NetworkTables, policy: Policy) -> bool:
        """Whether a policy limits what is sent, or may after the batch."""
        return policy.rate is not None or any(
            _is_limit(tables.actions.get(name)) or (tables.name, name) in self._coming for name in policy.actions
        )


def _is_limit(action: Entity | None) -> bool:
    return isinstance(action, PolicyAction) and isinstance(action.config, Rate)


def _domain_of(tables: NetworkTables, endpoint: str) -> str | None:
    known = tables.endpoints.get(endpoint)
    return None if known is None else known.domain


class Chained:
    """What of the networks that have service chains, or will have, is built on what.

    A batch may bring an appliance and the segments to it in any order, so that it is looked at as a whole.

    :param changes: the batch.
    """

    def __init__(self, world: World, changes: Iterable[Change]) -> None:
        self._world = world
        self._places: dict[str, set[int]] = {}
        self._uses: dict[str, set[str]] = {}
        self._moves: Counter[str] = Counter()
        for change in changes:
            self._moves[change.network] += change.kind is Location
            if isinstance(change.entity, Segment):
                self._uses.setdefault(change.network, set()).add(change.entity.appliance)
            elif isinstance(change.entity, Appliance | Seat):
                name = _appliance_of(change)
                self._places.setdefault(name, set()).update(_places(world, change.entity))

    def built_on(self, change: Change) -> Iterator[Part]:
        """What a change can make others: all of a network's chains, at every dSwitch that can hold them."""
        networks: Iterable[str] = ()
        if change.kind in (VirtualNetwork, PolicyDomain, PolicyAction, Policy, Segment):
            networks = (change.network,)
        elif change.kind is DSwitch or change.kind in PROVIDED:
            networks = {*self._uses, *(tables.name for tables in self._world.chained())}
        # Segments lead to an appliance however it is, and whichever of its instances have which slots.
        inner = change.kind is Health or _same_outline(self._world.present(change), change.entity)
        for network in networks:
            used = self._used(network)
            if not used or (change.kind in PROVIDED and _appliance_of(change) not in used):
                continue
            for dpid in self._holders(network, used):
                if inner:
                    yield dpid, appliance_scope(_appliance_of(change)), ()
                else:  # where an appliance is packets go on to all others
                    yield dpid, network, ()
                    yield from ((dpid, appliance_scope(name), ()) for name in used)
        if change.kind is Location:
            yield from self._hosting(change)

    def _hosting(self, change: Change) -> Iterator[Part]:
        """A dSwitch that comes to host a network, or no longer does, sends its packets to the network's appliances."""
        tables = self._world.tables.get(change.network)
        for place in (self._world.present(change), change.entity):
            for dpid in place.dpids if isinstance(place, Location) else ():
                hosted = () if tables is None else tables.hosted.get(dpid, ())
                if len(hosted) <= self._moves[change.network]:  # otherwise others are there, before and after
                    yield from ((dpid, appliance_scope(name), ()) for name in self._used(change.network))

    def _used(self, network: str) -> set[str]:
        """The appliances that a network's segments lead to, or will."""
        tables = self._world.tables.get(network)
        segments = () if tables is None else tables.segments.values()
        return {segment.appliance for segment in segments} | self._uses.get(network, set())

    def _holders(self, network: str, used: Iterable[str]) -> set[int]:
        tables = self._world.tables.get(network)
        holders = self._world.provider.dpids(used) | (set() if tables is None else tables.hosts())
        return holders.union(*(self._places.get(name, ()) for name in used))


def _same_outline(before: Entity | None, after: Entity | None) -> bool:
    """Whether an appliance has changed in nothing that anything but its own flows is built on."""
    return isinstance(before, Appliance) and isinstance(after, Appliance) and outline(before) == outline(after)


def _appliance_of(change: Change) -> str:
    """The name of the appliance that a change of something of the provider's is about."""
    return change.name.partition("/")[0]


def _places(world: World, side: Entity | None) -> set[int]:
    """The dSwitches where instances are by what an appliance's entry says, or a seat."""
    match side:
        case Seat():
            return {side.dpid} if side.former is None else {side.dpid, side.former.dpid}
        case Appliance():
            return {seat.dpid for seat in world.provider.seats_of(side)}
    return set()


def _claimants(world: World, *sides: Entity | None) -> Iterator[NetworkTables]:
    """The networks that say they have a VNI that one of some networks' entries says."""
    for vni in sorted({side.vni for side in sides if isinstance(side, VirtualNetwork)}):
        yield from world.claimants(vni)


def _whole_network(network: VirtualNetwork) -> FlowDelete:
    return FlowDelete(CACHED_COOKIE, CACHED_MASK, None, match({VNI: network.vni}))
