"""No packet waits in vain for its policy: not the first one, nor the one after an entry has expired (F9, F21).

The first packet of a conversation goes up as a policy request and comes back with the reply. Here it is seen that this
costs time and no packet, however many come at once, and that what is asked (ARP, neighbour discovery) is answered
without a frame on the underlay (F14).
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from emulation import TUNNELLED, TUNNELLED_ARP, TUNNELLED_ND, Hypervisor, wait_until

from dove_ryu.openflow.fields import Kind
from dove_ryu.openflow.pipeline import POLICY

from .datacenter import DataCenter, flows, ipv4, ipv6, machine

HERE, THERE = 4, 8
"""How many machines are on the first server, and how many on the second."""

SECOND = 1


@pytest.fixture(scope="module")
def net() -> Iterator[DataCenter]:
    with DataCenter() as net:
        net.add_dps()
        servers = [net.add_server(f"s{number}", f"10.0.0.{number + 1}/24") for number in (1, 2)]
        net.start()
        net.apply(
            {
                "network": "web",
                "domains": ["all"],
                "policies": [{"from": "all", "to": "all", "actions": ["accept"]}],
                "endpoints": [machine(f"e{number}", number) for number in range(1, HERE + THERE + 1)],
            }
        )
        for number in range(1, HERE + THERE + 1):
            net.attach(servers[number > HERE], f"web/e{number}")
        yield net


@pytest.mark.parametrize("address", [ipv4(5), ipv6(6)], ids=["IPv4", "IPv6"])
def test_a_hundred_pings_to_a_fresh_destination_lose_none(net: DataCenter, address: str) -> None:
    """F9, F14: neither the machine's neighbour table nor the dSwitch's cache knows the destination."""
    with net["s1"].capture(Hypervisor.NIC, TUNNELLED) as underlay:
        result = net["e1"].ping(address, count=100)
    assert (result.lost, result.duplicates) == (0, 0), result.text
    assert result.first_rtt is not None
    assert underlay.count() >= 2 * 100
    assert underlay.frames(TUNNELLED_ARP) == []
    assert underlay.frames(TUNNELLED_ND) == []


def test_many_first_packets_at_once_are_all_delivered(net: DataCenter) -> None:
    """F9: packets of a flow that arrive while its request is under way are requests as well, and none is lost or
    doubled."""
    conversations = [(net[f"e{near}"], of(far)) for near in (2, 3, 4) for far in (7, 8, 9, 10) for of in (ipv4, ipv6)]
    with ThreadPoolExecutor(len(conversations)) as pool:
        running = [pool.submit(near.ping, address, 100, interval=0.002, wait=3) for near, address in conversations]
        results = [ping.result() for ping in running]
    assert [(result.lost, result.duplicates) for result in results] == [(0, 0)] * len(conversations)


def test_the_next_packet_after_an_entry_expired_is_not_lost(net: DataCenter) -> None:
    """F21: the policy is acquired anew each second, in the middle of the traffic."""
    net.policy("web", "all", "all", actions=["accept"], ttl=SECOND)
    near = net["e1"]
    result = near.ping(ipv4(11), count=250)
    assert (result.lost, result.duplicates) == (0, 0), result.text
    wait_until(lambda: not flows(net["s1"], POLICY, Kind.POLICY), "end of the last entry", SECOND + 2)
    assert near.ping(ipv4(11), count=5).lost == 0


def test_a_destination_on_the_same_dswitch_is_reached_without_a_tunnel(net: DataCenter) -> None:
    with net["s2"].capture(Hypervisor.NIC, TUNNELLED) as underlay:
        for address in (ipv4(12), ipv6(12)):
            result = net["e11"].ping(address, count=20)
            assert (result.lost, result.duplicates) == (0, 0), result.text
    assert underlay.count() == 0
