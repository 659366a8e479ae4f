"""Service chains: from a policy's verdict through its appliances, in order, to where the packet then goes (F16, F17).

Each appliance of each chained policy is reached over a segment of its own.  POLICY gives a packet the label of the
first one; CHAIN leads by the label, here or through a tunnel that carries it instead of a VNI; CHAIN_HOP hands the packet
over under the segment's VLAN.  What comes back is known by port and tag, and by nothing that the appliance may have
rewritten: CHAIN_RETURN gives it the next label or, after the last appliance, its network and the policy's source domain
again.  LOCATION then finds whoever is its destination by now, and POLICY passes what is marked as chained.

Labels only ever lead from one hop to the next, so that no packet can run in a circle; and all of a chain's flows are
there or none, so that none is left out.  A packet whose segment is not known at a dSwitch ends there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dove_ryu.features import Feature, onward
from dove_ryu.model.chains import Hop, chain
from dove_ryu.model.entities import Appliance, Instance, Policy, Seat, Service, Verdict
from dove_ryu.model.resolution import judge
from dove_ryu.model.world import NetworkTables, World
from dove_ryu.openflow import oxm
from dove_ryu.openflow.fields import BY_ADDRESS, CHAINED, SEGMENT_LABEL, SOURCE_DOMAIN, VNI, Cookie, Kind
from dove_ryu.openflow.flow import Action, Flow, Output, PopVlan, PushVlan, Terms, put
from dove_ryu.openflow.pipeline import (
    CHAIN,
    CHAIN_HOP,
    CHAIN_RETURN,
    CLASSIFY,
    LOCATION,
    OUTPUT,
    POLICY,
    TUNNEL_IN,
    goto,
)

ABOVE_ENDPOINTS = 150
"""In CLASSIFY: where an endpoint is said to be at an appliance's port, the port is the appliance's."""

ABOVE_POLICIES = 200
"""In POLICY: who has passed a policy's appliances has passed the policy."""


class Chaining(Feature):
    """Flows of CHAIN, CHAIN_HOP and CHAIN_RETURN, and what leads to and from them."""

    def dswitch_flows(self, world: World, dpid: int) -> Iterable[Flow]:
        """Appliances' ports lead to CHAIN_RETURN; POLICY lets pass what has been there."""
        base = Cookie(Kind.BASE)
        yield POLICY.flow(ABOVE_POLICIES, {CHAINED: 1}, [goto(OUTPUT)], base)
        for name in sorted(world.appliances):
            for seat in world.provider.seats_of(world.appliances[name]):
                port = _port(world, dpid, seat, seat.egress)
                if port is not None:
                    yield CLASSIFY.flow(ABOVE_ENDPOINTS, {oxm.IN_PORT: port}, [goto(CHAIN_RETURN)], base)

    def chain_flows(self, world: World, dpid: int, tables: NetworkTables) -> Iterable[Flow]:
        """The segments of a network's chains, at every dSwitch that hosts it or one of their appliances."""
        for name in sorted(tables.policies if tables.segments else ()):
            policy = tables.policies[name]
            hops = chain(tables, policy)
            if judge(tables, policy)[0] is Verdict.ALLOW and not isinstance(hops, str):
                for position, hop in enumerate(hops):
                    yield from _lead(world, dpid, policy, hop)
                    yield from _return(world, dpid, policy, hop, _afterwards(tables, policy, hops, position))


def _lead(world: World, dpid: int, policy: Policy, hop: Hop) -> Iterator[Flow]:
    """Towards an appliance.

    Who has an instance hands what comes from a tunnel to it, though another may serve the policy by now: so nothing is
    lost on its way while an appliance moves.
    """
    cookie, label = Cookie(Kind.CHAIN, policy.number), hop.segment.label
    seat = world.seat(hop.appliance, hop.instance)
    assert seat is not None, "a chain leads to instances that are somewhere"
    way = [goto(CHAIN_HOP)] if seat.dpid == dpid else onward(world, dpid, seat.dpid, label)
    if way is not None:
        yield CHAIN.flow(100, {SEGMENT_LABEL: label}, way, cookie)
    ingresses = ((each, _ingress(world, dpid, hop.appliance, each)) for each in hop.appliance.instances)
    here = {instance: port for instance, port in ingresses if port is not None}
    taking = hop.instance if hop.instance in here else next(iter(here), None)
    if taking is not None:
        yield TUNNEL_IN.flow(100, {oxm.TUN_ID: label}, [put(SEGMENT_LABEL, label), goto(CHAIN_HOP)], cookie)
        tag = [PushVlan(), put(oxm.VLAN_VID, oxm.TAGGED | hop.segment.vlan)] if hop.segment.vlan else []
        routed = [put(oxm.ETH_DST, taking.mac)] if hop.appliance.routed else []
        # An appliance may have one port for both ways, and be in a chain twice.
        hand_over: list[Action] = [*tag, *routed, put(oxm.IN_PORT_NXM, 0), Output(here[taking])]
        yield CHAIN_HOP.flow(100, {SEGMENT_LABEL: label}, hand_over, cookie)


def _return(world: World, dpid: int, policy: Policy, hop: Hop, afterwards: list[Action]) -> Iterator[Flow]:
    """Back from an appliance, whichever instance of it is here."""
    tagged = hop.segment.vlan != 0
    for seat in world.provider.seats_of(hop.appliance):
        port = _port(world, dpid, seat, seat.egress)
        if port is not None:
            terms: Terms = {oxm.IN_PORT: port, oxm.VLAN_VID: oxm.TAGGED | hop.segment.vlan if tagged else 0}
            untag: list[Action] = [PopVlan()] if tagged else []
            cookie = Cookie(Kind.CHAIN, policy.number)
            yield CHAIN_RETURN.flow(100, terms, [*untag, *afterwards], cookie)


def _afterwards(tables: NetworkTables, policy: Policy, hops: Sequence[Hop], position: int) -> list[Action]:
    """Where a packet goes on after an appliance; nowhere where the policy has no source domain to go on from."""
    assert tables.network is not None
    network = put(VNI, tables.network.vni)
    if position + 1 < len(hops):
        return [network, put(SEGMENT_LABEL, hops[position + 1].segment.label), goto(CHAIN)]
    source = tables.domains.get(policy.source or "")
    if source is None:
        return []
    # Behind a router the destination's MAC address is the router's choice.
    by_address = tables.network.service is Service.L3 or any(hop.appliance.routed for hop in hops)
    known = [network, put(SOURCE_DOMAIN, source.number), put(BY_ADDRESS, int(by_address)), put(CHAINED, 1)]
    return [*known, goto(LOCATION)]


def _ingress(world: World, dpid: int, appliance: Appliance, instance: Instance) -> int | None:
    """The number of the port through which an instance is given packets at a dSwitch; None where it is not there."""
    ports = (_port(world, dpid, seat, seat.ingress) for seat in world.provider.seats_of(appliance, instance))
    return next((port for port in ports if port is not None), None)


def _port(world: World, dpid: int, seat: Seat, name: str) -> int | None:
    """The number of an instance's port at a dSwitch; None where it is not there."""
    return world.ports.get(dpid, {}).get(name) if seat.dpid == dpid else None
