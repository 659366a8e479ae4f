"""The standing flows of every connected dSwitch: what it should hold whatever its endpoints talk about.

They fall into scopes: one for what a dSwitch needs in any case, one for each network that it hosts.  A change renews
the scopes that it touches.  A full computation from the world is the truth, and renewing comes to the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dove_ryu.features import Feature
from dove_ryu.model.world import World
from dove_ryu.openflow.flow import Flow, FlowChange, FlowKey
from dove_ryu.openflow.pipeline import miss_flows
from dove_ryu.openflow.plan import plan

Scope = str
"""A network's name, or :data:`WHOLE_DSWITCH`."""

WHOLE_DSWITCH: Scope = ""


class StandingFlows:
    """Standing flows by dSwitch and scope."""

    def __init__(self, world: World, features: Sequence[Feature]) -> None:
        self._world = world
        self._features = features
        self._flows: dict[int, dict[Scope, dict[FlowKey, Flow]]] = {}

    @property
    def connected(self) -> frozenset[int]:
        """The datapath ids of the dSwitches whose flows are kept."""
        return frozenset(self._flows)

    def compute(self, dpid: int) -> list[Flow]:
        """All of a dSwitch's, from nothing but the world."""
        return _first_claims(self._compute(dpid, scope) for scope in self._scopes(dpid))

    def begin(self, dpid: int, installed: Iterable[Flow], cached: Iterable[Flow]) -> list[FlowChange]:
        """Keep those of a dSwitch that holds *installed* flows and may go on with *cached* ones; what makes it right."""
        self._flows[dpid] = {scope: self._compute(dpid, scope) for scope in self._scopes(dpid)}
        standing = _first_claims(flows for _, flows in sorted(self._flows[dpid].items()))
        return plan([*cached, *standing], installed)

    def end(self, dpid: int) -> None:
        """Keep a dSwitch's no longer."""
        self._flows.pop(dpid, None)

    def renew(self, dpid: int, scopes: Iterable[Scope]) -> list[FlowChange]:
        """Compute some scopes of a dSwitch anew; the difference to those before."""
        kept, present = self._flows[dpid], self._scopes(dpid)
        renewed = {scope: self._compute(dpid, scope) if scope in present else {} for scope in scopes}
        changed = {key for scope in renewed for key, _ in renewed[scope].items() ^ kept.get(scope, {}).items()}
        before = self._claimed(dpid, changed)
        kept |= renewed
        for scope in renewed.keys() - set(present):
            del kept[scope]
        return plan(self._claimed(dpid, changed), before)

    def _claimed(self, dpid: int, keys: Iterable[FlowKey]) -> list[Flow]:
        """The flows of some keys, each from the first scope that claims it."""
        scopes = [flows for _, flows in sorted(self._flows[dpid].items())]
        found = (next((flows[key] for flows in scopes if key in flows), None) for key in keys)
        return [flow for flow in found if flow is not None]

    def _scopes(self, dpid: int) -> list[Scope]:
        return [WHOLE_DSWITCH, *(tables.name for tables in self._world.hosted(dpid))]

    def _compute(self, dpid: int, scope: Scope) -> dict[FlowKey, Flow]:
        if scope == WHOLE_DSWITCH:
            own = (flow for feature in self._features for flow in feature.dswitch_flows(self._world, dpid))
            return {flow.key: flow for flow in (*miss_flows(), *own)}
        tables = self._world.network(scope)
        if tables is None or tables.network is None or self._world.network_of_vni(tables.network.vni) is not tables:
            return {}
        flows = [flow for feature in self._features for flow in feature.network_flows(self._world, dpid, tables)]
        return {flow.key: flow for flow in reversed(flows)}


def _first_claims(scopes: Iterable[dict[FlowKey, Flow]]) -> list[Flow]:
    """The flows of all scopes; one that several claim, as when a port changes hands, is the first's in the alphabet."""
    flows: dict[FlowKey, Flow] = {}
    for scope in scopes:
        for key, flow in scope.items():
            flows.setdefault(key, flow)
    return list(flows.values())
