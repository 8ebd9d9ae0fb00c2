"""The way of a revision: begun (text and passages, invisible), given vectors, published by flipping one field.

Each step is one transaction and can be done again after a restart. A revision that a newer one overtook, or whose
document was deleted, never becomes visible.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, exists, func, insert, select, update

from retriever.errors import NotFound, Outdated
from retriever.store import schema
from retriever.store.documents import title_of
from retriever.store.jobs import drop_revision
from retriever.store.records import ChunkLike, Part, document_row, ensure_collection, log_change, now
from retriever.types import ParsedDocument

_documents, _revisions, _passages, _vectors = schema.documents, schema.revisions, schema.passages, schema.vectors
VECTOR_TYPE = np.dtype("<f2")  # half the bytes of float32, and an inner product of unit vectors moves by under 1e-3
BATCH = 5_000  # rows or parameters a statement


class Ingests(Part):
    """The revisions of documents, from begun to visible."""

    _keep_versions: int

    def start_revision(
        self, tenant: str, document_id: str, job_id: str, parsed: ParsedDocument, chunks: Sequence[ChunkLike]
    ) -> int:
        """Write what was parsed and its passages, invisible yet; returns the revision's number.

        Doing it again replaces what was there. Raises NotFound when the document or the job's revision is gone.
        """
        with self._db.write() as connection:
            row = _revision_of_job(connection, tenant, document_id, job_id)
            place: dict[str, Any] = {"document": row.document, "revision": row.revision, "tenant": tenant}
            for table in (schema.texts, _passages):
                own = (table.c.document == row.document) & (table.c.revision == row.revision)
                connection.execute(table.delete().where(own))
            connection.execute(insert(schema.texts).values(**place, **_layout(parsed)))
            found: dict[str, Any] = {
                "version": version_of(parsed.text),
                "parsed_title": parsed.title,
                "media_type": parsed.media_type,
            }
            found |= {"characters": len(parsed.text), "pages": len(parsed.pages), "passages": len(chunks)}
            own = (_revisions.c.document == row.document) & (_revisions.c.revision == row.revision)
            connection.execute(update(_revisions).where(own).values(**found, warnings=list(parsed.warnings)))
            rows = [
                {**place, "ordinal": ordinal, "text": parsed.text[chunk.start : chunk.end], **_place_of(chunk)}
                for ordinal, chunk in enumerate(chunks)
            ]
            if rows:
                connection.execute(insert(_passages), rows)
            return int(row.revision)

    def resume_revision(self, tenant: str, document_id: str, job_id: str) -> int | None:
        """The revision that this job has begun already, or None: parse then. Raises NotFound as `start_revision`."""
        with self._db.read() as connection:
            row = _revision_of_job(connection, tenant, document_id, job_id)
            return None if row.version is None else int(row.revision)

    def unencoded(
        self, tenant: str, document_id: str, revision: int, *, encoder: str, limit: int
    ) -> list[tuple[int, str]]:
        """(key, text) of up to `limit` passages without a vector of this encoder, in order; empty: all have one."""
        done = exists().where(_vectors.c.key == _passages.c.key, _vectors.c.encoder == encoder)
        with self._db.read() as connection:
            number = document_row(connection, tenant, document_id).number
            query = select(_passages.c.key, _passages.c.text).where(
                _passages.c.document == number, _passages.c.revision == revision, ~done
            )
            rows = connection.execute(query.order_by(_passages.c.ordinal).limit(limit))
            return [(row.key, row.text) for row in rows]

    def put_vectors(self, encoder: str, keys: Sequence[int], vectors: NDArray[np.float32]) -> None:
        """Store vectors [N, D] of the passages with these keys; passages that are gone by now are passed over."""
        if len(keys) != len(vectors):
            raise ValueError(f"{len(keys)} keys, but {len(vectors)} vectors")
        stored = np.ascontiguousarray(vectors, dtype=VECTOR_TYPE)
        with self._db.write() as connection:
            for first in range(0, len(keys), BATCH):
                some = [int(key) for key in keys[first : first + BATCH]]
                there = set(connection.scalars(select(_passages.c.key).where(_passages.c.key.in_(some))))
                old = _vectors.c.key.in_(some) & (_vectors.c.encoder == encoder)
                connection.execute(_vectors.delete().where(old))
                rows = [
                    {"key": key, "encoder": encoder, "vector": stored[first + place].tobytes()}
                    for place, key in enumerate(some)
                    if key in there
                ]
                if rows:
                    connection.execute(insert(_vectors), rows)

    def destination(self, tenant: str, document_id: str, revision: int) -> str:
        """The collection that a revision will be in. Raises NotFound where there is none (any more)."""
        with self._db.read() as connection:
            number = document_row(connection, tenant, document_id).number
            own = (_revisions.c.document == number) & (_revisions.c.revision == revision)
            collection = connection.scalar(select(_revisions.c.collection).where(own))
        if collection is None:
            raise NotFound(f"no revision {revision} of document {document_id!r}: it was cancelled")
        return str(collection)

    def publish(
        self, tenant: str, document_id: str, revision: int, *, made_for: tuple[str, str | None] | None = None
    ) -> int:
        """Make a revision the one that readers see; returns the sequence number of the change.

        `made_for` is an asset of its collection that the revision's vectors were made for, as (name, SHA-256 or None
        where there was none): raises Outdated, and changes nothing, where that is another by now.

        One transaction: the passages, vectors and bytes of the version before go, its text stays readable for a
        while. A revision older than the visible one is forgotten instead: the last upload accepted wins. Raises
        NotFound when the document was deleted or the revision cancelled.
        """
        with self._db.write() as connection:
            document = document_row(connection, tenant, document_id)
            own = (_revisions.c.document == document.number) & (_revisions.c.revision == revision)
            row = connection.execute(select(_revisions).where(own, _revisions.c.version.is_not(None))).first()
            if row is None:
                raise NotFound(f"no revision {revision} of document {document_id!r}: it was cancelled")
            if made_for is not None and _asset(connection, tenant, row.collection, made_for[0]) != made_for[1]:
                raise Outdated(f"revision {revision} of document {document_id!r} was made for another {made_for[0]}")
            if document.visible is not None and document.visible >= revision:
                if document.visible > revision:
                    drop_revision(connection, tenant, document_id, row.job_id)
                return _last_change(connection, document)
            _flip(connection, document, row)
            self._forget_older(connection, document.number, revision)
            if row.collection != document.collection:
                log_change(connection, tenant, ensure_collection(connection, tenant, document.collection), document_id)
            return log_change(connection, tenant, ensure_collection(connection, tenant, row.collection), document_id)

    def fail_document(self, tenant: str, document_id: str, job_id: str) -> None:
        """Forget the revision of a job that failed; the document has failed too unless another version stands."""
        with self._db.write() as connection:
            drop_revision(connection, tenant, document_id, job_id)

    def _forget_older(self, connection: Connection, number: int, revision: int) -> None:
        """Keep only texts of the versions before, and of these only the last ones."""
        older = (_revisions.c.document == number) & (_revisions.c.revision < revision) & _revisions.c.published
        numbers = select(_revisions.c.revision).where(older).order_by(_revisions.c.revision.desc())
        replaced = list(connection.scalars(numbers))
        for table in (_passages, schema.files):
            own = (table.c.document == number) & table.c.revision.in_(replaced)
            connection.execute(table.delete().where(own))
        pruned = (_revisions.c.document == number) & _revisions.c.revision.in_(replaced[self._keep_versions :])
        table = schema.past_versions
        known = set(connection.scalars(select(table.c.version).where(table.c.document == number)))
        gone = set(connection.scalars(select(_revisions.c.version).where(pruned))) - known
        if gone:
            connection.execute(insert(table), [{"document": number, "version": each} for each in sorted(gone)])
        connection.execute(_revisions.delete().where(pruned))


def version_of(text: str) -> str:
    """The version of a text: `sha256:` and the hash of its UTF-8 bytes."""
    return "sha256:" + hashlib.sha256(text.encode("utf-8")).hexdigest()


def _layout(parsed: ParsedDocument) -> dict[str, Any]:
    sections = [[list(section.path), section.start, section.end] for section in parsed.sections]
    pages = [[page.number, page.start, page.end] for page in parsed.pages]
    turns = [[turn.speaker, turn.start, turn.end] for turn in parsed.turns]
    return {"text": parsed.text, "sections": sections, "pages": pages, "turns": turns}


def _place_of(chunk: ChunkLike) -> dict[str, Any]:
    return {"start": chunk.start, "end": chunk.end, "page": chunk.page, "section": list(chunk.section)}


def _revision_of_job(connection: Connection, tenant: str, document_id: str, job_id: str) -> Row[Any]:
    number = document_row(connection, tenant, document_id).number
    own = (_revisions.c.document == number) & (_revisions.c.job_id == job_id)
    row = connection.execute(select(_revisions).where(own)).first()
    if row is None:
        raise NotFound(f"no revision of document {document_id!r} by job {job_id!r}: it was cancelled")
    return row


def _asset(connection: Connection, tenant: str, collection: str, name: str) -> str | None:
    """The SHA-256 of a collection's asset."""
    assets, collections = schema.assets, schema.collections
    inside = (collections.c.tenant == tenant) & (collections.c.name == collection) & (assets.c.name == name)
    return connection.scalar(select(assets.c.sha256).join(collections).where(inside))


def _flip(connection: Connection, document: Row[Any], row: Row[Any]) -> None:
    title = title_of(sent=row.title, parsed=row.parsed_title, filename=row.filename, document_id=document.id)
    shown = {"visible": row.revision, "status": "indexed", "title": title, "updated_at": now()}
    for name in ("collection", "metadata", "version", "media_type", "characters", "pages", "passages", "warnings"):
        shown[name] = getattr(row, name)
    connection.execute(update(_documents).where(_documents.c.number == document.number).values(shown))
    own = (_revisions.c.document == document.number) & (_revisions.c.revision == row.revision)
    connection.execute(update(_revisions).where(own).values(published=True))


def _last_change(connection: Connection, document: Row[Any]) -> int:
    changes, collections = schema.changes, schema.collections
    inside = (collections.c.tenant == document.tenant) & (collections.c.name == document.collection)
    query = select(func.coalesce(func.max(changes.c.seq), 0)).join(
        collections, collections.c.number == changes.c.collection
    )
    return int(connection.scalar(query.where(inside)) or 0)
