"""The standing flows of every connected dSwitch: what it should hold whatever its endpoints talk about.

They are a function of the world, and the world is all that is kept: the flows of a million hosted endpoints would take
ten times its memory.  So what a change replaces is computed when it is about to happen, what takes its place when it
has happened, and the difference is sent.  That is affordable because a change touches few *parts*: a dSwitch's own
flows, those that lead to one appliance, or those of some endpoints of one network that are at a dSwitch, with the flows
that the dSwitch has for the network as soon as anything of it is there.  A full computation from the world is the truth,
and renewing parts comes to the same.

Two endpoints may claim one flow for a moment, as when a port or an address changes hands.  The first in the alphabet,
by network and name, then has it, so whoever may claim the flows of a part is renewed with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from dove_ryu.collector import collector_resting
from dove_ryu.features import Feature, hosted
from dove_ryu.model.tables import NetworkTables
from dove_ryu.model.world import World
from dove_ryu.openflow.flow import Flow, FlowChange, FlowKey
from dove_ryu.openflow.pipeline import miss_flows
from dove_ryu.openflow.plan import by_key, plan

Scope = str
"""A network's name, :data:`WHOLE_DSWITCH` or an :func:`appliance_scope`."""

WHOLE_DSWITCH: Scope = ""
"""The flows of a dSwitch that hosts nothing."""


def appliance_scope(name: str) -> Scope:
    """The flows of a dSwitch towards an appliance, which networks have in common."""
    return f"/{name}"  # no network is called so


Parts = dict[int, dict[Scope, set[str]]]
"""Names of endpoints, by the network that they are in, by the datapath id of a dSwitch where they are or may be."""

Flows = dict[FlowKey, Flow]


class StandingFlows:
    """The standing flows of dSwitches.

    :ivar connected: the datapath ids of the dSwitches that are told of changes.
    """

    def __init__(self, world: World, features: Sequence[Feature]) -> None:
        self.connected: frozenset[int] = frozenset()
        self._world = world
        self._features = features

    def compute(self, dpid: int) -> list[Flow]:
        """All of a dSwitch's, from nothing but the world."""
        with collector_resting():
            return list(self._all(dpid).values())

    def begin(self, dpid: int, installed: Iterable[Flow], cached: Iterable[Flow]) -> list[FlowChange]:
        """A dSwitch that holds *installed* flows, and may go on with *cached* ones, connects: what makes it right."""
        self.connected |= {dpid}
        with collector_resting():
            return plan(by_key(cached) | self._all(dpid), by_key(installed))

    def end(self, dpid: int) -> None:
        """A dSwitch is no longer told of changes."""
        self.connected -= {dpid}

    def renewal(self, parts: Parts) -> Renewal:
        """Remember some parts as they are, because the world or a dSwitch's ports are about to change."""
        return Renewal(self._world, self, parts)

    def _all(self, dpid: int) -> Flows:
        passed = {tables.name: () for tables in self._world.chained()}
        towards = {appliance_scope(name): () for name in self._world.appliances_at(dpid)}
        located = {tables.name: tables.hosted[dpid] for tables in self._world.hosted(dpid)}
        return self.of(dpid, {WHOLE_DSWITCH: (), **towards, **passed, **located})

    def of(self, dpid: int, parts: Mapping[Scope, Collection[str]]) -> Flows:
        """The flows of some parts at a dSwitch."""
        flows: Flows = {}
        for scope in sorted(parts):
            for flow in self._scope(dpid, scope, parts[scope]):
                flows.setdefault(flow.key, flow)
        return flows

    def _scope(self, dpid: int, scope: Scope, names: Collection[str]) -> Iterator[Flow]:
        if scope == WHOLE_DSWITCH:
            yield from miss_flows()
            for feature in self._features:
                yield from feature.dswitch_flows(self._world, dpid)
            return
        if scope.startswith(appliance_scope("")):
            yield from self._towards(dpid, scope.removeprefix(appliance_scope("")))
            return
        tables = self._world.network(scope)
        if tables is None or tables.network is None or self._world.network_of_vni(tables.network.vni) is not tables:
            return
        if tables.segments and dpid in tables.hosts():
            for feature in self._features:
                yield from feature.chain_flows(self._world, dpid, tables)
        if dpid in tables.hosted:
            part = tables.with_only(dpid, (name for name in sorted(names) if tables.is_at(name, dpid)))
            for feature in self._features:
                yield from feature.network_flows(self._world, dpid, part)
            for here in hosted(self._world, dpid, part):
                for feature in self._features:
                    yield from feature.endpoint_flows(self._world, dpid, part, here)

    def _towards(self, dpid: int, name: str) -> Iterator[Flow]:
        appliance = self._world.appliances.get(name)
        if appliance is not None and self._world.is_used_at(name, dpid):
            for feature in self._features:
                yield from feature.appliance_flows(self._world, dpid, appliance)


class Renewal:
    """Parts of dSwitches as they were, and what they have become."""

    def __init__(self, world: World, standing: StandingFlows, parts: Parts) -> None:
        self._world = world
        self._standing = standing
        self._parts = {dpid: scopes for dpid, scopes in parts.items() if dpid in standing.connected}
        self._widen()
        self._before = {dpid: standing.of(dpid, scopes) for dpid, scopes in self._parts.items()}

    def differences(self) -> dict[int, list[FlowChange]]:
        """What each dSwitch is to be told, now that the world has changed."""
        for dpid, rivals in self._widen().items():
            # Who is a rival only now has not changed itself: what it claims it claimed before.
            self._before[dpid] = self._standing.of(dpid, rivals) | self._before[dpid]
        after = {dpid: self._standing.of(dpid, scopes) for dpid, scopes in self._parts.items()}
        return {dpid: plan(flows, self._before[dpid]) for dpid, flows in after.items()}

    def _widen(self) -> Parts:
        """Take in who else may claim flows of the parts; only those that are new."""
        new: Parts = {}
        for dpid, scopes in self._parts.items():
            for network, name in _rivals(self._world, dpid, scopes):
                if name not in scopes.setdefault(network, set()):
                    scopes[network].add(name)
                    new.setdefault(dpid, {}).setdefault(network, set()).add(name)
        return new


def _rivals(world: World, dpid: int, scopes: Mapping[Scope, Collection[str]]) -> set[tuple[str, str]]:
    """The endpoints at a dSwitch that have a port in common with one of some parts, or an address within a network."""
    found: set[tuple[str, str]] = set()
    ports: set[str | None] = set()
    for tables in filter(None, map(world.tables.get, scopes)):
        names = [name for name in scopes[tables.name] if tables.is_at(name, dpid)]
        ports |= {tables.locations[name].port_at(dpid) for name in names}
        found |= {(tables.name, name) for name in _sharers(tables, names) if tables.is_at(name, dpid)}
    if ports:
        found |= {(place.network, place.endpoint) for place in world.located(dpid) if place.port_at(dpid) in ports}
    return found


def _sharers(tables: NetworkTables, names: Iterable[str]) -> Iterator[str]:
    """Who has an address of one of some endpoints."""
    for endpoint in filter(None, map(tables.endpoints.get, names)):
        for address in (*endpoint.macs, *endpoint.ips):
            yield from tables.owners.claimants(address)
