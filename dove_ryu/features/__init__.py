"""One module a feature: the flows that it installs and the packets that it answers.

A feature is a set of pure functions over the world.  It gives standing flows for what a dSwitch hosts, turns a policy
reply into cached flows, and says which cached flows a changed fact makes stale.  Features never import each other;
what they have in common is declared here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dove_ryu.model.addresses import is_ipv6, is_mac
from dove_ryu.model.appliances import Appliance, Instance
from dove_ryu.model.entities import Endpoint, Learned, Location, Service
from dove_ryu.model.facts import Fact
from dove_ryu.model.resolution import PolicyReply
from dove_ryu.model.tables import NetworkTables
from dove_ryu.model.tunnel import tunnel_between
from dove_ryu.model.world import World
from dove_ryu.openflow import oxm
from dove_ryu.openflow.action import Action, Move, Output, put
from dove_ryu.openflow.fields import OBJECT_MASK, VNI, Cookie, Kind
from dove_ryu.openflow.flow import Flow, FlowChange, FlowDelete, PacketIn, PacketOut
from dove_ryu.openflow.match import Term, Terms, match
from dove_ryu.openflow.oxm import Field
from dove_ryu.openflow.table import Table

NEGATIVE_TTL = 10
"""Seconds that a dSwitch remembers that there is nothing at an address."""

IDLE_TIMEOUT = 60
"""Seconds without a packet after which a cached entry goes, however long its policy may be cached."""

TOMBSTONE_TIMEOUT = 90
"""Seconds without a packet after which a tombstone goes: longer than a stale entry that nobody uses can last."""


@dataclass(frozen=True, slots=True)
class Hosted:
    """An endpoint at one of a dSwitch's ports.

    :ivar port: the OpenFlow number of the port.
    :ivar location: where it is, and where it is going.
    :ivar arriving: whether a live migration is bringing it here, and it has not spoken here yet.
    :ivar cookie: that of its standing flows.
    """

    endpoint: Endpoint
    port: int
    location: Location
    arriving: bool
    cookie: Cookie


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
    :ivar arrived: a location whose endpoint has spoken where it was going to.
    :ivar stale: the datapath id of another dSwitch, which sends to where an endpoint no longer is (F19).
    :ivar elsewhere: flow changes for other dSwitches, by datapath id.
    """

    flows: tuple[Flow, ...] = ()
    packets: tuple[PacketOut, ...] = ()
    learned: Learned | None = None
    arrived: Location | None = None
    stale: int | None = None
    elsewhere: tuple[tuple[int, tuple[FlowChange, ...]], ...] = ()


class Feature:
    """What a feature can contribute; each does what concerns it."""

    def dswitch_flows(self, world: World, dpid: int) -> Iterable[Flow]:
        """Standing flows of a dSwitch, whatever it hosts."""
        return ()

    def network_flows(self, world: World, dpid: int, tables: NetworkTables) -> Iterable[Flow]:
        """Standing flows of a dSwitch for a network that it hosts endpoints of."""
        return ()

    def endpoint_flows(self, world: World, dpid: int, tables: NetworkTables, here: Hosted) -> Iterable[Flow]:
        """Standing flows of a dSwitch for an endpoint of a network at one of its ports."""
        return ()

    def chain_flows(self, world: World, dpid: int, tables: NetworkTables) -> Iterable[Flow]:
        """Standing flows of a dSwitch that packets of a network can come to on their way through appliances."""
        return ()

    def appliance_flows(self, world: World, dpid: int, appliance: Appliance) -> Iterable[Flow]:
        """Standing flows of a dSwitch where packets may be on their way to an appliance."""
        return ()

    def cache(self, request: Request) -> Iterable[Flow]:
        """The flows by which a dSwitch remembers the reply to *request*."""
        return ()

    def take(self, world: World, dpid: int, tables: NetworkTables, packet: PacketIn) -> Answer | None:
        """The answer to a packet that is no policy request; None where it is not this feature's."""
        return None

    def depart(self, world: World, dpid: int, tables: NetworkTables, endpoint: Endpoint) -> Iterable[Flow]:
        """What a dSwitch still holds for an endpoint that has left it."""
        return ()

    def arrive(self, endpoint: Endpoint) -> Iterable[FlowDelete]:
        """What a dSwitch must no longer hold for an endpoint that comes to it, or comes back."""
        return ()

    def recall(self, world: World, dpid: int, tables: NetworkTables, installed: Flow) -> Flow | None:
        """What a dSwitch should hold today in the place of a cached flow; None for nothing, or not this feature's."""
        return None

    def stale(self, tables: NetworkTables, fact: Fact) -> Iterable[FlowDelete]:
        """The cached flows that *fact*, about the network of *tables*, makes stale."""
        return ()


def hosted(world: World, dpid: int, tables: NetworkTables) -> Iterator[Hosted]:
    """The endpoints of a network at a dSwitch whose ports are there, by name."""
    for name in tables.hosted.get(dpid, ()):
        endpoint = tables.endpoints.get(name)
        location = tables.locations[name]
        port = world.port(location, dpid)
        if endpoint is not None and port is not None:
            yield Hosted(endpoint, port, location, dpid != location.dpid, Cookie(Kind.ENDPOINT, endpoint.number))


def tunnel(world: World, here: int, there: int) -> tuple[int, list[Action]] | None:
    """The tunnel port of one dSwitch that leads to another, and what sets the way; None where there is no way."""
    ours, theirs = world.dswitches.get(here), world.dswitches.get(there)
    found = None if ours is None or theirs is None else tunnel_between(ours, theirs)
    if found is None:
        return None
    encapsulation, address = found
    port = world.ports.get(here, {}).get(TUNNEL_PORTS[encapsulation.value])
    if port is None:
        return None
    return port, [put(oxm.TUN_IPV6_DST if is_ipv6(address) else oxm.TUN_DST, address)]


BY_NETWORK: tuple[Action, ...] = (Move(oxm.METADATA, oxm.TUN_ID, VNI.width),)
"""Lets a tunnel carry the identifier of a packet's network."""


def onward(world: World, here: int, there: int, identify: Iterable[Action] = BY_NETWORK) -> list[Action] | None:
    """The actions that send a packet, whichever port it came from, through the tunnel to another dSwitch.

    :param identify: what gives the tunnel its identifier.
    """
    way = tunnel(world, here, there)
    if way is None:
        return None
    port, actions = way
    # What came by IPv4 still has that address as its destination, and a switch would prefer it to an IPv6 one.
    fresh: list[Action] = [put(oxm.TUN_DST, 0), put(oxm.TUN_IPV6_DST, 0), *actions]
    return [*fresh, *identify, put(oxm.IN_PORT_NXM, 0), Output(port)]


def seated(world: World, dpid: int, appliance: Appliance) -> dict[Instance, int | None]:
    """The instances of an appliance at a dSwitch, each with the number of its ingress port, None where none is shown."""
    ports, found = world.ports.get(dpid, {}), {}
    for instance in appliance.instances:
        numbers = [
            ports.get(seat.ingress) for seat in world.provider.seats_of(appliance, instance) if seat.dpid == dpid
        ]
        if numbers:
            found[instance] = next((number for number in numbers if number is not None), None)
    return found


def arrivals(tables: NetworkTables, endpoint: Endpoint) -> Iterator[tuple[int, Terms, list[Action]]]:
    """How packets from a tunnel to an endpoint are known: priority, what to match, and what to rewrite first."""
    assert tables.network is not None
    network: Terms = {VNI: tables.network.vni}
    if tables.network.service is Service.L2:
        for mac in endpoint.macs:
            yield 200, network | {oxm.ETH_DST: mac}, []
    elif endpoint.macs:
        for ip in endpoint.ips:
            _, _, length = ip.partition("/")
            priority = 200 if not length else 20 + int(length)
            yield priority, network | {destination_field(ip): ip}, [put(oxm.ETH_DST, endpoint.macs[0])]


def destination_field(address: str) -> Field:
    """The field of a packet that holds an address as its destination."""
    if is_mac(address):
        return oxm.ETH_DST
    return oxm.IPV6_DST if is_ipv6(address) else oxm.IPV4_DST


def forget_gaps(tables: NetworkTables, fact: Fact, table: Table) -> Iterator[FlowDelete]:
    """Somebody may have an address that nobody had: every gap of the network in a table goes."""
    before, after = fact.before, fact.after
    if isinstance(after, Endpoint) and tables.network is not None:
        had = {*before.macs, *before.ips} if isinstance(before, Endpoint) else set()
        if not had.issuperset((*after.macs, *after.ips)):
            network = match({VNI: tables.network.vni})
            yield FlowDelete(int(Cookie(Kind.UNKNOWN)), OBJECT_MASK, table.number, network)


def still_nobody(tables: NetworkTables, term: Term) -> bool:
    """Whether there is nobody at the addresses that a term of a match selects."""
    address = term.field.notation.text(term.value)
    return tables.owner(address) is None and tables.unclaimed(address) <= term.mask.bit_count()


def gap_around(tables: NetworkTables, address: str) -> tuple[str, int]:
    """The widest prefix around an address that nobody has in which there is nobody: how to match it, and its width.

    The wider one comes first in a table, and all of them come before what is known: a packet to anybody in it is then
    compared with no more bits than it takes to know that there is nobody, and a switch that remembers which packets
    go which way has one thing to remember and not a million.
    """
    field, length = destination_field(address), tables.unclaimed(address)
    mask = field.full_mask ^ field.full_mask >> length
    return f"{field.notation.text(field.parse(address) & mask)}/{length}", field.width - length


TUNNEL_PORTS = {"geneve": "dove-geneve", "vxlan": "dove-vxlan"}
"""Name of the port of a dSwitch for each tunnel protocol."""
