"""Service chains: from a policy's verdict through its appliances, in order, to where the packet then goes (F16, F17).

Each appliance of each chained policy is reached over a segment of its own.  POLICY gives a packet the label of the
first one; CHAIN tells by the label which appliance is next, and which of its slots the connection is in; POOL and INSTANCE
find the instance, here or through a tunnel that carries the label instead of a VNI; CHAIN_HOP hands the packet over under
the segment's VLAN.  What comes back is known by port and tag, and by nothing that the appliance may have rewritten:
CHAIN_RETURN gives it its segment's label again, and NEXT_HOP the next one or, after the last appliance, its network and the
policy's source domain.  LOCATION then finds whoever is its destination by now, and POLICY passes what is marked as chained.

A tap gets a copy, and the packet itself goes to NEXT_HOP at once.

Labels only ever lead from one hop to the next, so that no packet can run in a circle; and all of a chain's flows are
there or none, so that none is left out.  A packet whose segment is not known at a dSwitch ends there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dove_ryu.features import Feature, seated
from dove_ryu.model.appliances import Appliance, OnFailure
from dove_ryu.model.chains import Hop, chain
from dove_ryu.model.entities import Policy, Service, Verdict
from dove_ryu.model.pools import SLOTS, spreads
from dove_ryu.model.resolution import judge
from dove_ryu.model.tables import NetworkTables
from dove_ryu.model.world import World
from dove_ryu.openflow import oxm
from dove_ryu.openflow.action import Action, Clone, Move, Multipath, Output, PopVlan, PushVlan, Resubmit, put
from dove_ryu.openflow.fields import (
    APPLIANCE,
    BY_ADDRESS,
    CHAINED,
    HANDED_BACK,
    OUTPUT_PORT,
    SEGMENT_LABEL,
    SLOT,
    SOURCE_DOMAIN,
    VNI,
    Cookie,
    Kind,
)
from dove_ryu.openflow.flow import Flow
from dove_ryu.openflow.match import Terms
from dove_ryu.openflow.pipeline import (
    BEGINNINGS,
    CHAIN,
    CHAIN_HOP,
    CHAIN_RETURN,
    CLASSIFY,
    INSTANCE,
    LOCATION,
    NEXT_HOP,
    OUTPUT,
    POLICY,
    POOL,
    TUNNEL_IN,
    goto,
)

ABOVE_ENDPOINTS = 150
"""In CLASSIFY: where an endpoint is said to be at an appliance's port, the port is the appliance's."""

ABOVE_POLICIES = 200
"""In POLICY: who has passed a policy's appliances has passed the policy."""

PAIR_OF_LABELS = oxm.TUN_ID.full_mask ^ 1
"""A segment's two labels differ in the last bit."""


class Chaining(Feature):
    """Flows of CHAIN, CHAIN_HOP, CHAIN_RETURN and NEXT_HOP, and what leads to and from them."""

    def dswitch_flows(self, world: World, dpid: int) -> Iterable[Flow]:
        """Appliances' ports lead to CHAIN_RETURN, which knows of nothing that a tap gives; POLICY passes what was there."""
        base = Cookie(Kind.BASE)
        yield POLICY.flow(ABOVE_POLICIES, {CHAINED: 1}, [goto(OUTPUT)], base)
        for name in sorted(world.appliances):
            for port in _egresses(world, dpid, world.appliances[name]):
                yield CLASSIFY.flow(ABOVE_ENDPOINTS, {oxm.IN_PORT: port}, [goto(CHAIN_RETURN)], base)

    def chain_flows(self, world: World, dpid: int, tables: NetworkTables) -> Iterable[Flow]:
        """The segments of a network's chains, at every dSwitch that hosts it or one of their appliances."""
        for name in sorted(tables.policies if tables.segments else ()):
            policy = tables.policies[name]
            hops = chain(tables, policy)
            if judge(tables, policy)[0] is Verdict.ALLOW and not isinstance(hops, str):
                for position, hop in enumerate(hops):
                    yield from _lead(world, dpid, tables, policy, hop)
                    yield from _return(world, dpid, policy, hop, _afterwards(tables, policy, hops, position))


def _lead(world: World, dpid: int, tables: NetworkTables, policy: Policy, hop: Hop) -> Iterator[Flow]:
    """To an appliance: from the segment to its number, and from its port to the wire.

    Who has an instance hands what comes from a tunnel to it, though others may serve the connection by now: so nothing is
    lost on its way while an appliance moves, and nothing is sent back and forth.
    """
    assert tables.network is not None
    cookie, label = Cookie(Kind.CHAIN, policy.number), hop.segment.label
    found: list[Action] = [put(APPLIANCE, hop.appliance.number)]
    if spreads(hop.appliance):
        found += [Multipath(SLOT.field, SLOT.width, SLOTS), Resubmit(BEGINNINGS.number)]
    towards: list[Action] = [*found, goto(POOL)]
    if hop.appliance.tap:
        towards = [Clone((*found, Resubmit(POOL.number))), Resubmit(NEXT_HOP.number)]
    yield CHAIN.flow(100, {SEGMENT_LABEL: label}, towards, cookie)
    here = {instance: port for instance, port in seated(world, dpid, hop.appliance).items() if port is not None}
    if here:
        known: list[Action] = [put(VNI, tables.network.vni), put(SEGMENT_LABEL, label), *found]
        handed_back = Move(oxm.TUN_ID, HANDED_BACK.field, HANDED_BACK.width)
        terms: Terms = {oxm.TUN_ID: (label, PAIR_OF_LABELS)}
        yield TUNNEL_IN.flow(100, terms, [*known, handed_back, goto(INSTANCE)], cookie)
    for instance, port in here.items():
        tag = [PushVlan(), put(oxm.VLAN_VID, oxm.TAGGED | hop.segment.vlan)] if hop.segment.vlan else []
        routed = [put(oxm.ETH_DST, instance.mac)] if hop.appliance.routed else []
        # An appliance may have one port for both ways, and be in a chain twice.
        hand_over: list[Action] = [*tag, *routed, put(oxm.IN_PORT_NXM, 0), Output(port)]
        yield CHAIN_HOP.flow(100, {SEGMENT_LABEL: label, OUTPUT_PORT: port}, hand_over, cookie)


def _return(world: World, dpid: int, policy: Policy, hop: Hop, afterwards: list[Action]) -> Iterator[Flow]:
    """Back from an appliance, whichever instance of it is here, or on without it; and what comes next."""
    label, cookie = hop.segment.label, Cookie(Kind.CHAIN, policy.number)
    egresses = [] if hop.appliance.tap else _egresses(world, dpid, hop.appliance)
    for port in egresses:
        tagged = hop.segment.vlan != 0
        terms: Terms = {oxm.IN_PORT: port, oxm.VLAN_VID: oxm.TAGGED | hop.segment.vlan if tagged else 0}
        untag: list[Action] = [PopVlan()] if tagged else []
        yield CHAIN_RETURN.flow(100, terms, [*untag, put(SEGMENT_LABEL, label), goto(NEXT_HOP)], cookie)
    if egresses or hop.appliance.tap or hop.appliance.on_failure is OnFailure.LEAVE_OUT:
        yield NEXT_HOP.flow(100, {SEGMENT_LABEL: label}, afterwards, cookie)


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


def _egresses(world: World, dpid: int, appliance: Appliance) -> list[int]:
    """The numbers of the ports of a dSwitch through which an appliance's instances give packets back."""
    ports = world.ports.get(dpid, {})
    here = (seat for seat in world.provider.seats_of(appliance) if seat.dpid == dpid)
    return [ports[seat.egress] for seat in here if seat.egress in ports]
