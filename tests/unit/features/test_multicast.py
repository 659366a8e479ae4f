"""Broadcast and multicast go nowhere (F14)."""

from dove_ryu.features.multicast import Multicast

from .small import HERE, golden, lines, world_of


def test_group_addresses_go_nowhere() -> None:
    assert lines(Multicast().dswitch_flows(world_of(), HERE)) == golden(
        """
        BASE:0/0, table=GROUPCAST, priority=100,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00 actions=drop
        """
    )
