"""Who has an address: exact MAC and IP addresses first, then the longest prefix around an IP address.

Nearly every address is claimed by one name, and a million endpoints claim two million addresses: a single claim is
kept as the bare name, only several as a tuple.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from dove_ryu.model.addresses import is_ipv6, is_mac, packed

KeyType = TypeVar("KeyType")

Claims = str | tuple[str, ...]
"""Who claims something: one name, or several in the alphabet's order."""


class AddressIndex:
    """Names by the addresses and prefixes that they claim.

    Several names may claim one address while changes come in; the first in the alphabet then has it,
    whatever the order in which the claims came.
    """

    def __init__(self) -> None:
        self._exact: dict[str, Claims] = {}
        self._prefixes: dict[tuple[bool, int], dict[int, Claims]] = {}

    def add(self, name: str, addresses: Iterable[str]) -> None:
        """*name* claims *addresses* and prefixes."""
        for address in addresses:
            if "/" in address:
                kind, key = _prefix(address)
                claim(self._prefixes.setdefault(kind, {}), key, name)
            else:
                claim(self._exact, address, name)

    def remove(self, name: str, addresses: Iterable[str]) -> None:
        """*name* gives up *addresses* and prefixes that it claimed."""
        for address in addresses:
            if "/" in address:
                kind, key = _prefix(address)
                table = self._prefixes.get(kind, {})
                unclaim(table, key, name)
                if not table:
                    self._prefixes.pop(kind, None)
            else:
                unclaim(self._exact, address, name)

    def find(self, address: str) -> str | None:
        """The name that has *address*, a MAC or IP address; None for nobody."""
        known = self._exact.get(address)
        if known is not None:
            return first_of(known)
        return self._longest_prefix(address) if self._prefixes and not is_mac(address) else None

    def claimants(self, address: str) -> tuple[str, ...]:
        """All names that claim this very address or prefix, in the alphabet's order."""
        if "/" not in address:
            return names_of(self._exact.get(address, ()))
        kind, key = _prefix(address)
        return names_of(self._prefixes.get(kind, {}).get(key, ()))

    def _longest_prefix(self, address: str) -> str | None:
        number, width, family = _number(address), _width(address), is_ipv6(address)
        for six, length in sorted(self._prefixes, reverse=True):
            if six == family:
                found = self._prefixes[six, length].get(number >> (width - length))
                if found is not None:
                    return first_of(found)
        return None


def _prefix(prefix: str) -> tuple[tuple[bool, int], int]:
    """A prefix's family (whether IPv6) and length, and its bits."""
    address, _, length = prefix.partition("/")
    return (is_ipv6(address), int(length)), _number(address) >> (_width(address) - int(length))


def _number(address: str) -> int:
    return int.from_bytes(packed(address), "big")


def _width(address: str) -> int:
    return 128 if is_ipv6(address) else 32


def claim(table: dict[KeyType, Claims], key: KeyType, name: str) -> None:
    """Put *name* among those that claim *key*, in the alphabet's order."""
    known = table.setdefault(key, name)
    if known != name:
        table[key] = tuple(sorted({*names_of(known), name}))


def unclaim(table: dict[KeyType, Claims], key: KeyType, name: str) -> None:
    """Take *name* out from among those that claim *key*."""
    left = tuple(other for other in names_of(table.pop(key, ())) if other != name)
    if left:
        table[key] = left if len(left) > 1 else left[0]


def first_of(claims: Claims) -> str:
    """Who has what several may claim."""
    return claims if isinstance(claims, str) else claims[0]


def names_of(claims: Claims) -> tuple[str, ...]:
    """All who claim something."""
    return (claims,) if isinstance(claims, str) else claims
