"""Backups: the store as of one moment, in one file that shows that it is whole.

A backup is a zip, stored without compression, of `store.sqlite3` and `manifest.json`: who made it and when, the schema,
the rows of each table, and the SHA-256 of the store. The indexes are left out, since they are made from the store:
20,000 passages take 13 s of a busy core at the first start, and nothing has to be held still while a backup is made.

The file gets its name last, so what a kill leaves of it is called `.tmp`.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from sqlalchemy import make_url

from retriever.durable import hold, sync_folder
from retriever.errors import BackupBroken, Conflict, StoreCorrupt, StoreNewer, StoreUnavailable
from retriever.store import schema
from retriever.store.engine import REMEDY, copy_database, translated
from retriever.store.records import now

FORMAT = 1
STORE, MANIFEST = "store.sqlite3", "manifest.json"
CHUNK = 1 << 20  # bytes at a time
NOT_DATA = frozenset({"lock", "README.md"})  # what may stand in a folder that counts as empty


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a backup holds; `rows` by table, `size` and `sha256` of its store. `instance` names the store, for good."""

    format: int
    made_by: str
    created_at: str
    schema: int
    instance: str
    rows: Mapping[str, int]
    size: int
    sha256: str


def store_file(url: str) -> Path:
    """The file of an SQLite store's URL. Raises ValueError for another engine: that one has backups of its own."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        raise ValueError(f"this makes backups of SQLite stores: {parsed.get_backend_name()} has its own tool")
    return Path(parsed.database)


def back_up(store: Path, target: Path, *, made_by: str) -> Manifest:
    """Write a backup of a store that may be in use; a backup of that name gives way once the new one is whole.

    Raises StoreUnavailable, StoreCorrupt, StorageFull, and Conflict when `target` is something else than a backup.
    """
    if not store.exists():
        raise StoreUnavailable(f"there is no store '{store}'")
    if target.exists() and not zipfile.is_zipfile(target):
        raise Conflict(f"'{target}' is there and is no backup: name another file")
    copy, draft = target.with_name(target.name + ".store.tmp"), target.with_name(target.name + ".tmp")
    with translated(), _removed_at_the_end(copy, draft):
        _private(copy)
        copy_database(store, copy)
        manifest = _described(copy, made_by)
        _pack(copy, manifest, draft)
        draft.replace(target)
        sync_folder(target.absolute().parent)
    return manifest


def verify(backup: Path) -> Manifest:
    """Read a backup to its end; returns what it holds. Raises BackupBroken, StoreNewer, FileNotFoundError."""
    with _contents(backup) as (manifest, packed):
        _check_copy(packed, manifest, None)
    return manifest


def restore(backup: Path, store: Path, *, replace: bool) -> Manifest:
    """Put a backup's store in place, once all of it has proved to be whole. The indexes are built at the next start.

    The folder must be empty, unless `replace` says otherwise: then the store that was there stays beside the new one
    as `.before-restore`. A kill leaves either of them in place. Raises BackupBroken, StoreNewer, Conflict,
    StorageFull, StoreUnavailable when a service uses the folder, and FileNotFoundError.
    """
    verify(backup)
    folder, draft = store.absolute().parent, store.with_name(store.name + ".restoring")
    with translated(), closing(hold(folder / "lock")), _contents(backup) as (manifest, packed):
        if not replace and {path.name for path in folder.iterdir()} - NOT_DATA - {draft.name}:
            raise Conflict(f"'{folder}' is not empty: name another folder, or say --replace")
        with _removed_at_the_end(draft):
            _private(draft)
            _check_copy(packed, manifest, draft)
            if _rows(draft) != dict(manifest.rows):
                raise BackupBroken(f"'{backup}' has not the rows that its manifest names")
            if store.exists():
                _set_aside(store)
            shutil.rmtree(folder / "indexes", ignore_errors=True)  # of the store that was there
            draft.replace(store)
        sync_folder(folder)
    return manifest


def _described(copy: Path, made_by: str) -> Manifest:
    """The manifest of a copy of the store. Raises StoreCorrupt."""
    with closing(sqlite3.connect(copy)) as connection:
        if connection.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            raise StoreCorrupt(f"the store is damaged (SQLITE_CORRUPT): {REMEDY}")
        known = dict(connection.execute("SELECT key, value FROM meta").fetchall())
    digest = hashlib.sha256()
    with copy.open("rb") as file:
        for chunk in iter(lambda: file.read(CHUNK), b""):
            digest.update(chunk)
    return Manifest(
        format=FORMAT,
        made_by=made_by,
        created_at=now(),
        schema=int(known["schema"]),
        instance=known["instance"],
        rows=_rows(copy),
        size=copy.stat().st_size,
        sha256=digest.hexdigest(),
    )


def _rows(store: Path) -> dict[str, int]:
    """How many rows each table has. Raises sqlite3.Error."""
    with closing(sqlite3.connect(store)) as connection:
        names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
        tables = [row[0] for row in connection.execute(names).fetchall()]
        count = 'SELECT count(*) FROM "{}"'
        return {name: int(connection.execute(count.format(name)).fetchone()[0]) for name in tables}


def _pack(copy: Path, manifest: Manifest, draft: Path) -> None:
    _private(draft)
    with draft.open("r+b") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as packed:
            packed.write(copy, STORE)
            packed.writestr(MANIFEST, json.dumps(asdict(manifest), indent=2))
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _contents(backup: Path) -> Iterator[tuple[Manifest, zipfile.ZipFile]]:
    """An open backup with its manifest. Raises BackupBroken, StoreNewer, FileNotFoundError."""
    with _damage_told(backup):
        packed = zipfile.ZipFile(backup)
    with packed:
        with _damage_told(backup):
            manifest = _manifest_of(packed, backup)
        if manifest.schema > schema.SCHEMA_VERSION:
            raise StoreNewer(
                f"the backup has schema {manifest.schema}, this Lectern reads {schema.SCHEMA_VERSION}: upgrade it"
            )
        yield manifest, packed


@contextmanager
def _damage_told(backup: Path) -> Iterator[None]:
    """Turns what zipfile raises inside into BackupBroken.

    A RuntimeError is one of it: by one flipped bit a member claims to be encrypted, or packed in an unknown way.
    """
    try:
        yield
    except (zipfile.BadZipFile, EOFError, RuntimeError) as error:
        raise BackupBroken(f"'{backup}' is not a whole backup: {error}") from error


def _manifest_of(packed: zipfile.ZipFile, backup: Path) -> Manifest:
    try:
        fields: dict[str, Any] = json.loads(packed.read(MANIFEST))
        manifest = Manifest(**fields)
        if manifest.format > FORMAT:
            raise StoreNewer(f"'{backup}' has format {manifest.format}, this Lectern reads {FORMAT}: upgrade it")
    except (KeyError, TypeError, ValueError) as error:
        raise BackupBroken(f"'{backup}' has no manifest that can be read") from error
    return manifest


def _check_copy(packed: zipfile.ZipFile, manifest: Manifest, target: Path | None) -> None:
    """Read the store of a backup, into `target` if given, synced. Raises BackupBroken, OSError."""
    digest, size = hashlib.sha256(), 0
    file: IO[bytes] | None = None if target is None else target.open("r+b")
    try:
        with _damage_told(Path(str(packed.filename))), packed.open(STORE) as source:
            for chunk in iter(lambda: source.read(CHUNK), b""):
                size += len(chunk)
                digest.update(chunk)
                if file is not None:
                    file.write(chunk)
        if file is not None:
            file.flush()
            os.fsync(file.fileno())
    except KeyError as error:
        raise BackupBroken(f"'{packed.filename}' holds no store") from error
    finally:
        if file is not None:
            file.close()
    if (digest.hexdigest(), size) != (manifest.sha256, manifest.size):
        raise BackupBroken(f"the store in '{packed.filename}' does not match its checksum")


def _set_aside(store: Path) -> None:
    """Keep the store that is there under another name too, its log folded in; what is damaged is kept as it is."""
    aside = store.with_name(store.name + ".before-restore")
    logs = [store.with_name(store.name + suffix) for suffix in ("-wal", "-shm")]
    for old in (aside, *(aside.with_name(aside.name + log.name.removeprefix(store.name)) for log in logs)):
        old.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(store, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE").fetchone()
    except sqlite3.DatabaseError:  # this is why it is replaced
        for log in filter(Path.exists, logs):
            shutil.copy2(log, aside.with_name(aside.name + log.name.removeprefix(store.name)))
    os.link(store, aside)
    for log in logs:
        log.unlink(missing_ok=True)


def _private(path: Path) -> None:
    """An empty file that only its owner may read: every document is in a backup."""
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


@contextmanager
def _removed_at_the_end(*paths: Path) -> Iterator[None]:
    """Leave no drafts behind, however it ends."""
    try:
        yield
    finally:
        for path in paths:
            for draft in (path, path.with_name(path.name + "-journal")):
                draft.unlink(missing_ok=True)
