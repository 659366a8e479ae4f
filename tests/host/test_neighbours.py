"""ARP and neighbour discovery are answered at the dSwitch, for whom policy lets know, and cross nothing (F14, F25)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from emulation import TUNNELLED, Endpoint, Hypervisor, wait_until

from .datacenter import DataCenter, ipv4, ipv6, mac, machine, reaches

ASKER, FRIEND, STRANGER, ABSENT, LATE = 1, 2, 3, 4, 5


@pytest.fixture(scope="module")
def net() -> Iterator[DataCenter]:
    with DataCenter() as net:
        net.add_dps()
        near, far = net.add_server("near", "10.0.0.2/24"), net.add_server("far", "10.0.0.3/24")
        net.start()
        net.apply(blueprint())
        net.attach(near, "web/asker")
        net.attach(far, "web/friend")
        net.attach(far, "web/stranger")
        yield net


def blueprint(*more: dict) -> dict:
    """Friends may talk with each other, nobody with strangers; the absent one is attached nowhere."""
    return {
        "network": "web",
        "domains": ["friends", "strangers"],
        "policies": [{"from": "friends", "to": "friends", "actions": ["accept"]}],
        "endpoints": [
            machine("asker", ASKER, "friends"),
            machine("friend", FRIEND, "friends"),
            machine("stranger", STRANGER, "strangers"),
            machine("absent", ABSENT, "friends"),
            *more,
        ],
    }


def neighbour(node: Endpoint, address: str) -> str:
    """What the machine's own table says of a neighbour."""
    return node.run("ip", "neigh", "show", address, "dev", Endpoint.NIC).strip()


@pytest.fixture
def asker(net: DataCenter) -> Endpoint:
    """The asker, who has forgotten everybody."""
    node: Endpoint = net["asker"]
    node.run("ip", "neigh", "flush", "all")
    return node


@pytest.mark.parametrize("of", [ipv4, ipv6])
def test_a_friend_is_resolved_and_nothing_crosses(net: DataCenter, asker: Endpoint, of) -> None:
    with (
        net["near"].capture(Hypervisor.NIC, TUNNELLED) as underlay,
        net["friend"].capture(Endpoint.NIC) as at_friend,
        asker.capture(Endpoint.NIC, "arp or icmp6") as at_asker,
    ):
        assert asker.ping(of(FRIEND), count=3).lost == 0
    assert mac(FRIEND) in neighbour(asker, of(FRIEND))
    echoes = "icmp[0] = 8 or icmp[0] = 0 or (icmp6 and (ip6[40] = 128 or ip6[40] = 129))"
    assert at_friend.count(echoes) == 6
    asked_by_us = f"ether src {mac(ASKER)} and (arp[6:2] = 1 or (icmp6 and ip6[40] = 135))"
    assert at_friend.frames(asked_by_us) == [], "the question does not reach the friend"
    assert at_asker.count(f"ether src {mac(FRIEND)} and (arp or (icmp6 and ip6[40] = 136))") == 1
    assert underlay.count() == 6, "the pings and nothing else"


@pytest.mark.parametrize("of", [ipv4, ipv6])
@pytest.mark.parametrize("number", [STRANGER, 99], ids=["stranger", "nobody"])
def test_who_may_not_be_reached_cannot_be_resolved(net: DataCenter, asker: Endpoint, number: int, of) -> None:
    """F25: a stranger looks like an address that nobody has."""
    with (
        net["stranger"].capture(Endpoint.NIC, f"ether src {mac(ASKER)}") as at_stranger,
        asker.capture(Endpoint.NIC, f"not ether src {mac(ASKER)}") as at_asker,
    ):
        assert not reaches(asker, of(number))
    assert "lladdr" not in neighbour(asker, of(number))
    assert (at_stranger.frames(), at_asker.frames()) == ([], [])


def test_an_endpoint_that_is_attached_nowhere_is_not_resolved(net: DataCenter, asker: Endpoint) -> None:
    assert not reaches(asker, ipv4(ABSENT))
    assert "lladdr" not in neighbour(asker, ipv4(ABSENT))
    net.attach(net["far"], "web/absent")
    wait_until(lambda: reaches(asker, ipv4(ABSENT)), "the absent one, there at last", 3)


def test_an_address_that_finds_an_owner_is_resolved_at_once(net: DataCenter, asker: Endpoint) -> None:
    """F14: that nobody had it is forgotten with the change, and not only when the negative entry expires."""
    for of in (ipv4, ipv6):
        assert not reaches(asker, of(LATE))
    net.apply(blueprint(machine("late", LATE, "friends")))
    net.attach(net["far"], "web/late")
    for of in (ipv4, ipv6):
        asker.run("ip", "neigh", "flush", "all")
        assert reaches(asker, of(LATE), wait=1), of(LATE)


def test_broadcast_multicast_and_announcements_stay_on_the_server(net: DataCenter, asker: Endpoint) -> None:
    """F14: nobody hears what a machine says to all."""
    with (
        net["near"].capture(Hypervisor.NIC, TUNNELLED) as underlay,
        net["friend"].capture(Endpoint.NIC, f"ether src {mac(ASKER)}") as at_friend,
    ):
        asker.run("ping", "-b", "-c", "3", "-i", "0.01", "-W", "0.2", "192.168.7.255", check=False)
        asker.run("ping", "-c", "3", "-i", "0.01", "-W", "0.2", "-I", Endpoint.NIC, "ff02::1", check=False)
        asker.run("ip", "addr", "replace", f"{ipv6(ASKER)}/64", "dev", Endpoint.NIC)
        assert asker.ping(ipv4(FRIEND), count=1).received == 1
    assert at_friend.frames("ether multicast") == []
    assert at_friend.count("icmp") == 1
    assert underlay.count() == 2, "one ping and its reply"


def test_duplicate_address_detection_finds_no_duplicate(net: DataCenter, asker: Endpoint) -> None:
    """F14: a machine that asks for its own address, as it does at its start, is not told that somebody has it."""
    device = ("dev", Endpoint.NIC)
    asker.run("ip", "addr", "del", f"{ipv6(ASKER)}/64", *device)
    asker.run("ip", "addr", "add", f"{ipv6(ASKER)}/64", *device)
    seen: list[str] = []

    def decided() -> bool:
        seen.append(asker.run("ip", "-6", "addr", "show", *device, "to", ipv6(ASKER)))
        return "tentative" not in seen[-1] or "dadfailed" in seen[-1]

    wait_until(decided, "the end of duplicate address detection")
    assert "dadfailed" not in seen[-1]
    assert reaches(asker, ipv6(FRIEND))
