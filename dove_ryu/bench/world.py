"""The world that is measured: many virtual networks that use the same addresses, spread over many dSwitches.

Every network has a thousand endpoints (or what is asked for), ten policy domains and ten policies; every other one is an
L3 network with a gateway.  All networks use the *same* MAC and IP addresses, so that nothing but the network's identity
tells them apart.  Endpoints lie over all dSwitches in turn, of which some speak Geneve and VXLAN and some VXLAN only:
most destinations are behind a tunnel, of the one protocol or the other.

One small network more is there to be changed while others ask (:data:`CHANGING`): nobody asks in it, so that every
answer stays what it was.

It is written in blueprints and goes into the store by the project's own code, as it would come over REST.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from dove_ryu.model.amendment import Numbers, amend
from dove_ryu.model.blueprint import parse
from dove_ryu.model.documents import ALLOCATION_KEY, Document, entry_of, vni_key
from dove_ryu.model.entities import DSwitch, Encapsulation, Location, Service
from dove_ryu.model.facts import Change
from dove_ryu.store import Store

CHANGING = "changing"
"""The network whose policies are changed under load; it has two endpoints at each of the first dSwitches."""

CHANGED_POLICY = "left>right"

GATEWAY_MAC = "02:00:ff:00:00:01"
FIRST_TUNNEL_PORT = 60000
"""OpenFlow numbers of the tunnel ports, above those of endpoints."""
CHANGING_PORT = 59000
"""And of the ports of the network that changes."""
_CHANGING_DSWITCHES = 8
_FIRST_IPV4, _FIRST_IPV6, _FIRST_MAC = int(IPv4Address("10.0.1.0")), int(IPv6Address("fd00::1:0")), 0x02_00_00_00_00_00
_STRIDE = 37
_COMMIT = 20_000


@dataclass(frozen=True, slots=True)
class Host:
    """An endpoint of the world, in the figures that its packets carry.

    :ivar port: its port's OpenFlow number at the dSwitch *dpid*.
    """

    name: str
    mac: str
    ipv4: str
    ipv6: str
    dpid: int
    port: int


@dataclass(frozen=True, slots=True)
class Plan:
    """How large a world is, and where everything in it lies.

    :ivar endpoints: in all networks together.
    :ivar dswitches: over which they are spread, evenly.
    """

    endpoints: int = 100_000
    networks: int = 100
    domains: int = 10
    policies: int = 10
    dswitches: int = 1_000

    @property
    def members(self) -> int:
        """Endpoints of each network."""
        return self.endpoints // self.networks

    def network(self, number: int) -> str:
        """The name of a network; they count from 0."""
        return f"net-{number:05d}"

    def service(self, number: int) -> Service:
        """Every other network is an L3 network."""
        return Service.L3 if number % 2 else Service.L2

    def domain(self, network: int, member: int) -> str:
        """The name of the domain that a member of a network is in."""
        return f"d{(network + member) % self.domains}"

    def host(self, network: int, member: int) -> Host:
        """The *member*-th endpoint of a network.  Its addresses are those of the same member of every network."""
        dpid, port = _places(self).of[network * self.members + member]
        return Host(
            f"e{member}",
            (_FIRST_MAC + member + 1).to_bytes(6, "big").hex(":"),
            str(IPv4Address(_FIRST_IPV4 + member)),
            str(IPv6Address(_FIRST_IPV6 + member)),
            dpid,
            port,
        )

    def hosted(self, dpid: int) -> list[tuple[int, int]]:
        """Network and member of each endpoint at a dSwitch, by port."""
        return _places(self).at[dpid]

    def ports(self, dpid: int) -> dict[str, int]:
        """A dSwitch's ports, numbers by name."""
        endpoints = {f"p{number}": number for number in range(1, len(self.hosted(dpid)) + 1)}
        changing = {f"c{side}": CHANGING_PORT + side for side in range(2) if dpid <= _CHANGING_DSWITCHES}
        return {"dove-geneve": FIRST_TUNNEL_PORT, "dove-vxlan": FIRST_TUNNEL_PORT + 1, **changing, **endpoints}

    def blueprint(self, network: int) -> dict[str, Any]:
        """The document of a network: every second of its policies denies, what has none may pass."""
        service = self.service(network)
        gateways = [{"mac": GATEWAY_MAC, "ips": ["10.0.0.1/8", "fd00::1/64"]}] if service is Service.L3 else []
        domains = [f"d{number}" for number in range(self.domains)]
        hosts = ((member, self.host(network, member)) for member in range(self.members))
        return {
            "network": self.network(network),
            "vni": network + 1,
            "service": service.value,
            "default_policy": "allow",
            "gateways": gateways,
            "domains": domains,
            "policies": [self._policy(domains, number) for number in range(self.policies)],
            "endpoints": [
                {
                    "name": host.name,
                    "domain": self.domain(network, member),
                    "macs": [host.mac],
                    "ips": [host.ipv4, host.ipv6],
                }
                for member, host in hosts
            ],
        }

    def _policy(self, domains: list[str], number: int) -> dict[str, Any]:
        source, step = number % self.domains, number // self.domains + 1
        return {
            "from": domains[source],
            "to": domains[(source + step) % self.domains],
            "actions": ["deny" if number % 2 else "accept"],
            "ttl": 60 + number,
        }

    def changing_blueprint(self) -> dict[str, Any]:
        """The document of the network that is changed under load."""
        return {
            "network": CHANGING,
            "vni": self.networks + 1,
            "default_policy": "deny",
            "domains": ["left", "right"],
            "policies": [{"from": "left", "to": "right", "actions": ["accept"]}],
            "endpoints": [
                {"name": f"c{dpid}-{side}", "domain": ("left", "right")[side], "ips": [f"10.0.{dpid}.{side + 1}"]}
                | {"macs": [f"02:00:00:01:{dpid:02x}:{side:02x}"]}
                for dpid, side in self._changing()
            ],
        }

    def _changing(self) -> list[tuple[int, int]]:
        return [(dpid, side) for dpid in range(1, min(_CHANGING_DSWITCHES, self.dswitches) + 1) for side in range(2)]

    def infrastructure(self) -> Iterator[DSwitch]:
        """The dSwitches; every fourth speaks VXLAN only."""
        for dpid in range(1, self.dswitches + 1):
            address = str(IPv4Address(int(IPv4Address("172.16.0.0")) + dpid))
            speaks = tuple(Encapsulation) if dpid % 4 else (Encapsulation.VXLAN,)
            yield DSwitch(dpid, f"server-{dpid}", (address,), speaks, "none")

    def changes(self, numbers: Numbers) -> Iterator[Change]:
        """All that makes the world, in the order in which it would come to be."""
        yield from map(Change.put, self.infrastructure())
        for network in range(self.networks):
            yield from amend(None, parse(self.blueprint(network)), numbers)
            for member in range(self.members):
                host = self.host(network, member)
                yield Change.put(Location(self.network(network), host.name, host.dpid, f"p{host.port}"))
        yield from amend(None, parse(self.changing_blueprint()), numbers)
        for dpid, side in self._changing():
            yield Change.put(Location(CHANGING, f"c{dpid}-{side}", dpid, f"c{side}"))


class _Places:
    """Who is where: endpoints lie in pairs, one network after another over the dSwitches in turn.

    :ivar of: datapath id and port of each endpoint.
    :ivar at: network and member of each endpoint by datapath id, in the order of their ports.
    """

    def __init__(self, plan: Plan) -> None:
        self.of: list[tuple[int, int]] = []
        self.at: dict[int, list[tuple[int, int]]] = {dpid: [] for dpid in range(1, plan.dswitches + 1)}
        for network in range(plan.networks):
            for member in range(plan.members):
                dpid = (network * _STRIDE + member // 2) % plan.dswitches + 1
                self.at[dpid].append((network, member))
                self.of.append((dpid, len(self.at[dpid])))


_places = functools.lru_cache(maxsize=4)(_Places)


def write_world(plan: Plan, store: Store) -> Iterator[int]:
    """Put the world into a store that is empty; yields how many documents are in, from time to time."""
    numbers = Numbers(None, lambda _: False)
    documents: dict[str, Document] = {}
    written = 0
    for change in plan.changes(numbers):
        key, document = entry_of(change)
        assert document is not None, "a new world deletes nothing"
        documents[key] = document
        if len(documents) == _COMMIT:
            store.commit(documents)
            written += len(documents)
            documents = {}
            yield written
    names = [*map(plan.network, range(plan.networks)), CHANGING]
    documents |= {vni_key(vni): {"network": name} for vni, name in enumerate(names, 1)}
    documents[ALLOCATION_KEY] = {**numbers.document(), "next_vni": len(names) + 1}
    store.commit(documents)
    yield written + len(documents)
