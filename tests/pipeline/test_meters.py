"""What one endpoint may ask the DPS, as Open vSwitch holds it to that (X3)."""

from __future__ import annotations

import re

import pytest

from dove_ryu.dps import Dps
from dove_ryu.model.entities import Endpoint, Entity, Location, PolicyDomain, VirtualNetwork
from dove_ryu.model.facts import Change
from dove_ryu.openflow import oxm
from dove_ryu.openflow.action import Meter
from dove_ryu.openflow.fields import Cookie, Kind
from dove_ryu.openflow.flow import FlowStrictDelete
from dove_ryu.openflow.meters import METERS, port_meter
from dove_ryu.openflow.pipeline import LIMIT, LOCATION, NEIGHBOUR
from dove_ryu.southbound.meters import Allowance

from .frames import arp_request, icmp_echo
from .ovs import PrivateOvs
from .switch import RawSwitch

MACS, IPS = ("02:00:00:00:00:0a", "02:00:00:00:00:0b"), ("10.0.0.10", "10.0.0.11")
PORTS = {"p1": 1, "p2": 2}
ENTITIES: list[Entity] = [
    VirtualNetwork("n", 10, 5),
    PolicyDomain("n", "red", 11),
    *(Endpoint("n", f"e{n}", 21 + n, "red", (MACS[n],), (IPS[n],)) for n in (0, 1)),
    *(Location("n", f"e{n}", 1, f"p{n + 1}") for n in (0, 1)),
]
ALLOWANCE = Allowance(rate=1, burst=5)
"""So slow that none is added while a test runs, give or take one."""


def dps() -> Dps:
    made = Dps()
    made.apply(map(Change.put, ENTITIES))
    return made


def scan(ovs: PrivateOvs, sender: int, packets: int) -> None:
    """An endpoint sends to as many addresses that nobody has."""
    for number in range(packets):
        nobody = (f"02:00:00:00:99:{number:02x}", f"10.0.9.{number}")
        ovs.receive(f"p{sender + 1}", icmp_echo((MACS[sender], IPS[sender]), nobody, 64).hex())


def test_what_is_over_an_endpoints_rate_does_not_come_up(ovs: PrivateOvs) -> None:
    """And the other endpoint asks as before; both from the tables in which their packets missed."""
    with RawSwitch(ovs, "br-meters", PORTS, ALLOWANCE) as switch:
        switch.send(dps().connect(1, PORTS, ()))
        scan(ovs, 0, 20)
        scan(ovs, 1, 3)
        ovs.receive("p2", arp_request(MACS[1], IPS[1], "10.0.0.99").hex())
        came = [packet for _ in range(5) for packet in switch.packet_ins()]
        ours, theirs = ([each for each in came if each.in_port == port] for port in (1, 2))
        assert ALLOWANCE.burst <= len(ours) <= ALLOWANCE.burst + 2
        assert [each.table for each in theirs] == [LOCATION.number] * 3 + [NEIGHBOUR.number]
        assert {(each.table, Cookie.parse(each.cookie)) for each in came} == {
            (table, Cookie(Kind.MISS, table)) for table in (LOCATION.number, NEIGHBOUR.number)
        }


def test_what_is_too_much_ends_in_the_datapath(ovs: PrivateOvs) -> None:
    """The meter comes before the way up: what is over the rate costs no upcall."""
    with RawSwitch(ovs, "br-meters", PORTS, ALLOWANCE) as switch:
        switch.send(dps().connect(1, PORTS, ()))
        flow = f"in_port=1,dl_src={MACS[0]},dl_dst=02:00:00:00:99:01,ip,nw_src={IPS[0]}"
        actions = ovs.appctl("ofproto/trace", "br-meters", flow).rpartition("Datapath actions: ")[2]
        assert actions.startswith("meter("), actions
        assert actions.partition(",")[2].startswith("userspace("), actions


def test_a_meter_comes_with_its_flow_and_goes_with_it(ovs: PrivateOvs) -> None:
    with RawSwitch(ovs, "br-meters", PORTS) as switch:
        switch.send(dps().connect(1, PORTS, ()))
        allowed = [Meter(port_meter(port), Allowance().rate, Allowance().burst) for port in (1, 2)]
        assert set(switch.meters()) == {*METERS, *allowed}
        (limit,) = [
            flow for flow in switch.flows() if flow.table == LIMIT.number and flow.match.value(oxm.IN_PORT) == 2
        ]
        switch.send([FlowStrictDelete(limit.key)])
        assert set(switch.meters()) == {*METERS, allowed[0]}


@pytest.mark.parametrize("metered", [True, False])
def test_a_switch_without_meters_is_asked_for_none(ovs: PrivateOvs, metered: bool) -> None:
    with RawSwitch(ovs, "br-meters", PORTS, ALLOWANCE) as switch:
        switch.send(dps().connect(1, PORTS, (), most_meters=1000 if metered else 0))
        scan(ovs, 0, 20)
        came = [packet for _ in range(5) for packet in switch.packet_ins()]
        assert (len(came) == 20) is not metered


@pytest.mark.parametrize(
    ("asks", "to_another", "needed"),
    [
        (icmp_echo((MACS[0], IPS[0]), ("f2:00:00:00:00:01", "10.0.9.1"), 64), "ip,dl_dst=b2:00:00:00:00:02", "dl_dst="),
        (arp_request(MACS[0], IPS[0], "192.0.2.1"), "arp,arp_op=1,arp_tpa=203.0.113.7", "arp_tpa="),
    ],
    ids=["location", "neighbour"],
)
def test_who_asks_for_nobody_learns_of_all_the_gap(ovs: PrivateOvs, asks: bytes, to_another: str, needed: str) -> None:
    """X3: another address of it is not asked for, and Open vSwitch compares as many bits as tell that it is one."""
    with RawSwitch(ovs, "br-gaps", PORTS) as switch:
        made = dps()
        switch.send(made.connect(1, PORTS, ()))
        ovs.receive("p1", asks.hex())
        (asked,) = [packet for _ in range(5) for packet in switch.packet_ins()]
        switch.send(made.packet_in(1, asked).flows)
        sender = (
            f"dl_src={MACS[0]},nw_src={IPS[0]}"
            if "ip" in to_another.split(",")
            else (f"dl_src={MACS[0]},arp_spa={IPS[0]},arp_sha={MACS[0]}")
        )
        trace = ovs.appctl("ofproto/trace", "br-gaps", f"in_port=1,{to_another},{sender}")
        assert "Datapath actions: drop" in trace
        megaflow = trace.partition("Megaflow: ")[2].partition("\n")[0]
        assert re.search(rf"{needed}(80:00:00:00:00:00/81:|128\.0\.0\.0/1|192\.0\.0\.0/)", megaflow), megaflow
