"""Whose packet is it?  From the port to network, domain and endpoint; from the tunnel to the network (F11)."""

from __future__ import annotations

from collections.abc import Iterable

from dove_ryu.features import TUNNEL_PORTS, Feature, Hosted
from dove_ryu.model.tables import NetworkTables
from dove_ryu.model.world import World
from dove_ryu.openflow import oxm
from dove_ryu.openflow.action import put
from dove_ryu.openflow.fields import SOURCE_DOMAIN, SOURCE_ENDPOINT, VNI, Cookie, Kind
from dove_ryu.openflow.flow import Flow
from dove_ryu.openflow.match import Terms
from dove_ryu.openflow.pipeline import CLASSIFY, DELIVER, SOURCE_GUARD, TUNNEL_IN, goto

UNTAGGED = 0
"""An endpoint's frames carry no VLAN tag; a tagged one matches nothing and is dropped."""


class Classify(Feature):
    """Flows of CLASSIFY and TUNNEL_IN."""

    def dswitch_flows(self, world: World, dpid: int) -> Iterable[Flow]:
        """Tunnel ports lead to TUNNEL_IN."""
        ports = world.ports.get(dpid, {})
        for name in TUNNEL_PORTS.values():
            if name in ports:
                yield CLASSIFY.flow(100, {oxm.IN_PORT: ports[name]}, [goto(TUNNEL_IN)], Cookie(Kind.BASE))

    def network_flows(self, world: World, dpid: int, tables: NetworkTables) -> Iterable[Flow]:
        """A VNI tells the network of a tunnelled packet."""
        assert tables.network is not None
        network = tables.network
        to_network = [put(VNI, network.vni), goto(DELIVER)]
        yield TUNNEL_IN.flow(100, {oxm.TUN_ID: network.vni}, to_network, Cookie(Kind.NETWORK, network.number))

    def endpoint_flows(self, world: World, dpid: int, tables: NetworkTables, here: Hosted) -> Iterable[Flow]:
        """An endpoint's port tells all about its packets."""
        assert tables.network is not None
        domain = tables.domains.get(here.endpoint.domain)
        if domain is not None:
            whose = [
                put(VNI, tables.network.vni),
                put(SOURCE_DOMAIN, domain.number),
                put(SOURCE_ENDPOINT, here.endpoint.number),
            ]
            untagged: Terms = {oxm.IN_PORT: here.port, oxm.VLAN_VID: UNTAGGED}
            yield CLASSIFY.flow(100, untagged, [*whose, goto(SOURCE_GUARD)], here.cookie)
