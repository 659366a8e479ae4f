"""Connections and the instances of a pool at a real bridge: what the switch hashes, learns and copies (X10)."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
from os_ken.lib.packet import tcp

from dove_ryu.model.appliances import Appliance, Health, Instance, OnFailure
from dove_ryu.model.entities import Entity, Policy, Segment, Service
from dove_ryu.model.pools import SLOTS, shares
from dove_ryu.openflow.pipeline import CONNECTIONS
from dove_ryu.openflow.symmetric import connection_hash

from . import frames
from .fabric import Fabric
from .ovs import PrivateOvs
from .worlds import HERE, PORTS, chain, dps, dswitches, network

A, C = ("02:00:00:00:00:0a", "10.0.0.10"), ("02:00:00:00:00:0c", "10.0.0.12")
A6, C6 = (A[0], "fd00::a"), (C[0], "fd00::c")
MEMBERS = tuple(Instance(f"p{number}", HERE, f"p{number}", f"p{number}") for number in range(1, 4))
POOL = Appliance("fw", "firewall", MEMBERS, number=140)
LABEL, VLAN = 0x800002, 7
THERE_AND_BACK: list[Entity] = [
    Policy("n", "red", "grey", 107, ("fw",), 200),
    Policy("n", "grey", "red", 108, ("fw",), 200),
    Segment("n", "red>grey", 1, LABEL, "fw", VLAN),
    Segment("n", "grey>red", 1, LABEL + 2, "fw", VLAN + 1),
]
TAG = len(bytes.fromhex("81000007"))


@pytest.fixture
def fabric(ovs: PrivateOvs) -> Iterator[Fabric]:
    """Red and grey speak through a pool of three, all at one dSwitch."""
    known = dps(*network("n", 100, 5, Service.L2), *chain("n", 100), POOL, *THERE_AND_BACK, *dswitches())
    with Fabric(ovs, known, HERE, PORTS) as made:
        yield made


def through(fabric: Fabric, port: int, flags: int = tcp.TCP_ACK, six: bool = False) -> str:
    """The instance that a's segment of a connection comes to."""
    ends = (A6, C6) if six else (A, C)
    ((instance, (seen,)),) = fabric.send("a", frames.tcp_segment(*ends, (port, 80), flags)).items()
    assert fabric.send(instance, seen)["c"] == [seen[:12] + seen[12 + TAG :]]
    return instance


def back(fabric: Fabric, port: int, six: bool = False, mac: str = C[0]) -> str:
    """The instance that c's segment of it comes to."""
    ends = (C6, A6) if six else (C, A)
    ((instance, _),) = fabric.send("c", frames.tcp_segment((mac, ends[0][1]), ends[1], (80, port))).items()
    return instance


def foretold(port: int, six: bool = False) -> str:
    """The instance that the DPS says it is."""
    ends = (ipaddress.ip_address(each[1]).packed for each in ((A6, C6) if six else (A, C)))
    taker = shares(POOL, frozenset())[connection_hash(next(ends), next(ends), 6, (port, 80)) % SLOTS].taker
    assert taker is not None
    return taker.name


@pytest.mark.parametrize("six", [False, True], ids=["IPv4", "IPv6"])
def test_both_directions_come_to_the_instance_that_the_dps_says(fabric: Fabric, six: bool) -> None:
    taken = {port: through(fabric, port, six=six) for port in range(40000, 40024)}
    assert len(Counter(taken.values())) == 3, "all take part"
    for port, instance in taken.items():
        assert back(fabric, port, six) == instance == foretold(port, six)


def test_a_drained_instance_keeps_its_connections_and_gets_no_new_ones(fabric: Fabric) -> None:
    old = {port: through(fabric, port, tcp.TCP_SYN) for port in range(40000, 40012)}
    gone = old[40000]
    fabric.apply(replace(POOL, instances=tuple(replace(each, drain=each.name == gone) for each in MEMBERS)))
    assert {port: through(fabric, port) for port in old} == old
    assert {port: back(fabric, port) for port in old} == old
    new = {port: through(fabric, port, tcp.TCP_SYN) for port in range(50000, 50012)}
    assert gone not in new.values()
    assert {port: through(fabric, port) for port in new} == new
    assert {port: back(fabric, port) for port in new} == new
    again = through(fabric, 40000, tcp.TCP_SYN)
    assert again != gone, "the same ports, another connection"
    assert (through(fabric, 40000), back(fabric, 40000)) == (again, again)
    learned = [flow for flow in fabric.flows() if f"table={CONNECTIONS.number}, " in flow and "priority=100" in flow]
    assert any("tp_src=40000" in flow for flow in learned)
    assert any("tp_dst=40000" in flow for flow in learned), "both directions, and they read as flows of ours"


@pytest.mark.parametrize("on_failure", OnFailure)
def test_an_instance_that_fails(fabric: Fabric, on_failure: OnFailure) -> None:
    gone = foretold(40000)
    fabric.apply(replace(POOL, on_failure=on_failure), Health("fw", gone, up=False))
    found = [*fabric.send("a", frames.tcp_segment(A, C, (40000, 80)))]
    others = [each.name for each in MEMBERS if each.name != gone]
    assert (
        found
        in {
            OnFailure.STOP: ([],),
            OnFailure.NEXT: tuple([name] for name in others),
            OnFailure.LEAVE_OUT: (["c"],),
        }[on_failure]
    )


def test_a_tap_gets_a_copy_and_the_packet_goes_on(fabric: Fabric) -> None:
    fabric.apply(Appliance("fw", "ids", MEMBERS[:1], tap=True, number=140))
    sent = frames.tcp_segment(A, C, (40000, 80))
    assert fabric.send("a", sent) == {"c": [sent], "p1": [sent[:12] + bytes.fromhex("81000007") + sent[12:]]}
    assert fabric.send("p1", sent) == {}
