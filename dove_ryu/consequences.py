"""What a change of the world means for the dSwitches: whose standing flows to renew, and what whose cache must forget.

A change reaches exactly the dSwitches that can hold something about it: those that host the network, before or after it
(F22).  A moved endpoint is the exception that the report makes: the dSwitch that it left keeps tombstones, and tells only
those who still send there (F19).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dove_ryu.features import Feature
from dove_ryu.model.entities import Appliance, DSwitch, Location, Policy, PolicyAction, VirtualNetwork
from dove_ryu.model.world import Fact, NetworkTables, World
from dove_ryu.openflow.fields import CACHED_COOKIE, CACHED_MASK, VNI
from dove_ryu.openflow.flow import Flow, FlowChange, FlowDelete, match
from dove_ryu.standing import WHOLE_DSWITCH, Scope, StandingFlows

Effects = dict[int, list[FlowChange]]
"""What to send, by datapath id."""

WHOLE_CACHE = FlowDelete(CACHED_COOKIE, CACHED_MASK)
"""Makes a dSwitch forget every answer."""

ONLY_ANSWERED = (Policy, PolicyAction)
"""What no standing flow tells of, but only answers: a network of thousands of endpoints is not computed anew for it."""


class Consequences:
    """What some changes, taken together, ask for.

    :ivar departures: numbers of endpoints that have left a dSwitch, by datapath id.
    """

    def __init__(self, world: World, features: Sequence[Feature], standing: StandingFlows) -> None:
        self.departures: dict[int, set[int]] = {}
        self._world = world
        self._features = features
        self._standing = standing
        self._tombstones: dict[int, list[Flow]] = {}
        self._scopes: dict[int, set[Scope]] = {}
        self._stale: dict[int, dict[FlowDelete, None]] = {}

    def effects(self) -> Effects:
        """What to send to whom: tombstones, then what the standing flows differ in, then what is to be forgotten."""
        effects: Effects = {}
        for dpid in sorted(self._scopes.keys() | self._stale.keys() | self._tombstones.keys()):
            if dpid in self._standing.connected:
                renewed = self._standing.renew(dpid, self._scopes.get(dpid, ()))
                effects[dpid] = [*self._tombstones.get(dpid, ()), *renewed, *self._stale.get(dpid, ())]
        return {dpid: changes for dpid, changes in effects.items() if changes}

    def renew(self, dpids: Iterable[int], scope: Scope) -> None:
        """Compute a scope of some dSwitches anew."""
        for dpid in dpids:
            self._scopes.setdefault(dpid, set()).add(scope)

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
        elif tables is not None and not isinstance(entity, Appliance):
            self._touch_network(fact, tables, hosts)

    def _touch_network(self, fact: Fact, tables: NetworkTables, hosts: set[int]) -> None:
        after = tables.hosts()
        if not isinstance(fact.either, ONLY_ANSWERED):
            self.renew(hosts | after, tables.name)
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
        vnis = {side.vni for side in (fact.before, fact.after) if isinstance(side, VirtualNetwork)}
        for rival in self._world.networks():
            if rival is not tables and rival.network is not None and rival.network.vni in vnis:
                self.renew(rival.hosts(), rival.name)
                self.forget_fact(rival.hosts(), tables, fact)

    def _touch_dswitch(self, dpid: int) -> None:
        """Every entry that leads to a dSwitch is stale when the way to it changes, and all of its own are."""
        self.renew({dpid}, WHOLE_DSWITCH)
        self.forget({dpid}, WHOLE_CACHE)
        for tables in self._world.hosted(dpid):
            for name in sorted(tables.hosted[dpid]):
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
            tombstones = self._tombstones.setdefault(before.dpid, [])
            for feature in self._features:
                tombstones.extend(feature.depart(self._world, before.dpid, tables, endpoint))
            self.departures.setdefault(before.dpid, set()).add(endpoint.number)
        return {before.dpid, after.dpid}

    def _outdated(self, tables: NetworkTables, fact: Fact) -> Iterator[FlowDelete]:
        if isinstance(fact.either, VirtualNetwork):
            for side in (fact.before, fact.after):
                if isinstance(side, VirtualNetwork):
                    yield _whole_network(side)
        elif tables.network is not None:
            for feature in self._features:
                yield from feature.stale(tables, fact)


def _whole_network(network: VirtualNetwork) -> FlowDelete:
    return FlowDelete(CACHED_COOKIE, CACHED_MASK, None, match({VNI: network.vni}))
