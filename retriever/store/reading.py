"""Reading: texts, files and passages of what is visible, and the change log that the indexes follow."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, and_, func, select

from retriever.errors import NotFound
from retriever.filters import matches
from retriever.store import schema
from retriever.store.ingests import VECTOR_TYPE
from retriever.store.records import Change, Part, document_of, document_row
from retriever.types import Document, Page, ParsedDocument, Passage, Section, Turn

_documents, _revisions, _passages = schema.documents, schema.revisions, schema.passages
BATCH = 5_000  # parameters a statement


class Reading(Part):
    """What readers and indexes see: visible revisions only, unless an old version is named."""

    def text(
        self, tenant: str, document_id: str, *, start: int = 0, end: int | None = None, version: str | None = None
    ) -> tuple[str, int, int, str]:
        """(text, start, end, version): characters `start` to `end` of the visible or the named version.

        The range is clipped to the text. Raises NotFound for a document or version that is not there (any more).
        """
        with self._db.read() as connection:
            revision, text = _text_row(connection, document_row(connection, tenant, document_id), version)
        first = min(max(start, 0), len(text.text))
        last = len(text.text) if end is None else min(max(end, first), len(text.text))
        return text.text[first:last], first, last, revision.version

    def had_version(self, tenant: str, document_id: str, version: str) -> bool:
        """Whether a document once had this version, whose text is no longer kept. Raises NotFound."""
        table = schema.past_versions
        with self._db.read() as connection:
            number = document_row(connection, tenant, document_id).number
            same = (table.c.document == number) & (table.c.version == version)
            return connection.execute(select(table.c.version).where(same)).first() is not None

    def parsed(self, tenant: str, document_id: str, *, version: str | None = None) -> tuple[Document, ParsedDocument]:
        """A document with its whole text, sections, pages and turns, as it was parsed. Raises NotFound."""
        with self._db.read() as connection:
            document = document_row(connection, tenant, document_id)
            revision, text = _text_row(connection, document, version)
        parsed = ParsedDocument(
            text=text.text,
            media_type=revision.media_type,
            title=revision.parsed_title,
            sections=tuple(Section(path=tuple(path), start=start, end=end) for path, start, end in text.sections),
            pages=tuple(Page(number=number, start=start, end=end) for number, start, end in text.pages),
            warnings=tuple(revision.warnings),
            turns=tuple(Turn(speaker=speaker, start=start, end=end) for speaker, start, end in text.turns),
        )
        return document_of(document), parsed

    def file(self, tenant: str, document_id: str, *, job_id: str | None = None) -> tuple[bytes, str, str | None]:
        """(bytes, media type, file name) as they were sent: of the visible version, else of the last one accepted.

        With `job_id`, of the revision that this job is to ingest, with the media type that was declared for it.
        Raises NotFound.
        """
        files = schema.files
        with self._db.read() as connection:
            document = document_row(connection, tenant, document_id)
            same = and_(files.c.document == _revisions.c.document, files.c.revision == _revisions.c.revision)
            query = select(_revisions, files.c.data).join(files, same).where(files.c.document == document.number)
            if job_id is not None:
                query = query.where(_revisions.c.job_id == job_id)
            elif document.visible is not None:
                query = query.where(_revisions.c.revision == document.visible)
            row = connection.execute(query.order_by(_revisions.c.revision.desc()).limit(1)).first()
        if row is None:
            raise NotFound(f"no file of document {document_id!r}")
        return row.data, row.media_type or row.declared_type or "application/octet-stream", row.filename

    def resolve(self, tenant: str, keys: Collection[int]) -> dict[int, tuple[Passage, str]]:
        """key -> (passage, title of its document), in one read: keys of what is not visible are left out."""
        if not keys:
            return {}
        with self._db.read() as connection:
            found: dict[int, tuple[Passage, str]] = {}
            ordered = sorted(keys)
            for first in range(0, len(ordered), BATCH):
                some = _passages.c.key.in_(ordered[first : first + BATCH])
                for row in connection.execute(_visible(tenant).where(some)):
                    found[row.key] = (_passage_of(row), row.title)
        return found

    def matching(
        self,
        tenant: str,
        *,
        collection: str | None = None,
        documents: Sequence[str] | None = None,
        filters: Mapping[str, Any] | None = None,
    ) -> list[str]:
        """Ids of the visible documents inside all of these, by id. `filters`: see `retriever.filters`."""
        query = select(_documents.c.id, _documents.c.metadata)
        query = query.where(_documents.c.tenant == tenant, _documents.c.visible.is_not(None))
        if collection is not None:
            query = query.where(_documents.c.collection == collection)
        wanted = None if documents is None else set(documents)
        if wanted is not None and len(wanted) <= BATCH:
            query = query.where(_documents.c.id.in_(sorted(wanted)))
        with self._db.read() as connection:
            rows = connection.execute(query.order_by(_documents.c.id)).all()
        return [row.id for row in rows if (wanted is None or row.id in wanted) and matches(row.metadata, filters or {})]

    def collections_of(self, tenant: str, documents: Sequence[str]) -> dict[str, list[str]]:
        """collection -> those of the named documents that are visible in it; the others are left out."""
        query = select(_documents.c.collection, _documents.c.id).where(
            _documents.c.tenant == tenant, _documents.c.visible.is_not(None)
        )
        found: dict[str, list[str]] = {}
        ordered = sorted(set(documents))
        with self._db.read() as connection:
            for first in range(0, len(ordered), BATCH):
                some = _documents.c.id.in_(ordered[first : first + BATCH])
                for row in connection.execute(query.where(some).order_by(_documents.c.id)):
                    found.setdefault(row.collection, []).append(row.id)
        return found

    def changes(self, tenant: str, collection: str, *, after: int) -> list[Change]:
        """What changed in a collection after this sequence number, in order; each document once, at its last change."""
        log = schema.changes
        query = select(log.c.seq, log.c.document_id).join(schema.collections)
        with self._db.read() as connection:
            rows = connection.execute(
                query.where(_collection_is(tenant, collection), log.c.seq > after).order_by(log.c.seq)
            )
            return [Change(seq=row.seq, document_id=row.document_id) for row in rows]

    def last_seq(self, tenant: str, collection: str) -> int:
        """The sequence number of the collection's last change; 0: nothing was ever in it."""
        query = select(func.max(schema.changes.c.seq)).join(schema.collections)
        with self._db.read() as connection:
            return int(connection.scalar(query.where(_collection_is(tenant, collection))) or 0)

    def visible_passages(
        self, tenant: str, document_ids: Sequence[str], *, encoder: str, collection: str | None = None
    ) -> Iterator[tuple[Passage, NDArray[np.float32] | None]]:
        """(passage, its vector [D] or None while it has none) of these documents' visible versions.

        Grouped by document, in order. With `collection`, documents that are in another one now are left out.
        """
        query = _visible(tenant)
        if collection is not None:
            query = query.where(_documents.c.collection == collection)
        for first in range(0, len(document_ids), BATCH):
            some = _documents.c.id.in_(document_ids[first : first + BATCH])
            yield from self._with_vectors(query.where(some), encoder)

    def revision_passages(
        self, tenant: str, document_id: str, revision: int, *, encoder: str
    ) -> Iterator[tuple[Passage, NDArray[np.float32] | None]]:
        """(passage, its vector [D] or None) of a revision that is not visible yet, in order."""
        mine = and_(_documents.c.tenant == tenant, _documents.c.id == document_id, _passages.c.revision == revision)
        query = select(_passages, _documents.c.id, _revisions.c.version).join_from(_passages, _revisions)
        yield from self._with_vectors(query.join(_documents).where(mine), encoder)

    def coming_keys(self, tenant: str, document_id: str, revision: int) -> range:
        """The keys of a revision that is not visible yet; empty for one that is, was, or has no passages."""
        own = and_(_documents.c.tenant == tenant, _documents.c.id == document_id, _passages.c.revision == revision)
        coming = func.coalesce(_documents.c.visible, 0) < revision
        query = select(func.min(_passages.c.key), func.max(_passages.c.key)).join_from(_passages, _revisions)
        with self._db.read() as connection:
            first, last = connection.execute(query.join(_documents).where(own, coming)).one()
        return range(0) if first is None else range(first, last + 1)  # written in one transaction: no key between

    def visible_revisions(self, tenant: str, document_ids: Sequence[str], *, collection: str) -> dict[str, int]:
        """document id -> the revision that readers see, of those of these documents that are in the collection."""
        found: dict[str, int] = {}
        inside = (_documents.c.tenant == tenant) & (_documents.c.collection == collection)
        query = select(_documents.c.id, _documents.c.visible).where(inside)
        with self._db.read() as connection:
            for first in range(0, len(document_ids), BATCH):
                some = _documents.c.id.in_(document_ids[first : first + BATCH])
                for row in connection.execute(query.where(some, _documents.c.visible.is_not(None))):
                    found[row.id] = row.visible
        return found

    def _with_vectors(self, query: Any, encoder: str) -> Iterator[tuple[Passage, NDArray[np.float32] | None]]:
        vectors = schema.vectors
        own = and_(vectors.c.key == _passages.c.key, vectors.c.encoder == encoder)
        query = query.add_columns(vectors.c.vector).outerjoin(vectors, own)
        query = query.order_by(_passages.c.document, _passages.c.revision, _passages.c.ordinal)
        with self._db.read() as connection:
            for row in connection.execution_options(yield_per=1_000).execute(query):
                vector = None if row.vector is None else np.frombuffer(row.vector, dtype=VECTOR_TYPE)
                yield _passage_of(row), None if vector is None else vector.astype(np.float32)


def _visible(tenant: str) -> Any:
    """Passages of visible revisions, with what their documents add to them."""
    shown = and_(_passages.c.document == _documents.c.number, _passages.c.revision == _documents.c.visible)
    columns = (_passages, _documents.c.id, _documents.c.version, _documents.c.title)
    return select(*columns).join_from(_passages, _documents, shown).where(_documents.c.tenant == tenant)


def _passage_of(row: Row[Any]) -> Passage:
    return Passage(
        key=row.key,
        id=f"{row.id}.{row.revision}.{row.ordinal}",
        document_id=row.id,
        version=row.version,
        ordinal=row.ordinal,
        start=row.start,
        end=row.end,
        text=row.text,
        section=tuple(row.section),
        page=row.page,
    )


def _text_row(connection: Connection, document: Row[Any], version: str | None) -> tuple[Row[Any], Row[Any]]:
    texts = schema.texts
    own = and_(_revisions.c.document == document.number, _revisions.c.published)
    if version is None:
        own &= _revisions.c.revision == document.visible
    else:
        own &= _revisions.c.version == version
    revision = connection.execute(select(_revisions).where(own).order_by(_revisions.c.revision.desc()).limit(1)).first()
    if revision is None:
        raise NotFound(f"no text of document {document.id!r}" + (" at that version" if version else " yet"))
    place = and_(texts.c.document == document.number, texts.c.revision == revision.revision)
    return revision, connection.execute(select(texts).where(place)).one()


def _collection_is(tenant: str, collection: str) -> Any:
    return and_(schema.collections.c.tenant == tenant, schema.collections.c.name == collection)
