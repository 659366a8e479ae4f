"""The pure part of a connection: bytes in, messages and policy requests out."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dove_ryu.southbound.framing import HangUp, is_ours, split

messages = st.lists(
    st.builds(
        lambda kind, body: struct.pack("!BBHI", 4, kind, 8 + len(body), 1) + body,
        st.integers(0, 29),
        st.binary(max_size=80),
    )
)


@given(messages, st.lists(st.integers(1, 50), min_size=1))
def test_messages_are_the_same_however_they_arrive(sent: list[bytes], sizes: list[int]) -> None:
    stream, received, rest, turn = b"".join(sent), [], b"", 0
    while stream:
        size = sizes[turn % len(sizes)]
        rest, stream, turn = rest + stream[:size], stream[size:], turn + 1
        whole, consumed = split(memoryview(rest))
        received += whole
        rest = rest[consumed:]
    assert (received, rest) == (sent, b"")


@pytest.mark.parametrize("length", range(8))
def test_length_smaller_than_the_header_ends_the_connection(length: int) -> None:
    good, bad = struct.pack("!BBHI", 4, 0, 8, 1), struct.pack("!BBHI", 4, 0, length, 1)
    with pytest.raises(HangUp, match=f"{length} bytes long, the header alone has 8"):
        split(memoryview(good + bad))


def packet_in(version: int = 4, kind: int = 10, cookie: int = 0xD0 << 56 | 5) -> bytes:
    return struct.pack("!BBHIIHBBQ", version, kind, 24, 1, 0, 0, 0, 0, cookie)


def test_policy_request_is_a_packet_in_with_our_cookie() -> None:
    assert is_ours(packet_in(), 0xD0)
    assert not is_ours(packet_in(), 0xD1)
    assert not is_ours(packet_in(), None)
    assert not is_ours(packet_in(kind=11), 0xD0)
    assert not is_ours(packet_in(version=6), 0xD0)
    assert not is_ours(packet_in()[:16], 0xD0)
    assert not is_ours(packet_in(cookie=0xFFFF_FFFF_FFFF_FFFF), 0xD0)
