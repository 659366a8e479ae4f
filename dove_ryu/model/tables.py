"""The tables of one virtual network.

They depend on the entities that they hold and not on the path by which they came to hold them.
"""

from __future__ import annotations

import copy
from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from dove_ryu.model.address_index import AddressIndex
from dove_ryu.model.entities import (
    BUILT_IN_ACTIONS,
    Endpoint,
    Entity,
    Learned,
    Location,
    Policy,
    PolicyAction,
    PolicyDomain,
    Segment,
    VirtualNetwork,
    policy_name,
)
from dove_ryu.model.facts import Fact
from dove_ryu.model.gaps import Gaps
from dove_ryu.model.provider import Provider

Key = TypeVar("Key")

Value = TypeVar("Value")


class NetworkTables:
    """All that the DPS knows of one virtual network.

    :ivar provider: whose appliances its packets pass.
    :ivar declared: endpoints as their blueprint has them; :attr:`endpoints` has what was learned besides.
    :ivar hosted: by datapath id, the names of the endpoints located there in the alphabet's order.  A list takes a
        fifth of the memory of a set, and at a million endpoints most of them are short.
    :ivar attached: how many endpoints have a location.  It is counted as they come and go, because whoever watches asks
        for it every few seconds, of all networks.
    """

    def __init__(self, name: str, provider: Provider | None = None) -> None:
        self.name = name
        self.provider = Provider() if provider is None else provider
        self.network: VirtualNetwork | None = None
        self.domains: dict[str, PolicyDomain] = {}
        self.actions: dict[str, PolicyAction] = {}
        self.policies: dict[str, Policy] = {}
        self.segments: dict[str, Segment] = {}
        self.endpoints: dict[str, Endpoint] = {}
        self.declared: dict[str, Endpoint] = {}
        self.learned: dict[str, Learned] = {}
        self.locations: dict[str, Location] = {}
        self.hosted: dict[int, list[str]] = {}
        self.attached = 0
        self.owners = AddressIndex()
        self._gaps: Gaps | None = None  # not before somebody asks for what nobody has
        self._domain_names: dict[int, str] = {}
        self._endpoint_names: dict[int, str] = {}

    @property
    def empty(self) -> bool:
        """Whether nothing is known of it any more."""
        return not (
            self.network
            or self.domains
            or self.actions
            or self.policies
            or self.segments
            or self.declared
            or self.learned
            or self.locations
        )

    def owner(self, address: str) -> Endpoint | None:
        """The endpoint that has a MAC or IP address, or the longest prefix around the IP address."""
        name = self.owners.find(address)
        return None if name is None else self.endpoints[name]

    def unclaimed(self, address: str) -> int:
        """How long the shortest prefix around an address is in which nobody has an address, no gateway either."""
        if self._gaps is None:
            self._gaps = Gaps(each for endpoint in self.endpoints.values() for each in _claims(endpoint))
        gateways = () if self.network is None else self.network.gateways
        return self._gaps.length(address, (ip for gateway in gateways for ip in gateway.ips))

    def action(self, name: str) -> PolicyAction | None:
        """The action of that name; built-in ones are there without being declared."""
        known = self.actions.get(name)
        if known is None and name in BUILT_IN_ACTIONS:
            return PolicyAction(self.name, name, 0, kind=name)
        return known

    def policy(self, source: str, destination: str) -> Policy | None:
        """What governs packets from one domain to another: their own policy, or the network's default."""
        return self.policies.get(policy_name(source, destination)) or self.policies.get(policy_name(None, None))

    def domain_of_number(self, number: int) -> PolicyDomain | None:
        """The domain that a register names."""
        name = self._domain_names.get(number)
        return None if name is None else self.domains[name]

    def endpoint_of_number(self, number: int) -> Endpoint | None:
        """The endpoint that a register names."""
        name = self._endpoint_names.get(number)
        return None if name is None else self.endpoints[name]

    def hosts(self) -> set[int]:
        """The dSwitches that host an endpoint of it, or that packets of it pass: who can hold an entry about it (F22)."""
        return {*self.hosted, *self.passed()}

    def passed(self) -> set[int]:
        """The dSwitches where its segments can lead to an instance of their appliance."""
        return self.provider.dpids(self.led_to())

    def led_to(self) -> set[str]:
        """The names of the appliances that its segments lead to."""
        return {segment.appliance for segment in self.segments.values()}

    def present(self, kind: type[Entity], name: str) -> Entity | None:
        """What is written of something; None where nothing is."""
        if kind is VirtualNetwork:
            return self.network
        written: dict[type[Entity], Mapping[str, Entity]] = {
            PolicyDomain: self.domains,
            PolicyAction: self.actions,
            Policy: self.policies,
            Segment: self.segments,
            Endpoint: self.declared,
            Learned: self.learned,
            Location: self.locations,
        }
        return written[kind].get(name)

    def is_at(self, name: str, dpid: int) -> bool:
        """Whether an endpoint of that name is located at a dSwitch, or on its way there."""
        place = self.locations.get(name)
        return place is not None and place.port_at(dpid) is not None

    def with_only(self, dpid: int, names: Iterable[str]) -> NetworkTables:
        """These tables to look at, as if of the endpoints that are located at a dSwitch there were but some.

        :param names: in the alphabet's order.
        """
        view = copy.copy(self)
        view.hosted = {dpid: list(names)}
        return view

    def replace_domain(self, name: str, domain: PolicyDomain | None) -> PolicyDomain | None:
        """Put a domain into the table or, None, out of it; the one before comes back."""
        before = exchange(self.domains, name, domain)
        if before is not None:
            self._domain_names.pop(before.number, None)
        if domain is not None:
            self._domain_names[domain.number] = name
        return before

    def replace_location(self, name: str, place: Location | None) -> Location | None:
        """Put an endpoint's location into the table or, None, out of it; the one before comes back."""
        before = exchange(self.locations, name, place)
        self.attached += _arrivals(before, place) if name in self.endpoints else 0
        for dpid in () if before is None else before.dpids:
            names = self.hosted[dpid]
            del names[bisect_left(names, name)]
            if not names:
                del self.hosted[dpid]
        for dpid in () if place is None else place.dpids:
            insort(self.hosted.setdefault(dpid, []), name)
        return before

    def replace_endpoint(self, name: str) -> Fact | None:
        """Make an endpoint's entry what its declaration and what was learned say together."""
        before = self.endpoints.get(name)
        declared = self.declared.get(name)
        after = None if declared is None else _effective(declared, self.learned.get(name))
        if before == after:
            return None
        if self._gaps is not None:
            self._gaps.replace(() if before is None else _claims(before), () if after is None else _claims(after))
        if before is not None:
            self.owners.remove(name, _claims(before))
            self._endpoint_names.pop(before.number, None)
        exchange(self.endpoints, name, after)
        self.attached += _arrivals(before, after) if name in self.locations else 0
        if after is not None:
            self.owners.add(name, _claims(after))
            self._endpoint_names[after.number] = name
        return Fact(before, after)


def _claims(endpoint: Endpoint) -> tuple[str, ...]:
    """The addresses and prefixes that an endpoint has."""
    return *endpoint.macs, *endpoint.ips


def _effective(declared: Endpoint, learned: Learned | None) -> Endpoint:
    if learned is None:
        return declared
    return replace(declared, macs=declared.macs or learned.macs, ips=declared.ips or learned.ips)


def _arrivals(before: object, after: object) -> int:
    """By how much there are more of something: 1, 0 or -1."""
    return (after is not None) - (before is not None)


def exchange(table: dict[Key, Value], key: Key, value: Value | None) -> Value | None:
    """Put a value where another was, None being nothing; the other."""
    before = table.pop(key, None)
    if value is not None:
        table[key] = value
    return before
