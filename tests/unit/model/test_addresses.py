"""One spelling for each address."""

from collections.abc import Callable

import netaddr
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dove_ryu.model.addresses import (
    BadAddress,
    canonical_interface,
    canonical_ip,
    canonical_mac,
    canonical_prefix,
    is_ipv6,
    is_mac,
    link_local,
    packed,
)


def _ipv6(number: int) -> netaddr.IPAddress:
    return netaddr.IPAddress(number, version=6)


@pytest.mark.parametrize(
    ("canonical", "text", "expected"),
    [
        (canonical_mac, "02-00-5E-00-00-01", "02:00:5e:00:00:01"),
        (canonical_mac, "0200.5e00.0001", "02:00:5e:00:00:01"),
        (canonical_ip, "10.0.0.1", "10.0.0.1"),
        (canonical_ip, "2001:DB8:0:0::1", "2001:db8::1"),
        (canonical_prefix, "0.0.0.0/0", "0.0.0.0/0"),
        (canonical_prefix, "FD00:0::/64", "fd00::/64"),
        (canonical_interface, "10.0.0.1/24", "10.0.0.1/24"),
        (canonical_interface, "FD00:0::1/64", "fd00::1/64"),
    ],
)
def test_spellings(canonical: Callable[[object], str], text: str, expected: str) -> None:
    assert canonical(text) == expected
    assert canonical(expected) == expected


@pytest.mark.parametrize(
    ("canonical", "text", "message"),
    [
        (canonical_mac, "02:00", "'02:00' is no MAC address; write it like '02:00:00:00:00:01'"),
        (canonical_mac, 7, "7 is no MAC address"),
        (canonical_mac, "33:33:00:00:00:01", "'33:33:00:00:00:01' is a group address"),
        (canonical_mac, "00:00:00:00:00:00", "'00:00:00:00:00:00' is no endpoint's MAC address"),
        (canonical_ip, "10.0.0", "'10.0.0' is no IP address; write it like '10.0.0.1' or 'fd00::1'"),
        (canonical_ip, 7, "7 is no IP address"),
        (canonical_ip, "224.0.0.1", "'224.0.0.1' is not an address that one endpoint can have"),
        (canonical_ip, "::", "'::' is not an address"),
        (canonical_ip, "255.255.255.255", "'255.255.255.255' is not an address"),
        (canonical_prefix, "10.0.0.1/24", "'10.0.0.1/24' has bits beyond its length; did you mean '10.0.0.0/24'?"),
        (canonical_prefix, "10.0.0.0", "'10.0.0.0' is no prefix"),
        (canonical_prefix, 7, "7 is no prefix"),
        (canonical_interface, "ff02::1/64", "'ff02::1' is not an address"),
    ],
)
def test_what_is_no_address_is_told(canonical: Callable[[object], str], text: object, message: str) -> None:
    with pytest.raises(BadAddress) as refused:
        canonical(text)
    assert str(refused.value).startswith(message)


def test_addresses_on_the_wire() -> None:
    assert packed("10.0.0.1") == bytes([10, 0, 0, 1])
    assert packed("fd00::1") == bytes([0xFD, *[0] * 14, 1])
    assert [is_ipv6("fd00::/64"), is_ipv6("10.0.0.0/8")] == [True, False]
    assert link_local("02:00:00:00:00:01") == "fe80::ff:fe00:1"


@given(st.one_of(st.integers(0, 2**32 - 1).map(netaddr.IPAddress), st.integers(0, 2**128 - 1).map(_ipv6)))
def test_an_ip_address_is_spelled_as_others_spell_it(address: netaddr.IPAddress) -> None:
    text = str(address)
    if address.is_multicast() or int(address) == 0 or text == "255.255.255.255":
        with pytest.raises(BadAddress):
            canonical_ip(text)
    else:
        assert canonical_ip(text) == canonical_ip(text.upper()) == text


@given(st.text(alphabet="0123456789abcdefABCDEF.:- x", max_size=20))
def test_what_is_read_is_canonical_or_refused(text: str) -> None:
    for canonical in (canonical_mac, canonical_ip):
        try:
            address = canonical(text)
        except BadAddress:
            continue
        assert canonical(address) == address


@given(st.integers(1, (1 << 48) - 1))
def test_a_link_local_address_is_what_others_make_of_it(number: int) -> None:
    mac = netaddr.EUI(number, dialect=netaddr.mac_unix_expanded)
    assert link_local(str(mac)) == str(mac.ipv6_link_local())


@pytest.mark.parametrize("address", ["2001:db8::1:22:33", "::100:1000:1000:0", "10.0.0.1", "fe80::1", "::"])
def test_no_ip_address_is_taken_for_a_mac_address(address: str) -> None:
    """Some of IPv6 have as many characters and colons as one."""
    assert not is_mac(address)
    assert is_mac("02:00:00:00:0f:01")
