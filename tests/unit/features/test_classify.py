"""Whose packet it is: from the port and from the tunnel identifier (F11)."""

from dove_ryu.features.classify import Classify
from dove_ryu.model.entities import Endpoint

from .small import A_HERE, B_HERE, B_THERE, EVERYTHING, HERE, NETWORK, RED, A, B, golden, lines, standing, world_of

CLASSIFY = Classify()


def test_an_endpoints_port_tells_network_domain_and_endpoint() -> None:
    assert standing(CLASSIFY, *EVERYTHING) == golden(
        """
        NETWORK:10/0, table=TUNNEL_IN, priority=100,tun_id=0x5 actions=set_field:0x5->metadata,goto_table:DELIVER
        ENDPOINT:21/0, table=CLASSIFY, priority=100,in_port=1,vlan_tci=0x0000/0x1fff
            actions=set_field:0x5->metadata,set_field:0xb->reg1,set_field:0x15->reg3,goto_table:SOURCE_GUARD
        ENDPOINT:22/0, table=CLASSIFY, priority=100,in_port=2,vlan_tci=0x0000/0x1fff
            actions=set_field:0x5->metadata,set_field:0xc->reg1,set_field:0x16->reg3,goto_table:SOURCE_GUARD
        """
    )


def test_who_is_not_here_or_has_no_port_or_no_domain_sends_nothing() -> None:
    lost = Endpoint("n", "lost", 23, "grey", ("02:00:00:00:00:0c",))
    nowhere = standing(CLASSIFY, NETWORK, RED, A, A_HERE, B, B_THERE, lost, ports={"tap-b": 2})
    assert nowhere == standing(CLASSIFY, NETWORK, lost, B, B_HERE)
    assert nowhere == golden(
        """
        NETWORK:10/0, table=TUNNEL_IN, priority=100,tun_id=0x5 actions=set_field:0x5->metadata,goto_table:DELIVER
        """
    )


def test_a_location_without_an_endpoint_gives_no_flow() -> None:
    assert len(standing(CLASSIFY, NETWORK, RED, A_HERE)) == 1


def test_tunnel_ports_that_are_there_lead_to_tunnel_in() -> None:
    assert lines(CLASSIFY.dswitch_flows(world_of(ports={"dove-vxlan": 11}), HERE)) == golden(
        """
        BASE:0/0, table=CLASSIFY, priority=100,in_port=11 actions=goto_table:TUNNEL_IN
        """
    )
    assert lines(CLASSIFY.dswitch_flows(world_of(), 99)) == []
