"""What the fast lane knows, kept true by what the world tells.

The lane asks nobody.  What it does not hold it leaves to the plain way, on the DPS's thread, which then lets it learn:
the rule for the pair of domains, the way from one dSwitch to another, and that somebody asks about this network, whose
endpoints are then filled in, a slice at a time.  What a fact may have changed is forgotten, or put right, *before* the
fact's consequences are sent.  A connection's lock orders its messages, so an answer of before stands before the
invalidation that takes it back.

All of this happens on the DPS's thread, which alone writes the tables.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from types import ModuleType
from typing import Any

from dove_ryu.features import policy, unicast
from dove_ryu.lane_templates import Templates, packed
from dove_ryu.model.addresses import is_ipv6, is_mac
from dove_ryu.model.appliances import Appliance, Health, Seat
from dove_ryu.model.entities import (
    DSwitch,
    Endpoint,
    Location,
    Policy,
    PolicyAction,
    PolicyDomain,
    Service,
    Verdict,
    VirtualNetwork,
)
from dove_ryu.model.facts import Fact
from dove_ryu.model.resolution import Outcome, answerable, judge
from dove_ryu.model.tables import NetworkTables
from dove_ryu.model.treatment import treatment
from dove_ryu.model.world import World
from dove_ryu.openflow.action import Resubmit, SetField
from dove_ryu.openflow.fields import OUTPUT_PORT, SOURCE_DOMAIN, VNI, Cookie, Kind
from dove_ryu.openflow.flow import PacketIn
from dove_ryu.openflow.oxm import mac_number
from dove_ryu.openflow.pipeline import LOCATION, POLICY
from dove_ryu.southbound import codec
from dove_ryu.southbound.lane import TO_DSWITCH, TO_PORT, Archive, Desk, Index, Sheet

Record = tuple[int, int, int, int, int]

SLICE = 200
"""Entries that are filled in at a time: some milliseconds' work."""


class LaneTables:
    """The sheets of all networks that somebody asks about, and a desk for each live dSwitch.

    :param form: the module :mod:`dove_ryu.southbound.lane`, or its compiled twin.
    """

    def __init__(self, world: World, form: ModuleType) -> None:
        self._world = world
        self._form: Any = form
        self._archive: Archive = form.Archive()
        self._vnis: dict[str, int] = {}
        self._desks: dict[int, Desk] = {}
        self._counted: dict[int, dict[Outcome, int]] = {}
        self._port_names: dict[str, int] = {}
        self._templates = Templates(self._archive, form.Template)
        self._explored: set[tuple[int, str]] = set()
        self._led: dict[int, set[int]] = {}
        self._unfilled: deque[tuple[object, Iterator[None]]] = deque()

    def open(self, dpid: int) -> Desk:
        """The desk of a dSwitch that is live now."""
        resubmission = codec.action_bytes(Resubmit(LOCATION.number))
        desk: Desk = self._form.Desk(self._archive, dpid, (LOCATION.number, POLICY.number), resubmission)
        self._desks[dpid], self._led[dpid] = desk, set()
        return desk

    def close(self, dpid: int) -> None:
        """A dSwitch is no longer connected; it has to be counted before."""
        closed = self._desks.pop(dpid, None)
        self._led.pop(dpid, None)
        self._explored = {each for each in self._explored if each[0] != dpid}
        self._unfilled = deque(entry for entry in self._unfilled if entry[0] is not closed)
        self._counted.pop(dpid, None)

    def count(self) -> Iterator[tuple[int, Outcome, int]]:
        """How many requests of which dSwitch the lane has answered how since the last count."""
        for dpid, desk in self._desks.items():
            now = {Outcome.ALLOWED: desk.allowed, Outcome.DENIED: desk.denied}
            before, self._counted[dpid] = self._counted.get(dpid, {}), now
            yield from ((dpid, outcome, number - before.get(outcome, 0)) for outcome, number in now.items())

    @property
    def compiled(self) -> bool:
        """Whether the lane is the compiled one."""
        return bool(self._form.COMPILED)

    # ---- learning --------------------------------------------------------------------------------

    def learn(self, dpid: int, packet_in: PacketIn, destination: str) -> None:
        """A dSwitch has asked for a destination, and the lane did not know."""
        desk, tables = self._desks.get(dpid), self._world.network_of_vni(packet_in.read(VNI))
        endpoint = None if tables is None else tables.owner(destination)
        if desk is None or tables is None or tables.network is None or endpoint is None:
            return
        location = tables.locations.get(endpoint.name)
        source = tables.domain_of_number(packet_in.read(SOURCE_DOMAIN))
        target = tables.domains.get(endpoint.domain)
        if location is None or source is None or target is None:
            return
        sheet = self._sheet(tables, tables.network)
        self._rule(sheet, tables, source, target)
        self._place(sheet, tables, [destination])
        if (dpid, tables.name) not in self._explored:
            self._explored.add((dpid, tables.name))
            self._unfilled.append((desk, self._ways_into(desk, dpid, tables)))
        self._way(desk, dpid, location)

    def fill(self) -> bool:
        """Fill in some of what is asked about; whether more is left."""
        if self._unfilled:
            _, filling = self._unfilled[0]
            if sum(1 for _ in islice(filling, SLICE)) < SLICE:
                self._unfilled.popleft()
        return bool(self._unfilled)

    def _sheet(self, tables: NetworkTables, network: VirtualNetwork) -> Sheet:
        sheet = self._archive.sheets.get(network.vni)
        if sheet is None:
            sheet = self._form.Sheet()
            self._archive.put(network.vni, sheet)
            self._vnis[network.name] = network.vni
            self._unfilled.append((sheet, self._entries_of(sheet, tables)))
        return sheet

    def _entries_of(self, sheet: Sheet, tables: NetworkTables) -> Iterator[None]:
        """Fill in what policies and endpoints of a network say today, one after another."""
        for governing in list(tables.policies.values()):
            source, target = map(tables.domains.get, (governing.source or "", governing.destination or ""))
            if source is not None and target is not None:
                self._rule(sheet, tables, source, target)
            yield
        by_mac = tables.network is not None and tables.network.service is Service.L2  # what most packets go by
        for name in list(tables.endpoints):
            endpoint = tables.endpoints.get(name)
            if endpoint is not None:
                self._place(sheet, tables, endpoint.macs if by_mac else endpoint.ips)
            yield

    def _ways_into(self, desk: Desk, dpid: int, tables: NetworkTables) -> Iterator[None]:
        """Fill in the ways from one dSwitch to all of a network's endpoints, one after another."""
        for name in sorted(tables.hosted.get(dpid, ())):
            if name in tables.locations:
                self._way(desk, dpid, tables.locations[name])
            yield
        led = self._led[dpid]
        for host in list(tables.hosted):
            if host in led:  # one way leads to all that a dSwitch hosts, of whatever network
                continue
            place = next((tables.locations[name] for name in tables.hosted.get(host, ())), None)
            if place is not None and place.dpid == host != dpid:
                self._way(desk, dpid, place)
            yield

    def _place(self, sheet: Sheet, tables: NetworkTables, addresses: Iterable[str]) -> None:
        """Make what a sheet says of some addresses true."""
        for address in addresses:
            if "/" in address:  # of who asks for one of its addresses, the plain way knows
                continue
            owner = tables.owner(address)
            exact = owner is not None and address in (*owner.macs, *owner.ips)
            place = self._place_of(tables, owner) if owner is not None and exact else None
            index, key = _index(sheet, address), _key(address)
            if place is None:
                index.remove(*key)
            else:
                index.put(*key, place)

    def _place_of(self, tables: NetworkTables, endpoint: Endpoint) -> Record | None:
        location, domain = tables.locations.get(endpoint.name), tables.domains.get(endpoint.domain)
        if location is None or domain is None or not endpoint.macs:
            return None
        cookie = int(Cookie(Kind.LOCATION, endpoint.number, location.tracking))
        numbers = domain.number << 32 | endpoint.number
        return numbers, cookie, mac_number(endpoint.macs[0]), location.dpid, self._port(location.port)

    def _rule(self, sheet: Sheet, tables: NetworkTables, source: PolicyDomain, target: PolicyDomain) -> None:
        """Let a sheet say what governs a pair of domains; of one that is logged, the plain way is to hear."""
        governing = tables.policy(source.name, target.name)
        if treatment(tables, governing).log:
            sheet.rules.remove(source.number, target.number)
            return
        flow = policy.entry(tables, source, target)
        verdict, _ = judge(tables, governing)
        passes = verdict is Verdict.ALLOW or answerable(tables, source.name, target.name) is not None
        if self._templates.crowded:
            self._forget_rules()
        template, label = self._templates.policy(flow.actions)
        sheet.rules.put(source.number, target.number, (flow.cookie, flow.hard_timeout, template, passes, label))

    def _way(self, desk: Desk, dpid: int, location: Location) -> None:
        """Let a desk know how its dSwitch reaches a location."""
        actions = unicast.way(self._world, dpid, location)
        if actions is None:
            return
        values = {action.field: action.value for action in actions if isinstance(action, SetField)}
        port = values.pop(OUTPUT_PORT.field)
        tunnel = next(iter(values.values()), 0)
        templates = self._templates.location(tuple(values))
        local = location.dpid == dpid
        key = (TO_PORT, self._port(location.port)) if local else (TO_DSWITCH, location.dpid)
        desk.ways.put(*key, (templates, port, tunnel >> 64, tunnel & 0xFFFFFFFFFFFFFFFF, 0))
        if not local:
            self._led[dpid].add(location.dpid)

    def _port(self, name: str) -> int:
        """A number of ours for a port's name."""
        return self._port_names.setdefault(name, len(self._port_names))

    # ---- forgetting ------------------------------------------------------------------------------

    def hear(self, fact: Fact) -> None:
        """Something of the world is different now; its consequences have not been sent yet."""
        match fact.either:
            case DSwitch(dpid=dpid):
                self.forget_ways(dpid)
            case VirtualNetwork():
                for side in (fact.before, fact.after):
                    if isinstance(side, VirtualNetwork):
                        self._drop(side.vni)
            case Appliance():
                self._forget_rules()
            case Seat() | Health():
                pass  # whom a segment leads to is no answer of the lane's
            case entity:
                self._hear_within(entity.network, fact)

    def forget_ways(self, dpid: int) -> None:
        """A dSwitch's ports, or how it is reached, are different now."""
        for desk in self._desks.values():
            desk.ways.remove(TO_DSWITCH, dpid)
        for led in self._led.values():
            led.discard(dpid)
        self._explored = {each for each in self._explored if each[0] != dpid}
        own = self._desks.get(dpid)
        if own is not None:
            own.ways.clear()
            self._led[dpid].clear()
            self._unfilled = deque(entry for entry in self._unfilled if entry[0] is not own)

    def _hear_within(self, network: str, fact: Fact) -> None:
        tables, vni = self._world.tables.get(network), self._vnis.get(network)
        if vni is None:
            return
        sheet = self._archive.sheets[vni]
        match fact.either:
            case Endpoint() if tables is not None:
                sides = [side for side in (fact.before, fact.after) if isinstance(side, Endpoint)]
                self._place(sheet, tables, [address for side in sides for address in (*side.macs, *side.ips)])
            case Location(endpoint=name) if tables is not None and tables.hosted:
                endpoint = tables.endpoints.get(name)
                self._place(sheet, tables, () if endpoint is None else (*endpoint.macs, *endpoint.ips))
            case Policy() | PolicyAction():
                sheet.rules.clear()
            case _:
                self._drop(vni)

    def _forget_rules(self) -> None:
        """Forget all policies, and what was cut for them."""
        for sheet in self._archive.sheets.values():
            sheet.rules.clear()
        self._templates.forget_policies()

    def _drop(self, vni: int) -> None:
        """Forget a network; who asks about it next lets it be learned anew."""
        sheet = self._archive.drop(vni)
        if sheet is not None:
            self._vnis = {name: each for name, each in self._vnis.items() if each != vni}
            self._unfilled = deque(entry for entry in self._unfilled if entry[0] is not sheet)


def _index(sheet: Sheet, address: str) -> Index:
    if is_mac(address):
        return sheet.by_mac
    return sheet.by_ipv6 if is_ipv6(address) else sheet.by_ipv4


def _key(address: str) -> tuple[int, int]:
    """An address as an index has it."""
    number = int.from_bytes(packed(address), "big")
    return number >> 64, number & 0xFFFFFFFFFFFFFFFF
