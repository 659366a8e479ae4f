"""The SQLite file itself: made, recognised, brought to the present schema and opened; what its errors mean.

The file says whose it is (`application_id`) and in which form (`user_version`, the number of migrations
done), so a file of another program or of a newer release is refused and left as it was.

Durability: `synchronous=FULL` with a write-ahead log. A commit is on the disk before it is acknowledged or
seen by a watch, so it outlives the process (kill -9) and, as far as the disk keeps its promise to flush, a
loss of power. `NORMAL` would be some thirty times quicker a commit (8 us against 0.25 ms on a solid-state
disk), yet after a loss of power the newest commits could be gone and their revisions be given out again.
Tracking numbers stand in the flows of running switches; a number used twice would pass a stale flow for a
current one.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from dove_ryu.store.interface import SchemaTooNew, StoreUnavailable

Migration = Sequence[str]
"""The statements that lead from one schema version to the next."""

MIGRATIONS: Final[Sequence[Migration]] = (
    (
        # The documents as they stand.
        """CREATE TABLE documents (
               key      TEXT NOT NULL PRIMARY KEY,
               document TEXT NOT NULL,                -- JSON
               version  INTEGER NOT NULL              -- the revision of the commit that put it
           ) WITHOUT ROWID""",
        # The newest commits, at least one once there is any: the newest row is also the store's revision.
        """CREATE TABLE history (
               revision INTEGER NOT NULL PRIMARY KEY,
               total    INTEGER NOT NULL,             -- changes since the store began, this commit's included
               changes  TEXT NOT NULL                 -- a JSON object: key -> document, or null where deleted
           )""",
    ),
)
"""Migration n leads from schema version n to n+1; 0 is an empty file. Append; never edit a released one."""

APPLICATION_ID: Final = int.from_bytes(b"DOVE", "big")

WAL_KEPT_BYTES: Final = 16 << 20
"""What a bulk load leaves of the write-ahead log once it has been copied into the file."""

_RESTORE = (
    "Stop the DPS, move the file and its -wal and -shm away and restore a backup, "
    "or start without it and apply the blueprints again"
)
_ALLOW = "Let the user who runs the DPS write the file and its directory"
_REMEDIES: Final = {
    sqlite3.SQLITE_BUSY: "Another process is writing and does not finish; `fuser` on the file names it",
    sqlite3.SQLITE_CANTOPEN: _ALLOW,
    sqlite3.SQLITE_CORRUPT: _RESTORE,
    sqlite3.SQLITE_FULL: "Make room on its disk; nothing that was acknowledged is lost",
    sqlite3.SQLITE_IOERR: "Look at the disk and the kernel's log; the file must be on a local disk",
    sqlite3.SQLITE_NOTADB: _RESTORE,
    sqlite3.SQLITE_READONLY: _ALLOW,
}


def prepare(path: Path, patience: float, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Leave at `path` a file of the present schema, made (for its owner alone) or migrated where need be.

    Raises `SchemaTooNew`, or `StoreUnavailable` for a file that cannot be made, is damaged or is not a DOVE
    store.
    """
    with unavailable_on_error(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _sole_opener(path.parent):
            _create(path)
            connection = connect(path, patience)
            try:
                _migrate(connection, path, migrations)
                connection.execute("PRAGMA journal_mode=WAL")
            finally:
                connection.close()


def connect(path: Path, patience: float) -> sqlite3.Connection:
    """A connection for any one thread at a time; a write waits for other processes for `patience` seconds."""
    connection = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA journal_size_limit={WAL_KEPT_BYTES}")
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection, kind: str) -> Iterator[None]:
    """All of the block or nothing of it: IMMEDIATE to write, DEFERRED to read several times from a state."""
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite has rolled back by itself after, say, a full disk
            connection.execute("ROLLBACK")
        raise


@contextmanager
def unavailable_on_error(path: Path) -> Iterator[None]:
    """Say what an error of SQLite or of the system means for this store, and what to do about it."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)  # text that is not UTF-8 has none
        remedy = _REMEDIES.get(code & 0xFF, "This is a fault of the program: report it with these words")
        raise StoreUnavailable(str(path), str(error), remedy) from error
    except OSError as error:
        raise StoreUnavailable(str(path), error.strerror or str(error), _ALLOW) from error


def damaged(path: Path, reason: str) -> StoreUnavailable:
    """The error for a file that SQLite can read and we cannot."""
    return StoreUnavailable(str(path), reason, _RESTORE)


@contextmanager
def _sole_opener(directory: Path) -> Iterator[None]:
    """One opener at a time in this directory.

    SQLite does not wait its turn when it turns the log on: of 600 openings of a new file, four at a time,
    eight ended in "database is locked".
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _create(path: Path) -> None:
    """Make an empty file of mode 0600, which SQLite's -wal and -shm take after; leave one that exists alone.

    A file that exists must not even be opened here: closing it would drop the locks that this process's other
    connections hold on it (POSIX locks belong to process and file).
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, mode=0o600))


def _migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[Migration]) -> None:
    with transaction(connection, "IMMEDIATE"):
        found = _schema_version(connection, path)
        if found > len(migrations):
            raise SchemaTooNew(str(path), found, len(migrations))
        if found == len(migrations):
            return
        for migration in migrations[found:]:
            for statement in migration:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={len(migrations)}")


def _schema_version(connection: sqlite3.Connection, path: Path) -> int:
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if owner != APPLICATION_ID and (objects or owner or version):
        raise StoreUnavailable(str(path), "this SQLite file belongs to another program", "Name another file")
    return int(version)
