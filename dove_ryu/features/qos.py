"""Quality of service without an appliance: what a policy's packets are marked with, and how many there may be (X8).

Both are done at the dSwitch of the sender.  POLICY knows what is to be done, for it is part of what a dSwitch caches of a
pair of domains; how it is done stands in two tables that POLICY looks into.  MARK writes a code point into IP packets of
either version, which one flow of POLICY could not.  RATE has the meters: one for each policy, or one for each of its
senders, which a flow about a pair of domains cannot tell apart.  Its flows are standing ones, so that a policy's meter is
there, and fills, whether or not anything is cached.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dove_ryu.features import Feature, hosted
from dove_ryu.model.entities import Policy
from dove_ryu.model.qos import Per, Rate
from dove_ryu.model.tables import NetworkTables
from dove_ryu.model.treatment import rated
from dove_ryu.model.world import World
from dove_ryu.openflow import oxm
from dove_ryu.openflow.action import Meter, Metered, Move, Unit
from dove_ryu.openflow.fields import DESTINATION_DOMAIN, DSCP, SOURCE_DOMAIN, SOURCE_ENDPOINT, Cookie, Kind
from dove_ryu.openflow.flow import Flow
from dove_ryu.openflow.match import Terms
from dove_ryu.openflow.meters import FIRST_RATE_METER
from dove_ryu.openflow.pipeline import MARK, RATE

LOWEST_DSCP_BIT = 2
"""Of the octet that has the code point; the two bits below it are for congestion notification (RFC 3168)."""


class QualityOfService(Feature):
    """Flows of MARK and RATE."""

    def dswitch_flows(self, world: World, dpid: int) -> Iterable[Flow]:
        """The code point that POLICY has put down goes into the packet."""
        write = Move(DSCP.field, oxm.IP_TOS, DSCP.width, DSCP.low, LOWEST_DSCP_BIT)
        for version in (oxm.IPV4, oxm.IPV6):
            yield MARK.flow(100, {oxm.ETH_TYPE: version}, [write], Cookie(Kind.BASE))

    def network_flows(self, world: World, dpid: int, tables: NetworkTables) -> Iterable[Flow]:
        """The meters of a network's policies, wherever it has an endpoint, or of the senders that are here."""
        for policy, rate in rated(tables) if dpid not in world.unmetered else ():
            source, destination = map(tables.domains.get, (policy.source or "", policy.destination or ""))
            if source is not None and destination is not None:
                pair: Terms = {SOURCE_DOMAIN: source.number, DESTINATION_DOMAIN: destination.number}
                yield from _meters(world, dpid, tables, policy, rate, pair)


def _meters(world: World, dpid: int, tables: NetworkTables, policy: Policy, rate: Rate, pair: Terms) -> Iterator[Flow]:
    if rate.per is Per.POLICY:
        yield from _metered(world, dpid, policy, rate, pair)
        return
    for here in hosted(world, dpid, tables):
        if here.endpoint.domain == policy.source:
            sender: Terms = {SOURCE_ENDPOINT: here.endpoint.number}
            yield from _metered(world, dpid, policy, rate, pair | sender, here.endpoint.number)


def _metered(world: World, dpid: int, policy: Policy, rate: Rate, terms: Terms, sender: int = 0) -> Iterator[Flow]:
    """The flow with the meter of a policy or of one of its senders; none where the dSwitch can have no more meters."""
    number = world.meter_numbers(dpid).of((policy.number, policy.tracking, sender))
    if number is not None:
        meter = Meter(FIRST_RATE_METER + number, rate.kbps, rate.burst, Unit.KILOBITS)
        cookie = Cookie(Kind.NETWORK, policy.number, policy.tracking)
        yield RATE.flow(100, terms, [Metered(meter.number, meter)], cookie)
