"""The DPS tables with their indexes (report, section 4.2.1).

Changes go in one entity at a time, in any order; what really changed comes out as facts.  The tables depend
on the entities that they hold and not on the path by which they came to hold them: an endpoint may be known
before its network, a location before its endpoint, two endpoints may claim one address for a moment.

Only the DPS's own thread of control touches a world.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

from dove_ryu.model.address_index import AddressIndex, Claims, claim, first_of, names_of, unclaim
from dove_ryu.model.appliances import Appliance, Instance, Seat
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
from dove_ryu.model.facts import Change, Fact, facts_of, of_kind
from dove_ryu.model.meter_numbers import MeterNumbers
from dove_ryu.model.provider import PROVIDED, Machine, Provider
from dove_ryu.model.tables import NetworkTables, exchange


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
            return self._replace_dswitch(change.name, of_kind(DSwitch, change.entity))
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
            return self._replace_network(tables, of_kind(VirtualNetwork, entity))
        if change.kind is PolicyDomain:
            return facts_of(tables.replace_domain(name, of_kind(PolicyDomain, entity)), entity)
        if change.kind is PolicyAction:
            return facts_of(exchange(tables.actions, name, of_kind(PolicyAction, entity)), entity)
        if change.kind is Policy:
            return facts_of(exchange(tables.policies, name, of_kind(Policy, entity)), entity)
        if change.kind is Segment:
            before = exchange(tables.segments, name, of_kind(Segment, entity))
            (self._chained.add if tables.segments else self._chained.discard)(tables.name)
            return facts_of(before, entity)
        if change.kind is Location:
            return self._replace_location(tables, name, of_kind(Location, entity))
        if change.kind is Endpoint:
            exchange(tables.declared, name, of_kind(Endpoint, entity))
        else:
            exchange(tables.learned, name, of_kind(Learned, entity))
        fact = tables.replace_endpoint(name)
        return [] if fact is None else [fact]

    def _replace_dswitch(self, name: str, dswitch: DSwitch | None) -> list[Fact]:
        before = exchange(self.dswitches, int(name, 16), dswitch)
        if before is not None:
            self._encapsulators.remove(name, before.encap_ips)
        if dswitch is not None:
            self._encapsulators.add(name, dswitch.encap_ips)
        return facts_of(before, dswitch)

    def _replace_provided(self, change: Change) -> list[Fact]:
        before = self.provider.present(change.kind, change.name)
        self.provider.replace(change.name, before, of_kind(change.kind, change.entity))
        return facts_of(before, change.entity)

    def _replace_network(self, tables: NetworkTables, network: VirtualNetwork | None) -> list[Fact]:
        before, tables.network = tables.network, network
        if before is not None:
            unclaim(self._by_vni, before.vni, before.name)
        if network is not None:
            claim(self._by_vni, network.vni, network.name)
        return facts_of(before, network)

    def _replace_location(self, tables: NetworkTables, name: str, place: Location | None) -> list[Fact]:
        before = tables.replace_location(name, place)
        for dpid in () if before is None else before.dpids:
            if dpid not in tables.hosted:
                self._networks_at[dpid].discard(tables.name)
        for dpid in () if place is None else place.dpids:
            self._networks_at.setdefault(dpid, set()).add(tables.name)
        return facts_of(before, place)
