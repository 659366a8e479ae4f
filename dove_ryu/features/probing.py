"""Probes of appliances' instances, and the way of their answers to the DPS (X10).

A frame is given to an instance at its ingress port and comes back at its egress port; or its address is asked for at
its ingress port, and it answers there.  At an appliance that is shared by VLAN a probe has a VLAN of its own, which no
segment has; at a dedicated one it has no tag, and is known by what it is.  CHAIN_RETURN, where all that comes from
appliances arrives, sends the answers up and nowhere else, and each port may send up no more than an endpoint may.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dove_ryu.features import Feature
from dove_ryu.model.addresses import is_ipv6
from dove_ryu.model.appliances import PROBE_VLAN, Appliance, Probe, ProbeKind, Seat, Sharing
from dove_ryu.model.world import World
from dove_ryu.openflow import oxm
from dove_ryu.openflow.action import Metered
from dove_ryu.openflow.fields import Cookie, Kind
from dove_ryu.openflow.flow import Flow
from dove_ryu.openflow.match import Terms
from dove_ryu.openflow.meters import port_meter
from dove_ryu.openflow.pipeline import CHAIN_RETURN, CLASSIFY, LIMIT, goto
from dove_ryu.openflow.probe import PROBE_FRAME, Mark, address_probe, probe_frame, tagged

ABOVE_ENDPOINTS = 150
"""In CLASSIFY and LIMIT: where an endpoint is said to be at an appliance's port, the port is the appliance's."""

ABOVE_SEGMENTS = 200
"""In CHAIN_RETURN: at a dedicated appliance an answer has no tag, like the packets of the one segment."""

_ARP_REPLY = 2


class Probing(Feature):
    """Flows that take the answers of probed instances to the DPS."""

    def dswitch_flows(self, world: World, dpid: int) -> Iterable[Flow]:
        """For each instance that is probed here: where answers come in, that they go up, and how many may."""
        for name in sorted(world.appliances):
            appliance = world.appliances[name]
            if appliance.probe is not None:
                for seat in filter(None, (world.seat(appliance, each) for each in appliance.instances)):
                    port = answering_port(world, dpid, seat, appliance.probe)
                    if port is not None:
                        yield from _answers(appliance, appliance.probe, port, metered=dpid not in world.unmetered)


def answering_port(world: World, dpid: int, seat: Seat, probe: Probe) -> int | None:
    """The number of the port of a dSwitch at which an instance answers probes; None where it is not there."""
    name = seat.egress if probe.kind is ProbeKind.FRAME else seat.ingress
    return world.ports.get(dpid, {}).get(name) if seat.dpid == dpid else None


def probe_of(appliance: Appliance, probe: Probe, mark: Mark) -> bytes:
    """What is sent into an instance's ingress port."""
    frame = probe_frame(mark) if probe.kind is ProbeKind.FRAME else address_probe(probe.address)
    return tagged(frame, PROBE_VLAN) if appliance.sharing is Sharing.VLAN else frame


def _answers(appliance: Appliance, probe: Probe, port: int, metered: bool) -> Iterator[Flow]:
    base = Cookie(Kind.BASE)
    tag = oxm.TAGGED | PROBE_VLAN if appliance.sharing is Sharing.VLAN else 0
    yield CLASSIFY.flow(ABOVE_ENDPOINTS, {oxm.IN_PORT: port}, [goto(CHAIN_RETURN)], base)
    yield CHAIN_RETURN.ask(ABOVE_SEGMENTS, {oxm.IN_PORT: port, oxm.VLAN_VID: tag, **_answer(probe)})
    if metered:
        yield LIMIT.flow(ABOVE_ENDPOINTS, {oxm.IN_PORT: port}, [Metered(port_meter(port))], base)


def _answer(probe: Probe) -> Terms:
    """How an answer is known."""
    if probe.kind is ProbeKind.FRAME:
        return {oxm.ETH_TYPE: PROBE_FRAME}
    if is_ipv6(probe.address):
        return {oxm.ICMPV6_TYPE: oxm.NEIGHBOUR_ADVERTISEMENT, oxm.ND_TARGET: probe.address}
    return {oxm.ARP_OP: _ARP_REPLY, oxm.ARP_SPA: probe.address, oxm.ARP_TPA: "0.0.0.0"}
