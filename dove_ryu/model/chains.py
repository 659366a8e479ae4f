"""Service chains: through which appliances a policy leads, and over which segments (report, section 4; F16, F17).

A chain is there as a whole or not at all.  What it lacks is said in a sentence, and as long as anything is lacking the
policy denies: no packet ever goes around an appliance, unless this is one that may be left out when it fails.
"""

from __future__ import annotations

from dataclasses import dataclass

from dove_ryu.model.appliances import Appliance, Sharing
from dove_ryu.model.entities import Policy, PolicyAction, Segment, segment_name
from dove_ryu.model.pools import able
from dove_ryu.model.tables import NetworkTables

MOST_ACTIONS = 8
"""How many actions a policy may have: a packet crosses the underlay at most once more than it has appliances."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One appliance of a chain."""

    action: PolicyAction
    segment: Segment
    appliance: Appliance


def path(tables: NetworkTables, policy: Policy | None) -> tuple[PolicyAction, ...]:
    """The actions of *policy* that an appliance performs, in order (F16)."""
    actions = () if policy is None else (tables.action(name) for name in policy.actions)
    return tuple(action for action in actions if action is not None and action.needs_appliance)


def chain(tables: NetworkTables, policy: Policy) -> tuple[Hop, ...] | str:
    """The hops of a policy, none where it leads through no appliance; or what it lacks."""
    hops = []
    for number, action in enumerate(path(tables, policy), 1):
        hop = _hop(tables, policy, number, action)
        if isinstance(hop, str):
            return hop
        hops.append(hop)
    return tuple(hops)


def _hop(tables: NetworkTables, policy: Policy, number: int, action: PolicyAction) -> Hop | str:
    if policy.source is None:
        return f"needs a source domain, which no default policy has, to let packets go on after action '{action.name}'"
    appliance = tables.provider.appliances.get(action.appliance or "")
    if appliance is None:
        called = "an appliance" if action.appliance is None else f"appliance '{action.appliance}'"
        return f"needs {called} for its action '{action.name}', and none is registered"
    segment = tables.segments.get(segment_name(policy.name, number))
    dedicated = appliance.sharing is Sharing.DEDICATED
    if segment is None or segment.appliance != appliance.name or (segment.vlan == 0) is not dedicated:
        return (
            f"has no segment to appliance '{appliance.name}' for its action '{action.name}'; apply the blueprint again"
        )
    if not appliance.tap and not able(appliance):
        return (
            f"needs an instance of appliance '{appliance.name}' for its action '{action.name}', and none takes packets"
        )
    return Hop(action, segment, appliance)
