"""The database under the store: connections, transactions and errors. All that is SQLite's own stands here.

One writer at a time (`BEGIN IMMEDIATE` behind a lock of this process), while readers go on with the snapshot that they
began with: write-ahead logging never makes a reader wait for a writer. A commit is on the disk when it returns.
"""

import errno
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event, exc, make_url

from retriever.durable import sync_folder
from retriever.errors import Conflict, StorageFull, StoreCorrupt, StoreUnavailable

BUSY_TIMEOUT_MS = 10_000  # how long to wait for another process's writer before StoreUnavailable
PRAGMAS = (
    f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # fsync at each commit: a 2xx must survive a power cut, NORMAL may lose the last ones
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = FAST",  # overwrites deleted text wherever that costs no further write
    "PRAGMA journal_size_limit = 67108864",  # a bulk ingest must not leave a log of gigabytes behind
)

# A failed write says FULL for ENOSPC, but IOERR for a file-size limit or a quota: both mean that no room was left.
DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
REMEDY = "stop the service, and put a backup in its place with 'lectern restore'"
FULL = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC", "SQLITE_IOERR_TRUNCATE", "SQLITE_IOERR_SHMSIZE")


class Database:
    """Connections to one database by URL; `read` and `write` are the only ways in."""

    def __init__(self, url: str) -> None:
        """Open, or create, the database. Raises StoreUnavailable, and ValueError for a URL that is not supported."""
        parsed = make_url(url)
        if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
            raise ValueError(f"no store for {parsed.drivername!r} yet: give sqlite:///PATH, a file")
        self._path = Path(parsed.database)
        self._writing = threading.Lock()
        with translated():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._engine = create_engine(parsed, pool_size=8, max_overflow=-1)
            event.listen(self._engine, "connect", _on_connect)
            event.listen(self._engine, "begin", _on_begin)
            self._writer = self._engine.execution_options(lectern_write=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one snapshot and never waits for a writer."""
        with translated(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is durable when the block ends, or never was when the block raises."""
        with translated(), self._writing, self._writer.begin() as connection:
            yield connection

    def copy_beside(self, suffix: str) -> Path:
        """Copy the whole database, as of now, to a file beside it; a copy of that name gives way.

        Durable and whole when it returns, or not there. Raises StorageFull, StoreUnavailable.
        """
        copy = self._path.with_name(f"{self._path.name}.{suffix}")
        draft = copy.with_name(copy.name + ".tmp")
        with translated():
            copy_database(self._path, draft)
            draft.replace(copy)
            sync_folder(copy.parent)
        return copy

    def check(self) -> None:
        """Read every page and hold the tables against their indexes. Raises StoreCorrupt, StoreUnavailable."""
        with self.read() as connection:
            if connection.exec_driver_sql("PRAGMA integrity_check").scalar() != "ok":
                raise StoreCorrupt(f"the store is damaged (SQLITE_CORRUPT): {REMEDY}")

    def size(self) -> int:
        """Bytes on the disk, with what is still in the write-ahead log."""
        beside = (self._path, self._path.with_name(self._path.name + "-wal"))
        return sum(path.stat().st_size for path in beside if path.exists())

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()


def copy_database(source: Path, target: Path) -> None:
    """Copy a database that may be in use: one snapshot, without free pages, synced. Raises sqlite3.Error, OSError.

    VACUUM INTO is as fast as SQLite's backup API (65 MB in 0.2-0.3 s), and leaves free pages behind: a copy can't hold
    what was purged, and is smaller.
    """
    target.unlink(missing_ok=True)
    connection = sqlite3.connect(source, isolation_level=None)
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        connection.execute("VACUUM INTO ?", (str(target),))
    finally:
        connection.close()
    with target.open("rb") as file:
        os.fsync(file.fileno())


def _on_connect(dbapi_connection: Any, _record: object) -> None:
    dbapi_connection.isolation_level = None  # the driver would begin transactions by itself, too late and deferred
    cursor = dbapi_connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _on_begin(connection: Connection) -> None:
    # A deferred transaction that reads first and then writes fails at once when another writer got in between.
    writes = connection.get_execution_options().get("lectern_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def translated() -> Iterator[None]:
    """Raise the database's errors as the retriever's own; the only place where they meet."""
    try:
        yield
    except exc.IntegrityError as error:
        raise Conflict("a concurrent change got there first") from error
    except (exc.DBAPIError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, exc.DBAPIError) else error
        name = str(getattr(cause, "sqlite_errorname", ""))
        if name in FULL:
            raise StorageFull("no space is left for the store; nothing was written") from error
        if name.startswith(DAMAGED):
            raise StoreCorrupt(f"the store is damaged ({name}): {REMEDY}") from error
        if isinstance(cause, sqlite3.OperationalError):
            raise StoreUnavailable(f"the store cannot be reached: {name or type(cause).__name__}") from error
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageFull("no space is left for the store; nothing was written") from error
        raise StoreUnavailable(f"the store cannot be reached: {error.strerror}") from error
