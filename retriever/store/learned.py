"""What a collection's retriever has learned, put in place with the vectors that it needs, in one transaction.

A search that goes by it finds every passage, therefore: those that are visible then have vectors, and a revision that
was made for what was there before is refused by `publish`, which hands over what is there now.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, and_, delete, insert, select

from retriever.errors import NotFound
from retriever.store import schema
from retriever.store.assets import write_asset
from retriever.store.ingests import VECTOR_TYPE
from retriever.store.records import Part, collection_number

_documents, _passages, _vectors = schema.documents, schema.passages, schema.vectors
BATCH = 5_000  # rows or parameters a statement


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """Vectors [N, D] of passages by key [N], of one version of an encoder."""

    encoder: str
    keys: Sequence[int]
    vectors: NDArray[np.floating]


class Learned(Part):
    """The retrievers of every tenant's collections, with the vectors that are theirs alone."""

    def put_learned(
        self,
        tenant: str,
        collection: str,
        number: int,
        name: str,
        data: bytes,
        *,
        metadata: Mapping[str, Any],
        embedded: Embedded | None = None,
        dropped: Collection[str] = (),
    ) -> list[tuple[int, str]]:
        """Keep an asset with these vectors, and purge those of the `dropped` versions; empty: it is done.

        Where a passage is visible that is not among them, nothing is done, and (key, text) of all such is returned:
        embed them, and try again. Raises NotFound unless the collection has this number still.
        """
        with self._db.write() as connection:
            if collection_number(connection, tenant, collection) != number:
                raise NotFound(f"no collection {collection!r}")
            if embedded is not None:
                there = set(connection.scalars(_shown(tenant, collection, _passages.c.key)))
                missing = there - set(embedded.keys)
                if missing:
                    rows = connection.execute(_shown(tenant, collection, _passages.c.key, _passages.c.text))
                    return [(row.key, row.text) for row in rows if row.key in missing]
                _insert(connection, embedded, there)
            write_asset(connection, tenant, number, name, data, metadata)
            if dropped:
                inside = and_(schema.revisions.c.tenant == tenant, schema.revisions.c.collection == collection)
                mine = select(_passages.c.key).join_from(_passages, schema.revisions).where(inside)
                gone = and_(_vectors.c.encoder.in_(list(dropped)), _vectors.c.key.in_(mine))
                connection.execute(delete(_vectors).where(gone))
        return []


def _shown(tenant: str, collection: str, *columns: Any) -> Any:
    """These columns of the passages that are visible in the collection."""
    shown = and_(_passages.c.document == _documents.c.number, _passages.c.revision == _documents.c.visible)
    inside = and_(_documents.c.tenant == tenant, _documents.c.collection == collection)
    return select(*columns).join_from(_passages, _documents, shown).where(inside)


def _insert(connection: Connection, embedded: Embedded, there: Collection[int]) -> None:
    """Write the vectors of the passages that are there still, in place of any that are of the same version."""
    stored = np.ascontiguousarray(embedded.vectors, dtype=VECTOR_TYPE)
    places = [place for place, key in enumerate(embedded.keys) if key in there]
    for first in range(0, len(places), BATCH):
        some = places[first : first + BATCH]
        keys = [int(embedded.keys[place]) for place in some]
        old = and_(_vectors.c.key.in_(keys), _vectors.c.encoder == embedded.encoder)
        connection.execute(delete(_vectors).where(old))
        rows = [
            {"key": key, "encoder": embedded.encoder, "vector": stored[place].tobytes()}
            for key, place in zip(keys, some, strict=True)
        ]
        connection.execute(insert(_vectors), rows)
