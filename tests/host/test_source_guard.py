"""An endpoint sends as itself only, and what nobody declared of it is learned from its packets (F24, X6)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from emulation import Endpoint, wait_until

from tests.pipeline import frames

from .datacenter import DataCenter, Document, ipv4, ipv6, mac, machine, reaches, send

FORGER, VICTIM, FREE, SILENT, MUTE = 1, 2, 3, 4, 5
STOLEN = 99


@pytest.fixture(scope="module")
def net() -> Iterator[DataCenter]:
    with DataCenter() as net:
        net.add_dps()
        near, far = net.add_server("near", "10.0.0.2/24"), net.add_server("far", "10.0.0.3/24")
        net.start()
        nobodys: Document = {"macs": [], "ips": []}
        net.apply(
            {
                "network": "web",
                "domains": ["all"],
                "policies": [{"from": "all", "to": "all", "actions": ["accept"]}],
                "endpoints": [
                    machine("forger", FORGER),
                    machine("victim", VICTIM),
                    machine("free", FREE, guard=False),
                    {**machine("silent", SILENT), **nobodys},
                    {**machine("mute", MUTE), **nobodys},
                ],
            }
        )
        net.attach(near, "web/forger")
        net.attach(far, "web/victim")
        net.attach(near, "web/free")
        yield net


def host(number: int, version: int = 4) -> frames.Host:
    return mac(number), ipv4(number) if version == 4 else ipv6(number)


FORGED = {
    "IPv4 address": frames.icmp_echo((mac(FORGER), ipv4(STOLEN)), host(VICTIM)),
    "IPv6 address": frames.icmpv6_echo((mac(FORGER), ipv6(STOLEN)), host(VICTIM, 6)),
    "MAC address": frames.icmp_echo((mac(STOLEN), ipv4(FORGER)), host(VICTIM)),
    "MAC address of IPv6": frames.icmpv6_echo((mac(STOLEN), ipv6(FORGER)), host(VICTIM, 6)),
    "neighbour's addresses": frames.icmp_echo(host(FREE), host(VICTIM)),
    "sender in ARP": frames.arp_request(mac(FORGER), ipv4(STOLEN), ipv4(VICTIM)),
    "neighbour discovery": frames.neighbour_solicitation(mac(FORGER), ipv6(STOLEN), ipv6(VICTIM)),
}


@pytest.mark.parametrize("frame", FORGED.values(), ids=FORGED)
def test_what_is_forged_does_not_arrive_and_is_not_answered(net: DataCenter, frame: bytes) -> None:
    """X6. A true frame is sent after the forged one, so that its arrival says that the forged one will not come."""
    forger, victim = net["forger"], net["victim"]
    with victim.capture(Endpoint.NIC) as at_victim, forger.capture(Endpoint.NIC) as at_forger:
        send(forger, frame, frame, frame, frames.icmp_echo(host(FORGER), host(VICTIM)))
        wait_until(lambda: at_forger.count(f"icmp[0] = 0 and src {ipv4(VICTIM)}") == 1, "the true frame's reply")
    assert at_victim.count("icmp[0] = 8") == 1
    assert at_victim.count(f"src {ipv4(FORGER)} and icmp[0] = 8") == 1
    stolen = f"(ether host {mac(STOLEN)} or host {ipv4(STOLEN)} or host {ipv6(STOLEN)} or src host {ipv4(FREE)})"
    assert at_victim.frames(f"{stolen} or (icmp6 and ip6[40] = 128)") == []
    assert at_forger.frames(f"not ether src {mac(FORGER)} and not ether src {mac(STOLEN)} and (arp or icmp6)") == []


def test_an_endpoint_without_guard_forwards_for_others(net: DataCenter) -> None:
    """X6: the opt-out."""
    with net["victim"].capture(Endpoint.NIC, "icmp") as arriving:
        send(net["free"], frames.icmp_echo((mac(STOLEN), ipv4(STOLEN)), host(VICTIM)))
        wait_until(lambda: arriving.count(f"src {ipv4(STOLEN)}") == 1, "what the free endpoint forwards")


def test_a_tagged_frame_is_nobodys(net: DataCenter) -> None:
    """F11: a VLAN tag of an endpoint's own making gets no frame anywhere."""
    plain = frames.icmp_echo(host(FORGER), host(VICTIM))
    with net["victim"].capture(Endpoint.NIC) as arriving:
        send(net["forger"], plain[:12] + bytes.fromhex("81000064") + plain[12:], plain)
        wait_until(lambda: arriving.count("icmp[0] = 8") >= 1, "the frame without a tag")
    assert arriving.count("icmp[0] = 8") == 1
    assert arriving.frames("vlan") == []


def test_undeclared_addresses_are_learned_and_the_first_packet_is_not_lost(net: DataCenter) -> None:
    """F24: from IPv4 and IPv6 alike; REST shows them, and from then on they are the endpoint's own."""
    silent = net.attach(net["near"], "web/silent", mac=mac(SILENT), ips=[ipv4(SILENT), ipv6(SILENT)])
    assert not reaches(net["victim"], ipv4(SILENT)), "nobody knows its address yet"
    for address in (ipv4(VICTIM), ipv6(VICTIM)):
        result = silent.ping(address, count=20)
        assert (result.lost, result.duplicates) == (0, 0), result.text
    learned = net.endpoint(silent)["learned"]
    assert (learned["macs"], learned["ips"]) == ([mac(SILENT)], [ipv4(SILENT), ipv6(SILENT)])
    net["victim"].run("ip", "neigh", "flush", "all")
    assert reaches(net["victim"], ipv4(SILENT), wait=1)


def test_a_mac_address_that_no_hypervisor_tells_is_learned_too(net: DataCenter) -> None:
    """F24: without external_ids:attached-mac the packets alone must tell."""
    far = net["far"]
    mute = net.attach(far, "web/mute", mac=mac(MUTE), ips=[ipv4(MUTE)])
    far.vsctl("remove", "Interface", mute.port, "external_ids", "attached-mac")
    assert mute.ping(ipv4(FORGER), count=20).lost == 0
    assert net.endpoint(mute)["learned"] == {"macs": [mac(MUTE)], "ips": [ipv4(MUTE)]}


def test_an_address_of_another_is_not_learned(net: DataCenter) -> None:
    """F24, X6: an endpoint that may teach its addresses cannot take one that is somebody's."""
    thief = net.hosts[-1] if "mute" in net else net.attach(net["far"], "web/mute", mac=mac(MUTE), ips=[ipv4(MUTE)])
    assert thief.ping(ipv4(FORGER), count=1).received == 1
    with net["forger"].capture(Endpoint.NIC) as at_forger:
        stolen = frames.icmp_echo((mac(MUTE), ipv4(VICTIM)), host(FORGER))
        send(thief, stolen, stolen, frames.icmp_echo((mac(MUTE), ipv4(MUTE)), host(FORGER)))
        wait_until(lambda: at_forger.count(f"icmp[0] = 8 and src {ipv4(MUTE)}") >= 1, "the thief's own ping")
    assert at_forger.count(f"icmp[0] = 8 and src {ipv4(VICTIM)}") == 0
    assert ipv4(VICTIM) not in net.endpoint(thief)["learned"]["ips"]
    assert reaches(net["forger"], ipv4(VICTIM))
