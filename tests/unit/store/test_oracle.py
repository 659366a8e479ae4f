"""Any sequence of commits, lists, watches and restarts, held against a dict."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dove_ryu.store import Change, Commit, Compacted, Conflict, Item, Snapshot
from dove_ryu.store.sqlite import SqliteStore

HISTORY = 12

# Few letters, so that keys meet and nest; what JSON escapes, what SQL quotes, and the ends of Unicode.
LETTERS = st.sampled_from(["/", "a", "b", '"', "\\", "'", "%", "\x01", "\n", "\u00e9", "\ue000", "\U0010ffff"])
KEYS = st.text(LETTERS, max_size=3)
ATOMS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
)
DOCUMENTS = st.dictionaries(
    st.text(max_size=3),
    st.recursive(
        ATOMS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    ),
    max_size=3,
)


class StoreAgainstDict(RuleBasedStateMachine):
    """The oracle: the items in a dict, the commits in a list."""

    @initialize()
    def open(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.store = SqliteStore(self.directory / "dps.sqlite", history_changes=HISTORY)
        self.items: dict[str, Item] = {}
        self.commits: list[Commit] = []

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.directory)

    @rule(
        puts=st.dictionaries(KEYS, DOCUMENTS, max_size=4),
        deletes=st.sets(KEYS, max_size=3),
        prefixes=st.sets(KEYS, max_size=1),
        expected=st.sets(KEYS, max_size=3),
        wrong=st.dictionaries(KEYS, st.integers(0, 30), max_size=1),
    )
    def commit(
        self,
        puts: dict[str, dict[str, object]],
        deletes: set[str],
        prefixes: set[str],
        expected: set[str],
        wrong: dict[str, int],
    ) -> None:
        deletes -= puts.keys()
        expect = {key: self.version(key) for key in expected} | wrong
        conflicts = [key for key in expect if expect[key] != self.version(key)]
        if conflicts:
            with pytest.raises(Conflict) as conflict:
                self.store.commit(puts, deletes, expect, delete_prefixes=prefixes)
            assert conflict.value.key == conflicts[0]
            assert conflict.value.actual == self.version(conflicts[0])
            return
        gone = {key for key in self.items if key in deletes or key.startswith(tuple(prefixes))} - puts.keys()
        revision = len(self.commits) + bool(puts or gone)
        assert self.store.commit(puts, deletes, expect, delete_prefixes=prefixes) == revision
        if revision > len(self.commits):
            changes = [Change(key, None, revision) for key in sorted(gone)]
            changes += [Change(key, document, revision) for key, document in puts.items()]
            self.commits.append(Commit(revision, tuple(changes)))
            assert next(self.store.watch(revision - 1)) == self.commits[-1]
        for key in gone:
            del self.items[key]
        self.items |= {key: Item(key, document, revision) for key, document in puts.items()}

    def version(self, key: str) -> int:
        return self.items[key].version if key in self.items else 0

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        assert self.store.get(key) == self.items.get(key)

    @rule(prefix=KEYS)
    def list(self, prefix: str) -> None:
        items = tuple(self.items[key] for key in sorted(self.items) if key.startswith(prefix))
        assert self.store.list(prefix) == Snapshot(len(self.commits), items)

    @rule(back=st.integers(0, HISTORY))
    def watch(self, back: int) -> None:
        after = max(0, len(self.commits) - back)
        told = self.commits[after:]
        if sum(len(commit.changes) for commit in told[1:]) >= HISTORY:
            with pytest.raises(Compacted):
                self.store.watch(after)
        else:
            watch = self.store.watch(after)
            assert [next(watch) for _ in told] == told

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.store = SqliteStore(self.directory / "dps.sqlite", history_changes=HISTORY)

    @invariant()
    def everything_is_there(self) -> None:
        if hasattr(self, "store"):
            assert {item.key: item for item in self.store.list("").items} == self.items


TestStoreAgainstDict = StoreAgainstDict.TestCase
TestStoreAgainstDict.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
