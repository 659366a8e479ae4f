"""Unicast: where a destination is, the way there, and its delivery (F9, F10, F12, F13).

The location half of the policy cache names the destination's domain and how to reach it: a local port, or the underlay
address of its dSwitch and the tunnel port that both speak.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dove_ryu.features import (
    IDLE_TIMEOUT,
    NEGATIVE_TTL,
    TUNNEL_PORTS,
    Feature,
    Hosted,
    Request,
    arrivals,
    destination_field,
    forget_gaps,
    gap_around,
    onward,
    still_nobody,
    tunnel,
)
from dove_ryu.model.addresses import is_mac
from dove_ryu.model.entities import Endpoint, Location, PolicyDomain, Service
from dove_ryu.model.facts import Fact
from dove_ryu.model.tables import NetworkTables
from dove_ryu.model.world import World
from dove_ryu.openflow import oxm
from dove_ryu.openflow.action import Action, Move, Output, OutputTo, put
from dove_ryu.openflow.fields import (
    BY_ADDRESS,
    CACHED_COOKIE,
    CACHED_MASK,
    DESTINATION_DOMAIN,
    DESTINATION_ENDPOINT,
    OBJECT_MASK,
    OUTPUT_PORT,
    VNI,
    Cookie,
    Kind,
)
from dove_ryu.openflow.flow import Flow, FlowDelete
from dove_ryu.openflow.match import Terms, match
from dove_ryu.openflow.pipeline import DELIVER, LOCATION, NEIGHBOUR, OUTPUT, POLICY, goto

WITHOUT_GAPS = 100
"""The highest priority in LOCATION of what is about one address; what says that there is nobody comes before."""

_DESTINATIONS = (oxm.IPV4_DST, oxm.IPV6_DST, oxm.ETH_DST)


class Unicast(Feature):
    """Flows of LOCATION, OUTPUT and DELIVER."""

    def dswitch_flows(self, world: World, dpid: int) -> Iterable[Flow]:
        """Out of the port that LOCATION chose; into a tunnel with the network's identifier."""
        base, out = Cookie(Kind.BASE), OutputTo(OUTPUT_PORT.field)
        yield OUTPUT.flow(1, {}, [out], base)
        for name in TUNNEL_PORTS.values():
            port = world.ports.get(dpid, {}).get(name)
            if port is not None:
                identify = Move(oxm.METADATA, oxm.TUN_ID, VNI.width)
                yield OUTPUT.flow(100, {OUTPUT_PORT: port}, [identify, out], base)

    def endpoint_flows(self, world: World, dpid: int, tables: NetworkTables, here: Hosted) -> Iterable[Flow]:
        """From the tunnel to an endpoint and, where it is leaving, to where it will be."""
        copies = _copies(world, dpid, here)
        for priority, terms, rewrite in arrivals(tables, here.endpoint):
            yield DELIVER.flow(priority, terms, [*rewrite, Output(here.port), *copies], here.cookie)
        if copies:
            yield OUTPUT.flow(200, {OUTPUT_PORT: here.port}, [Output(here.port), *copies], here.cookie)

    def cache(self, request: Request) -> Iterable[Flow]:
        """The destination's location, or that there is none."""
        endpoint = request.reply.endpoint
        if endpoint is None:
            if request.packet.table == LOCATION.number:
                yield _nowhere(request.tables, request.destination)
            return
        address = _looked_up(request, endpoint)
        if request.tables.owner(address) is endpoint:  # else two claim one MAC address, and this one has it not
            yield _entry(request.world, request.dpid, request.tables, address, request.reply.expiry)

    def recall(self, world: World, dpid: int, tables: NetworkTables, installed: Flow) -> Flow | None:
        """The entry for the same address today."""
        if installed.table != LOCATION.number:
            return None
        if installed.priority > WITHOUT_GAPS:
            asked = next((term for term in installed.match if term.field in _DESTINATIONS), None)
            return installed if asked is not None and still_nobody(tables, asked) else None
        address = next(filter(None, map(installed.match.text, _DESTINATIONS)), None)
        if address is None or tables.owner(address) is None:
            return None
        return _entry(world, dpid, tables, address, installed.hard_timeout)

    def stale(self, tables: NetworkTables, fact: Fact) -> Iterable[FlowDelete]:
        """Entries about an endpoint that changed or moved, and about addresses that found an owner."""
        match fact.either:
            case Endpoint():
                yield from _forget_endpoint(tables, fact.before)
                yield from _forget_endpoint(tables, fact.after)
                yield from forget_gaps(tables, fact, LOCATION)
            case Location(endpoint=name):
                yield from _forget_endpoint(tables, tables.endpoints.get(name))
            case PolicyDomain():
                yield from _forget_domain(tables, fact)


def _forget_domain(tables: NetworkTables, fact: Fact) -> Iterator[FlowDelete]:
    """Every entry may name a domain that goes; only what leads nowhere can have waited for one that comes."""
    assert tables.network is not None
    network = match({VNI: tables.network.vni})
    if fact.before is None:
        yield FlowDelete(int(Cookie(Kind.UNKNOWN)), OBJECT_MASK, LOCATION.number, network)
    else:
        yield FlowDelete(CACHED_COOKIE, CACHED_MASK, None, network)


def _forget_endpoint(tables: NetworkTables, endpoint: object) -> Iterator[FlowDelete]:
    """Every entry that leads to an endpoint, and every entry about one of its addresses."""
    if not isinstance(endpoint, Endpoint) or tables.network is None:
        return
    yield FlowDelete(int(Cookie(Kind.LOCATION, endpoint.number)), OBJECT_MASK, LOCATION.number)
    for address in (*endpoint.macs, *endpoint.ips):
        terms: Terms = {VNI: tables.network.vni, destination_field(address): address}
        yield FlowDelete(CACHED_COOKIE, CACHED_MASK, LOCATION.number, match(terms))


def _looked_up(request: Request, endpoint: Endpoint) -> str:
    """The address by which LOCATION will see the packets that the request is about."""
    assert request.tables.network is not None
    if request.packet.table != NEIGHBOUR.number:
        return request.destination
    by_mac = request.tables.network.service is Service.L2
    return endpoint.macs[0] if by_mac and endpoint.macs else request.destination


def _entry(world: World, dpid: int, tables: NetworkTables, address: str, ttl: int) -> Flow:
    """What a dSwitch caches about an address."""
    endpoint = tables.owner(address)
    domain = None if endpoint is None else tables.domains.get(endpoint.domain)
    location = None if endpoint is None else tables.locations.get(endpoint.name)
    found = None if location is None else way(world, dpid, location)
    if endpoint is None or domain is None or location is None or found is None or not endpoint.macs:
        return _nowhere(tables, address)
    assert tables.network is not None
    cookie = Cookie(Kind.LOCATION, endpoint.number, location.tracking)
    return leading(tables.network.vni, address, cookie, domain.number, endpoint.macs[0], found, ttl)


def leading(vni: int, address: str, cookie: Cookie, domain: int, mac: str, way: Iterable[Action], ttl: int = 0) -> Flow:
    """The entry about an address that leads there.

    :param cookie: with the endpoint's number, and the tracking number of its location.
    :param domain: the number of its domain.
    :param mac: which packets to an IP address are given.
    :param way: what :func:`way` found.
    :param ttl: seconds that it may be cached, 0 for until it is invalidated.
    """
    actions = [put(DESTINATION_DOMAIN, domain), put(DESTINATION_ENDPOINT, cookie.number), *way]
    if not is_mac(address):
        actions.append(put(oxm.ETH_DST, mac))
    return LOCATION.flow(100, _terms(vni, address), [*actions, goto(POLICY)], cookie, ttl, IDLE_TIMEOUT)


def _nowhere(tables: NetworkTables, address: str) -> Flow:
    """That nothing is to be reached at an address or, nobody having it, at all addresses around it that nobody has."""
    assert tables.network is not None
    priority, terms = 100, _terms(tables.network.vni, address)
    if tables.owner(address) is None:
        gap, spare = gap_around(tables, address)
        priority, terms = WITHOUT_GAPS + 1 + spare, terms | {destination_field(address): gap}
    return LOCATION.flow(priority, terms, [], Cookie(Kind.UNKNOWN), NEGATIVE_TTL)


def _terms(vni: int, address: str) -> Terms:
    return {VNI: vni, BY_ADDRESS: 0 if is_mac(address) else 1, destination_field(address): address}


def way(world: World, dpid: int, location: Location) -> list[Action] | None:
    """How a dSwitch reaches a location: its port, or the tunnel to its dSwitch; None where there is no way."""
    if location.dpid == dpid:
        port = world.port(location, dpid)
        return None if port is None else [put(OUTPUT_PORT, port)]
    found = tunnel(world, dpid, location.dpid)
    return None if found is None else [put(OUTPUT_PORT, found[0]), *found[1]]


def _copies(world: World, dpid: int, here: Hosted) -> list[Action]:
    """What sends a copy to where the endpoint is going (X5).

    Who is not live may hold a tombstone of the endpoint's, which would send each copy back here, to be copied again.
    """
    target = here.location.migrating_to
    if target is None or here.arriving or target.dpid not in world.live:
        return []
    return onward(world, dpid, target.dpid) or []
