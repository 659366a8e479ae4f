"""Broadcast and multicast: no frame of either crosses the overlay (F14).

What endpoints need of them is answered before this table; the rest is dropped and counted here.
"""

from __future__ import annotations

from collections.abc import Iterable

from dove_ryu.features import Feature
from dove_ryu.model.world import World
from dove_ryu.openflow import oxm
from dove_ryu.openflow.fields import Cookie, Kind
from dove_ryu.openflow.flow import Flow
from dove_ryu.openflow.pipeline import GROUPCAST

GROUP_BIT = "01:00:00:00:00:00"


class Multicast(Feature):
    """Flows of GROUPCAST."""

    def dswitch_flows(self, world: World, dpid: int) -> Iterable[Flow]:
        """Group addresses go nowhere."""
        yield GROUPCAST.flow(100, {oxm.ETH_DST: (GROUP_BIT, GROUP_BIT)}, [], Cookie(Kind.BASE))
