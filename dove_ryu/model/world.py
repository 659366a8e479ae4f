"""The DPS tables with their indexes (report, section 4.2.1).

Changes go in one entity at a time, in any order; what really changed comes out as facts.  The tables depend
on the entities that they hold and not on the path by which they came to hold them: an endpoint may be known
before its network, a location before its endpoint, two endpoints may claim one address for a moment.

Only the DPS's own thread of control touches a world.
"""

from __future__ import annotations

import copy
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from typing import TypeVar

from dove_ryu.model.address_index import AddressIndex, Claims, claim, first_of, names_of, unclaim
from dove_ryu.model.entities import (
    BUILT_IN_ACTIONS,
    Appliance,
    DSwitch,
    Endpoint,
    Entity,
    Health,
    Instance,
    Learned,
    Location,
    Policy,
    PolicyAction,
    PolicyDomain,
    Seat,
    Segment,
    VirtualNetwork,
    dpid_text,
    policy_name,
)
from dove_ryu.model.gaps import Gaps
from dove_ryu.model.meter_numbers import MeterNumbers
from dove_ryu.model.provider import PROVIDED, Machine, Provider

Key = TypeVar("Key")
Value = TypeVar("Value")
Kind = TypeVar("Kind", bound=Entity)


@dataclass(frozen=True, slots=True)
class Change:
    """What a table is told: this entity is now so, or is not there.

    :ivar kind: the entity's class.
    :ivar network: the network that it is in; empty for a dSwitch and for what is the provider's.
    :ivar name: its name within the network; a policy's :attr:`Policy.name`, a dSwitch's datapath id in
        hexadecimal, a seat's :attr:`Seat.name`.
    :ivar entity: as it is now; None when it is gone.
    """

    kind: type[Entity]
    network: str
    name: str
    entity: Entity | None

    @classmethod
    def put(cls, entity: Entity) -> Change:
        """The change after which *entity* is so."""
        return cls(type(entity), *_network_and_name(entity), entity)

    @classmethod
    def gone(cls, entity: Entity) -> Change:
        """The change after which *entity* is not there."""
        return cls(type(entity), *_network_and_name(entity), None)


@dataclass(frozen=True, slots=True)
class Fact:
    """One entity as it was and as it is; None where it was or is not there."""

    before: Entity | None
    after: Entity | None

    @property
    def either(self) -> Entity:
        """The entity as it is or, gone, as it was."""
        known = self.after if self.after is not None else self.before
        assert known is not None, "a fact is about something"
        return known

    @property
    def network(self) -> str | None:
        """The name of the network it is about; None for a dSwitch and for what is the provider's."""
        match self.either:
            case VirtualNetwork(name=name):
                return name
            case DSwitch() | Appliance() | Seat() | Health():
                return None
            case entity:
                return entity.network


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
        before = _exchange(self.domains, name, domain)
        if before is not None:
            self._domain_names.pop(before.number, None)
        if domain is not None:
            self._domain_names[domain.number] = name
        return before

    def replace_location(self, name: str, place: Location | None) -> Location | None:
        """Put an endpoint's location into the table or, None, out of it; the one before comes back."""
        before = _exchange(self.locations, name, place)
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
        _exchange(self.endpoints, name, after)
        self.attached += _arrivals(before, after) if name in self.locations else 0
        if after is not None:
            self.owners.add(name, _claims(after))
            self._endpoint_names[after.number] = name
        return Fact(before, after)


def _claims(endpoint: Endpoint) -> tuple[str, ...]:
    """The addresses and prefixes that an endpoint has."""
    return *endpoint.macs, *endpoint.ips


class World:
    """Every network's tables, the dSwitches, what the provider has, and what is observed of them.

    :ivar ports: numbers of the ports of each connected dSwitch, by name.
    :ivar live: the connected dSwitches that have confirmed to hold what they should.
    :ivar unmetered: the connected dSwitches that can have no meters.
    :ivar rate_meters: which of its meters for policies' rates is whose, of each connected dSwitch.
    """

    def __init__(self) -> None:
        self.tables: dict[str, NetworkTables] = {}
        self.dswitches: dict[int, DSwitch] = {}
        self.provider = Provider()
        self.ports: dict[int, dict[str, int]] = {}
        self._by_vni: dict[int, Claims] = {}
        self.live: set[int] = set()
        self.unmetered: set[int] = set()
        self.rate_meters: dict[int, MeterNumbers] = {}
        self._chained: set[str] = set()
        self._networks_at: dict[int, set[str]] = {}
        self._encapsulators = AddressIndex()

    @property
    def appliances(self) -> Mapping[str, Appliance]:
        """The provider's appliances, by name."""
        return self.provider.appliances

    @property
    def down(self) -> Set[Machine]:
        """The instances that do not work, by appliance and instance (X10)."""
        return self.provider.down

    def seat(self, appliance: Appliance, instance: Instance) -> Seat | None:
        """Where an instance of an appliance is; None where it is nowhere."""
        return self.provider.seat(appliance, instance)

    def network(self, name: str) -> NetworkTables | None:
        """The tables of a network that exists."""
        tables = self.tables.get(name)
        return tables if tables is not None and tables.network is not None else None

    def network_of_vni(self, vni: int) -> NetworkTables | None:
        """The tables of the network that tunnels and metadata call *vni*."""
        claims = self._by_vni.get(vni)
        return None if claims is None else self.network(first_of(claims))

    def claimants(self, vni: int) -> list[NetworkTables]:
        """The tables of all networks that say *vni* is theirs, by name; the first has it."""
        return [self.tables[name] for name in names_of(self._by_vni.get(vni, ()))]

    def networks(self) -> Iterator[NetworkTables]:
        """The tables of all networks that exist, by name."""
        return (self.tables[name] for name in sorted(self.tables) if self.tables[name].network is not None)

    def chained(self) -> Iterator[NetworkTables]:
        """The tables of the networks that have segments, by name."""
        return (self.tables[name] for name in sorted(self._chained))

    def appliances_at(self, dpid: int) -> set[str]:
        """The names of the appliances that packets at a dSwitch may be on their way to."""
        led = (tables.led_to() for tables in self.chained() if dpid in tables.hosts())
        return {name for names in led for name in names if name in self.appliances}

    def is_used_at(self, name: str, dpid: int) -> bool:
        """Whether packets at a dSwitch may be on their way to an appliance."""
        led = (tables for tables in self.chained() if name in tables.led_to())
        return any(dpid in tables.hosted or dpid in tables.passed() for tables in led)

    def hosted(self, dpid: int) -> list[NetworkTables]:
        """The tables of the networks that have a location at a dSwitch, by name."""
        return [self.tables[name] for name in sorted(self._networks_at.get(dpid, ()))]

    def located(self, dpid: int) -> Iterator[Location]:
        """The locations of endpoints at a dSwitch, by network and name."""
        for tables in self.hosted(dpid):
            for name in tables.hosted[dpid]:
                yield tables.locations[name]

    def present(self, change: Change) -> Entity | None:
        """The entity that *change* replaces; None where there is none."""
        if change.kind is DSwitch:
            return self.dswitches.get(int(change.name, 16))
        if change.kind in PROVIDED:
            return self.provider.present(change.kind, change.name)
        tables = self.tables.get(change.network)
        return None if tables is None else tables.present(change.kind, change.name)

    def port(self, location: Location, dpid: int) -> int | None:
        """The OpenFlow number of an endpoint's port at a dSwitch; None where it has none or none is shown."""
        return self.ports.get(dpid, {}).get(location.port_at(dpid) or "")

    def meter_numbers(self, dpid: int) -> MeterNumbers:
        """Which of a dSwitch's meters for policies' rates is whose."""
        return self.rate_meters.setdefault(dpid, MeterNumbers())

    def dswitch_at(self, address: str) -> DSwitch | None:
        """The dSwitch whose tunnels end at an underlay address."""
        name = self._encapsulators.find(address)
        return None if name is None else self.dswitches[int(name, 16)]

    def apply(self, change: Change) -> list[Fact]:
        """Take a change in; the facts that it changed come out, none where all was so already."""
        if change.kind is DSwitch:
            return self._replace_dswitch(change.name, _of(DSwitch, change.entity))
        if change.kind in PROVIDED:
            return self._replace_provided(change)
        tables = self.tables.get(change.network)
        if tables is None:
            tables = self.tables[change.network] = NetworkTables(change.network, self.provider)
        facts = self._apply_within(tables, change)
        if tables.empty:
            del self.tables[change.network]
        return facts

    def _apply_within(self, tables: NetworkTables, change: Change) -> list[Fact]:
        name, entity = change.name, change.entity
        if change.kind is VirtualNetwork:
            return self._replace_network(tables, _of(VirtualNetwork, entity))
        if change.kind is PolicyDomain:
            return _fact(tables.replace_domain(name, _of(PolicyDomain, entity)), entity)
        if change.kind is PolicyAction:
            return _fact(_exchange(tables.actions, name, _of(PolicyAction, entity)), entity)
        if change.kind is Policy:
            return _fact(_exchange(tables.policies, name, _of(Policy, entity)), entity)
        if change.kind is Segment:
            before = _exchange(tables.segments, name, _of(Segment, entity))
            (self._chained.add if tables.segments else self._chained.discard)(tables.name)
            return _fact(before, entity)
        if change.kind is Location:
            return self._replace_location(tables, name, _of(Location, entity))
        if change.kind is Endpoint:
            _exchange(tables.declared, name, _of(Endpoint, entity))
        else:
            _exchange(tables.learned, name, _of(Learned, entity))
        fact = tables.replace_endpoint(name)
        return [] if fact is None else [fact]

    def _replace_dswitch(self, name: str, dswitch: DSwitch | None) -> list[Fact]:
        before = _exchange(self.dswitches, int(name, 16), dswitch)
        if before is not None:
            self._encapsulators.remove(name, before.encap_ips)
        if dswitch is not None:
            self._encapsulators.add(name, dswitch.encap_ips)
        return _fact(before, dswitch)

    def _replace_provided(self, change: Change) -> list[Fact]:
        before = self.provider.present(change.kind, change.name)
        self.provider.replace(change.name, before, _of(change.kind, change.entity))
        return _fact(before, change.entity)

    def _replace_network(self, tables: NetworkTables, network: VirtualNetwork | None) -> list[Fact]:
        before, tables.network = tables.network, network
        if before is not None:
            unclaim(self._by_vni, before.vni, before.name)
        if network is not None:
            claim(self._by_vni, network.vni, network.name)
        return _fact(before, network)

    def _replace_location(self, tables: NetworkTables, name: str, place: Location | None) -> list[Fact]:
        before = tables.replace_location(name, place)
        for dpid in () if before is None else before.dpids:
            if dpid not in tables.hosted:
                self._networks_at[dpid].discard(tables.name)
        for dpid in () if place is None else place.dpids:
            self._networks_at.setdefault(dpid, set()).add(tables.name)
        return _fact(before, place)


def _network_and_name(entity: Entity) -> tuple[str, str]:
    match entity:
        case VirtualNetwork(name=name):
            return name, name
        case DSwitch(dpid=dpid):
            return "", dpid_text(dpid)
        case Appliance(name=name) | Seat(name=name) | Health(name=name):
            return "", name
        case Location(network=network, endpoint=name) | Learned(network=network, endpoint=name):
            return network, name
        case _:
            return entity.network, entity.name


def _of(kind: type[Kind], entity: Entity | None) -> Kind | None:
    if entity is not None and not isinstance(entity, kind):
        raise TypeError(f"a change of a {kind.__name__} carries a {type(entity).__name__}")
    return entity


def _fact(before: Entity | None, after: Entity | None) -> list[Fact]:
    return [] if before == after else [Fact(before, after)]


def _effective(declared: Endpoint, learned: Learned | None) -> Endpoint:
    if learned is None:
        return declared
    return replace(declared, macs=declared.macs or learned.macs, ips=declared.ips or learned.ips)


def _arrivals(before: object, after: object) -> int:
    """By how much there are more of something: 1, 0 or -1."""
    return (after is not None) - (before is not None)


def _exchange(table: dict[Key, Value], key: Key, value: Value | None) -> Value | None:
    before = table.pop(key, None)
    if value is not None:
        table[key] = value
    return before
