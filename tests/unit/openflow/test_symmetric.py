"""The hash of a connection: the same both ways, and what Open vSwitch has (tests/pipeline holds it against that)."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from dove_ryu.openflow.symmetric import connection_hash

addresses = st.one_of(*(st.tuples(*[st.binary(min_size=size, max_size=size)] * 2) for size in (4, 16)))
ports = st.tuples(st.integers(0, 65535), st.integers(0, 65535))


@given(addresses, st.integers(0, 255), st.none() | ports)
def test_both_directions_are_one(ends: tuple[bytes, bytes], protocol: int, ports: tuple[int, int] | None) -> None:
    back = None if ports is None else ports[::-1]
    assert connection_hash(*ends, protocol, ports) == connection_hash(ends[1], ends[0], protocol, back)


def test_a_connection_that_a_switch_was_asked_about() -> None:
    """``ofproto/trace`` of Open vSwitch 3.1: slot 0x3c of 64."""
    assert connection_hash(bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)), 6, (1000, 80)) % 64 == 0x3C


def test_ports_count_where_there_are_any() -> None:
    one, other = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
    assert len({connection_hash(one, other, 17, (port, 53)) for port in range(1000)}) > 990
    assert connection_hash(one, other, 1, (1, 2)) == connection_hash(one, other, 1)
    slots = Counter(connection_hash(one, other, 6, (port, 443)) % 64 for port in range(32768, 36768))
    assert max(slots.values()) < 2 * 4000 / 64
