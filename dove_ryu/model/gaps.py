"""Where there is nobody: the widest prefix around an address in which nobody has an address.

A dSwitch that asks for what nobody has learns more than that: all of the prefix, so that a scan of a million addresses
ends after a few questions.  The neighbours of an address in the sorted order share the longest prefixes with it, so that
two comparisons find the gap, however many addresses there are.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable

from dove_ryu.model.addresses import is_ipv6, is_mac, packed

MAC_BITS, IPV4_BITS, IPV6_BITS = 48, 32, 128
_LINK_LOCAL, _LINK_LOCAL_LENGTH = 0xFE80 << 112, 10
"""Every IPv6 endpoint has such an address, and many are never declared: they are taken one by one."""


def width(address: str) -> int:
    """The bits of an address of this kind."""
    if is_mac(address):
        return MAC_BITS
    return IPV6_BITS if is_ipv6(address) else IPV4_BITS


def number(address: str) -> int:
    """An address, or the first of a prefix, as a number."""
    first = address.partition("/")[0]
    return int(first.replace(":", ""), 16) if is_mac(first) else int.from_bytes(packed(first), "big")


class Gaps:
    """The addresses of one network, in order.

    :param addresses: those that somebody has, and prefixes; each as often as it was claimed for.
    """

    def __init__(self, addresses: Iterable[str]) -> None:
        self._taken: dict[int, list[int]] = {MAC_BITS: [], IPV4_BITS: [], IPV6_BITS: [_LINK_LOCAL]}
        for address in addresses:
            self._taken[width(address)].append(number(address))
        for taken in self._taken.values():
            taken.sort()

    def replace(self, before: Iterable[str], after: Iterable[str]) -> None:
        """Who had the addresses *before* has those *after* instead."""
        for address in before:
            taken = self._taken[width(address)]
            del taken[bisect_left(taken, number(address))]
        for address in after:
            insort(self._taken[width(address)], number(address))

    def length(self, address: str, besides: Iterable[str] = ()) -> int:
        """How long the shortest prefix around an address is that has nobody's address in it, 1 at least.

        :param besides: addresses that are taken too.
        """
        bits, sought = width(address), number(address)
        if bits == IPV6_BITS and (sought ^ _LINK_LOCAL) >> (bits - _LINK_LOCAL_LENGTH) == 0:
            return bits
        taken = self._taken[bits]
        at = bisect_left(taken, sought)
        near = taken[max(at - 1, 0) : at + 1] + [number(each) for each in besides if width(each) == bits]
        shared = max((bits - (sought ^ other).bit_length() for other in near), default=0)
        return min(shared + 1, bits)
