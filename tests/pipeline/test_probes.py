"""Probes at a real bridge: what goes in at an appliance, and what of that which comes back comes up (X10)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from os_ken.lib.packet import arp, ethernet, packet, vlan

from dove_ryu.health import Judge
from dove_ryu.model.appliances import Probe, ProbeKind
from dove_ryu.model.entities import Service
from dove_ryu.openflow.flow import PacketIn
from dove_ryu.openflow.pipeline import CHAIN_RETURN
from dove_ryu.openflow.probe import mark_of
from dove_ryu.probes import Prober
from dove_ryu.southbound import codec

from . import frames
from .fabric import Fabric
from .ovs import PrivateOvs
from .worlds import HERE, PORTS, chain, dps, dswitches, network

ASKED = "192.0.2.1"
ROUTERS_MAC = "02:00:00:00:0f:01"
FRAME, ARP = Probe(ProbeKind.FRAME), Probe(ProbeKind.ARP, ASKED)


class Probed(Fabric):
    """A dSwitch at which a shared firewall with two ports is probed by frames, and a dedicated router with one by ARP.

    :ivar prober: sends a round at each call of :meth:`probe`.
    :ivar up: what came up since it was last looked at.
    """

    live = True

    def __init__(self, ovs: PrivateOvs) -> None:
        known = dps(*network("n", 100, 5, Service.L2), *chain("n", 100), *dswitches())
        for name, probe in (("fw", FRAME), ("ids", ARP)):
            appliance = known.world.appliances[name]
            known.world.provider.replace(name, appliance, replace(appliance, probe=probe))
        super().__init__(ovs, known, HERE, PORTS)
        self.up: list[PacketIn] = []
        judge = Judge(known.world, lambda _: None, str)
        self.prober = Prober(known.world, judge, lambda _: self, codec.packet_out, time.monotonic)
        self._rounds: list[object] = []

    def probe(self) -> dict[str, list[bytes]]:
        """One round; what comes out at which port."""
        self.prober.later = lambda _, act: self._rounds.append(act)
        self.prober.follow()
        act = self._rounds.pop(0)
        assert callable(act)
        act()
        return self.settled()

    def send_out(self, packets: bytes) -> int:
        self.switch.send_out(packets)
        return 1

    def answer(self, packets: list[PacketIn]) -> None:
        self.up += packets


@pytest.fixture
def fabric(ovs: PrivateOvs) -> Iterator[Probed]:
    with Probed(ovs) as made:
        yield made


def test_each_is_asked_at_its_port_and_nowhere_else(fabric: Probed) -> None:
    (at_firewall,), (at_router,) = (sent := fabric.probe())["fw-in"], sent["ids"]
    assert sent.keys() == {"fw-in", "ids"}
    assert packet.Packet(at_firewall).get_protocol(vlan.vlan).vid == 4094
    assert mark_of(at_firewall) is not None
    assert packet.Packet(at_router).get_protocol(arp.arp).dst_ip == ASKED


def test_answers_come_up_and_go_nowhere_else(fabric: Probed) -> None:
    sent = fabric.probe()
    assert fabric.send("fw-out", sent["fw-in"][0]) == {}
    assert fabric.send("ids", arp_reply()) == {}
    first, second = fabric.up
    assert (first.table, second.table) == (CHAIN_RETURN.number,) * 2
    assert (first.in_port, second.in_port) == (PORTS["fw-out"], PORTS["ids"])
    assert mark_of(first.data) == mark_of(sent["fw-in"][0]) is not None


@pytest.mark.parametrize(
    ("port", "frame"),
    [
        ("fw-in", "as it was sent"),
        ("fw-out", "without its tag"),
        ("fw-out", "with another tag"),
        ("ids", "an answer for another address"),
        ("ids", "an answer to somebody"),
        ("a", "as it was sent"),
    ],
)
def test_what_is_no_answer_stays_down(fabric: Probed, port: str, frame: str) -> None:
    sent = fabric.probe()["fw-in"][0]
    untagged = sent[:12] + sent[16:]
    said = {
        "as it was sent": sent,
        "without its tag": untagged,
        "with another tag": sent[:14] + b"\x00\x05" + sent[16:],
        "an answer for another address": arp_reply("192.0.2.2"),
        "an answer to somebody": arp_reply(to="10.0.0.10"),
    }
    assert fabric.send(port, said[frame]) == {}
    assert [each for each in fabric.up if each.table == CHAIN_RETURN.number] == []


def test_a_chains_packets_pass_as_before(fabric: Probed) -> None:
    """Beside the probes, at both kinds of appliance."""
    plain = frames.icmp_echo(("02:00:00:00:00:0a", "10.0.0.10"), ("02:00:00:00:00:0c", "10.0.0.12"))
    tagged = plain[:12] + bytes.fromhex("81000fa1") + plain[12:]
    ((port, (routed,)),) = fabric.send("fw-out", tagged).items()
    assert port == "ids"
    assert packet.Packet(routed).get_protocol(ethernet.ethernet).dst == ROUTERS_MAC
    assert fabric.up == []


def test_an_appliance_that_floods_is_held_to_its_allowance(fabric: Probed) -> None:
    """X3: as an endpoint at that port would be, and nobody else is."""
    sent = fabric.probe()["fw-in"][0]
    for _ in range(400):
        fabric.ovs.receive("fw-out", sent.hex())
    fabric.settled()
    flood = len(fabric.up)
    assert 0 < flood < 400
    fabric.send("ids", arp_reply())
    assert len(fabric.up) == flood + 1


def test_who_is_no_longer_probed_has_no_meter(fabric: Probed) -> None:
    metered = {meter.number for meter in fabric.switch.meters()}
    appliances = fabric.dps.world.appliances
    fabric.apply(*(replace(appliances[name], probe=None) for name in ("fw", "ids")))
    assert len(metered - {meter.number for meter in fabric.switch.meters()}) == 2
    assert "0x88b5" not in "".join(fabric.flows())


def arp_reply(of: str = ASKED, to: str = "0.0.0.0") -> bytes:
    """What a router says that is asked for its address."""
    made = packet.Packet()
    made.add_protocol(ethernet.ethernet("02:d0:5e:00:00:01", ROUTERS_MAC, 0x0806))
    made.add_protocol(arp.arp(opcode=2, src_mac=ROUTERS_MAC, src_ip=of, dst_ip=to))
    made.serialize()
    return bytes(made.data)
