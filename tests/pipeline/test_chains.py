"""Frames through a chain of appliances at a real bridge: the tag that each sees, and the way back (F16, F17)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from os_ken.lib.packet import ethernet, packet

from dove_ryu.model.appliances import Appliance, Instance
from dove_ryu.model.entities import Policy, Segment, Service
from dove_ryu.model.facts import Change

from . import frames
from .fabric import Fabric
from .ovs import PrivateOvs
from .worlds import HERE, PORTS, chain, dps, dswitches, network

A, C = ("02:00:00:00:00:0a", "10.0.0.10"), ("02:00:00:00:00:0c", "10.0.0.12")
ROUTERS_MAC = "02:00:00:00:0f:01"
CHAIN = Policy("n", "red", "grey", 107, ("fw", "ids"), 200)


@pytest.fixture(params=list(Service), ids=lambda service: service.value)
def fabric(ovs: PrivateOvs, request: pytest.FixtureRequest) -> Iterator[Fabric]:
    """From red to grey through a shared firewall with two ports and a dedicated router with one, all at one dSwitch."""
    known = dps(*network("n", 100, 5, request.param), *chain("n", 100), CHAIN, *dswitches())
    with Fabric(ovs, known, HERE, PORTS) as made:
        yield made


def test_a_packet_passes_both_appliances_and_arrives(fabric: Fabric) -> None:
    plain = frames.icmp_echo(A, C)
    tagged = plain[:12] + bytes.fromhex("81000fa1") + plain[12:]
    assert fabric.send("a", plain) == {"fw-in": [tagged]}, "VLAN 4001 is the firewall's first segment"
    ((port, (routed,)),) = fabric.send("fw-out", tagged).items()
    assert port == "ids"
    assert packet.Packet(routed).get_protocol(ethernet.ethernet).dst == ROUTERS_MAC
    ((port, (arrived,)),) = fabric.send("ids", routed).items()
    assert port == "c"
    assert arrived == plain
    asked = fabric.misses
    for at, frame in (("a", plain), ("fw-out", tagged), ("ids", routed)):
        assert fabric.send(at, frame)
    assert fabric.misses == asked, "all of it is known by now"


def test_a_packet_may_go_back_to_the_port_that_it_came_from(fabric: Fabric) -> None:
    """An appliance of one port, twice in one chain."""
    fabric.apply(
        replace(CHAIN, actions=("nat", "nat")),
        Appliance("nat", "nat", (Instance("one", HERE, "nat", "nat"),), number=142),
        *(Segment("n", "red>grey", hop, 0x800000 + 2 * hop, "nat", hop) for hop in (1, 2)),
    )
    plain = frames.icmp_echo(A, C)
    first, second = (plain[:12] + bytes.fromhex(f"8100000{hop}") + plain[12:] for hop in (1, 2))
    assert fabric.send("a", plain) == {"nat": [first]}
    assert fabric.send("nat", first) == {"nat": [second]}
    assert fabric.send("nat", second) == {"c": [plain]}


@pytest.mark.parametrize("tag", ["", "81000005"], ids=["no tag", "nobody's tag"])
def test_what_nobody_sent_through_an_appliance_goes_nowhere(fabric: Fabric, tag: str) -> None:
    plain = frames.icmp_echo(A, C)
    assert fabric.send("fw-out", plain[:12] + bytes.fromhex(tag) + plain[12:]) == {}
    assert fabric.send("fw-in", plain) == {}


def test_an_appliance_that_goes_stops_the_packets(fabric: Fabric) -> None:
    plain = frames.icmp_echo(A, C)
    assert list(fabric.send("a", plain)) == ["fw-in"]
    fabric.apply(Change.gone(Appliance("ids", "ids")))
    assert fabric.send("a", plain) == {}
