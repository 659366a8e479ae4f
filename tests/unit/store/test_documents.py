"""Documents in and out: get, list, commit, compare-and-swap, and what is refused."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dove_ryu.store import Change, Conflict, Item, NotStorable, Snapshot, StoreUnavailable, open_store
from dove_ryu.store.sqlite import SqliteStore

WEB = "/dove/v1/networks/web"
POLICY = f"{WEB}/policies/app>db"


def test_a_fresh_store_is_empty(store: SqliteStore) -> None:
    assert store.get(POLICY) is None
    assert store.list("") == Snapshot(0, ())


def test_each_commit_is_a_revision_and_each_key_has_the_revision_of_its_last_put(store: SqliteStore) -> None:
    assert store.commit({WEB: {"vni": 7}, POLICY: {"actions": ["deny"]}}) == 1
    assert store.commit({POLICY: {"actions": ["allow"]}}) == 2
    assert store.get(WEB) == Item(WEB, {"vni": 7}, 1)
    assert store.list("/dove") == Snapshot(2, (Item(WEB, {"vni": 7}, 1), Item(POLICY, {"actions": ["allow"]}, 2)))


def test_a_deleted_key_is_absent_and_a_new_one_is_not_taken_for_the_old(store: SqliteStore) -> None:
    store.commit({WEB: {}})
    assert store.commit(deletes=[WEB]) == 2
    assert store.get(WEB) is None
    assert store.commit({WEB: {}}, expect={WEB: 0}) == 3


def test_a_commit_without_a_change_makes_no_revision(store: SqliteStore) -> None:
    assert store.commit() == 0
    store.commit({WEB: {}})
    assert store.commit(deletes=[POLICY], delete_prefixes=["/nothing"], expect={WEB: 1}) == 1


def test_a_prefix_is_text_not_a_pattern_nor_a_path(store: SqliteStore) -> None:
    keys = ["/a", "/a%", "/a/b", "/a_", "/ab", "/a\U0010ffff", "/a\U0010ffffz", "/b", "/A"]
    store.commit({key: {} for key in keys})
    listed = [item.key for item in store.list("/a").items]
    assert listed == sorted(key for key in keys if key.startswith("/a"))
    assert [item.key for item in store.list("/a_").items] == ["/a_"]


def test_a_prefix_can_be_deleted_and_replaced_in_one_commit(store: SqliteStore) -> None:
    store.commit({WEB: {}, POLICY: {"actions": ["deny"]}, "/dove/v1/networks/web2": {}})
    store.commit({POLICY: {"actions": ["allow"]}}, delete_prefixes=[f"{WEB}/", WEB + "2"])
    assert [(item.key, item.version) for item in store.list("").items] == [(WEB, 1), (POLICY, 2)]
    changes = next(store.watch(1)).changes
    assert changes == (Change(WEB + "2", None, 2), Change(POLICY, {"actions": ["allow"]}, 2))


def test_compare_and_swap_names_the_key_and_both_versions(store: SqliteStore) -> None:
    store.commit({WEB: {}})
    store.commit({WEB: {}})
    with pytest.raises(Conflict, match="is at version 2, not at version 1 as this change expects") as stale:
        store.commit({WEB: {}}, expect={WEB: 1})
    assert (stale.value.key, stale.value.expected, stale.value.actual) == (WEB, 1, 2)
    with pytest.raises(Conflict, match="is at version 2, not absent"):
        store.commit({WEB: {}}, expect={WEB: 0})
    with pytest.raises(Conflict, match="is absent, not at version 4"):
        store.commit({WEB: {}}, expect={POLICY: 4})


def test_one_conflict_among_many_keys_leaves_nothing_half_done(store: SqliteStore) -> None:
    store.commit({WEB: {}, POLICY: {}})
    before = store.list("")
    with pytest.raises(Conflict) as conflict:
        store.commit({WEB: {"new": True}, "/other": {}}, deletes=[POLICY], expect={WEB: 1, POLICY: 1, "/other": 3})
    assert conflict.value.key == "/other"
    assert store.list("") == before
    assert store.commit({WEB: {}}) == 2


@pytest.mark.parametrize(
    ("key", "document", "reason"),
    [
        (WEB, ["a", "list"], "its document is a list, not a JSON object"),
        (WEB, {"when": object()}, "not JSON serializable"),
        (WEB, {"rate": float("nan")}, "not JSON"),
        ("/a\0b", {}, "no NUL"),
        ("/a\ud800", {}, "surrogate"),
        (7, {}, "a key is text"),
    ],
)
def test_what_no_store_would_take_is_refused(store: SqliteStore, key: Any, document: Any, reason: str) -> None:
    with pytest.raises(NotStorable, match=reason) as refusal:
        store.commit({"/good": {}, key: document})
    assert refusal.value.key == key
    assert store.list("").revision == 0


def test_a_document_that_holds_itself_or_has_no_bottom_is_refused(store: SqliteStore) -> None:
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"deeper": deep}
    for document in (loop, deep):
        with pytest.raises(NotStorable):
            store.commit({WEB: document})


def test_a_key_cannot_be_put_and_deleted_at_once(store: SqliteStore) -> None:
    with pytest.raises(NotStorable, match="puts and deletes it"):
        store.commit({WEB: {}}, deletes=[WEB])


def test_a_text_is_not_taken_for_a_collection_of_texts(store: SqliteStore) -> None:
    store.commit({WEB: {}})
    with pytest.raises(TypeError, match="letter by letter"):
        store.commit(deletes=WEB)
    with pytest.raises(TypeError, match="letter by letter"):
        store.commit(delete_prefixes=WEB)
    assert store.get(WEB)


def test_a_reader_may_change_what_it_got_without_changing_the_store(store: SqliteStore) -> None:
    store.commit({WEB: {"domains": ["app"]}})
    item = store.get(WEB)
    assert item
    item.document["domains"].append("db")
    assert store.get(WEB) == Item(WEB, {"domains": ["app"]}, 1)


def test_threads_that_compare_and_swap_lose_no_update(store: SqliteStore) -> None:
    def count_up(_: int) -> int:
        conflicts = 0
        for _ in range(25):
            while True:
                item = store.get("/counter")
                value, version = (item.document["value"], item.version) if item else (0, 0)
                try:
                    store.commit({"/counter": {"value": value + 1}}, expect={"/counter": version})
                    break
                except Conflict:
                    conflicts += 1
        return conflicts

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count_up, range(8)))
    assert store.get("/counter") == Item("/counter", {"value": 200}, 200)


def test_a_list_is_of_one_revision_while_others_write(store: SqliteStore) -> None:
    keys = [f"/item/{i:04}" for i in range(1500)]
    done = threading.Event()

    def write() -> None:
        for n in range(12):
            store.commit({key: {"n": n} for key in keys})
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        snapshot = store.list("/item/")
        assert {item.version for item in snapshot.items} <= {snapshot.revision}
    writer.join()


def test_a_scan_is_of_one_revision_however_slowly_it_is_read(store: SqliteStore) -> None:
    """More than one page of it, with commits in between, some of them ahead of where it is."""
    keys = [f"/item/{i:04}" for i in range(2500)]
    store.commit({key: {"n": 0} for key in keys})
    with store.scan("/item/") as scan:
        read = [next(scan.items)]
        store.commit({keys[-1]: {"n": 1}, "/item/9999": {}}, deletes=keys[1:3])
        read += scan.items
    assert (scan.revision, [item.key for item in read]) == (1, keys)
    assert {item.version for item in read} == {1}
    assert len(store.list("/item/").items) == 2499


def test_a_scan_that_is_given_up_leaves_the_store_as_it_was(store: SqliteStore) -> None:
    store.commit({WEB: {}, POLICY: {}})
    with store.scan("") as scan:
        next(scan.items)
    with pytest.raises(ZeroDivisionError), store.scan("") as scan:
        raise ZeroDivisionError
    assert len(store.list("").items) == 2


def test_a_hundred_thousand_documents_in_commits_of_ten_thousand(store: SqliteStore) -> None:
    document = {"domain": "web", "macs": ["52:54:00:00:00:01"], "ips": ["10.0.0.1", "fd00::1"]}
    for batch in range(10):
        store.commit({f"{WEB}/endpoints/e{batch}{i:04}": document for i in range(10_000)})
    started = time.process_time()
    snapshot = store.list(WEB)
    assert time.process_time() - started < 5  # about 0.5 s of this process, whatever else the machine does
    assert (snapshot.revision, len(snapshot.items)) == (10, 100_000)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("etcetera://127.0.0.1", "no kind of store called 'etcetera'. A store's URL begins with sqlite:"),
        ("/var/lib/dove/dps.sqlite", "no kind of store called"),
        ("sqlite:", "it names no file"),
        ("sqlite://dps.sqlite", "three slashes, then the path"),
        ("sqlite:///", "it names no file"),
    ],
)
def test_a_url_that_names_no_store_is_refused_with_the_remedy(url: str, complaint: str) -> None:
    with pytest.raises(StoreUnavailable, match=complaint):
        open_store(url)


def test_urls_are_relative_or_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    relative = open_store("sqlite:///state/dps.sqlite")
    absolute = open_store(f"sqlite:///{tmp_path}/state/dps.sqlite")
    monkeypatch.chdir("/")
    relative.commit({WEB: {}})
    assert absolute.get(WEB) == Item(WEB, {}, 1)
    relative.close()
    absolute.close()
