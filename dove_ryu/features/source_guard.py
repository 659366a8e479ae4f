"""An endpoint sends from its own MAC and IP addresses only (X6), and may teach those that nobody declared (F24).

Where an endpoint's entry leaves its addresses open, the first packet from a new one comes up as an address report:
the DPS learns the address unless another endpoint of the network has it.  An endpoint whose addresses are all
declared reports nothing; what it forges is dropped and counted at its own flow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dove_ryu.features import NEGATIVE_TTL, Answer, Feature, Hosted
from dove_ryu.model.addresses import BadAddress, canonical_ip, canonical_mac, is_ipv6, link_local
from dove_ryu.model.entities import Endpoint, Learned
from dove_ryu.model.tables import NetworkTables
from dove_ryu.model.world import World
from dove_ryu.openflow import oxm, packet
from dove_ryu.openflow.action import ToController
from dove_ryu.openflow.fields import SOURCE_ENDPOINT, Cookie, Kind
from dove_ryu.openflow.flow import Flow, PacketIn
from dove_ryu.openflow.match import Terms
from dove_ryu.openflow.meters import port_meter
from dove_ryu.openflow.pipeline import NEIGHBOUR, SOURCE_GUARD, goto

UNSPECIFIED_IPV4, UNSPECIFIED_IPV6 = "0.0.0.0", "::"

MOST_LEARNED = 8
"""How many addresses of a kind one endpoint can teach."""


class SourceGuard(Feature):
    """Flows of SOURCE_GUARD, what its misses teach, and the word that an endpoint has arrived."""

    def endpoint_flows(self, world: World, dpid: int, tables: NetworkTables, here: Hosted) -> Iterable[Flow]:
        """What an endpoint may send."""
        flows = _guard(here, tables.declared[here.endpoint.name])
        if not here.arriving:
            return flows
        return (*(_told(flow, here.port) for flow in flows), *_announcements(here))

    def take(self, world: World, dpid: int, tables: NetworkTables, packet_in: PacketIn) -> Answer | None:
        """An address report: learn the sender's addresses, or drop it and its like for a while.

        What is the sender's own by now came up before the flows were there that let it pass.
        """
        if packet_in.table != SOURCE_GUARD.number:
            return None
        endpoint = tables.endpoint_of_number(packet_in.read(SOURCE_ENDPOINT))
        if endpoint is None:
            return Answer()
        cookie = Cookie.parse(packet_in.cookie)
        if cookie is not None and cookie.kind is Kind.ENDPOINT:
            return Answer(arrived=tables.locations.get(endpoint.name))
        going_on = (packet_in.resume(NEIGHBOUR.number),)
        if _is_own(endpoint, packet_in.data):
            return Answer(packets=going_on)
        learned = _lesson(tables, tables.declared[endpoint.name], packet_in.data)
        if learned is not None:
            return Answer(learned=learned, packets=going_on)
        return Answer(flows=tuple(_refusal(endpoint, packet_in.data)))


def _guard(here: Hosted, declared: Endpoint) -> Iterator[Flow]:
    own: Terms = {SOURCE_ENDPOINT: here.endpoint.number}
    cookie, onward = here.cookie, (goto(NEIGHBOUR),)
    if not here.endpoint.guard:
        yield SOURCE_GUARD.flow(100, own, onward, cookie)
        return
    for terms in _own_sources(here.endpoint):
        yield SOURCE_GUARD.flow(100, own | terms, onward, cookie)
    yield SOURCE_GUARD.flow(50, own | {oxm.IPV6_SRC: UNSPECIFIED_IPV6}, [], cookie)
    yield SOURCE_GUARD.flow(50, own | {oxm.IPV4_SRC: UNSPECIFIED_IPV4}, [], cookie)
    if declared.macs and declared.ips:
        yield SOURCE_GUARD.flow(1, own, [], cookie)


def _told(flow: Flow, port: int) -> Flow:
    """A flow by which an endpoint speaks, with word of it to the DPS: it has arrived where it was going (X5).

    Its meter limits the word; the packet itself goes on.
    """
    return flow._replace(actions=(ToController(port_meter(port)), *flow.actions)) if flow.actions else flow


def _announcements(here: Hosted) -> Iterator[Flow]:
    """A hypervisor speaks for the endpoint that it has just taken over: QEMU sends RARP."""
    for mac in here.endpoint.macs:
        terms: Terms = {SOURCE_ENDPOINT: here.endpoint.number, oxm.ETH_TYPE: oxm.RARP, oxm.ETH_SRC: mac}
        yield SOURCE_GUARD.flow(110, terms, [ToController(port_meter(here.port))], here.cookie)


def _own_sources(endpoint: Endpoint) -> Iterator[Terms]:
    for mac in endpoint.macs:
        yield {oxm.ETH_SRC: mac, oxm.ARP_SHA: mac, oxm.ARP_SPA: UNSPECIFIED_IPV4}
        yield {oxm.ETH_SRC: mac, oxm.IPV6_SRC: link_local(mac)}
        for ip in endpoint.ips:
            if is_ipv6(ip):
                yield {oxm.ETH_SRC: mac, oxm.IPV6_SRC: ip}
            else:
                yield {oxm.ETH_SRC: mac, oxm.IPV4_SRC: ip}
                yield {oxm.ETH_SRC: mac, oxm.ARP_SHA: mac, oxm.ARP_SPA: ip}


def _may_be_an_address(mac: str, ip: str | None) -> bool:
    """Whether an endpoint can have them at all: no group, no broadcast, not nothing."""
    try:
        canonical_mac(mac)
        return ip is None or bool(canonical_ip(ip))
    except BadAddress:
        return False


def _is_own(endpoint: Endpoint, frame: bytes) -> bool:
    """Whether a packet is from the endpoint's own addresses."""
    mac, ip = packet.eth_source(frame), packet.ip_source(frame)
    honest = packet.arp_sender(frame) in (None, mac)
    return honest and mac in endpoint.macs and (ip in endpoint.ips or ip == link_local(mac))


def _lesson(tables: NetworkTables, declared: Endpoint, frame: bytes) -> Learned | None:
    """What a packet teaches of an endpoint; None where it teaches nothing that may be believed."""
    mac, ip = packet.eth_source(frame), packet.ip_source(frame)
    if packet.arp_sender(frame) not in (None, mac) or not _may_be_an_address(mac, ip):
        return None
    known = tables.learned.get(declared.name, Learned(tables.name, declared.name))
    macs = _more(tables, declared.macs, known.macs, declared.name, mac)
    ips = _more(tables, declared.ips, known.ips, declared.name, ip)
    if macs is None or ips is None:
        return None
    taught = Learned(tables.name, declared.name, macs, ips)
    return None if taught == known else taught


def _more(
    tables: NetworkTables, declared: tuple[str, ...], learned: tuple[str, ...], name: str, address: str | None
) -> tuple[str, ...] | None:
    """The learned addresses with *address* among them; None where it may not be."""
    if address is None or address in declared or address in learned or address.startswith("fe80:"):
        return learned
    owner = tables.owner(address)
    taken = owner is not None and owner.name != name and address in (*owner.macs, *owner.addresses)
    return None if declared or taken or len(learned) >= MOST_LEARNED else (*learned, address)


_SENDER = {oxm.IPV4: oxm.IPV4_SRC, oxm.IPV6: oxm.IPV6_SRC, oxm.ARP: oxm.ARP_SPA}
"""The field that has a packet's sender, by Ethernet type."""


def _refusal(endpoint: Endpoint, frame: bytes) -> Iterator[Flow]:
    terms: Terms = {SOURCE_ENDPOINT: endpoint.number, oxm.ETH_SRC: packet.eth_source(frame)}
    ip = packet.ip_source(frame)
    if ip is not None:
        terms[_SENDER[packet.eth_type(frame)]] = ip
    yield SOURCE_GUARD.flow(60, terms, [], Cookie(Kind.UNKNOWN, endpoint.number), NEGATIVE_TTL)
