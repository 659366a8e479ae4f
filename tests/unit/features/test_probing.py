"""Where answers to probes come in, and that they go up and nowhere else (X10)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dove_ryu.features.probing import Probing, probe_of
from dove_ryu.model.appliances import Appliance, Instance, Probe, ProbeKind, Sharing
from dove_ryu.model.facts import Change
from dove_ryu.model.world import World
from dove_ryu.openflow.flow import text
from dove_ryu.openflow.pipeline import CHAIN_RETURN, LIMIT
from dove_ryu.openflow.probe import Mark, address_probe, probe_frame, tagged

PLACED = Instance("one", 1, "in", "out", mac="02:00:00:00:0f:01")
FRAME = Probe(ProbeKind.FRAME)
SHARED = Appliance("FW-1", "firewall", (PLACED, Instance("two", 0, "", ""), Instance("far", 2, "x", "y")), probe=FRAME)
MARK = Mark(1, 2, 3)


def flows(*appliances: Appliance) -> str:
    """The flows of probes at a dSwitch with ports in and out."""
    world = World()
    world.ports[1] = {"in": 5, "out": 6}
    for appliance in appliances:
        world.apply(Change.put(appliance))
    return text(Probing().dswitch_flows(world, 1))


def test_a_frame_is_awaited_at_the_egress_port_in_its_own_vlan() -> None:
    classify, ask, limit = flows(SHARED).split("\n")
    assert classify == f"cookie=0xd010000000000000, priority=150,in_port=6 actions=goto_table:{CHAIN_RETURN.number}"
    assert f"table={CHAIN_RETURN.number}, priority=200,in_port=6,dl_vlan=4094,dl_type=0x88b5 " in ask
    assert ask.endswith(f" actions=resubmit(,{LIMIT.number}),CONTROLLER:65535")
    assert f"table={LIMIT.number}, priority=150,in_port=6 actions=meter:22" in limit


@pytest.mark.parametrize(
    ("address", "answer"),
    [
        ("192.0.2.1", "arp,in_port=5,vlan_tci=0x0000/0x1fff,arp_spa=192.0.2.1,arp_tpa=0.0.0.0,arp_op=2"),
        ("2001:db8::1", "icmp6,in_port=5,vlan_tci=0x0000/0x1fff,icmp_type=136,nd_target=2001:db8::1"),
    ],
)
def test_an_address_is_asked_for_at_the_ingress_port(address: str, answer: str) -> None:
    router = replace(SHARED, sharing=Sharing.DEDICATED, routed=True, probe=Probe(ProbeKind.ARP, address))
    assert f"priority=200,{answer} actions=" in flows(router)
    assert "in_port=6" not in flows(router)


def test_who_is_not_probed_or_not_here_has_no_flows() -> None:
    assert flows(replace(SHARED, probe=None)) == ""
    assert flows(replace(SHARED, instances=SHARED.instances[1:])) == ""
    assert flows(replace(SHARED, instances=(replace(PLACED, egress="gone"),))) == ""


def test_a_dswitch_without_meters_limits_nothing() -> None:
    world = World()
    world.ports[1] = {"in": 5, "out": 6}
    world.unmetered.add(1)
    world.apply(Change.put(SHARED))
    assert "meter" not in text(Probing().dswitch_flows(world, 1))


def test_a_probe_has_a_tag_where_segments_have_one() -> None:
    dedicated = replace(SHARED, sharing=Sharing.DEDICATED)
    asking = Probe(ProbeKind.ARP, "192.0.2.1")
    assert probe_of(SHARED, FRAME, MARK) == tagged(probe_frame(MARK), 4094)
    assert probe_of(dedicated, FRAME, MARK) == probe_frame(MARK)
    assert probe_of(SHARED, asking, MARK) == tagged(address_probe("192.0.2.1"), 4094)
    assert probe_of(dedicated, asking, MARK) == address_probe("192.0.2.1")
