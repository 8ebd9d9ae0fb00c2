"""Vectors of the sentences of stored documents, in blocks that are known by what they say.

Summaries make them. A block that is there need not be encoded again: not for another summary, not after a kill in the
middle of one, and not for the sections that an edit of the document left alone.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, and_, insert, select

from retriever.store import schema
from retriever.store.ingests import VECTOR_TYPE
from retriever.store.records import Part, document_row

_blocks = schema.sentence_blocks
_BATCH = 500  # parameters a statement


class SentenceVectors(Part):
    """Blocks of sentence vectors of every tenant's documents; they go when their document does."""

    def sentence_blocks(
        self, tenant: str, document_id: str, *, encoder: str, digests: Sequence[bytes]
    ) -> dict[bytes, NDArray[np.float16]]:
        """The known ones of these blocks: digest -> vectors [N, D]. Raises NotFound for a document that is gone."""
        found: dict[bytes, NDArray[np.float16]] = {}
        with self._db.read() as connection:
            number = document_row(connection, tenant, document_id).number
            for start in range(0, len(digests), _BATCH):
                wanted = _blocks.c.digest.in_(digests[start : start + _BATCH])
                mine = and_(_blocks.c.document == number, _blocks.c.encoder == encoder, wanted)
                for row in connection.execute(select(_blocks).where(mine)):
                    flat = np.frombuffer(row.vectors, dtype=VECTOR_TYPE)
                    found[bytes(row.digest)] = flat.reshape(row.sentences, -1).astype(np.float16)
        return found

    def put_sentence_blocks(
        self, tenant: str, document_id: str, *, encoder: str, blocks: Mapping[bytes, NDArray[np.float16]]
    ) -> None:
        """Keep blocks: digest -> vectors [N, D]. Raises NotFound for a document that is gone."""
        with self._db.write() as connection:
            number = document_row(connection, tenant, document_id).number
            mine = and_(_blocks.c.document == number, _blocks.c.encoder == encoder)
            connection.execute(_blocks.delete().where(mine, _blocks.c.digest.in_(list(blocks))))
            rows = [
                {
                    "document": number,
                    "encoder": encoder,
                    "digest": digest,
                    "sentences": len(vectors),
                    "vectors": vectors.astype(VECTOR_TYPE).tobytes(),
                }
                for digest, vectors in blocks.items()
            ]
            if rows:
                connection.execute(insert(_blocks), rows)

    def keep_sentence_blocks(self, tenant: str, document_id: str, *, encoder: str, digests: Collection[bytes]) -> None:
        """Drop every other block of the document, also those of other encoders. Raises NotFound."""
        kept = set(digests)
        with self._db.read() as connection:
            stale = _stale(connection, tenant, document_id, encoder, kept)
        if not stale:
            return  # as mostly: nothing is written
        with self._db.write() as connection:
            for one in _stale(connection, tenant, document_id, encoder, kept):
                connection.execute(_blocks.delete().where(one))


def _stale(
    connection: Connection, tenant: str, document_id: str, encoder: str, kept: Collection[bytes]
) -> list[ColumnElement[bool]]:
    """What tells each block of the document apart that is of another encoder or not among these."""
    mine = _blocks.c.document == document_row(connection, tenant, document_id).number
    known = connection.execute(select(_blocks.c.digest, _blocks.c.encoder).where(mine)).all()
    return [
        and_(mine, _blocks.c.digest == row.digest, _blocks.c.encoder == row.encoder)
        for row in known
        if row.encoder != encoder or bytes(row.digest) not in kept
    ]
