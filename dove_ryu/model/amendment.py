"""From a blueprint to the least changes that make a network what it says.

What stays keeps its number, and with it its flows; what is new gets a number that nothing ever had.  A policy's
tracking number rises by one exactly when dSwitches that cached it would now act otherwise (F32).  A segment keeps its
label and its VLAN for as long as its policy has the same appliance at the same place; what is given up is given out
again only when all others have been, so that a packet that is still on its way under it meets nobody else's flow.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from dove_ryu.model.appliances import PROBE_VLAN, Appliance, Sharing
from dove_ryu.model.blueprint import HIGHEST_VNI, Blueprint, BlueprintError
from dove_ryu.model.entities import (
    BUILT_IN_KINDS,
    FIRST_REPLY_LABEL,
    Endpoint,
    Entity,
    Policy,
    PolicyAction,
    PolicyDomain,
    Segment,
    Verdict,
    VirtualNetwork,
    segment_name,
)
from dove_ryu.model.facts import Change
from dove_ryu.model.reading import Problem
from dove_ryu.model.tables import NetworkTables

HIGHEST_NUMBER = (1 << 28) - 1
"""What a cookie has room for."""

FIRST_LABEL, LAST_LABEL = HIGHEST_VNI + 1, FIRST_REPLY_LABEL - 1
"""Segment labels: the upper half of what tunnels can carry, but for the labels of replies."""

LAST_ZONE = (1 << 16) - 1

LAST_VLAN = PROBE_VLAN - 1

DEFAULT_ACTIONS = {Verdict.ALLOW: ("accept",), Verdict.DENY: ("deny",)}
"""The actions of a default policy."""


class Exhausted(RuntimeError):
    """No number is left to give to something new; the message says of which kind."""


class Numbers:
    """Hands out numbers, VNIs, labels and VLANs; keep :meth:`document` in the same commit as what they were given to.

    :param document: as kept under :data:`dove_ryu.model.documents.ALLOCATION_KEY`; None before the first commit.
    :param vni_taken: whether a network has that VNI.
    :param label_taken: whether a segment has that label.
    :param vlan_taken: whether a segment has that VLAN, 0 for none, at the appliance of that name.
    :param zone_taken: whether a network has that zone.
    """

    def __init__(
        self,
        document: Mapping[str, Any] | None = None,
        vni_taken: Callable[[int], bool] = lambda vni: False,
        label_taken: Callable[[int], bool] = lambda label: False,
        vlan_taken: Callable[[str, int], bool] = lambda appliance, vlan: False,
        zone_taken: Callable[[int], bool] = lambda zone: False,
    ) -> None:
        document = document or {}
        self.next_number: int = document.get("next_number", 1)
        self.next_vni: int = document.get("next_vni", 1)
        self.next_label: int = document.get("next_label", FIRST_LABEL)
        self.next_vlan: dict[str, int] = dict(document.get("next_vlan", {}))
        self.next_zone: int = document.get("next_zone", 1)
        self._vni_taken = vni_taken
        self._label_taken = label_taken
        self._vlan_taken = vlan_taken
        self._zone_taken = zone_taken
        self._vlans: set[tuple[str, int]] = set()

    def document(self) -> dict[str, Any]:
        """What to keep, so that no number is given twice."""
        return {
            "next_number": self.next_number,
            "next_vni": self.next_vni,
            "next_label": self.next_label,
            "next_vlan": dict(self.next_vlan),
            "next_zone": self.next_zone,
        }

    def number(self) -> int:
        """A number that nothing ever had."""
        number = self.next_number
        if number > HIGHEST_NUMBER:
            raise Exhausted(f"all {HIGHEST_NUMBER} numbers have been given out; start a new store")
        self.next_number += 1
        return number

    def vni(self) -> int:
        """A VNI that no network has, the one longest unused first."""
        vni, self.next_vni = _longest_unused(1, HIGHEST_VNI, self.next_vni, self._vni_taken)
        if not vni:
            raise Exhausted(f"all {HIGHEST_VNI} VNIs are in use; delete a network")
        return vni

    def zone(self) -> int:
        """A zone that no network has, the one longest unused first."""
        zone, self.next_zone = _longest_unused(1, LAST_ZONE, self.next_zone, self._zone_taken)
        if not zone:
            raise Exhausted(
                f"all {LAST_ZONE} zones of connection tracking are in use; delete a network that is stateful"
            )
        return zone

    def label(self) -> int:
        """A label that no segment has, the one longest unused first; they go in pairs, of which this is the even one."""
        first, last = FIRST_LABEL // 2, LAST_LABEL // 2
        pair, following = _longest_unused(first, last, self.next_label // 2, lambda pair: self._label_taken(2 * pair))
        if not pair:
            raise Exhausted(f"all {last - first + 1} segment labels are in use; delete a chained policy")
        self.next_label = 2 * following
        return 2 * pair

    def vlan(self, appliance: Appliance, released: bool = False) -> int:
        """A VLAN that no segment has at an appliance, the one longest unused first; 0 for a dedicated one.

        :raises BlueprintError: when a dedicated one has a segment.
        :param released: whether the one segment of a dedicated appliance is about to go.
        """
        name = appliance.name
        if appliance.sharing is Sharing.DEDICATED:
            if not released and ((name, 0) in self._vlans or self._vlan_taken(name, 0)):
                message = f"appliance '{name}' is dedicated to another policy or hop; share it by VLAN or name another"
                raise BlueprintError(Problem("policies", message))
            self._vlans.add((name, 0))
            return 0

        def taken(vlan: int) -> bool:
            return (name, vlan) in self._vlans or self._vlan_taken(name, vlan)

        vlan, self.next_vlan[name] = _longest_unused(1, LAST_VLAN, self.next_vlan.get(name, 1), taken)
        if not vlan:
            raise Exhausted(f"all {LAST_VLAN} VLANs of appliance '{name}' are in use; add another appliance")
        self._vlans.add((name, vlan))
        return vlan


def _longest_unused(first: int, last: int, start: int, taken: Callable[[int], bool]) -> tuple[int, int]:
    """The first from *start* on, and around, that is not taken, and the one after it; 0 where all are."""
    count = last - first + 1
    for step in range(count):
        number = (start - first + step) % count + first
        if not taken(number):
            return number, (number - first + 1) % count + first
    return 0, start


def amend(
    tables: NetworkTables | None,
    blueprint: Blueprint,
    numbers: Numbers,
    appliances: Mapping[str, Appliance] | None = None,
) -> list[Change]:
    """The changes after which the network of *tables*, None for a new one, is what *blueprint* says.

    Puts come first, in an order in which nothing refers to what is yet to come; then what is gone, and with an
    endpoint what was said of its location and learned of its addresses.

    :param appliances: those that are registered, by name; None for none.
    """
    tables = tables or NetworkTables(blueprint.network)
    assert tables.name == blueprint.network, "a blueprint amends its own network"
    actions = tuple(_actions(tables, blueprint, numbers))
    wanted: list[Entity] = [
        _network(tables, blueprint, numbers),
        *_domains(tables, blueprint, numbers),
        *actions,
        *_policies(tables, blueprint, _redefined(tables, actions), numbers),
        *_segments(tables, blueprint, appliances or {}, numbers),
        *_endpoints(tables, blueprint, numbers),
    ]
    before = {Change.gone(entity): entity for entity in _written(tables)}
    kept = {Change.gone(entity): entity for entity in wanted}
    puts = [Change.put(entity) for gone, entity in kept.items() if before.get(gone) != entity]
    lost = [gone for gone in before if gone not in kept]
    return [*puts, *lost, *_orphans(tables, {gone.name for gone in lost if gone.kind is Endpoint})]


def remove(tables: NetworkTables) -> list[Change]:
    """The changes after which nothing of the network is there any more, but what its ports say."""
    places = {*tables.locations, *tables.learned}
    return [*map(Change.gone, _written(tables)), *_orphans(tables, places)]


def _written(tables: NetworkTables) -> Iterator[Entity]:
    """What a blueprint says of a network."""
    if tables.network is not None:
        yield tables.network
    yield from tables.domains.values()
    yield from tables.actions.values()
    yield from tables.policies.values()
    yield from tables.segments.values()
    yield from tables.declared.values()


def _orphans(tables: NetworkTables, endpoints: Collection[str]) -> Iterator[Change]:
    """What goes with endpoints that go.

    Not a location that a port's iface-id says: it holds as long as the port says so, and an endpoint that comes
    back under the same name is then where it was.
    """
    for place in tables.locations.values():
        if place.endpoint in endpoints and not place.observed:
            yield Change.gone(place)
    for learned in tables.learned.values():
        if learned.endpoint in endpoints:
            yield Change.gone(learned)


def _network(tables: NetworkTables, blueprint: Blueprint, numbers: Numbers) -> VirtualNetwork:
    known = tables.network
    vni = blueprint.vni or (numbers.vni() if known is None else known.vni)
    zone = 0 if known is None else known.zone
    if not zone and any(plan.stateful for plan in blueprint.policies):
        zone = numbers.zone()
    return VirtualNetwork(blueprint.network, _number(known, numbers), vni, blueprint.service, blueprint.gateways, zone)


def _domains(tables: NetworkTables, blueprint: Blueprint, numbers: Numbers) -> Iterator[PolicyDomain]:
    for name in blueprint.domains:
        yield PolicyDomain(tables.name, name, _number(tables.domains.get(name), numbers))


def _actions(tables: NetworkTables, blueprint: Blueprint, numbers: Numbers) -> Iterator[PolicyAction]:
    for plan in blueprint.actions:
        number = _number(tables.actions.get(plan.name), numbers)
        yield PolicyAction(tables.name, plan.name, number, plan.kind, plan.appliance, plan.config)


def _redefined(tables: NetworkTables, actions: Iterable[PolicyAction]) -> set[str]:
    """The names of actions that are there and no longer mean what they meant."""
    return {action.name for action in actions if tables.actions.get(action.name) not in (None, action)}


def _policies(tables: NetworkTables, blueprint: Blueprint, redefined: set[str], numbers: Numbers) -> Iterator[Policy]:
    name = tables.name
    wanted = [
        Policy(name, plan.source, plan.destination, 0, plan.actions, plan.ttl, 1, plan.dscp, plan.rate, plan.stateful)
        for plan in blueprint.policies
    ]
    wanted.append(Policy(name, None, None, 0, DEFAULT_ACTIONS[blueprint.verdict], blueprint.verdict_ttl))
    for policy in wanted:
        known = tables.policies.get(policy.name)
        if known is None:
            yield replace(policy, number=numbers.number())
            continue
        as_before = replace(policy, number=known.number, tracking=known.tracking)
        same = as_before == known and redefined.isdisjoint(policy.actions)
        yield as_before if same else replace(as_before, tracking=known.tracking + 1)


def _segments(
    tables: NetworkTables, blueprint: Blueprint, appliances: Mapping[str, Appliance], numbers: Numbers
) -> Iterator[Segment]:
    """The segments to all appliances of all policies; one to an appliance that is not registered cannot be."""
    wanted = {segment_name(policy, hop): (policy, hop, each) for policy, hop, each in _hops(blueprint, appliances)}
    kept = {
        name: known for name, known in tables.segments.items() if name in wanted and _leads_to(known, wanted[name][2])
    }
    released = {known.appliance for name, known in tables.segments.items() if name not in kept}
    for name, (policy, hop, appliance) in wanted.items():
        vlan = kept[name].vlan if name in kept else numbers.vlan(appliance, appliance.name in released)
        label = kept[name].label if name in kept else numbers.label()
        released -= set() if name in kept else {appliance.name}
        yield Segment(tables.name, policy, hop, label, appliance.name, vlan)


def _leads_to(segment: Segment, appliance: Appliance) -> bool:
    """Whether a segment leads to an appliance, in the way in which that is shared."""
    dedicated = appliance.sharing is Sharing.DEDICATED
    return segment.appliance == appliance.name and (segment.vlan == 0) is dedicated


def _hops(blueprint: Blueprint, appliances: Mapping[str, Appliance]) -> Iterator[tuple[str, int, Appliance]]:
    """The appliances of all policies, each with the policy's name and the hop that it is."""
    needing = {action.name: action.appliance for action in blueprint.actions if action.kind not in BUILT_IN_KINDS}
    for policy in blueprint.policies:
        for hop, name in enumerate((each for each in policy.actions if each in needing), 1):
            appliance = appliances.get(needing[name] or "")
            if appliance is not None:
                yield policy.name, hop, appliance


def _endpoints(tables: NetworkTables, blueprint: Blueprint, numbers: Numbers) -> Iterator[Endpoint]:
    for plan in blueprint.endpoints:
        number = _number(tables.declared.get(plan.name), numbers)
        yield Endpoint(tables.name, plan.name, number, plan.domain, plan.macs, plan.ips, plan.guard)


def _number(known: _Numbered | None, numbers: Numbers) -> int:
    return numbers.number() if known is None else known.number


_Numbered = VirtualNetwork | PolicyDomain | PolicyAction | Policy | Endpoint
