"""What the rest of the DPS knows of durable state: documents, revisions, compare-and-swap and a watch.

A store holds small JSON documents under text keys such as `/dove/v1/networks/web/policies/app>db`. Every
commit that changes something raises the store's *revision* by one; the *version* of a key is the revision of
the commit that last put it, and 0 when it is absent. A commit may depend on the versions of any keys and
takes place wholly or not at all, so one key (a network's own) can guard a whole family of keys. A watch tells
every commit after a revision, in order and without a gap: list, then watch from the snapshot's revision, and
nothing is missed and nothing is seen twice.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Protocol

Document = dict[str, Any]
"""A JSON object. It comes back as JSON has it: tuples are lists, the names of members are text."""

ABSENT: Final = 0
"""The version of a key that is not there, for `expect`."""

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Item:
    """A document as it stands: `version` is the revision of the commit that put it."""

    key: str
    document: Document
    version: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The items under a prefix, in the order of their keys, all of them as of one revision."""

    revision: int
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Scan:
    """The items of a snapshot as they are read, one after another and once."""

    revision: int
    items: Iterator[Item]


@dataclass(frozen=True, slots=True)
class Change:
    """One key in a commit: the document put, or None where deleted. `version` is the commit's revision."""

    key: str
    document: Document | None
    version: int


@dataclass(frozen=True, slots=True)
class Commit:
    """What one commit changed: the deletions in the order of their keys, then the puts in the order given."""

    revision: int
    changes: tuple[Change, ...]


class StoreError(Exception):
    """Whatever a store refuses."""


class Conflict(StoreError):
    """A compare-and-swap lost: `key` is at version `actual`, not `expected` (0: absent). Nothing changed."""

    def __init__(self, key: str, expected: int, actual: int) -> None:
        super().__init__(
            f"{key} is {_at_version(actual)}, not {_at_version(expected)} as this change expects: "
            "read it again and retry"
        )
        self.key, self.expected, self.actual = key, expected, actual


class Compacted(StoreError):
    """The commits after revision `after` are not in the history, which holds those from `oldest` to `newest`.

    The history forgets its oldest commits; a revision beyond `newest` means that an older store took this
    one's place.
    """

    def __init__(self, after: int, oldest: int, newest: int) -> None:
        super().__init__(
            f"the history holds revisions {oldest} to {newest}, so it cannot tell what followed {after}: "
            "list again and watch from the snapshot's revision"
        )
        self.after, self.oldest, self.newest = after, oldest, newest


class NotStorable(StoreError):
    """A key or document that no store would take: a fault of the caller. Nothing was changed."""

    def __init__(self, key: object, reason: str) -> None:
        super().__init__(f"{key!r} cannot be stored: {reason}")
        self.key, self.reason = key, reason


class StoreUnavailable(StoreError):
    """The store cannot serve. A commit that ends so may have been kept or not: list again before deciding."""

    def __init__(self, store: str, reason: str, remedy: str) -> None:
        super().__init__(f"store {store}: {reason}. {remedy}")
        self.store, self.reason, self.remedy = store, reason, remedy


class SchemaTooNew(StoreUnavailable):
    """The store was written by a newer release, whose form this one does not know. It was left as it is."""

    def __init__(self, store: str, found: int, known: int) -> None:
        super().__init__(
            store,
            f"its schema is version {found}, and this release knows versions up to {known}",
            "Run the release that wrote it, or a newer one",
        )
        self.found, self.known = found, known


class Watch(Protocol):
    """The commits after a revision, one by one: first what is history already, then each as it comes.

    For one thread to iterate. `next` blocks until there is a commit and raises `Compacted` when this watch
    has fallen too far behind, `StoreUnavailable` when the store cannot be read, `StopIteration` once the
    watch or store is closed.
    """

    def __iter__(self) -> Iterator[Commit]:
        """The watch itself."""

    def __next__(self) -> Commit:
        """The next commit, waiting for it as long as it takes."""

    def close(self) -> None:
        """End the iteration, from any thread and any number of times; a waiting `next` ends at once."""


class Store(Protocol):
    """Durable state. Every method may be called from any thread; every one may raise `StoreUnavailable`."""

    def get(self, key: str) -> Item | None:
        """The item under this key, or None."""

    def list(self, prefix: str) -> Snapshot:
        """Every item whose key begins with this text ("" is every item there is), as of one revision."""

    def scan(self, prefix: str) -> AbstractContextManager[Scan]:
        """The same for as many items as there may be: within the context they are read, and need not be kept."""

    def commit(
        self,
        puts: Mapping[str, Document] = NOTHING,
        deletes: Collection[str] = (),
        expect: Mapping[str, int] = NOTHING,
        *,
        delete_prefixes: Collection[str] = (),
    ) -> int:
        """Do all of this as one commit if every key of `expect` is at its version; return the revision.

        Deleting what is absent is no change, and a commit without a change makes no revision: the current one
        is returned. A key that is put survives the deletion of a prefix it lies under, so a whole subtree is
        replaced by `commit(puts, delete_prefixes=[subtree])`. When the call returns, the commit is durable.

        Raises `Conflict` for the first key of `expect` at another version, `NotStorable` for a bad key or
        document or for a key that is both in `puts` and in `deletes`. Either way nothing is changed.
        """

    def watch(self, after: int) -> Watch:
        """Every commit after this revision, by any process. Raises `Compacted` if they are not known."""

    def close(self) -> None:
        """End every watch and let go of the store. Later calls raise `StoreUnavailable`."""


def _at_version(version: int) -> str:
    return f"at version {version}" if version else "absent"
