"""The default store: one SQLite file, which several threads and processes may use at once.

A commit is one row of `history` and what that row says done to `documents`, in one transaction; the row's
text is both the record for watches and the very input of the statements that change the documents.

Everything is done in few, large statements: SQLite's Python module lets go of the interpreter lock at every
step, and taking it back from a thread that computes (the fast lane) costs up to its switch interval, 5 ms. A
commit of 10,000 puts beside such a thread takes 8.5 s row by row and 0.2 s in this form. In the other
direction JSON is parsed document by document, so that the lock is never held long.

A watch reads the commits from the file, its own process's too: there is one order and it is the file's. It is
woken by commits of its own process and looks for those of others every `POLL_SECONDS`; those looks cost
0.3 % of a core.
"""

import json
import os
import re
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from dove_ryu.store.interface import (
    ABSENT,
    NOTHING,
    Change,
    Commit,
    Compacted,
    Conflict,
    Document,
    Item,
    NotStorable,
    Scan,
    Snapshot,
    Store,
    StoreUnavailable,
    Watch,
)
from dove_ryu.store.sqlite_file import connect, damaged, prepare, transaction, unavailable_on_error

HISTORY_CHANGES: Final = 100_000
"""The history keeps the commits that made the newest this many changes."""

POLL_SECONDS: Final = 0.05
"""How late a watch may notice a commit by another process."""

LIST_PAGE: Final = 1_000
"""Items read in one step of SQLite."""

_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode

_NOT_TEXT: Final = re.compile("[\0\ud800-\udfff]")
"""What SQLite would cut short and what UTF-8 cannot say."""


def open_sqlite(url: str) -> Store:
    """Open `sqlite:///relative/path` or `sqlite:////absolute/path`."""
    _, marker, path = url.partition("sqlite:///")
    if not marker or not path:
        remedy = "Write sqlite:////var/lib/dove/dps.sqlite: three slashes, then the path"
        raise StoreUnavailable(repr(url), "it names no file", remedy)
    return SqliteStore(Path(path))


class SqliteStore(Store):
    """The store in the SQLite file at `path`, which is made, with its directory, if it is not there.

    One connection writes, under a lock; readers take an idle connection or a new one, so that none waits for
    another.
    """

    def __init__(self, path: Path, *, history_changes: int = HISTORY_CHANGES, patience: float = 10) -> None:
        """Remember the newest `history_changes` changes; wait `patience` seconds for other processes."""
        self._path = path.absolute()
        self._history_changes = history_changes
        self._patience = patience
        self._closed = False
        self._news = threading.Condition()
        self._writing = threading.Lock()
        self._idle_readers: list[sqlite3.Connection] = []
        prepare(self._path, patience)
        with unavailable_on_error(self._path):
            self._inode = os.stat(self._path).st_ino
            self._writer = connect(self._path, patience)

    def get(self, key: str) -> Item | None:
        """See `Store`."""
        _check_text(key)
        with self._reader() as reader:
            row = reader.execute("SELECT document, version FROM documents WHERE key = ?", (key,)).fetchone()
        return None if row is None else Item(key, self._decode(row[0]), row[1])

    def list(self, prefix: str) -> Snapshot:
        """See `Store`."""
        with self.scan(prefix) as scan:
            return Snapshot(scan.revision, tuple(scan.items))

    @contextmanager
    def scan(self, prefix: str) -> Iterator[Scan]:
        """See `Store`."""
        _check_text(prefix)
        with self._reader() as reader, transaction(reader, "DEFERRED"):
            _, newest = _history_bounds(reader)
            lines = (self._decode(line) for page in _pages(reader, prefix) for line in page.split("\n"))
            yield Scan(newest, (Item(key, document, version) for key, version, document in lines))

    def commit(
        self,
        puts: Mapping[str, Document] = NOTHING,
        deletes: Collection[str] = (),
        expect: Mapping[str, int] = NOTHING,
        *,
        delete_prefixes: Collection[str] = (),
    ) -> int:
        """See `Store`."""
        if isinstance(deletes, str) or isinstance(delete_prefixes, str):
            raise TypeError("deletes and delete_prefixes are collections: this would delete letter by letter")
        for text in (*puts, *deletes, *expect, *delete_prefixes):
            _check_text(text)
        for key in deletes:
            if key in puts:
                raise NotStorable(key, "the same commit puts and deletes it")
        members = [_member(key, document) for key, document in puts.items()]
        with self._writing, self._in_use():
            writer = self._writer
            with transaction(writer, "IMMEDIATE"):
                _check_versions(writer, expect)
                gone = _present(writer, deletes, delete_prefixes) - puts.keys()
                members[:0] = [f"{_encode(key)}:null" for key in sorted(gone)]
                revision = _change(writer, members, self._history_changes)
        with self._news:
            self._news.notify_all()
        return revision

    def watch(self, after: int) -> Watch:
        """See `Store`."""
        with self._reader() as reader:
            _check_history(reader, after)
        return _SqliteWatch(self, after)

    def close(self) -> None:
        """See `Store`."""
        with self._news:
            self._closed = True
            self._news.notify_all()
        with self._writing:
            self._writer.close()
        self._close_idle_readers()

    def _changes_after(self, revision: int) -> str | None:
        """The text of the commit that followed `revision`, or None if it is yet to come."""
        with self._reader() as reader:
            row = reader.execute("SELECT changes FROM history WHERE revision = ?", (revision + 1,)).fetchone()
            if row is None:
                _check_history(reader, revision)
                return None
            return str(row[0])

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        with self._in_use():
            try:
                reader = self._idle_readers.pop()
            except IndexError:
                reader = connect(self._path, self._patience)
            try:
                yield reader
            finally:
                self._idle_readers.append(reader)
                if self._closed:  # meanwhile, so that `close` has not seen this one
                    self._close_idle_readers()

    def _close_idle_readers(self) -> None:
        with suppress(IndexError):
            while True:
                self._idle_readers.pop().close()

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        with unavailable_on_error(self._path):
            if self._closed:
                raise StoreUnavailable(str(self._path), "it is closed", "Open it again")
            if not self._is_in_place():
                # SQLite would go on in the file without a name, and all of it would vanish with the process.
                reason = "the file was removed or replaced while it was in use"
                raise StoreUnavailable(str(self._path), reason, "Restart the DPS on the file to be used")
            yield

    def _is_in_place(self) -> bool:
        try:
            return os.stat(self._path).st_ino == self._inode
        except FileNotFoundError:
            return False

    def _decode(self, text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError as error:
            raise damaged(self._path, f"it holds {text[:60]!r}, which is not JSON ({error})") from error


class _SqliteWatch(Watch):
    """Looks into the history, and waits for news where there is nothing yet.

    It looks with `_news` held. A commit of this process gives notice with `_news` held, after the commit; so
    either the look finds it or the wait is woken by it.
    """

    def __init__(self, store: SqliteStore, after: int) -> None:
        self._store = store
        self._news = store._news
        self._after = after
        self._closed = False

    def __iter__(self) -> Iterator[Commit]:
        return self

    def __next__(self) -> Commit:
        members = self._await_changes()[2:-2].split(",\n")
        self._after += 1
        return Commit(self._after, tuple(self._change(member) for member in members))

    def close(self) -> None:
        """See `Watch`."""
        with self._news:
            self._closed = True
            self._news.notify_all()

    def _await_changes(self) -> str:
        with self._news:
            while not (self._closed or self._store._closed):
                changes = self._store._changes_after(self._after)
                if changes is not None:
                    return changes
                self._news.wait(POLL_SECONDS)
            raise StopIteration

    def _change(self, member: str) -> Change:
        ((key, document),) = self._store._decode(f"{{{member}}}").items()
        return Change(key, document, self._after)


def _check_text(text: object) -> None:
    if not isinstance(text, str):
        raise NotStorable(text, "a key is text")
    if _NOT_TEXT.search(text):
        raise NotStorable(text, "a key holds no NUL and no half of a surrogate pair")


def _member(key: str, document: Document) -> str:
    """This put as a member of the JSON object that a row of the history holds. It contains no line break."""
    if not isinstance(document, dict):
        raise NotStorable(key, f"its document is a {type(document).__name__}, not a JSON object")
    try:
        return f"{_encode(key)}:{_encode(document)}"
    except (TypeError, ValueError, RecursionError) as error:
        raise NotStorable(key, f"its document is not JSON: {error}") from error


def _pages(reader: sqlite3.Connection, prefix: str) -> Iterator[str]:
    """The items under this prefix, a line of JSON each: `[key, version, document]`."""
    start = prefix
    while True:
        page, last = reader.execute(
            """SELECT group_concat('['||json_quote(key)||','||version||','||document||']', char(10)),
                      max(key)
               FROM (SELECT * FROM documents
                     WHERE key >= ? AND key < CAST(? AS TEXT) ORDER BY key LIMIT ?)""",
            (start, _end(prefix), LIST_PAGE),
        ).fetchone()
        if last is None:
            return
        yield page
        start = last + "\0"  # the least text that is greater


def _end(prefix: str) -> bytes:
    """What comes after every key of this prefix and before all that follow: no UTF-8 holds the byte 0xff."""
    return prefix.encode() + b"\xff"


def _check_versions(writer: sqlite3.Connection, expect: Mapping[str, int]) -> None:
    by_key = "SELECT json_group_object(key, version) FROM documents WHERE key IN (SELECT value FROM json_each(?))"
    versions = json.loads(writer.execute(by_key, (_encode(list(expect)),)).fetchone()[0])
    for key, expected in expect.items():
        actual = versions.get(key, ABSENT)
        if actual != expected:
            raise Conflict(key, expected, actual)


def _present(writer: sqlite3.Connection, keys: Iterable[str], prefixes: Iterable[str]) -> set[str]:
    """Those of these keys that are there, and all keys of these prefixes."""
    by_key = "SELECT json_group_array(key) FROM documents WHERE key IN (SELECT value FROM json_each(?))"
    present = set(json.loads(writer.execute(by_key, (_encode(list(keys)),)).fetchone()[0]))
    by_prefix = "SELECT json_group_array(key) FROM documents WHERE key >= ? AND key < CAST(? AS TEXT)"
    for prefix in prefixes:
        present.update(json.loads(writer.execute(by_prefix, (prefix, _end(prefix))).fetchone()[0]))
    return present


def _change(writer: sqlite3.Connection, members: Sequence[str], history_changes: int) -> int:
    """Write these members as the next row of the history, do what they say, and forget what is too old."""
    newest = writer.execute("SELECT revision, total FROM history ORDER BY revision DESC LIMIT 1").fetchone()
    revision, total = newest or (0, 0)
    if not members:
        return int(revision)
    values = {
        "revision": revision + 1,
        "total": total + len(members),
        "changes": "{\n" + ",\n".join(members) + "\n}",
        "forget": total + len(members) - history_changes,
    }
    for statement in _CHANGE:
        writer.execute(statement, values)
    return int(revision) + 1


_CHANGE: Final = (
    "INSERT INTO history (revision, total, changes) VALUES (:revision, :total, :changes)",
    "DELETE FROM documents WHERE key IN (SELECT json_each.key FROM json_each(:changes) WHERE type = 'null')",
    """INSERT INTO documents (key, document, version)
       SELECT key, value, :revision FROM json_each(:changes) WHERE type = 'object'
       ON CONFLICT (key) DO UPDATE SET document = excluded.document, version = excluded.version""",
    """DELETE FROM history
       WHERE revision < (SELECT revision FROM history WHERE total > :forget ORDER BY revision LIMIT 1)""",
)


def _check_history(reader: sqlite3.Connection, after: int) -> None:
    oldest, newest = _history_bounds(reader)
    if not oldest - 1 <= after <= newest:
        raise Compacted(after, oldest, newest)


def _history_bounds(reader: sqlite3.Connection) -> tuple[int, int]:
    """The oldest and the newest revision that the history holds: (1, 0) before the first commit."""
    oldest, newest = reader.execute(
        "SELECT (SELECT min(revision) FROM history), (SELECT max(revision) FROM history)"
    ).fetchone()
    return oldest or 1, newest or 0
