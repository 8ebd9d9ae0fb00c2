"""The system of record: documents, their versions, passages, vectors, jobs and keys, in one database.

Every method takes the tenant first, except those of the whole instance, and sees nothing of any other tenant. A method
that writes is one transaction, durable when it returns. Everything raises StoreUnavailable or StorageFull when the
database does. The indexes are derived from this by the change log, and can be rebuilt from it at any time.
"""

from sqlalchemy import insert, select

from retriever.errors import StoreCorrupt, StoreUnavailable
from retriever.store import schema
from retriever.store.assets import Assets
from retriever.store.batches import Batches
from retriever.store.collections import Collections
from retriever.store.documents import Documents
from retriever.store.engine import Database
from retriever.store.ingests import Ingests, version_of
from retriever.store.jobs import Jobs
from retriever.store.keys import Key, Keys
from retriever.store.learned import Embedded, Learned
from retriever.store.migrations import migrate, refuse_older
from retriever.store.migrations import version_of as schema_version
from retriever.store.reading import Reading
from retriever.store.receipts import Kept, Receipt, Receipts
from retriever.store.records import DEFAULT_COLLECTION, Accepted, Asset, Change, Collection, Job, Quota, new_id, now
from retriever.store.sentence_vectors import SentenceVectors
from retriever.store.totals import Counting, Totals

__all__ = [
    "DEFAULT_COLLECTION",
    "Accepted",
    "Asset",
    "Change",
    "Collection",
    "Embedded",
    "Job",
    "Kept",
    "Key",
    "Quota",
    "Receipt",
    "Store",
    "Totals",
    "version_of",
]

KEEP_VERSIONS = 10  # texts of older versions that stay readable, so that citations of them can be verified


class Store(
    Assets, Batches, Collections, Counting, Documents, Ingests, Jobs, Keys, Learned, Reading, Receipts, SentenceVectors
):
    """The store of one instance. Safe to use from many threads."""

    def __init__(
        self, url: str, *, keep_versions: int = KEEP_VERSIONS, quota: Quota = Quota(), migrating: bool = True
    ) -> None:
        """Open the store at a URL such as `sqlite:////data/store.db`, creating it if it is not there.

        A store of an older Lectern is changed to today's schema first; see `migrations.py`. Not `migrating`: raises
        StoreOlder instead, as it must where a service may be using the store.

        `keep_versions`: how many texts older than the visible one stay readable. `quota` is every tenant's. Raises
        StoreUnavailable, StoreCorrupt, StoreNewer, StorageFull.
        """
        if keep_versions < 0:
            raise ValueError(f"keep_versions is {keep_versions}: it must be 0 or more")
        self._keep_versions = keep_versions
        self._quota = quota
        self._db = Database(url)
        self._instance = _open(self._db, migrating=migrating)

    @property
    def instance(self) -> str:
        """A random id made with the store: an index that was built from another store does not carry it."""
        return self._instance

    def ping(self) -> None:
        """Return when the store answers. Raises StoreUnavailable."""
        with self._db.read() as connection:
            if connection.scalar(select(schema.meta.c.value).where(schema.meta.c.key == "schema")) is None:
                raise StoreUnavailable("the store has lost its schema version")

    def check(self) -> None:
        """Read the whole file and hold its tables against its indexes. Raises StoreCorrupt, StoreUnavailable."""
        self._db.check()

    def close(self) -> None:
        """Let go of the database; the store is not used after that."""
        self._db.close()


def _open(database: Database, *, migrating: bool) -> str:
    """Create the tables of a new store, or bring an old one to today's schema; returns the store's id."""
    table = schema.meta
    if migrating:
        migrate(database)
    else:
        refuse_older(database)
    with database.write() as connection:
        if schema_version(connection) is None:
            known = {"schema": str(schema.SCHEMA_VERSION), "instance": new_id(), "created_at": now()}
            schema.metadata.create_all(connection)
            connection.execute(insert(table), [{"key": key, "value": value} for key, value in known.items()])
        instance = connection.scalar(select(table.c.value).where(table.c.key == "instance"))
    if instance is None:
        raise StoreCorrupt("the store has lost its id: put a backup in its place with 'lectern restore'")
    return str(instance)
