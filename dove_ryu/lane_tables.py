"""What the fast lane knows: cut from what the plain way writes, and kept true by what the world tells.

The lane asks nobody.  What it does not hold it leaves to the plain way, on the DPS's thread, which then lets it learn:
the rule for the pair of domains, the way from one dSwitch to another, and that somebody asks about this network, whose
endpoints are then filled in, a slice at a time.  What a fact may have changed is forgotten, or put right, *before* the
fact's consequences are sent.  A connection's lock orders its messages, so an answer of before stands before the
invalidation that takes it back.

All of this happens on the DPS's thread, which alone writes the tables.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from types import ModuleType
from typing import Any

from dove_ryu.features import policy, unicast
from dove_ryu.model.addresses import is_ipv6, is_mac
from dove_ryu.model.entities import (
    Appliance,
    DSwitch,
    Endpoint,
    Location,
    Policy,
    PolicyAction,
    PolicyDomain,
    Verdict,
    VirtualNetwork,
)
from dove_ryu.model.resolution import Outcome, judge
from dove_ryu.model.world import Fact, NetworkTables, World
from dove_ryu.openflow.fields import SOURCE_DOMAIN, VNI, Cookie, Kind
from dove_ryu.openflow.flow import Action, PacketIn, Resubmit
from dove_ryu.openflow.oxm import mac_number
from dove_ryu.openflow.pipeline import LOCATION, MAX_TIMEOUT, POLICY
from dove_ryu.southbound import codec
from dove_ryu.southbound.lane import Desk, Place, Rule, Sheet, Template, Way

SLICE = 200
"""Entries that are filled in at a time: some milliseconds' work."""


class LaneTables:
    """The sheets of all networks that somebody asks about, and a desk for each live dSwitch.

    :param form: the module :mod:`dove_ryu.southbound.lane`, or its compiled twin.
    """

    def __init__(self, world: World, form: ModuleType) -> None:
        self._world = world
        self._form: Any = form
        self._sheets: dict[int, Sheet] = {}
        self._vnis: dict[str, int] = {}
        self._desks: dict[int, Desk] = {}
        self._counted: dict[int, dict[Outcome, int]] = {}
        self._ways: dict[bytes, Way | None] = {}
        self._explored: set[tuple[int, str]] = set()
        self._unfilled: deque[tuple[object, Iterator[None]]] = deque()

    def open(self, dpid: int) -> Desk:
        """The desk of a dSwitch that is live now."""
        if not self._desks:  # while nobody was there, nobody told what changed
            self._forget_all()
        resubmission = codec.action_bytes(Resubmit(LOCATION.number))
        desk: Desk = self._form.Desk(self._sheets, dpid, (LOCATION.number, POLICY.number), resubmission)
        self._desks[dpid] = desk
        return desk

    def close(self, dpid: int) -> None:
        """A dSwitch is no longer connected; it has to be counted before."""
        closed = self._desks.pop(dpid, None)
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
        sheet.rules[_pair(source, target)] = self._rule(tables, source, target)
        self._place(sheet, tables, [destination])
        if (dpid, tables.name) not in self._explored:
            self._explored.add((dpid, tables.name))
            self._unfilled.append((desk, self._ways_into(desk, dpid, tables)))
        self._learn_way(desk, dpid, location)

    def fill(self) -> bool:
        """Fill in some of what is asked about; whether more is left."""
        if self._unfilled:
            _, filling = self._unfilled[0]
            if sum(1 for _ in islice(filling, SLICE)) < SLICE:
                self._unfilled.popleft()
        return bool(self._unfilled)

    def _sheet(self, tables: NetworkTables, network: VirtualNetwork) -> Sheet:
        sheet = self._sheets.get(network.vni)
        if sheet is None:
            sheet = self._sheets[network.vni] = self._form.Sheet()
            self._vnis[network.name] = network.vni
            self._unfilled.append((sheet, self._entries_of(sheet, tables)))
        return sheet

    def _entries_of(self, sheet: Sheet, tables: NetworkTables) -> Iterator[None]:
        """Fill in what policies and endpoints of a network say today, one after another."""
        for governing in list(tables.policies.values()):
            source, target = map(tables.domains.get, (governing.source or "", governing.destination or ""))
            if source is not None and target is not None:
                sheet.rules[_pair(source, target)] = self._rule(tables, source, target)
            yield
        for name in list(tables.endpoints):
            endpoint = tables.endpoints.get(name)
            if endpoint is not None:
                self._place(sheet, tables, (*endpoint.macs, *endpoint.ips))
            yield

    def _ways_into(self, desk: Desk, dpid: int, tables: NetworkTables) -> Iterator[None]:
        """Fill in the ways from one dSwitch to all of a network's endpoints, one after another."""
        for name in sorted(tables.hosted.get(dpid, ())):
            if name in tables.locations:
                self._learn_way(desk, dpid, tables.locations[name])
            yield
        for host in list(tables.hosted):
            place = next((tables.locations[name] for name in tables.hosted.get(host, ())), None)
            if place is not None and place.dpid == host and host != dpid and host not in desk.ways:
                self._learn_way(desk, dpid, place)
            yield

    def _place(self, sheet: Sheet, tables: NetworkTables, addresses: Iterable[str]) -> None:
        """Make what a sheet says of some addresses true."""
        made: dict[str, Place | None] = {}
        for address in addresses:
            if "/" in address:
                continue  # of a prefix each address goes the plain way
            owner = tables.owner(address)
            place = None
            if owner is not None and address in (*owner.macs, *owner.ips):
                if owner.name not in made:
                    made[owner.name] = self._place_of(tables, owner)
                place = made[owner.name]
            if place is not None:
                sheet.places[_packed(address)] = place
            else:
                sheet.places.pop(_packed(address), None)

    def _place_of(self, tables: NetworkTables, endpoint: Endpoint) -> Place | None:
        location, domain = tables.locations.get(endpoint.name), tables.domains.get(endpoint.domain)
        if location is None or domain is None or not endpoint.macs:
            return None
        cookie = int(Cookie(Kind.LOCATION, endpoint.number, location.tracking))
        mac = mac_number(endpoint.macs[0])
        place: Place = self._form.Place(domain.number, endpoint.number, cookie, mac, location.dpid, location.port)
        return place

    def _rule(self, tables: NetworkTables, source: PolicyDomain, target: PolicyDomain) -> Rule:
        governing = tables.policy(source.name, target.name)
        verdict, _ = judge(tables, governing)
        flow = codec.change(policy.entry(tables, source, target))
        expiry = 0 if governing is None else min(governing.ttl, MAX_TIMEOUT)
        rule: Rule = self._form.Rule(flow, expiry, verdict is Verdict.ALLOW)
        return rule

    def _learn_way(self, desk: Desk, dpid: int, location: Location) -> None:
        actions = unicast.way(self._world, dpid, location)
        made = None if actions is None else self._way(actions)
        if made is not None and location.dpid == dpid:
            desk.outlets[location.port] = made
        elif made is not None:
            desk.ways[location.dpid] = made

    def _way(self, actions: list[Action]) -> Way | None:
        """The templates for what these actions lead to; dSwitches with the same port numbers share them."""
        key = b"".join(map(codec.action_bytes, actions))
        if key not in self._ways:
            templates = [self._template(address, actions) for address in _SAMPLES]
            self._ways[key] = self._form.Way(*templates) if all(templates) else None
        return self._ways[key]

    def _template(self, address: str, actions: list[Action]) -> Template | None:
        """A location flow for *address* with holes where its numbers are, if each can be found."""
        flow = unicast.leading(_VNI, address, Cookie(Kind.LOCATION, _ENDPOINT), _DOMAIN, _SAMPLES[0], actions)
        data = codec.change(flow)
        numbers = [_VNI.to_bytes(3, "big"), _packed(address), _DOMAIN.to_bytes(4, "big"), _ENDPOINT.to_bytes(4, "big")]
        if not is_mac(address):
            numbers.append(_packed(_SAMPLES[0]))
        if any(data.count(number) != 1 for number in numbers):
            return None  # a port or an address on the way looks like one of them: the plain way has it
        holes = [data.index(number) for number in numbers]
        template: Template = self._form.Template(data, *holes, *([-1] if is_mac(address) else []))
        return template

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
                for sheet in self._sheets.values():
                    sheet.rules.clear()
            case entity:
                self._hear_within(entity.network, fact)

    def forget_ways(self, dpid: int) -> None:
        """A dSwitch's ports, or how it is reached, are different now."""
        for desk in self._desks.values():
            desk.ways.pop(dpid, None)
        self._explored = {each for each in self._explored if each[0] != dpid}
        own = self._desks.get(dpid)
        if own is not None:
            own.ways.clear()
            own.outlets.clear()
            self._unfilled = deque(entry for entry in self._unfilled if entry[0] is not own)

    def _hear_within(self, network: str, fact: Fact) -> None:
        tables, vni = self._world.tables.get(network), self._vnis.get(network)
        if vni is None:
            return
        sheet = self._sheets[vni]
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

    def _drop(self, vni: int) -> None:
        """Forget a network; who asks about it next lets it be learned anew."""
        sheet = self._sheets.pop(vni, None)
        if sheet is not None:
            self._vnis = {name: each for name, each in self._vnis.items() if each != vni}
            self._unfilled = deque(entry for entry in self._unfilled if entry[0] is not sheet)

    def _forget_all(self) -> None:
        self._sheets.clear()
        self._vnis.clear()
        self._unfilled.clear()


_SAMPLES = ("a1:b2:c3:d4:e5:f6", "203.0.113.213", "2001:db8:6172:8394:a5b6:c7d8:e9fa:bcd")
"""One address of each kind, by which it is found where a flow has it."""

_VNI, _DOMAIN, _ENDPOINT = 0xABCDEF, 0x7E57D0D0, 0x0E57E27D


def _pair(source: PolicyDomain, target: PolicyDomain) -> int:
    return source.number << 32 | target.number


def _packed(address: str) -> bytes:
    """An address as a frame has it."""
    if is_mac(address):
        return bytes.fromhex(address.replace(":", ""))
    return socket.inet_pton(socket.AF_INET6 if is_ipv6(address) else socket.AF_INET, address)
