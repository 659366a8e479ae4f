"""One module a feature: the flows that it installs and the packets that it answers.

A feature is a set of pure functions over the world.  It gives standing flows for what a dSwitch hosts, turns a policy
reply into cached flows, and says which cached flows a changed fact makes stale.  Features never import each other;
what they have in common is declared here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dove_ryu.model.entities import Endpoint, Learned
from dove_ryu.model.resolution import PolicyReply
from dove_ryu.model.world import Fact, NetworkTables, World
from dove_ryu.openflow.flow import Flow, FlowDelete, PacketIn, PacketOut

NEGATIVE_TTL = 10
"""Seconds that a dSwitch remembers that there is nothing at an address."""


@dataclass(frozen=True, slots=True)
class Hosted:
    """An endpoint at one of a dSwitch's ports.

    :ivar port: the OpenFlow number of the port.
    """

    endpoint: Endpoint
    port: int


@dataclass(frozen=True, slots=True)
class Request:
    """A policy request with its reply, for a feature to compile into flows.

    :ivar dpid: the dSwitch that asks.
    :ivar tables: the network that the packet is in.
    :ivar source_domain: number of the sender's domain.
    :ivar destination: the address asked for, MAC or IP.
    """

    world: World
    dpid: int
    tables: NetworkTables
    packet: PacketIn
    source_domain: int
    destination: str
    reply: PolicyReply


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back for a packet that came up.

    :ivar flows: flows to cache.
    :ivar packets: packets to send, after the flows.
    :ivar learned: addresses that the packet taught; the world has them before the packets go on.
    """

    flows: tuple[Flow, ...] = ()
    packets: tuple[PacketOut, ...] = ()
    learned: Learned | None = None


class Feature:
    """What a feature can contribute; each does what concerns it."""

    def dswitch_flows(self, world: World, dpid: int) -> Iterable[Flow]:
        """Standing flows of a dSwitch, whatever it hosts."""
        return ()

    def network_flows(self, world: World, dpid: int, tables: NetworkTables) -> Iterable[Flow]:
        """Standing flows of a dSwitch for a network that it hosts endpoints of."""
        return ()

    def cache(self, request: Request) -> Iterable[Flow]:
        """The flows by which a dSwitch remembers the reply to *request*."""
        return ()

    def take(self, world: World, dpid: int, tables: NetworkTables, packet: PacketIn) -> Answer | None:
        """The answer to a packet that is no policy request; None where it is not this feature's."""
        return None

    def stale(self, tables: NetworkTables, fact: Fact) -> Iterable[FlowDelete]:
        """The cached flows that *fact*, about the network of *tables*, makes stale."""
        return ()


def hosted(world: World, dpid: int, tables: NetworkTables) -> Iterator[Hosted]:
    """The endpoints of a network at a dSwitch whose ports are there, by name."""
    for name in sorted(tables.hosted.get(dpid, ())):
        endpoint = tables.endpoints.get(name)
        port = world.port(tables.locations[name])
        if endpoint is not None and port is not None:
            yield Hosted(endpoint, port)


TUNNEL_PORTS = {"geneve": "dove-geneve", "vxlan": "dove-vxlan"}
"""Name of the port of a dSwitch for each tunnel protocol."""
