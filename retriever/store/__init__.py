"""The system of record: documents, their versions, passages, vectors and jobs, in one relational database.

Every method takes the tenant first, except those of the whole instance, and sees nothing of any other tenant. A method
that writes is one transaction, durable when it returns. Everything raises StoreUnavailable or StorageFull when the
database does. The indexes are derived from this by the change log, and can be rebuilt from it at any time.
"""

from sqlalchemy import insert, select

from retriever.errors import StoreNewer, StoreUnavailable
from retriever.store import schema
from retriever.store.collections import Collections
from retriever.store.documents import Documents
from retriever.store.engine import Database
from retriever.store.ingests import Ingests, version_of
from retriever.store.jobs import Jobs
from retriever.store.reading import Reading
from retriever.store.records import DEFAULT_COLLECTION, Accepted, Change, Collection, Job, new_id, now

__all__ = ["DEFAULT_COLLECTION", "Accepted", "Change", "Collection", "Job", "Store", "version_of"]

KEEP_VERSIONS = 10  # texts of older versions that stay readable, so that citations of them can be verified


class Store(Collections, Documents, Ingests, Reading, Jobs):
    """The store of one instance. Safe to use from many threads."""

    def __init__(self, url: str, *, keep_versions: int = KEEP_VERSIONS) -> None:
        """Open the store at a URL such as `sqlite:////data/store.db`, creating it if it is not there.

        `keep_versions`: how many texts older than the visible one stay readable. Raises StoreUnavailable, StoreNewer.
        """
        if keep_versions < 0:
            raise ValueError(f"keep_versions is {keep_versions}: it must be 0 or more")
        self._keep_versions = keep_versions
        self._db = Database(url)
        self._instance = _open(self._db)

    @property
    def instance(self) -> str:
        """A random id made with the store: an index that was built from another store does not carry it."""
        return self._instance

    def ping(self) -> None:
        """Return when the store answers. Raises StoreUnavailable."""
        with self._db.read() as connection:
            if connection.scalar(select(schema.meta.c.value).where(schema.meta.c.key == "schema")) is None:
                raise StoreUnavailable("the store has lost its schema version")

    def close(self) -> None:
        """Let go of the database; the store is not used after that."""
        self._db.close()


def _open(database: Database) -> str:
    """Create the tables of a new store, check the version of an old one; returns the store's id."""
    table = schema.meta
    with database.write() as connection:
        table.create(connection, checkfirst=True)
        known: dict[str, str] = {row.key: row.value for row in connection.execute(select(table))}
        if not known:
            known = {"schema": str(schema.SCHEMA_VERSION), "instance": new_id(), "created_at": now()}
            connection.execute(insert(table), [{"key": key, "value": value} for key, value in known.items()])
        if int(known["schema"]) > schema.SCHEMA_VERSION:
            raise StoreNewer(
                f"the store has schema {known['schema']}, this Lectern reads up to {schema.SCHEMA_VERSION}: upgrade it"
            )
        schema.metadata.create_all(connection)
    return known["instance"]
