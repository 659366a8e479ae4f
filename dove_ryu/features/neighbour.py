"""ARP and neighbour discovery answered at the dSwitch, subject to policy (F14, F25).

The virtual router's addresses are answered by standing flows, those of endpoints by cached ones that a policy request
brings: who may not reach an address cannot resolve it.  No request, reply, solicitation or advertisement goes any
further. An advertisement takes two tables, because its link-layer option exists only once the packet is one.
"""

from __future__ import annotations

from collections.abc import Iterable

from dove_ryu.features import NEGATIVE_TTL, Feature, Hosted, Request, forget_gaps, gap_around, still_nobody
from dove_ryu.model.addresses import is_ipv6, link_local
from dove_ryu.model.entities import Endpoint, Location, Policy, PolicyAction
from dove_ryu.model.facts import Fact
from dove_ryu.model.resolution import Outcome, PolicyReply, PolicyRequest, resolve
from dove_ryu.model.tables import NetworkTables
from dove_ryu.model.world import World
from dove_ryu.openflow import oxm
from dove_ryu.openflow.action import IN_PORT, Action, Output, copy, put
from dove_ryu.openflow.fields import (
    CACHED_COOKIE,
    CACHED_MASK,
    SOURCE_DOMAIN,
    SOURCE_ENDPOINT,
    VNI,
    Cookie,
    Kind,
)
from dove_ryu.openflow.flow import Flow, FlowDelete
from dove_ryu.openflow.match import Terms, match
from dove_ryu.openflow.meters import NEIGHBOUR_REQUESTS
from dove_ryu.openflow.pipeline import NEIGHBOUR, NEIGHBOUR_REPLY, goto

ARP_REQUEST, ARP_REPLY = 1, 2
SOLICITED_OVERRIDE = 0x60000000
TARGET_LINK_LAYER_ADDRESS = 2

SOLICITATION: Terms = {oxm.ICMPV6_TYPE: oxm.NEIGHBOUR_SOLICITATION}
ADVERTISEMENT: Terms = {oxm.ICMPV6_TYPE: oxm.NEIGHBOUR_ADVERTISEMENT}


WITHOUT_GAPS = 260
"""The highest priority of what is about one address; what says that there is nobody at some comes before."""

_SOUGHT = (oxm.ARP_TPA, oxm.ND_TARGET)


class Neighbour(Feature):
    """Flows of NEIGHBOUR and NEIGHBOUR_REPLY."""

    def dswitch_flows(self, world: World, dpid: int) -> Iterable[Flow]:
        """Requests go to the DPS unless answered; what endpoints announce unasked ends here."""
        base = Cookie(Kind.BASE)
        yield NEIGHBOUR.ask(10, {oxm.ARP_OP: ARP_REQUEST}, NEIGHBOUR_REQUESTS)
        yield NEIGHBOUR.ask(10, SOLICITATION, NEIGHBOUR_REQUESTS)
        yield NEIGHBOUR.flow(300, {oxm.ARP_OP: ARP_REPLY}, [], base)
        yield NEIGHBOUR.flow(300, ADVERTISEMENT, [], base)
        yield NEIGHBOUR.flow(300, {**SOLICITATION, oxm.IPV6_SRC: "::"}, [], base)
        reply: list[Action] = [copy(oxm.ETH_SRC, oxm.ND_TLL), Output(IN_PORT)]
        yield NEIGHBOUR_REPLY.flow(100, ADVERTISEMENT, reply, base)

    def network_flows(self, world: World, dpid: int, tables: NetworkTables) -> Iterable[Flow]:
        """The virtual router's addresses are answered."""
        assert tables.network is not None
        cookie = Cookie(Kind.NETWORK, tables.network.number)
        for gateway in tables.network.gateways:
            for ip in dict.fromkeys((*gateway.ips, link_local(gateway.mac))):
                terms: Terms = {VNI: tables.network.vni, **_question(ip)}
                yield NEIGHBOUR.flow(200, terms, _reply(ip, gateway.mac), cookie)

    def endpoint_flows(self, world: World, dpid: int, tables: NetworkTables, here: Hosted) -> Iterable[Flow]:
        """An endpoint's question for its own addresses is not answered."""
        for ip in here.endpoint.addresses:
            terms: Terms = {SOURCE_ENDPOINT: here.endpoint.number, **_question(ip)}
            yield NEIGHBOUR.flow(250, terms, [], here.cookie)

    def cache(self, request: Request) -> Iterable[Flow]:
        """An answer for all askers of one domain, or none for a while."""
        if request.packet.table == NEIGHBOUR.number:
            yield _entry(request.tables, request.source_domain, request.destination, request.reply)

    def recall(self, world: World, dpid: int, tables: NetworkTables, installed: Flow) -> Flow | None:
        """The answer to the same question today."""
        if installed.table == NEIGHBOUR.number and installed.priority > WITHOUT_GAPS:
            sought = next((term for term in installed.match if term.field in _SOUGHT), None)
            return installed if sought is not None and still_nobody(tables, sought) else None
        domain = tables.domain_of_number(installed.match.value(SOURCE_DOMAIN) or 0)
        asked = installed.match.text(oxm.ARP_TPA) or installed.match.text(oxm.ND_TARGET)
        if installed.table != NEIGHBOUR.number or domain is None or asked is None:
            return None
        reply = resolve(tables, PolicyRequest(domain.name, asked))
        return None if reply.endpoint is None else _entry(tables, domain.number, asked, reply)

    def stale(self, tables: NetworkTables, fact: Fact) -> Iterable[FlowDelete]:
        """Answers about a changed endpoint's addresses; answers to a domain whose policy changed or can have."""
        assert tables.network is not None
        network: Terms = {VNI: tables.network.vni}
        match fact.either:
            case Endpoint():
                sides = [side for side in (fact.before, fact.after) if isinstance(side, Endpoint)]
                for ip in sorted({ip for side in sides for ip in side.ips}):
                    yield _forget(network | _question(ip))
                yield from forget_gaps(tables, fact, NEIGHBOUR)
            case Location(endpoint=name) if name in tables.endpoints:
                for ip in tables.endpoints[name].ips:
                    yield _forget(network | _question(ip))
            case Policy(source=source, destination=destination):
                stateful = any(isinstance(side, Policy) and side.stateful for side in (fact.before, fact.after))
                for asker in (source, destination) if stateful else (source,):
                    domain = tables.domains.get(asker or "")
                    yield _forget(network if domain is None else network | {SOURCE_DOMAIN: domain.number})
            case PolicyAction():
                yield _forget(network)


def _entry(tables: NetworkTables, source_domain: int, asked: str, reply: PolicyReply) -> Flow:
    """What a dSwitch caches about the neighbour at an address."""
    assert tables.network is not None
    if reply.endpoint is None:
        gap, spare = gap_around(tables, asked)
        nobody: Terms = {VNI: tables.network.vni, **_question(gap)}
        return NEIGHBOUR.flow(WITHOUT_GAPS + 1 + spare, nobody, [], Cookie(Kind.UNKNOWN), NEGATIVE_TTL)
    terms: Terms = {VNI: tables.network.vni, SOURCE_DOMAIN: source_domain, **_question(asked)}
    macs = reply.endpoint.macs
    if reply.outcome is not Outcome.ALLOWED or reply.policy is None or not macs:
        return NEIGHBOUR.flow(100, terms, [], Cookie(Kind.UNKNOWN), NEGATIVE_TTL)
    cookie = Cookie(Kind.NEIGHBOUR, reply.policy.number, reply.policy.tracking)
    return NEIGHBOUR.flow(100, terms, _reply(asked, macs[0]), cookie, reply.expiry)


def _question(ip: str) -> Terms:
    """What asks for *ip*, an address or a prefix."""
    return {**SOLICITATION, oxm.ND_TARGET: ip} if is_ipv6(ip) else {oxm.ARP_OP: ARP_REQUEST, oxm.ARP_TPA: ip}


def _reply(ip: str, mac: str) -> list[Action]:
    """Turn the question that is being looked at into its answer: *ip* is at *mac*."""
    back = [copy(oxm.ETH_SRC, oxm.ETH_DST), put(oxm.ETH_SRC, mac)]
    if is_ipv6(ip):
        return [
            *back,
            copy(oxm.IPV6_SRC, oxm.IPV6_DST),
            put(oxm.IPV6_SRC, ip),
            put(oxm.ICMPV6_TYPE, oxm.NEIGHBOUR_ADVERTISEMENT),
            put(oxm.ND_OPTIONS_TYPE, TARGET_LINK_LAYER_ADDRESS),
            put(oxm.ND_RESERVED, SOLICITED_OVERRIDE),
            goto(NEIGHBOUR_REPLY),
        ]
    return [
        *back,
        put(oxm.ARP_OP, ARP_REPLY),
        copy(oxm.ARP_SHA, oxm.ARP_THA),
        put(oxm.ARP_SHA, mac),
        copy(oxm.ARP_SPA, oxm.ARP_TPA),
        put(oxm.ARP_SPA, ip),
        Output(IN_PORT),
    ]


def _forget(terms: Terms) -> FlowDelete:
    return FlowDelete(CACHED_COOKIE, CACHED_MASK, NEIGHBOUR.number, match(terms))
