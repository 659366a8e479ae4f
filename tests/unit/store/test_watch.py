"""Watches: history, then live commits, of this process and of others; falling behind; coming to an end."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from subprocess import Popen

import pytest

from dove_ryu.store import Change, Commit, Compacted, Store, StoreUnavailable, Watch
from dove_ryu.store.sqlite import SqliteStore

DEADLINE = 10


def take(watch: Watch, number: int) -> list[Commit]:
    """The next so many commits, or a failure at the deadline."""
    with ThreadPoolExecutor(1) as pool:
        taken: Future[list[Commit]] = pool.submit(lambda: [next(watch) for _ in range(number)])
        try:
            return taken.result(DEADLINE)
        finally:
            if not taken.done():
                watch.close()


def at_rest(store: Store, watch: Watch) -> "tuple[threading.Thread, list[Commit]]":
    """A thread that iterates the watch, once it has seen a commit made for it and so waits for the next."""
    seen: list[Commit] = []
    arrived = threading.Event()

    def run() -> None:
        for commit in watch:
            seen.append(commit)
            arrived.set()

    thread = threading.Thread(target=run)
    thread.start()
    store.commit({"/first": {}})
    assert arrived.wait(DEADLINE)
    return thread, seen


def test_history_then_live_commits_with_their_changes_in_order(store: SqliteStore) -> None:
    store.commit({"/b": {"n": 1}, "/a": {"n": 2}})
    store.commit({"/d": {}, "/c": {}}, deletes=["/b", "/a", "/never"])
    watch = store.watch(after=0)
    assert take(watch, 2) == [
        Commit(1, (Change("/b", {"n": 1}, 1), Change("/a", {"n": 2}, 1))),
        Commit(2, (Change("/a", None, 2), Change("/b", None, 2), Change("/d", {}, 2), Change("/c", {}, 2))),
    ]
    store.commit({"/e": {}})
    assert take(watch, 1) == [Commit(3, (Change("/e", {}, 3),))]


def test_list_then_watch_misses_nothing_and_repeats_nothing(store: SqliteStore) -> None:
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            store.commit({"/n": {}})

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(5):
            snapshot = store.list("")
            revisions = [commit.revision for commit in take(store.watch(snapshot.revision), 20)]
            assert revisions == list(range(snapshot.revision + 1, snapshot.revision + 21))
    finally:
        stop.set()
        writer.join()


def test_commits_of_another_process_arrive_in_order(store: SqliteStore, start: "Callable[..., Popen[str]]") -> None:
    watch = store.watch(0)
    process = start("count", 50)
    process.communicate("go\n", timeout=DEADLINE)
    commits = take(watch, 50)
    assert [commit.revision for commit in commits] == list(range(1, 51))
    assert [commit.changes[0].document for commit in commits] == [{"value": n} for n in range(1, 51)]


def test_commits_and_closing_in_this_process_wake_a_watch_without_waiting_for_the_next_look(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dove_ryu.store.sqlite.POLL_SECONDS", 2 * DEADLINE)
    watch = store.watch(0)
    thread, _ = at_rest(store, watch)
    watch.close()
    thread.join(DEADLINE)
    assert not thread.is_alive()


def test_a_watch_that_waits_is_woken_by_another_process(store: SqliteStore, start: "Callable[..., Popen[str]]") -> None:
    watch = store.watch(0)
    thread, seen = at_rest(store, watch)
    start("count", 1).communicate("go\n", timeout=DEADLINE)
    deadline = time.monotonic() + DEADLINE
    while len(seen) < 2 and time.monotonic() < deadline:
        thread.join(0.01)
    watch.close()
    thread.join(DEADLINE)
    assert [commit.changes[0].key for commit in seen] == ["/first", "/counter"]


def test_closing_a_watch_ends_the_one_who_waits_and_leaves_others(store: SqliteStore) -> None:
    watch, other = store.watch(0), store.watch(0)
    thread, seen = at_rest(store, watch)
    watch.close()
    watch.close()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    store.commit({"/second": {}})
    assert len(seen) == 1
    assert len(take(other, 2)) == 2
    assert list(watch) == []


def test_closing_the_store_ends_its_watches(store: SqliteStore) -> None:
    thread, _ = at_rest(store, store.watch(0))
    store.close()
    thread.join(DEADLINE)
    assert not thread.is_alive()


@pytest.mark.parametrize("history_changes", [5, 6])
def test_the_history_forgets_its_oldest_commits_and_says_so(path: Path, history_changes: int) -> None:
    store = SqliteStore(path, history_changes=history_changes)
    for n in range(4):
        store.commit({f"/{n}/{i}": {} for i in range(2)})
    # Of the eight changes the newest five or six are in commits 2, 3 and 4.
    assert [commit.revision for commit in take(store.watch(1), 3)] == [2, 3, 4]
    with pytest.raises(Compacted, match="revisions 2 to 4") as compacted:
        store.watch(0)
    assert (compacted.value.after, compacted.value.oldest, compacted.value.newest) == (0, 2, 4)
    store.close()


def test_a_commit_larger_than_the_history_is_still_told(path: Path) -> None:
    store = SqliteStore(path, history_changes=5)
    store.commit({"/before": {}})
    watch = store.watch(1)
    store.commit({f"/{i}": {} for i in range(100)})
    assert len(take(watch, 1)[0].changes) == 100
    store.close()


def test_a_watch_that_falls_too_far_behind_is_told(path: Path) -> None:
    store = SqliteStore(path, history_changes=3)
    store.commit({"/0": {}})
    watch = store.watch(1)
    for n in range(5):
        store.commit({f"/{n}": {}})
    with pytest.raises(Compacted, match="list again"):
        next(watch)
    store.close()


def test_a_revision_from_a_later_life_of_the_store_is_refused(store: SqliteStore) -> None:
    store.commit({"/a": {}})
    with pytest.raises(Compacted, match="revisions 1 to 1, so it cannot tell what followed 9"):
        store.watch(9)


def test_a_watch_says_when_the_store_is_gone(store: SqliteStore, path: Path) -> None:
    watch = store.watch(0)
    path.unlink()
    with pytest.raises(StoreUnavailable, match="removed or replaced"):
        next(watch)
