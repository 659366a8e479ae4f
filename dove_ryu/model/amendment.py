"""From a blueprint to the least changes that make a network what it says.

What stays keeps its number, and with it its flows; what is new gets a number that nothing ever had.  A policy's
tracking number rises by one exactly when dSwitches that cached it would now act otherwise (F32).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from dove_ryu.model.blueprint import HIGHEST_VNI, Blueprint
from dove_ryu.model.entities import (
    Endpoint,
    Entity,
    Policy,
    PolicyAction,
    PolicyDomain,
    Verdict,
    VirtualNetwork,
    policy_name,
)
from dove_ryu.model.world import Change, NetworkTables

HIGHEST_NUMBER = (1 << 28) - 1
"""What a cookie has room for."""

DEFAULT_ACTIONS = {Verdict.ALLOW: ("accept",), Verdict.DENY: ("deny",)}
"""The actions of a default policy."""


class Exhausted(RuntimeError):
    """No number is left to give to something new; the message says of which kind."""


class Numbers:
    """Hands out numbers and VNIs; keep :meth:`document` in the same commit as what they were given to.

    :param document: as kept under :data:`dove_ryu.model.documents.ALLOCATION_KEY`; None before the first commit.
    :param vni_taken: whether a network has that VNI.
    """

    def __init__(
        self,
        document: Mapping[str, Any] | None = None,
        vni_taken: Callable[[int], bool] = lambda vni: False,
    ) -> None:
        document = document or {}
        self.next_number: int = document.get("next_number", 1)
        self.next_vni: int = document.get("next_vni", 1)
        self._vni_taken = vni_taken

    def document(self) -> dict[str, Any]:
        """What to keep, so that no number is given twice."""
        return {"next_number": self.next_number, "next_vni": self.next_vni}

    def number(self) -> int:
        """A number that nothing ever had."""
        number = self.next_number
        if number > HIGHEST_NUMBER:
            raise Exhausted(f"all {HIGHEST_NUMBER} numbers have been given out; start a new store")
        self.next_number += 1
        return number

    def vni(self) -> int:
        """A VNI that no network has, the one longest unused first."""
        for step in range(HIGHEST_VNI):
            vni = (self.next_vni - 1 + step) % HIGHEST_VNI + 1
            if not self._vni_taken(vni):
                self.next_vni = vni % HIGHEST_VNI + 1
                return vni
        raise Exhausted(f"all {HIGHEST_VNI} VNIs are in use; delete a network")


def amend(tables: NetworkTables | None, blueprint: Blueprint, numbers: Numbers) -> list[Change]:
    """The changes after which the network of *tables*, None for a new one, is what *blueprint* says.

    Puts come first, in an order in which nothing refers to what is yet to come; then what is gone, and with an
    endpoint what was said of its location and learned of its addresses.
    """
    tables = tables or NetworkTables(blueprint.network)
    assert tables.name == blueprint.network, "a blueprint amends its own network"
    actions = tuple(_actions(tables, blueprint, numbers))
    wanted: list[Entity] = [
        _network(tables, blueprint, numbers),
        *_domains(tables, blueprint, numbers),
        *actions,
        *_policies(tables, blueprint, _redefined(tables, actions), numbers),
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
    return VirtualNetwork(blueprint.network, _number(known, numbers), vni, blueprint.service, blueprint.gateways)


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
    default = (None, None, DEFAULT_ACTIONS[blueprint.verdict], blueprint.verdict_ttl)
    plans = ((plan.source, plan.destination, plan.actions, plan.ttl) for plan in blueprint.policies)
    for source, destination, actions, ttl in (*plans, default):
        known = tables.policies.get(policy_name(source, destination))
        policy = Policy(tables.name, source, destination, _number(known, numbers), actions, ttl)
        if known is not None:
            same = (known.actions, known.ttl) == (actions, ttl) and redefined.isdisjoint(actions)
            policy = replace(policy, tracking=known.tracking + (not same))
        yield policy


def _endpoints(tables: NetworkTables, blueprint: Blueprint, numbers: Numbers) -> Iterator[Endpoint]:
    for plan in blueprint.endpoints:
        number = _number(tables.declared.get(plan.name), numbers)
        yield Endpoint(tables.name, plan.name, number, plan.domain, plan.macs, plan.ips, plan.guard)


def _number(known: _Numbered | None, numbers: Numbers) -> int:
    return numbers.number() if known is None else known.number


_Numbered = VirtualNetwork | PolicyDomain | PolicyAction | Policy | Endpoint
