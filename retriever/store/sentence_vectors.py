"""Vectors of sentences in blocks that are known by what they say: of stored documents, and of a job's own text.

Summaries make them. A block that is there need not be encoded again: not for another summary, not after a kill in the
middle of one, and not for the sections that an edit of the document left alone.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Table, and_, insert, select

from retriever.store import schema
from retriever.store.ingests import VECTOR_TYPE
from retriever.store.jobs import ALIVE
from retriever.store.records import Part, document_row, job_row

Blocks = Mapping[bytes, NDArray[np.float16]]
"""Digest -> vectors [N, D]."""

_of_documents, _of_jobs = schema.sentence_blocks, schema.job_blocks
_BATCH = 500  # parameters a statement


class SentenceVectors(Part):
    """Blocks of sentence vectors of every tenant; they go when their document does, or when their job is over."""

    def sentence_blocks(self, tenant: str, document_id: str, *, encoder: str, digests: Sequence[bytes]) -> Blocks:
        """The known ones of these blocks of a document. Raises NotFound for a document that is gone."""
        with self._db.read() as connection:
            number = document_row(connection, tenant, document_id).number
            return _found(connection, _of_documents, _of_documents.c.document == number, encoder, digests)

    def put_sentence_blocks(self, tenant: str, document_id: str, *, encoder: str, blocks: Blocks) -> None:
        """Keep blocks of a document. Raises NotFound for a document that is gone."""
        with self._db.write() as connection:
            number = document_row(connection, tenant, document_id).number
            _put(connection, _of_documents, _of_documents.c.document == number, {"document": number}, encoder, blocks)

    def keep_sentence_blocks(self, tenant: str, document_id: str, *, encoder: str, digests: Collection[bytes]) -> None:
        """Drop every other block of the document, also those of other encoders. Raises NotFound."""
        kept = set(digests)
        with self._db.read() as connection:
            stale = _stale(connection, tenant, document_id, encoder, kept)
        if not stale:
            return  # as mostly: nothing is written
        with self._db.write() as connection:
            for one in _stale(connection, tenant, document_id, encoder, kept):
                connection.execute(_of_documents.delete().where(one))

    def job_blocks(self, tenant: str, job_id: str, *, encoder: str, digests: Sequence[bytes]) -> Blocks:
        """The known ones of these blocks of a job's own text. Raises NotFound for a job that is gone."""
        with self._db.read() as connection:
            number = job_row(connection, tenant, job_id).number
            return _found(connection, _of_jobs, _of_jobs.c.job == number, encoder, digests)

    def put_job_blocks(self, tenant: str, job_id: str, *, encoder: str, blocks: Blocks) -> None:
        """Keep blocks of a job's own text; nothing is kept of a job that is over. Raises NotFound."""
        with self._db.write() as connection:
            job = job_row(connection, tenant, job_id)
            if job.status in ALIVE:
                _put(connection, _of_jobs, _of_jobs.c.job == job.number, {"job": job.number}, encoder, blocks)


def _found(
    connection: Connection, table: Table, own: ColumnElement[bool], encoder: str, digests: Sequence[bytes]
) -> Blocks:
    found: dict[bytes, NDArray[np.float16]] = {}
    for start in range(0, len(digests), _BATCH):
        wanted = table.c.digest.in_(digests[start : start + _BATCH])
        for row in connection.execute(select(table).where(own, table.c.encoder == encoder, wanted)):
            flat = np.frombuffer(row.vectors, dtype=VECTOR_TYPE)
            found[bytes(row.digest)] = flat.reshape(row.sentences, -1).astype(np.float16)
    return found


def _put(
    connection: Connection,
    table: Table,
    own: ColumnElement[bool],
    owner: Mapping[str, int],
    encoder: str,
    blocks: Blocks,
) -> None:
    known = and_(own, table.c.encoder == encoder, table.c.digest.in_(list(blocks)))
    connection.execute(table.delete().where(known))
    rows = [
        {
            **owner,
            "encoder": encoder,
            "digest": digest,
            "sentences": len(vectors),
            "vectors": vectors.astype(VECTOR_TYPE).tobytes(),
        }
        for digest, vectors in blocks.items()
    ]
    if rows:
        connection.execute(insert(table), rows)


def _stale(
    connection: Connection, tenant: str, document_id: str, encoder: str, kept: Collection[bytes]
) -> list[ColumnElement[bool]]:
    """What tells each block of the document apart that is of another encoder or not among these."""
    table = _of_documents
    mine = table.c.document == document_row(connection, tenant, document_id).number
    known = connection.execute(select(table.c.digest, table.c.encoder).where(mine)).all()
    return [
        and_(mine, table.c.digest == row.digest, table.c.encoder == row.encoder)
        for row in known
        if row.encoder != encoder or bytes(row.digest) not in kept
    ]
