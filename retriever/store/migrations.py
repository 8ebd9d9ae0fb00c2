"""How the store of an older Lectern gets today's tables: forward only, one step a version, all or nothing.

To change the schema: change `schema.py`, raise its SCHEMA_VERSION, and append a `Migration` here that takes a store of
the version before to it. `tests/retriever/test_migrations.py` fails until a store of every older version has exactly
the tables of a new one once it is migrated; `tests/retriever/schemas` has the tables of each version.

A store is copied before its first step, to a file beside it that is kept. All steps are one transaction, so that a
crash in the middle leaves the old store, and the next start begins again.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Table, func, inspect, select, text, update
from sqlalchemy.schema import CreateColumn

from retriever.errors import StoreNewer, StoreOlder
from retriever.store import schema
from retriever.store.engine import Database

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Migration:
    """The step to version `to` from the one before it; `run` changes the tables inside a transaction."""

    to: int
    what: str
    run: Callable[[Connection], None]


def version_of(connection: Connection) -> int | None:
    """The schema version of an open store, None for a database without any. Raises StoreNewer."""
    if not inspect(connection).has_table(schema.meta.name):
        return None
    found = connection.scalar(select(schema.meta.c.value).where(schema.meta.c.key == "schema"))
    if found is not None and int(found) > schema.SCHEMA_VERSION:
        raise StoreNewer(f"the store has schema {found}, this Lectern reads up to {schema.SCHEMA_VERSION}: upgrade it")
    return None if found is None else int(found)


def migrate(database: Database, *, steps: Sequence[Migration] | None = None) -> None:
    """Bring a store of an older version to today's; nothing happens to one that is there. Raises StoreNewer.

    The caller is the only user of the store. A copy as it was is left beside it; without room for that, StorageFull.
    """
    with database.read() as connection:
        version = version_of(connection)
    if version is None or version == schema.SCHEMA_VERSION:
        return
    ahead = [step for step in (MIGRATIONS if steps is None else steps) if step.to > version]
    copy = database.copy_beside(f"schema-{version}")
    logger.warning("the store is changed from schema %d to %d; '%s' is as it was", version, ahead[-1].to, copy.name)
    with database.write() as connection:
        for step in ahead:
            logger.warning("schema %d: %s", step.to, step.what)
            step.run(connection)
            own = schema.meta.c.key == "schema"
            connection.execute(update(schema.meta).where(own).values(value=str(step.to)))


def refuse_older(database: Database) -> None:
    """Raise StoreOlder where `migrate` would change something."""
    with database.read() as connection:
        version = version_of(connection)
    if version is not None and version < schema.SCHEMA_VERSION:
        raise StoreOlder(f"the store has schema {version}, this Lectern works with {schema.SCHEMA_VERSION}")


def add_table(connection: Connection, table: Table) -> None:
    """Create a table that a store of an older version lacks, with its indexes."""
    table.create(connection, checkfirst=True)


def add_column(connection: Connection, column: Column[Any]) -> None:
    """Add a column of `schema.py` to its table; rows that are there get its `server_default`, or NULL.

    A column that is there already is left alone: a table that an earlier step made is made as it is today. Raises
    ValueError for a column that rows which are there could not have.
    """
    table = column.table
    if any(known["name"] == column.name for known in inspect(connection).get_columns(table.name)):
        return
    if not column.nullable and column.server_default is None:
        raise ValueError(f"{column} must be nullable or have a server_default: rows are there without it")
    definition = CreateColumn(column).compile(dialect=connection.dialect)
    connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {definition}"))


def _add_keys(connection: Connection) -> None:
    add_table(connection, schema.keys)
    size = schema.files.c.size
    add_column(connection, size)
    connection.execute(update(schema.files).values(size=func.length(schema.files.c.data)))
    schema.files_by_tenant.create(connection, checkfirst=True)


def _add_receipts(connection: Connection) -> None:
    for table in (schema.past_versions, schema.batch_lines, schema.receipts):
        add_table(connection, table)


MIGRATIONS = (
    Migration(
        to=2, what="files that belong to a collection", run=lambda connection: add_table(connection, schema.assets)
    ),
    Migration(to=3, what="keys, and the size of each file", run=_add_keys),
    Migration(
        to=4, what="who says what in a text", run=lambda connection: add_column(connection, schema.texts.c.turns)
    ),
    Migration(to=5, what="versions that are no longer kept, batches, and receipts of uploads", run=_add_receipts),
    Migration(
        to=6,
        what="vectors of sentences",
        run=lambda connection: add_table(connection, schema.sentence_blocks),
    ),
    Migration(
        to=7, what="vectors of a job's sentences", run=lambda connection: add_table(connection, schema.job_blocks)
    ),
)
