"""The distributed virtual router, and the world behind an edge: networks of service type L3 (F13, F33).

Machines of two subnets on two servers, and an edge whose endpoint stands for a prefix of outside addresses.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from emulation import TUNNELLED, TUNNELLED_ARP, TUNNELLED_ND, Endpoint, Hypervisor, wait_until

from .datacenter import DataCenter, ipv4, ipv6, mac, machine, reaches

GATEWAYS = {1: "02:00:5e:00:00:01", 2: "02:00:5e:00:00:02", 9: "02:00:5e:00:00:09"}
"""The MAC address of the virtual router in each subnet; its IP addresses end in 254."""
GATEWAY = 254

OUTSIDE = ("198.51.100.7", "198.51.100.8", "2001:db8:ffff::7")


@pytest.fixture(scope="module")
def net() -> Iterator[DataCenter]:
    with DataCenter() as net:
        net.add_dps()
        servers = [net.add_server(f"s{number}", f"10.0.0.{number + 1}/24") for number in (1, 2)]
        edge = net.add_server("edge", "10.0.0.9/24")
        net.start()
        net.apply(
            {
                "network": "shop",
                "service": "l3",
                "gateways": [
                    {"mac": mac, "ips": [f"{ipv4(GATEWAY, subnet)}/24", f"{ipv6(GATEWAY, subnet)}/64"]}
                    for subnet, mac in GATEWAYS.items()
                ],
                "domains": ["inside", "outside"],
                "policies": [
                    {"from": "inside", "to": "inside", "actions": ["accept"]},
                    {"from": "inside", "to": "outside", "actions": ["accept"]},
                    {"from": "outside", "to": "inside", "actions": ["accept"]},
                ],
                "endpoints": [
                    machine("a1", 11, "inside", subnet=1),
                    machine("b1", 12, "inside", subnet=1),
                    machine("a2", 21, "inside", subnet=2),
                    machine("b2", 22, "inside", subnet=2),
                    {
                        "name": "internet",
                        "domain": "outside",
                        "macs": [mac(91)],
                        "ips": [ipv4(91, 9), ipv6(91, 9), "198.51.100.0/24", "2001:db8:ffff::/64"],
                    },
                ],
            }
        )
        for name, server, subnet in (("a1", 0, 1), ("b1", 1, 1), ("a2", 0, 2), ("b2", 1, 2)):
            net.attach(servers[server], f"shop/{name}", gateway=gateways(subnet))
        internet = net.attach(edge, "shop/internet", ips=[ipv4(91, 9), ipv6(91, 9)], gateway=gateways(9))
        for address in OUTSIDE:
            internet.run("ip", "addr", "add", address, "dev", "lo")
        yield net


def gateways(subnet: int) -> list[str]:
    return [ipv4(GATEWAY, subnet), ipv6(GATEWAY, subnet)]


#: From each machine's address to one in the other subnet, on the same server and on another.
ROUTES = [("a1", 21, "a2"), ("a1", 22, "b2"), ("b2", 11, "a1")]


@pytest.mark.parametrize("of", [ipv4, ipv6])
def test_the_gateway_answers_pings_of_both_subnets(net: DataCenter, of) -> None:
    """F13: at every dSwitch, itself, for all its addresses."""
    with net["s1"].capture(Hypervisor.NIC, TUNNELLED) as underlay:
        for name, subnet in (("a1", 1), ("a2", 2)):
            result = net[name].ping(of(GATEWAY, subnet), count=20)
            assert (result.lost, result.duplicates) == (0, 0), result.text
        assert net["a1"].ping(of(GATEWAY, 2), count=3).lost == 0, "the other subnet's address, by way of our own"
    assert underlay.count() == 0
    learned = net["a1"].run("ip", "neigh", "show", of(GATEWAY, 1))
    assert GATEWAYS[1] in learned


@pytest.mark.parametrize("of", [ipv4, ipv6])
@pytest.mark.parametrize(("source", "number", "destination"), ROUTES)
def test_a_routed_packet_loses_one_hop(net: DataCenter, source: str, number: int, destination: str, of) -> None:
    """F13: one, on the same server and across servers, first packet included; the last frame comes from the gateway."""
    subnet = number // 10
    with net[destination].capture(Endpoint.NIC) as arriving:
        result = net[source].ping(of(number, subnet), count=50)
    assert (result.lost, result.duplicates) == (0, 0), result.text
    assert " ttl=63 " in result.text
    requests = "icmp[0] = 8" if of is ipv4 else "icmp6 and ip6[40] = 128"
    hops = "ip[8] = 63" if of is ipv4 else "ip6[7] = 63"
    assert arriving.count(f"{requests} and {hops}") == 50
    assert arriving.count(f"{requests} and ether dst {net[destination].mac}") == 50


@pytest.mark.parametrize("of", [ipv4, ipv6])
def test_inside_a_subnet_no_hop_is_lost(net: DataCenter, of) -> None:
    """F13: forwarded by the inner IP address all the same."""
    result = net["a1"].ping(of(12, 1), count=20)
    assert (result.lost, result.duplicates) == (0, 0), result.text
    assert " ttl=64 " in result.text


@pytest.mark.parametrize("of", [ipv4, ipv6])
def test_a_route_is_traced(net: DataCenter, of) -> None:
    """F13: as traceroute does it; the first hop is the gateway, which says so, the second the destination."""
    exceeded = "Time to live exceeded" if of is ipv4 else "Time exceeded: Hop limit"
    for source, number, _ in ROUTES:
        subnet, own = number // 10, {"a1": 1, "b2": 2}[source]
        first = net[source].run("ping", "-n", "-c", "1", "-W", "1", "-t", "1", of(number, subnet), check=False)
        assert exceeded in first, first
        assert f"From {of(GATEWAY, own)} " in first
        assert " 1 received" in net[source].run("ping", "-n", "-c", "1", "-W", "1", "-t", "2", of(number, subnet))


def test_no_arp_or_nd_crosses(net: DataCenter) -> None:
    """F14, for an L3 network too."""
    for node in net.hosts:
        node.run("ip", "neigh", "flush", "all")
    with net["s1"].capture(Hypervisor.NIC, TUNNELLED) as underlay:
        for of in (ipv4, ipv6):
            for number in (12, 21, 22):
                assert net["a1"].ping(of(number, number // 10), count=3).lost == 0
    assert underlay.count() >= 2 * 2 * 2 * 3
    assert underlay.frames(TUNNELLED_ARP) == []
    assert underlay.frames(TUNNELLED_ND) == []


@pytest.mark.parametrize("address", OUTSIDE)
def test_an_external_endpoint_stands_for_a_prefix(net: DataCenter, address: str) -> None:
    """F33: every address in the prefix is reached at the edge, and answers."""
    result = net["a1"].ping(address, count=50)
    assert (result.lost, result.duplicates) == (0, 0), result.text


def test_the_outside_reaches_in_from_its_own_prefix_only(net: DataCenter) -> None:
    """F33, X6: the source guard knows the prefix."""
    internet, inside = net["internet"], net["a1"]
    internet.run("ip", "addr", "add", "203.0.113.1", "dev", "lo")
    with inside.capture(Endpoint.NIC, "icmp[0] = 8") as arriving:
        for source in (OUTSIDE[0], "203.0.113.1"):
            internet.run("ping", "-n", "-c", "3", "-i", "0.01", "-W", "0.2", "-I", source, ipv4(11, 1), check=False)
        wait_until(lambda: arriving.count() >= 3, "the pings from the prefix")
    assert arriving.count(f"src {OUTSIDE[0]}") == arriving.count() == 3


def test_policy_holds_between_subnets_and_for_the_outside(net: DataCenter) -> None:
    """F1: no policy leads from the outside to the outside, and one that is withdrawn is withdrawn for the prefix."""
    inside = net["b2"]
    assert reaches(inside, OUTSIDE[0])
    net.policy("shop", "inside", "outside", actions=["deny"])
    wait_until(lambda: not reaches(inside, OUTSIDE[0]), "denial of the outside", 1)
    assert reaches(inside, ipv4(11, 1))
    net.policy("shop", "inside", "outside", actions=["accept"])
    wait_until(lambda: reaches(inside, OUTSIDE[0]), "the outside again", 1)
