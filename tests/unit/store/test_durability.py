"""The file: kill -9, competing processes, permissions, schema versions, damage and full disks."""

import os
import random
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from dove_ryu.store import SchemaTooNew, StoreUnavailable
from dove_ryu.store.sqlite import SqliteStore
from dove_ryu.store.sqlite_file import MIGRATIONS, prepare, transaction, unavailable_on_error

Start = Callable[..., "subprocess.Popen[str]"]
DEADLINE = 10


def test_what_was_acknowledged_survives_kill_9_at_any_moment(path: Path, start: Start) -> None:
    chance = random.Random(20)
    acknowledged = 0
    for life in range(20):
        process = start("write", life)
        assert process.stdout
        for _ in range(chance.randrange(8)):
            acknowledged = int(process.stdout.readline())
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(chance.random() / 100)
        process.kill()
        for line in process.communicate(timeout=DEADLINE)[0].splitlines():
            acknowledged = int(line)
        check_rounds(path, acknowledged)
    assert acknowledged > 20


def check_rounds(path: Path, acknowledged: int) -> None:
    """Every round that was acknowledged is there in whole; one more may be, in whole too; nothing else is."""
    if not path.exists():
        assert not acknowledged
        return
    store = SqliteStore(path)
    snapshot = store.list("")
    there = {item.key: item for item in snapshot.items}
    assert snapshot.revision in (acknowledged, acknowledged + 1)
    for n in range(1, snapshot.revision + 1):
        size = there[f"/left/{n}/0"].document["size"]
        for side in ("left", "right"):
            for i in range(size):
                item = there.pop(f"/{side}/{n}/{i}")
                assert (item.document, item.version) == ({"n": n, "size": size}, n)
    last = {"/round", f"/fleeting/{snapshot.revision}"} if snapshot.revision else set()
    assert there.keys() == last
    if snapshot.revision:
        assert next(store.watch(snapshot.revision - 1)).revision == snapshot.revision
    store.close()


def test_processes_that_open_a_new_file_at_once_and_compete_lose_nothing(path: Path, start: Start) -> None:
    processes = [start("count", 25) for _ in range(3)]
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=3 * DEADLINE)
        assert process.returncode == 0
    store = SqliteStore(path)
    item = store.get("/counter")
    assert item
    assert (item.document, item.version) == ({"value": 75}, 75)
    store.close()


def test_only_the_owner_can_read_the_file_and_its_log(tmp_path: Path) -> None:
    directory = tmp_path / "var" / "dove"
    store = SqliteStore(directory / "dps.sqlite")
    store.commit({"/a": {}})
    assert {file.name: oct(file.stat().st_mode & 0o777) for file in directory.iterdir()} == {
        "dps.sqlite": "0o600",
        "dps.sqlite-wal": "0o600",
        "dps.sqlite-shm": "0o600",
    }
    assert oct(directory.stat().st_mode & 0o777) == "0o700"
    store.close()
    assert [file.name for file in directory.iterdir()] == ["dps.sqlite"]


def test_a_reopened_store_goes_on_where_it_was(path: Path) -> None:
    first = SqliteStore(path)
    first.commit({"/a": {}})
    first.close()
    second = SqliteStore(path)
    assert second.commit({"/b": {}}) == 2
    assert [next(watch).revision for watch in [second.watch(0)] for _ in range(2)] == [1, 2]
    second.close()


def test_a_commit_is_flushed_to_the_disk(store: SqliteStore) -> None:
    (synchronous,) = store._writer.execute("PRAGMA synchronous").fetchone()
    (journal,) = store._writer.execute("PRAGMA journal_mode").fetchone()
    assert (synchronous, journal) == (2, "wal")  # 2 is FULL


def test_a_newer_schema_is_refused_and_left_as_it_was(store: SqliteStore, path: Path) -> None:
    store.commit({"/a": {}})
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(SchemaTooNew, match=r"version 99, and this release knows versions up to 1\. Run") as new:
        SqliteStore(path)
    assert (new.value.found, new.value.known) == (99, 1)
    assert path.read_bytes() == before


def test_an_older_schema_is_brought_up_step_by_step_and_keeps_what_it_holds(store: SqliteStore, path: Path) -> None:
    store.commit({"/a": {}})
    store.close()
    later = (
        ("ALTER TABLE documents ADD COLUMN colour TEXT", "UPDATE documents SET colour = 'red'"),
        ("ALTER TABLE documents RENAME COLUMN colour TO hue",),
    )
    prepare(path, 1, (*MIGRATIONS, *later))
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT key, hue FROM documents").fetchall() == [("/a", "red")]
    connection.close()
    with pytest.raises(SchemaTooNew):
        SqliteStore(path)


def test_a_migration_that_fails_changes_nothing(store: SqliteStore, path: Path) -> None:
    store.close()
    with pytest.raises(StoreUnavailable, match="fault of the program"):
        prepare(path, 1, (*MIGRATIONS, ("DROP TABLE history", "DROP TABLE nonesuch")))
    SqliteStore(path).close()


def test_a_file_of_another_program_is_refused_and_left_as_it_was(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE cookies (jar TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable, match=r"belongs to another program\. Name another file"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_says_so(path: Path) -> None:
    path.write_bytes(b"\x7fELF" * 5000)
    with pytest.raises(StoreUnavailable, match=r"not a database.*restore a backup"):
        SqliteStore(path)


def test_a_torn_file_says_so(store: SqliteStore, path: Path) -> None:
    store.commit({f"/{i:05}": {"i": i} for i in range(5000)})
    store.close()
    content = path.read_bytes()
    path.write_bytes(content[:4096] + os.urandom(len(content) - 4096))
    with pytest.raises(StoreUnavailable, match=r"malformed.*restore a backup"):
        SqliteStore(path).list("")


@pytest.mark.parametrize(
    "damage", ["'{\"torn'", "CAST(x'ff' AS TEXT)"], ids=["text that is not JSON", "bytes that are no text"]
)
def test_a_damaged_document_says_so(store: SqliteStore, damage: str) -> None:
    store.commit({"/a": {}})
    store._writer.execute(f"UPDATE documents SET document = {damage}")
    with pytest.raises(StoreUnavailable, match="restore a backup"):
        store.get("/a")
    with pytest.raises(StoreUnavailable, match="restore a backup"):
        store.list("")


def test_a_directory_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match=r"Not a directory.*Let the user who runs the DPS"):
        SqliteStore(tmp_path / "file" / "below" / "dps.sqlite")


def test_a_directory_in_the_files_place_says_so(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StoreUnavailable, match=r"unable to open database file.*Let the user who runs the DPS"):
        SqliteStore(path)


@pytest.mark.parametrize("replaced", [False, True], ids=["removed", "replaced"])
def test_a_file_that_loses_its_place_is_not_written_into_the_void(
    store: SqliteStore, path: Path, replaced: bool
) -> None:
    store.commit({"/a": {}})
    path.rename(path.with_suffix(".old"))
    if replaced:
        path.touch()
    with pytest.raises(StoreUnavailable, match=r"removed or replaced.*Restart the DPS"):
        store.commit({"/b": {}})
    with pytest.raises(StoreUnavailable, match="removed or replaced"):
        store.get("/a")


def test_a_writer_that_does_not_finish_is_named_as_the_reason(path: Path) -> None:
    store = SqliteStore(path, patience=0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match=r"database is locked\. Another process is writing"):
        store.commit({"/a": {}})
    assert store.list("").revision == 0  # reading goes on
    other.execute("ROLLBACK")
    other.close()
    assert store.commit({"/a": {}}) == 1
    store.close()


def test_a_full_disk_loses_nothing_and_is_recovered_from(store: SqliteStore) -> None:
    store.commit({"/a": {}})
    (limit,) = store._writer.execute("PRAGMA page_count").fetchone()
    store._writer.execute(f"PRAGMA max_page_count={limit}")
    with pytest.raises(StoreUnavailable, match=r"full.*Make room on its disk"):
        store.commit({"/b": {"much": "x" * 100_000}})
    assert [item.key for item in store.list("").items] == ["/a"]
    store._writer.execute(f"PRAGMA max_page_count={limit + 1000}")
    assert store.commit({"/b": {"much": "x" * 100_000}}) == 2


def test_a_file_that_may_not_be_written_says_so(store: SqliteStore, path: Path) -> None:
    read_only = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    with pytest.raises(StoreUnavailable, match=r"readonly.*Let the user"), unavailable_on_error(path):
        read_only.execute("DELETE FROM documents")
    read_only.close()


def test_a_transaction_that_sqlite_has_ended_itself_keeps_its_first_error(store: SqliteStore) -> None:
    writer = store._writer
    with pytest.raises(sqlite3.IntegrityError), transaction(writer, "IMMEDIATE"):
        writer.execute("INSERT OR ROLLBACK INTO history (revision) VALUES (1)")
    assert not writer.in_transaction


def test_a_closed_store_says_so(store: SqliteStore) -> None:
    store.close()
    store.close()
    for use in (lambda: store.get("/a"), lambda: store.commit({"/a": {}}), lambda: store.watch(0)):
        with pytest.raises(StoreUnavailable, match=r"it is closed\. Open it again"):
            use()


def test_a_reader_at_work_when_the_store_is_closed_finishes_and_lets_go(path: Path) -> None:
    store = SqliteStore(path)
    with store._reader() as reader:
        store.close()
        assert reader.execute("SELECT count(*) FROM documents").fetchone() == (0,)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        reader.execute("SELECT 1")
