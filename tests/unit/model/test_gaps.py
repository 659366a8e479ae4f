"""The widest prefix with nobody in it, against a look at every length (X3)."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from dove_ryu.model.entities import Endpoint, Gateway, Learned, Service, VirtualNetwork
from dove_ryu.model.facts import Change
from dove_ryu.model.gaps import Gaps, number, width
from dove_ryu.model.world import World

NEAR = st.integers(0, 2**12 - 1)
"""Few enough that addresses come close to each other."""


def mac(low: int) -> str:
    return ":".join(f"{octet:02x}" for octet in (0x02 << 40 | low).to_bytes(6, "big"))


def ipv4(low: int) -> str:
    return str(ipaddress.IPv4Address(10 << 24 | low))


def ipv6(low: int) -> str:
    return str(ipaddress.IPv6Address(0xFD << 120 | low))


def prefix(low: int) -> str:
    return f"{ipaddress.IPv4Address(10 << 24 | (low & ~0xF))}/28"


ADDRESS = st.one_of(NEAR.map(mac), NEAR.map(ipv4), NEAR.map(ipv6))


def naive(taken: list[str], address: str) -> int:
    """Try every length, the shortest first."""
    bits, sought = width(address), number(address)
    others = [number(each) for each in (*taken, "fe80::") if width(each) == bits]
    lengths = range(1, bits + 1)
    return next((n for n in lengths if all((sought ^ each) >> (bits - n) for each in others)), bits)


@given(st.lists(ADDRESS | NEAR.map(prefix)), ADDRESS)
def test_the_gap_is_the_widest_prefix_without_anybody(taken: list[str], address: str) -> None:
    assert Gaps(taken).length(address) == naive(taken, address)
    assert Gaps(taken[1:]).length(address, taken[:1]) == naive(taken, address)


@given(st.lists(st.tuples(st.booleans(), st.lists(ADDRESS, max_size=4))), ADDRESS)
def test_gaps_follow_what_changes(changes: list[tuple[bool, list[str]]], address: str) -> None:
    gaps, taken = Gaps(()), []
    for keep, claims in changes:
        gaps.replace((), claims)
        if keep:
            taken += claims
        else:
            gaps.replace(claims, ())
    assert gaps.length(address) == naive(taken, address)


def test_link_local_addresses_are_taken_one_by_one() -> None:
    """Everybody has one, whoever declares it or not."""
    assert Gaps(()).length("fe80::1") == Gaps(()).length("febf::1") == 128
    assert Gaps(()).length("ff00::1") < 128


B = Endpoint("n", "b", 2, "red", (mac(2),))


def test_a_network_knows_its_gaps_as_endpoints_come_change_and_go() -> None:
    world = World()
    gateway = Gateway("02:00:00:00:ff:01", ("10.0.0.254/24",))
    world.apply(Change.put(Endpoint("n", "a", 1, "red", (mac(1),), (ipv4(1),))))
    network = world.tables["n"]
    assert network.unclaimed(ipv4(0x80)) == 25
    world.apply(Change.put(VirtualNetwork("n", 1, 5, Service.L3, (gateway,))))
    assert network.unclaimed(ipv4(0x80)) == 26
    world.apply(Change.put(B))
    world.apply(Change.put(Learned("n", "b", (), (ipv4(0x81),))))
    assert network.unclaimed(ipv4(0x80)) == 32
    world.apply(Change.gone(B))
    assert network.unclaimed(ipv4(0x80)) == 26
    assert network.unclaimed(mac(2)) == 47
