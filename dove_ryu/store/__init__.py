"""Durable state of the DPS: `open_store(url)`, and the interface that every kind of store fulfils.

The rest of the DPS names nothing below this package. A kind of store is one entry of `STORES`, by the scheme
of its URL.
"""

from collections.abc import Callable
from typing import Final

from dove_ryu.store.interface import (
    ABSENT,
    Change,
    Commit,
    Compacted,
    Conflict,
    Document,
    Item,
    NotStorable,
    Scan,
    SchemaTooNew,
    Snapshot,
    Store,
    StoreError,
    StoreUnavailable,
    Watch,
)
from dove_ryu.store.sqlite import open_sqlite

__all__ = [
    "ABSENT",
    "STORES",
    "Change",
    "Commit",
    "Compacted",
    "Conflict",
    "Document",
    "Item",
    "NotStorable",
    "Scan",
    "SchemaTooNew",
    "Snapshot",
    "Store",
    "StoreError",
    "StoreUnavailable",
    "Watch",
    "open_store",
]

STORES: Final[dict[str, Callable[[str], Store]]] = {"sqlite": open_sqlite}
"""URL scheme -> what opens such a URL."""


def open_store(url: str) -> Store:
    """Open the store that this URL names, e.g. `sqlite:////var/lib/dove/dps.sqlite` (an absolute path).

    Raises `StoreUnavailable` where there is no such store or it cannot be opened, `SchemaTooNew` where a
    newer release wrote it.
    """
    scheme = url.partition(":")[0]
    if scheme not in STORES:
        known = ", ".join(sorted(f"{name}:" for name in STORES))
        remedy = f"A store's URL begins with {known}"
        raise StoreUnavailable(repr(url), f"there is no kind of store called {scheme!r}", remedy)
    return STORES[scheme](url)
