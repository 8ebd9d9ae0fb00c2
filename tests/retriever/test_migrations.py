"""A store of an older Lectern is changed to today's schema at its start, or stays as it was."""

import logging
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, inspect

from retriever.errors import StorageFull, StoreNewer
from retriever.store import Store, engine, migrations, schema
from retriever.store.migrations import MIGRATIONS, Migration, add_column, add_table, migrate
from tests.retriever.library import TENANT, Library

SCHEMAS = Path(__file__).parent / "schemas"
OLDER = range(1, schema.SCHEMA_VERSION)
TEXT = "alpha beta\ngamma delta"


def tables(path: Path) -> dict[str, Any]:
    """What the database at `path` is made of: columns, keys and indexes of each table, in no order."""
    connection = sqlite3.connect(path)
    found: dict[str, Any] = {}
    names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    for (name,) in connection.execute(names).fetchall():
        columns = {row[1:] for row in connection.execute(f"PRAGMA table_info({name})")}
        foreign = {row[1:] for row in connection.execute(f"PRAGMA foreign_key_list({name})")}
        indexes = set()
        for _, index, unique, origin, _ in connection.execute(f"PRAGMA index_list({name})").fetchall():
            places = tuple(row[2] for row in connection.execute(f"PRAGMA index_info({index})"))
            indexes.add((None if index.startswith("sqlite_") else index, unique, origin, places))
        found[name] = (columns, {row[1:] for row in foreign}, indexes)
    connection.close()
    return found


def built(path: Path, version: int) -> Path:
    """A database with the tables of that version and nothing in it."""
    connection = sqlite3.connect(path)
    connection.executescript((SCHEMAS / f"{version}.sql").read_text())
    connection.executemany("INSERT INTO meta VALUES (?, ?)", [("schema", str(version)), ("instance", "anystore")])
    connection.execute("INSERT INTO meta VALUES ('created_at', '2026-01-01T00:00:00.000000Z')")
    connection.commit()
    connection.close()
    return path


def aged(fresh: Path, version: int) -> None:
    """Put a store's rows into the tables of an older version, as if that Lectern had written them."""
    old = fresh.with_name("old.db")
    Store(f"sqlite:///{fresh}").close()  # folds the log into the file
    connection = sqlite3.connect(built(old, version))
    connection.execute("DELETE FROM meta")
    connection.execute("ATTACH ? AS new", (str(fresh),))
    for name in tables(old):
        columns = ", ".join(f'"{row[1]}"' for row in connection.execute(f"PRAGMA main.table_info({name})"))
        connection.execute(f"INSERT INTO main.{name} ({columns}) SELECT {columns} FROM new.{name}")
    connection.execute("UPDATE meta SET value = ? WHERE key = 'schema'", (str(version),))
    connection.execute("DELETE FROM sqlite_sequence")
    connection.execute("INSERT INTO main.sqlite_sequence SELECT * FROM new.sqlite_sequence")
    connection.commit()
    connection.close()
    for left in fresh.parent.glob(fresh.name + "*"):
        left.unlink()
    old.rename(fresh)


def test_the_tables_are_those_written_down_for_this_version(tmp_path: Path) -> None:
    Store(f"sqlite:///{tmp_path / 'store.db'}").close()
    written = tables(built(tmp_path / "written.db", schema.SCHEMA_VERSION))
    assert tables(tmp_path / "store.db") == written, "a new schema needs a new version, a migration and its .sql file"
    assert [step.to for step in MIGRATIONS] == list(range(2, schema.SCHEMA_VERSION + 1))


@pytest.mark.parametrize("version", OLDER)
def test_a_migrated_store_has_the_tables_of_a_new_one(tmp_path: Path, version: int) -> None:
    Store(f"sqlite:///{tmp_path / 'new.db'}").close()
    Store(f"sqlite:///{built(tmp_path / 'old.db', version)}").close()
    assert tables(tmp_path / "old.db") == tables(tmp_path / "new.db")
    assert sqlite3.connect(tmp_path / "old.db").execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("version", OLDER)
def test_what_an_older_store_holds_is_there_and_found_after_the_migration(
    tmp_path: Path, version: int, caplog: pytest.LogCaptureFixture
) -> None:
    library = Library(tmp_path)
    document = library.add(TEXT)
    library.close()
    aged(tmp_path / "store.db", version)
    before = (tmp_path / "store.db").read_bytes()
    with caplog.at_level(logging.WARNING):
        library = Library(tmp_path)
    assert f"from schema {version} to {schema.SCHEMA_VERSION}" in caplog.text
    assert library.store.text(TENANT, document)[0] == TEXT
    assert library.found("gamma", mode="sparse") == ["gamma delta"]
    library.store.put_asset(TENANT, "default", "adapter", b"weights")
    library.close()
    copy = sqlite3.connect(tmp_path / f"store.db.schema-{version}")
    assert copy.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone() == (str(version),)
    assert copy.execute("SELECT text FROM texts").fetchall() == [(TEXT,)]
    assert b"gamma delta" in before
    library = Library(tmp_path)  # and the next start has nothing to do
    assert library.store.asset(TENANT, "default", "adapter") == b"weights"
    library.close()


def test_a_migration_that_fails_in_the_middle_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    old = built(tmp_path / "old.db", 1)
    before = tables(old)

    def breaks(connection: Connection) -> None:
        MIGRATIONS[0].run(connection)
        connection.exec_driver_sql("DROP TABLE texts")
        raise RuntimeError("killed here")

    database = engine.Database(f"sqlite:///{old}")
    with pytest.raises(RuntimeError, match="killed here"):
        migrate(database, steps=[Migration(to=2, what="breaks", run=breaks)])
    database.close()
    assert tables(old) == before
    Store(f"sqlite:///{old}").close()
    assert "assets" in tables(old)


def test_without_room_for_the_copy_nothing_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = built(tmp_path / "old.db", 1)
    before = tables(old)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(engine, "copy_database", full)
    with pytest.raises(StorageFull):
        Store(f"sqlite:///{old}")
    assert tables(old) == before
    assert not list(tmp_path.glob("old.db.schema*"))


def test_a_newer_store_is_neither_opened_nor_copied(tmp_path: Path) -> None:
    newer = built(tmp_path / "newer.db", schema.SCHEMA_VERSION)
    connection = sqlite3.connect(newer)
    connection.execute("UPDATE meta SET value = '999' WHERE key = 'schema'")
    connection.commit()
    with pytest.raises(StoreNewer, match=f"schema 999, this Lectern reads up to {schema.SCHEMA_VERSION}: upgrade it"):
        Store(f"sqlite:///{newer}")
    assert connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone() == ("999",)
    connection.close()
    assert {path.name for path in tmp_path.iterdir()} <= {"newer.db", "newer.db-wal", "newer.db-shm"}


def test_a_column_is_added_once_with_its_default_and_never_one_that_rows_could_not_have(tmp_path: Path) -> None:
    database = engine.Database(f"sqlite:///{built(tmp_path / 'old.db', 1)}")
    metadata = MetaData()
    turns = Column("turn_count", Integer, nullable=False, server_default="7")
    note, must = Column("note", String), Column("must", String, nullable=False)
    Table("turns", metadata, Column("tenant", String, primary_key=True), turns, note, must)
    other = Table("other", metadata, Column("key", Integer, primary_key=True))
    with database.write() as connection:
        connection.exec_driver_sql("INSERT INTO turns VALUES ('acme', 1)")
        for _ in range(2):
            add_column(connection, turns)
            add_column(connection, note)
            add_table(connection, other)
        with pytest.raises(ValueError, match=r"turns\.must must be nullable or have a server_default"):
            add_column(connection, must)
        assert connection.exec_driver_sql("SELECT turn_count, note FROM turns").all() == [(7, None)]
        assert inspect(connection).has_table("other")
    database.close()


def test_the_steps_say_what_they_are_for() -> None:
    assert all(step.what and step.run for step in migrations.MIGRATIONS)
