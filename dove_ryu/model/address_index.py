"""Who has an address: exact MAC and IP addresses first, then the longest prefix around an IP address."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from dove_ryu.model.addresses import is_ipv6, is_mac, packed

KeyType = TypeVar("KeyType")


class AddressIndex:
    """Names by the addresses and prefixes that they claim.

    Several names may claim one address while changes come in; the first in the alphabet then has it,
    whatever the order in which the claims came.
    """

    def __init__(self) -> None:
        self._exact: dict[str, tuple[str, ...]] = {}
        self._prefixes: dict[tuple[bool, int], dict[int, tuple[str, ...]]] = {}

    def add(self, name: str, addresses: Iterable[str]) -> None:
        """*name* claims *addresses* and prefixes."""
        for address in addresses:
            if "/" in address:
                table, key = self._prefix(address)
                claim(table, key, name)
            else:
                claim(self._exact, address, name)

    def remove(self, name: str, addresses: Iterable[str]) -> None:
        """*name* gives up *addresses* and prefixes that it claimed."""
        for address in addresses:
            if "/" in address:
                table, key = self._prefix(address)
                unclaim(table, key, name)
                if not table:
                    _, _, length = address.partition("/")
                    del self._prefixes[is_ipv6(address), int(length)]
            else:
                unclaim(self._exact, address, name)

    def find(self, address: str) -> str | None:
        """The name that has *address*, a MAC or IP address; None for nobody."""
        known = self._exact.get(address)
        if known is not None:
            return known[0]
        return self._longest_prefix(address) if self._prefixes and not is_mac(address) else None

    def _longest_prefix(self, address: str) -> str | None:
        number, width, family = _number(address), _width(address), is_ipv6(address)
        for six, length in sorted(self._prefixes, reverse=True):
            if six == family:
                found = self._prefixes[six, length].get(number >> (width - length))
                if found is not None:
                    return found[0]
        return None

    def _prefix(self, prefix: str) -> tuple[dict[int, tuple[str, ...]], int]:
        address, _, length = prefix.partition("/")
        table = self._prefixes.setdefault((is_ipv6(address), int(length)), {})
        return table, _number(address) >> (_width(address) - int(length))


def _number(address: str) -> int:
    return int.from_bytes(packed(address), "big")


def _width(address: str) -> int:
    return 128 if is_ipv6(address) else 32


def claim(table: dict[KeyType, tuple[str, ...]], key: KeyType, name: str) -> None:
    """Put *name* among those that claim *key*, in the alphabet's order."""
    table[key] = tuple(sorted({*table.get(key, ()), name}))


def unclaim(table: dict[KeyType, tuple[str, ...]], key: KeyType, name: str) -> None:
    """Take *name* out from among those that claim *key*."""
    left = tuple(other for other in table.get(key, ()) if other != name)
    if left:
        table[key] = left
    else:
        table.pop(key, None)
