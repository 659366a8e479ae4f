"""An endpoint has moved, and somebody still sends to where it was (F18-F20, figure 3 of the report).

The dSwitch that it left holds a tombstone: packets from the tunnel go on to the new place, and a metered copy comes up.
It is the location invalidation: the tunnel's source address says whose entry is stale, and that dSwitch is sent the new
location without having asked.  A tombstone lasts as long as it is used; an entry that nobody uses is gone before it.
What arrives for an endpoint after that comes up as a miss, and makes the tombstone anew.

A tombstone never stands where its endpoint is or is going to, so that those of all dSwitches lead, however often an
endpoint moved, to where it is, and no packet runs in a circle.  Nor does one lead to a dSwitch that is not connected:
that one may still have an older tombstone of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

from dove_ryu.features import TOMBSTONE_TIMEOUT, Answer, Feature, arrivals, onward
from dove_ryu.model.entities import Endpoint, Service, VirtualNetwork
from dove_ryu.model.tables import NetworkTables
from dove_ryu.model.world import World
from dove_ryu.openflow import oxm, packet
from dove_ryu.openflow.action import ToController, put
from dove_ryu.openflow.fields import OBJECT_MASK, VNI, Cookie, Kind
from dove_ryu.openflow.flow import Flow, FlowDelete, PacketIn
from dove_ryu.openflow.meters import INVALIDATIONS
from dove_ryu.openflow.pipeline import DELIVER, TUNNEL_IN, goto

BELOW_STANDING = 10
"""How much lower a tombstone's priority is than a hosted endpoint's, which may come back at any time."""


class Migration(Feature):
    """Tombstones in TUNNEL_IN and DELIVER, and the location invalidations that they send."""

    def depart(self, world: World, dpid: int, tables: NetworkTables, endpoint: Endpoint) -> Iterable[Flow]:
        """Tombstones for an endpoint's addresses, as long as it is somewhere else and not about to come."""
        location = tables.locations.get(endpoint.name)
        if location is None or dpid in location.dpids or location.dpid not in world.ports:
            return
        way = onward(world, dpid, location.dpid)
        if way is None or tables.network is None:
            return
        yield _to_network(tables.network)
        cookie = Cookie(Kind.TOMBSTONE, endpoint.number)
        for priority, terms, rewrite in arrivals(tables, endpoint):
            actions = [ToController(INVALIDATIONS.number), *rewrite, *way]
            yield DELIVER.flow(priority - BELOW_STANDING, terms, actions, cookie, 0, TOMBSTONE_TIMEOUT)

    def arrive(self, endpoint: Endpoint) -> Iterable[FlowDelete]:
        """The tombstones that it left there are in its way."""
        yield FlowDelete(int(Cookie(Kind.TOMBSTONE, endpoint.number)), OBJECT_MASK, DELIVER.number)

    def recall(self, world: World, dpid: int, tables: NetworkTables, installed: Flow) -> Flow | None:
        """The tombstone under the same key today."""
        cookie = Cookie.parse(installed.cookie)
        if cookie is None or cookie.kind is not Kind.TOMBSTONE or tables.network is None:
            return None
        if installed.table == TUNNEL_IN.number:
            return _to_network(tables.network)
        endpoint = tables.endpoint_of_number(cookie.number)
        flows = () if endpoint is None else self.depart(world, dpid, tables, endpoint)
        return next((flow for flow in flows if flow.key == installed.key), None)

    def take(self, world: World, dpid: int, tables: NetworkTables, packet_in: PacketIn) -> Answer | None:
        """A location invalidation: whose entry is stale and, where there was no tombstone, one and the packet's way."""
        if packet_in.table != DELIVER.number:
            return None
        endpoint = _receiver(tables, packet_in)
        location = None if endpoint is None else tables.locations.get(endpoint.name)
        if location is not None and dpid in location.dpids:
            return Answer()  # a copy for one whose port is not there yet: nobody is wrong
        sender = world.dswitch_at(_tunnel_source(packet_in))
        stale = None if sender is None else sender.dpid
        cookie = Cookie.parse(packet_in.cookie)
        if endpoint is None or cookie is None or cookie.kind is Kind.TOMBSTONE:
            return Answer(stale=stale)
        tombstones = tuple(self.depart(world, dpid, tables, endpoint))
        return Answer(tombstones, (packet_in.resume(DELIVER.number),) if tombstones else (), stale=stale)


def _to_network(network: VirtualNetwork) -> Flow:
    """What lets packets of a network in that is not hosted any more: nobody's, for more than one may have left."""
    to_network = [put(VNI, network.vni), goto(DELIVER)]
    cookie = Cookie(Kind.TOMBSTONE)
    return TUNNEL_IN.flow(90, {oxm.TUN_ID: network.vni}, to_network, cookie, 0, TOMBSTONE_TIMEOUT)


def _receiver(tables: NetworkTables, packet_in: PacketIn) -> Endpoint | None:
    address = destination(tables, packet_in)
    return None if address is None else tables.owner(address)


def destination(tables: NetworkTables, packet_in: PacketIn) -> str | None:
    """The address by which a packet from the tunnel is delivered."""
    assert tables.network is not None
    by_mac = tables.network.service is Service.L2
    return packet.eth_destination(packet_in.data) if by_mac else packet.ip_destination(packet_in.data)


def _tunnel_source(packet_in: PacketIn) -> str:
    for key in (oxm.TUN_SRC, oxm.TUN_IPV6_SRC):
        if packet_in.fields.get(key):
            return key.notation.text(packet_in.fields[key])
    return ""
