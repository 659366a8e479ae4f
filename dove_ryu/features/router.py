"""The distributed virtual router: a network's gateways are at every dSwitch that hosts it.

A packet to a gateway's MAC address loses a hop and is looked up by its IP address from there on; so is every IP packet
of an L3 network, whose Ethernet header means nothing (F13).  A ping to a gateway is answered here, a packet whose TTL
is used up is answered by the DPS.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dove_ryu.features import Answer, Feature
from dove_ryu.model.addresses import is_ipv6, link_local
from dove_ryu.model.entities import Gateway, Service
from dove_ryu.model.tables import NetworkTables
from dove_ryu.model.world import World
from dove_ryu.openflow import oxm, packet
from dove_ryu.openflow.action import IN_PORT, Action, DecrementTtl, Output, copy, put
from dove_ryu.openflow.fields import BY_ADDRESS, VNI, Cookie, Kind
from dove_ryu.openflow.flow import Flow, PacketIn, PacketOut
from dove_ryu.openflow.match import Terms
from dove_ryu.openflow.meters import EXPIRED_PACKETS
from dove_ryu.openflow.pipeline import LOCATION, ROUTER, goto

ECHO_REQUEST, ECHO_REPLY = 8, 0
ECHO_REQUEST_IPV6, ECHO_REPLY_IPV6 = 128, 129
FULL_TTL = 64
IP_FAMILIES: tuple[Terms, Terms] = ({oxm.ETH_TYPE: oxm.IPV4}, {oxm.ETH_TYPE: oxm.IPV6})


class Router(Feature):
    """Flows of ROUTER, and the time-exceeded messages."""

    def network_flows(self, world: World, dpid: int, tables: NetworkTables) -> Iterable[Flow]:
        """A network's gateways, and for an L3 network the rule that all IP packets go by their addresses."""
        network = tables.network
        assert network is not None
        here: Terms = {VNI: network.vni}
        cookie = Cookie(Kind.NETWORK, network.number)
        for gateway in network.gateways:
            # In an L3 network each address is answered for at every interface (RFC 1812, 5.2.3).
            to_router = here if network.service is Service.L3 else here | {oxm.ETH_DST: gateway.mac}
            for ip in dict.fromkeys((*gateway.ips, link_local(gateway.mac))):
                yield from _own_address(to_router, gateway, ip, cookie)
            yield from _routed(here, gateway, cookie)
        if network.service is Service.L3:
            for family in IP_FAMILIES:
                yield ROUTER.flow(50, here | family, [put(BY_ADDRESS, 1), goto(LOCATION)], cookie)
            yield ROUTER.flow(10, here, [], cookie)

    def take(self, world: World, dpid: int, tables: NetworkTables, packet_in: PacketIn) -> Answer | None:
        """A packet whose TTL is used up: say so to its sender (RFC 1812, 5.3.1; RFC 8200, 3)."""
        if packet_in.table != ROUTER.number or tables.network is None:
            return None
        frame = packet_in.data
        mac, six = packet.eth_destination(frame), packet.eth_type(frame) == oxm.IPV6
        for gateway in tables.network.gateways:
            ips = [ip for ip in gateway.ips if is_ipv6(ip) == six]
            if gateway.mac == mac and ips:
                answer = packet.time_exceeded(frame, mac, ips[0])
                if answer is not None:
                    back = PacketOut(answer, (Output(IN_PORT),), packet_in.in_port)
                    return Answer(packets=(back,))
        return Answer()


def _own_address(to_router: Terms, gateway: Gateway, ip: str, cookie: Cookie) -> Iterator[Flow]:
    six = is_ipv6(ip)
    source, destination = (oxm.IPV6_SRC, oxm.IPV6_DST) if six else (oxm.IPV4_SRC, oxm.IPV4_DST)
    kind = oxm.ICMPV6_TYPE if six else oxm.ICMP_TYPE
    echo: list[Action] = [
        copy(oxm.ETH_SRC, oxm.ETH_DST),
        put(oxm.ETH_SRC, gateway.mac),
        copy(source, destination),
        put(source, ip),
        put(kind, ECHO_REPLY_IPV6 if six else ECHO_REPLY),
        put(oxm.IP_TTL, FULL_TTL),
        Output(IN_PORT),
    ]
    to_address = to_router | {destination: ip}
    yield ROUTER.flow(300, to_address | {kind: ECHO_REQUEST_IPV6 if six else ECHO_REQUEST}, echo, cookie)
    yield ROUTER.flow(290, to_address, [], cookie)


def _routed(here: Terms, gateway: Gateway, cookie: Cookie) -> Iterator[Flow]:
    for family in IP_FAMILIES:
        to_gateway = here | family | {oxm.ETH_DST: gateway.mac}
        for used_up in (0, 1):
            yield ROUTER.ask(200, to_gateway | {oxm.IP_TTL: used_up}, EXPIRED_PACKETS)
        hop: list[Action] = [DecrementTtl(), put(oxm.ETH_SRC, gateway.mac), put(BY_ADDRESS, 1), goto(LOCATION)]
        yield ROUTER.flow(100, to_gateway, hop, cookie)
