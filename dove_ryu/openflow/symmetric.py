"""The hash by which :class:`~dove_ryu.openflow.flow.Multipath` knows a connection, computed as Open vSwitch computes it.

A switch needs nobody to compute it; ``dove trace`` and the tests do.  The addresses and the ports go in as the exclusive or
of both ends, so that both directions come out the same.  It is MurmurHash3 over 32-bit words as a little-endian machine
reads them from the packet, which is what ``ovs-vswitchd`` has where it was not built for a processor's own CRC32.
"""

from __future__ import annotations

import struct
from typing import Final

_WORD: Final = 0xFFFFFFFF
WITH_PORTS = frozenset({6, 17, 132})
"""The IP protocols whose ports count: TCP, UDP and SCTP."""


def connection_hash(source: bytes, destination: bytes, protocol: int, ports: tuple[int, int] | None = None) -> int:
    """The hash of a connection, 32 bits.

    :param source: an IP address, 4 or 16 bytes.
    :param destination: another of the same family.
    :param ports: of both ends; None in a fragment, and where the protocol has none.
    """
    mixed = bytes(one ^ other for one, other in zip(source, destination, strict=True))
    hashed = 0
    for word in struct.unpack(f"<{len(mixed) // 4}I", mixed):
        hashed = _add(hashed, word)
    hashed = _add(hashed, protocol)
    if ports is not None and protocol in WITH_PORTS:
        hashed = _add(hashed, int.from_bytes((ports[0] ^ ports[1]).to_bytes(2, "big"), "little"))
    return _finish(hashed)


def _add(hashed: int, word: int) -> int:
    if word:
        hashed ^= _rotated(word * 0xCC9E2D51 & _WORD, 15) * 0x1B873593 & _WORD
    return _rotated(hashed, 13) * 5 + 0xE6546B64 & _WORD


def _finish(hashed: int) -> int:
    hashed = (hashed ^ hashed >> 16) * 0x85EBCA6B & _WORD
    hashed = (hashed ^ hashed >> 13) * 0xC2B2AE35 & _WORD
    return hashed ^ hashed >> 16


def _rotated(word: int, by: int) -> int:
    return (word << by | word >> 32 - by) & _WORD
