"""Unicast: where a destination is, the way there, and its delivery (F9, F10, F12, F13).

The location half of the policy cache names the destination's domain and how to reach it: a local port, or the underlay
address of its dSwitch and the tunnel port that both speak.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dove_ryu.features import NEGATIVE_TTL, TUNNEL_PORTS, Feature, Request, hosted
from dove_ryu.model.addresses import is_ipv6, is_mac
from dove_ryu.model.entities import Endpoint, Location, PolicyDomain, Service
from dove_ryu.model.tunnel import tunnel_between
from dove_ryu.model.world import Fact, NetworkTables, World
from dove_ryu.openflow import oxm
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
from dove_ryu.openflow.flow import Action, Flow, FlowDelete, Move, Output, OutputTo, Terms, match, put
from dove_ryu.openflow.oxm import Field
from dove_ryu.openflow.pipeline import DELIVER, LOCATION, NEIGHBOUR, OUTPUT, POLICY, goto


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

    def network_flows(self, world: World, dpid: int, tables: NetworkTables) -> Iterable[Flow]:
        """From the tunnel to the endpoints here."""
        assert tables.network is not None
        network: Terms = {VNI: tables.network.vni}
        for here in hosted(world, dpid, tables):
            cookie = Cookie(Kind.ENDPOINT, here.endpoint.number)
            if tables.network.service is Service.L2:
                for mac in here.endpoint.macs:
                    yield DELIVER.flow(200, network | {oxm.ETH_DST: mac}, [Output(here.port)], cookie)
            elif here.endpoint.macs:
                deliver = [put(oxm.ETH_DST, here.endpoint.macs[0]), Output(here.port)]
                for ip in here.endpoint.ips:
                    yield DELIVER.flow(_precedence(ip), network | {_destination(ip): ip}, deliver, cookie)

    def cache(self, request: Request) -> Iterable[Flow]:
        """The destination's location, or that there is none."""
        endpoint = request.reply.endpoint
        if endpoint is None:
            if request.packet.table == LOCATION.number:
                yield _nowhere(request, request.destination)
            return
        domain = request.tables.domains.get(endpoint.domain)
        way = _way(request)
        address = _looked_up(request, endpoint)
        if request.tables.owner(address) is not endpoint:
            return  # two claim one MAC address, and this endpoint is not the one that has it
        if domain is None or way is None or not endpoint.macs:
            yield _nowhere(request, address)
            return
        actions = [put(DESTINATION_DOMAIN, domain.number), put(DESTINATION_ENDPOINT, endpoint.number), *way]
        if not is_mac(address):
            actions.append(put(oxm.ETH_DST, endpoint.macs[0]))
        location = request.reply.location
        tracking = 0 if location is None else location.tracking
        cookie = Cookie(Kind.LOCATION, endpoint.number, tracking)
        yield LOCATION.flow(100, _terms(request, address), [*actions, goto(POLICY)], cookie, request.reply.expiry)

    def stale(self, tables: NetworkTables, fact: Fact) -> Iterable[FlowDelete]:
        """Entries about an endpoint that changed or moved, and about addresses that found an owner."""
        match fact.either:
            case Endpoint():
                yield from _forget_endpoint(tables, fact.before)
                yield from _forget_endpoint(tables, fact.after)
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
        terms: Terms = {VNI: tables.network.vni, _destination(address): address}
        yield FlowDelete(CACHED_COOKIE, CACHED_MASK, LOCATION.number, match(terms))


def _looked_up(request: Request, endpoint: Endpoint) -> str:
    """The address by which LOCATION will see the packets that the request is about."""
    assert request.tables.network is not None
    if request.packet.table != NEIGHBOUR.number:
        return request.destination
    by_mac = request.tables.network.service is Service.L2
    return endpoint.macs[0] if by_mac and endpoint.macs else request.destination


def _nowhere(request: Request, address: str) -> Flow:
    return LOCATION.flow(100, _terms(request, address), [], Cookie(Kind.UNKNOWN), NEGATIVE_TTL)


def _terms(request: Request, address: str) -> Terms:
    assert request.tables.network is not None
    by_address = 0 if is_mac(address) else 1
    return {VNI: request.tables.network.vni, BY_ADDRESS: by_address, _destination(address): address}


def _way(request: Request) -> list[Action] | None:
    """How a dSwitch reaches the destination: its port, or the tunnel to its dSwitch; None where there is no way."""
    location = request.reply.location
    if location is None:
        return None
    if location.dpid == request.dpid:
        port = request.world.port(location)
        return None if port is None else [put(OUTPUT_PORT, port)]
    world = request.world
    ours, theirs = world.dswitches.get(request.dpid), world.dswitches.get(location.dpid)
    if ours is None or theirs is None:
        return None
    tunnel = tunnel_between(ours, theirs)
    if tunnel is None:
        return None
    encapsulation, address = tunnel
    port = world.ports.get(request.dpid, {}).get(TUNNEL_PORTS[encapsulation.value])
    if port is None:
        return None
    return [put(OUTPUT_PORT, port), put(oxm.TUN_IPV6_DST if is_ipv6(address) else oxm.TUN_DST, address)]


def _destination(address: str) -> Field:
    if is_mac(address):
        return oxm.ETH_DST
    return oxm.IPV6_DST if is_ipv6(address) else oxm.IPV4_DST


def _precedence(ip: str) -> int:
    """A flow's priority by the length of its prefix: the longest wins."""
    _, _, length = ip.partition("/")
    return 200 if not length else 20 + int(length)
