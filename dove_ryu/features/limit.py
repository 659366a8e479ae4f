"""What one endpoint may ask the DPS (X3).

Every hosted endpoint has a meter of its own at its dSwitch, and whatever it sends that would come up passes it first: a
question for a neighbour, a packet to an unknown destination or of an unjudged pair of domains, a new address.  Over the
rate a packet ends in the datapath, before it has cost anybody anything.  It is one flow and one meter an endpoint, in a
table that the tables that ask look into; nothing that an endpoint sends to destinations that are cached comes by here.
"""

from __future__ import annotations

from collections.abc import Iterable

from dove_ryu.features import Feature, Hosted
from dove_ryu.model.tables import NetworkTables
from dove_ryu.model.world import World
from dove_ryu.openflow import oxm
from dove_ryu.openflow.action import Metered
from dove_ryu.openflow.flow import Flow
from dove_ryu.openflow.meters import port_meter
from dove_ryu.openflow.pipeline import LIMIT


class Limit(Feature):
    """Flows of LIMIT."""

    def endpoint_flows(self, world: World, dpid: int, tables: NetworkTables, here: Hosted) -> Iterable[Flow]:
        """The meter of an endpoint, by the port, for a port has one endpoint; none where there are no meters."""
        if dpid not in world.unmetered:
            yield LIMIT.flow(100, {oxm.IN_PORT: here.port}, [Metered(port_meter(here.port))], here.cookie)
