"""Who gets a packet, told naively: by looking through all entities, one after another (report, section 4.2.2).

It shares nothing with the code that it judges but the entities themselves.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

from dove_ryu.model.entities import (
    DSwitch,
    Encapsulation,
    Endpoint,
    Entity,
    Gateway,
    Learned,
    Location,
    Policy,
    PolicyAction,
    PolicyDomain,
    Service,
    VirtualNetwork,
)

Kind = TypeVar("Kind", bound=Entity)

TIME_EXCEEDED = {4: 11, 6: 3}
ECHO_REQUEST = {4: 8, 6: 128}
ECHO_REPLY = {4: 0, 6: 129}
FULL_TTL = 64


class Seen(NamedTuple):
    """What can be seen of a ping, or of an answer to one, where it comes out."""

    dpid: int
    port: str
    eth_dst: str
    eth_src: str
    ip_dst: str
    ip_src: str
    ttl: int
    kind: int


@dataclass(frozen=True)
class Ping:
    """An echo request that an endpoint sends."""

    network: str
    sender: str
    mac: str
    ip: str
    to_mac: str
    to_ip: str
    ttl: int = FULL_TTL


@dataclass(frozen=True)
class Question:
    """An ARP request or a neighbour solicitation that an endpoint sends."""

    network: str
    sender: str
    mac: str
    ip: str
    target: str


class Oracle:
    """What should happen to packets, as *entities* and the *ports* of the connected dSwitches are."""

    def __init__(self, entities: Iterable[Entity], ports: Mapping[int, Mapping[str, int]]) -> None:
        self.entities = list(entities)
        self.ports = ports

    # Looking through the tables.

    def every(self, kind: type[Kind], network: str | None = None) -> list[Kind]:
        """All entities of a kind, those of one network if one is given."""
        found = [entity for entity in self.entities if isinstance(entity, kind)]
        return [entity for entity in found if network is None or getattr(entity, "network", None) == network]

    def network(self, name: str) -> VirtualNetwork | None:
        """The network of that name."""
        return next((network for network in self.every(VirtualNetwork) if network.name == name), None)

    def endpoints(self, network: str) -> list[Endpoint]:
        """A network's endpoints with what was learned of them."""
        return [self._with_learned(endpoint) for endpoint in self.every(Endpoint, network)]

    def _with_learned(self, endpoint: Endpoint) -> Endpoint:
        for learned in self.every(Learned, endpoint.network):
            if learned.endpoint == endpoint.name:
                return replace(endpoint, macs=endpoint.macs or learned.macs, ips=endpoint.ips or learned.ips)
        return endpoint

    def endpoint(self, network: str, name: str) -> Endpoint | None:
        """The endpoint of that name."""
        return next((endpoint for endpoint in self.endpoints(network) if endpoint.name == name), None)

    def owner_of_mac(self, network: str, mac: str) -> Endpoint | None:
        """Who has a MAC address."""
        return next((endpoint for endpoint in self.endpoints(network) if mac in endpoint.macs), None)

    def owner_of_ip(self, network: str, ip: str) -> Endpoint | None:
        """Who has an IP address: itself, or the longest prefix around it."""
        address = ipaddress.ip_address(ip)
        best: tuple[int, Endpoint | None] = (-1, None)
        for endpoint in self.endpoints(network):
            for claim in endpoint.ips:
                around = ipaddress.ip_network(claim)
                length = around.prefixlen if "/" in claim else 1000
                if around.version == address.version and address in around and length > best[0]:
                    best = length, endpoint
        return best[1]

    def has_domain(self, network: str, name: str) -> bool:
        """Whether there is such a domain."""
        return any(domain.name == name for domain in self.every(PolicyDomain, network))

    def location(self, network: str, name: str) -> Location | None:
        """Where an endpoint is: at a port that is really there."""
        for place in self.every(Location, network):
            if place.endpoint == name and place.port in self.ports.get(place.dpid, {}):
                return place
        return None

    def attached(self, network: str, name: str) -> bool:
        """Whether the DPS was told where an endpoint is, and be it a port that is not there."""
        return any(place.endpoint == name for place in self.every(Location, network))

    def passes(self, network: str, source: str, destination: str) -> bool:
        """Whether policy lets packets of one domain reach another's endpoints ; there is no appliance here."""
        policies = self.every(Policy, network)
        governing = [policy for policy in policies if (policy.source, policy.destination) == (source, destination)]
        governing += [policy for policy in policies if policy.source is None]
        if not governing:
            return False
        kinds = [self._kind_of(network, name) for name in governing[0].actions]
        return all(kind in ("accept", "mark", "rate", "log") for kind in kinds)

    def may_answer(self, network: str, source: str, destination: str) -> bool:
        """Whether a stateful policy lets packets of one domain pass as replies to another's."""
        policies = self.every(Policy, network)
        asked = [policy for policy in policies if (policy.source, policy.destination) == (destination, source)]
        known = self.network(network)
        stateful = known is not None and known.zone > 0 and any(policy.stateful for policy in asked)
        return stateful and self.passes(network, destination, source)

    def _kind_of(self, network: str, action: str) -> str | None:
        for known in self.every(PolicyAction, network):
            if known.name == action:
                return known.kind
        return action if action in ("accept", "deny", "log") else None

    # What becomes of a packet.

    def ping(self, ping: Ping) -> Seen | None:
        """Where and how a ping, or what answers it, comes out."""
        network, sender, place = self._sent(ping)
        if network is None or sender is None or place is None:
            return None
        gateway = next((gateway for gateway in network.gateways if gateway.mac == ping.to_mac), None)
        if network.service is Service.L3:  # where any interface answers for all of the router's addresses
            gateway = next((gateway for gateway in network.gateways if ping.to_ip in gateway.ips), gateway)
        if gateway is not None:
            return self._routed(ping, network, sender, place, gateway)
        if network.service is Service.L3:
            return self._forwarded(ping, sender, place, self.owner_of_ip(ping.network, ping.to_ip), ping.mac, 0)
        owner = self.owner_of_mac(ping.network, ping.to_mac)
        arrived = self._forwarded(ping, sender, place, owner, ping.mac, 0)
        return None if arrived is None else arrived._replace(eth_dst=ping.to_mac)

    def _routed(
        self, ping: Ping, network: VirtualNetwork, sender: Endpoint, place: Location, gateway: Gateway
    ) -> Seen | None:
        version = ipaddress.ip_address(ping.to_ip).version
        back = Seen(place.dpid, place.port, ping.mac, gateway.mac, ping.ip, ping.to_ip, FULL_TTL, ECHO_REPLY[version])
        if ping.to_ip in gateway.ips:
            return back
        if ping.ttl < 2:
            own = [ip for ip in gateway.ips if ipaddress.ip_address(ip).version == version]
            return back._replace(ip_src=own[0], kind=TIME_EXCEEDED[version]) if own else None
        owner = self.owner_of_ip(network.name, ping.to_ip)
        return self._forwarded(ping, sender, place, owner, gateway.mac, 1)

    def _forwarded(
        self, ping: Ping, sender: Endpoint, place: Location, owner: Endpoint | None, eth_src: str, hops: int
    ) -> Seen | None:
        if owner is None or not owner.macs or not self.has_domain(ping.network, owner.domain):
            return None
        there = self.location(ping.network, owner.name)
        if there is None or (there.dpid, there.port) == (place.dpid, place.port):
            return None
        if not self.passes(ping.network, sender.domain, owner.domain) or not self._reaches(place.dpid, there.dpid):
            return None
        version = ipaddress.ip_address(ping.to_ip).version
        return Seen(
            there.dpid,
            there.port,
            owner.macs[0],
            eth_src,
            ping.to_ip,
            ping.ip,
            ping.ttl - hops,
            ECHO_REQUEST[version],
        )

    def _reaches(self, here: int, there: int) -> bool:
        """Whether a packet can go from one dSwitch to another."""
        if here == there:
            return True
        found = {dswitch.dpid: dswitch for dswitch in self.every(DSwitch)}
        if here not in found or there not in found:
            return False
        ours, theirs = found[here], found[there]
        common = [kind for kind in Encapsulation if kind in ours.encap_types and kind in theirs.encap_types]
        families = {ipaddress.ip_address(ip).version for ip in ours.encap_ips}
        shared = families & {ipaddress.ip_address(ip).version for ip in theirs.encap_ips}
        ports = f"dove-{common[0].value}" if common else ""
        return bool(shared) and ports in self.ports.get(here, {}) and ports in self.ports.get(there, {})

    def question(self, question: Question) -> str | None:
        """The MAC address that an ARP or neighbour discovery question brings."""
        network, sender, place = self._sent(question)
        if network is None or sender is None or place is None or question.target in sender.ips:
            return None
        for gateway in network.gateways:
            if question.target in gateway.ips:
                return gateway.mac
        owner = self.owner_of_ip(question.network, question.target)
        if owner is None or not owner.macs or not self.attached(question.network, owner.name):
            return None
        ends = question.network, sender.domain, owner.domain
        return owner.macs[0] if self.passes(*ends) or self.may_answer(*ends) else None

    def _sent(self, what: Ping | Question) -> tuple[VirtualNetwork | None, Endpoint | None, Location | None]:
        """The network, sender and place of what an endpoint may send; None for what it may not."""
        sender, place = self.endpoint(what.network, what.sender), self.location(what.network, what.sender)
        if sender is None or not self.has_domain(what.network, sender.domain):
            return None, None, None
        if sender.guard and not (what.mac in sender.macs and self._has_ip(sender, what.ip)):
            return None, None, None
        return self.network(what.network), sender, place

    def _has_ip(self, endpoint: Endpoint, ip: str) -> bool:
        address = ipaddress.ip_address(ip)
        return any(address in ipaddress.ip_network(claim) for claim in endpoint.ips)
