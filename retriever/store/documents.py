"""Documents: taking them in, listing, changing and deleting them. An upload is durable before it is read."""

import hashlib
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from retriever.errors import Conflict, OverQuota, PreconditionFailed
from retriever.store import schema
from retriever.store.jobs import cancel_ingests, check_queue, insert_job
from retriever.store.receipts import Receipt, find_receipt, forget_replies, write_receipt
from retriever.store.records import (
    DEFAULT_COLLECTION,
    INGEST,
    Accepted,
    Part,
    Quota,
    after_cursor,
    collection_number,
    document_of,
    document_row,
    ensure_collection,
    inserted,
    log_change,
    new_id,
    now,
    write_cursor,
)
from retriever.types import Document

_documents, _revisions = schema.documents, schema.revisions
UNKNOWN_TYPE = "application/octet-stream"


class Documents(Part):
    """The documents of every tenant."""

    def accept(
        self,
        tenant: str,
        *,
        collection: str | None,
        data: bytes,
        filename: str | None,
        media_type: str | None,
        title: str | None,
        metadata: Mapping[str, Any],
        document_id: str | None = None,
        if_match: str | None = None,
        deduplicate: bool,
        quota: Quota = Quota(),
        receipt: Receipt | None = None,
    ) -> Accepted:
        """Make an upload durable, with the job that will read it, in one transaction.

        Without a `collection` a document stays in its own; a new one goes to DEFAULT_COLLECTION.

        With `document_id` the upload replaces or creates that document: what readers see stays until the job
        publishes the new revision, and the last one accepted wins. Without, it is a new document, unless
        `deduplicate` finds the same bytes in the collection: then only its title and metadata change.
        `if_match` is a version that must be the visible one: raises PreconditionFailed, or Conflict when another
        replacement is under way. Raises OverQuota for what would go past the store's quota of each tenant; the limits
        of `quota` stand in place of those. A `receipt` that is known gives what the upload became when it was first
        sent: raises KeyReused for another one's, NotFound where its document was deleted since.
        """
        sent: dict[str, Any] = {
            "collection": collection or DEFAULT_COLLECTION,
            "filename": filename,
            "declared_type": media_type,
            "title": title,
        }
        sent |= {"metadata": dict(metadata), "sha256": hashlib.sha256(data).hexdigest()}
        with self._db.write() as connection:
            kept = find_receipt(connection, tenant, receipt) if receipt else None
            if kept is not None:
                document = document_of(document_row(connection, tenant, str(kept.document_id)))
                return Accepted(document=document, job_id=kept.job_id, created=kept.created, duplicate=False)
            if document_id is not None:
                row = _find(connection, tenant, document_id)
                check_match(connection, row, if_match)
                if collection is None and row is not None:
                    sent["collection"] = row.collection
            else:
                row = _same_bytes(connection, tenant, sent) if deduplicate else None
                if row is not None and row.status != "failed":
                    found = _duplicate(connection, row, sent)
                    write_receipt(connection, tenant, receipt, document_id=row.id, job_id=found.job_id, created=False)
                    return found
            _check_room(connection, tenant, self._quota.over(quota), row, size=len(data))
            ensure_collection(connection, tenant, sent["collection"])
            made = document_id or (new_id() if row is None else row.id)
            number, revision = _document_row_for(connection, tenant, made, row, sent)
            job_id = insert_job(connection, tenant, INGEST, {"document_id": made, "revision": revision})
            place = {"document": number, "revision": revision, "tenant": tenant}
            values = {"job_id": job_id, "created_at": now(), "published": False}
            connection.execute(insert(_revisions).values(**place, **values, **sent))
            connection.execute(insert(schema.files).values(**place, data=data, size=len(data)))
            document = document_of(document_row(connection, tenant, made))
            write_receipt(connection, tenant, receipt, document_id=made, job_id=job_id, created=row is None)
        return Accepted(document=document, job_id=job_id, created=row is None, duplicate=False)

    def document(self, tenant: str, document_id: str) -> Document:
        """One document. Raises NotFound."""
        with self._db.read() as connection:
            return document_of(document_row(connection, tenant, document_id))

    def documents(
        self, tenant: str, *, collection: str | None = None, limit: int, cursor: str | None = None
    ) -> tuple[list[Document], str | None]:
        """A page of documents, oldest first, and the cursor of the next one. Raises ValueError for a bad cursor."""
        query = select(_documents).where(_documents.c.tenant == tenant)
        if collection is not None:
            query = query.where(_documents.c.collection == collection)
        if cursor is not None:
            query = query.where(after_cursor(cursor, _documents.c.created_at, _documents.c.id))
        with self._db.read() as connection:
            rows = connection.execute(query.order_by(_documents.c.created_at, _documents.c.id).limit(limit + 1)).all()
        more = write_cursor(rows[limit - 1].created_at, rows[limit - 1].id) if len(rows) > limit else None
        return [document_of(row) for row in rows[:limit]], more

    def update_document(
        self,
        tenant: str,
        document_id: str,
        *,
        title: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        if_match: str | None = None,
    ) -> Document:
        """Change the title or replace the metadata; None leaves it. Raises NotFound, PreconditionFailed, Conflict.

        A revision that is under way will carry the change too.
        """
        with self._db.write() as connection:
            row = document_row(connection, tenant, document_id)
            check_match(connection, row, if_match)
            values: dict[str, Any] = {}
            if title is not None:
                values["title"] = title
            if metadata is not None:
                values["metadata"] = dict(metadata)
            _describe(connection, row, values, later=values)
            return document_of(document_row(connection, tenant, document_id))

    def delete_document(self, tenant: str, document_id: str, *, if_match: str | None = None) -> None:
        """Purge a document: all versions, passages, vectors and bytes, in one transaction; ends its ingests.

        Raises NotFound, PreconditionFailed, and Conflict when `if_match` is given and a replacement is under way.
        """
        with self._db.write() as connection:
            row = document_row(connection, tenant, document_id)
            check_match(connection, row, if_match)
            mine = _documents.c.number == row.number
            cancel_ingests(connection, mine)
            forget_replies(connection, tenant, [document_id])
            connection.execute(_documents.delete().where(mine))
            number = collection_number(connection, tenant, row.collection)
            if number is not None:
                log_change(connection, tenant, number, document_id)


def _check_room(connection: Connection, tenant: str, quota: Quota, row: Row[Any] | None, *, size: int) -> None:
    """Raise OverQuota where an upload would go past it; what it replaces does not count."""
    check_queue(connection, tenant, quota)
    if quota.documents is not None and row is None:
        count = connection.scalar(select(func.count()).where(_documents.c.tenant == tenant))
        if int(count or 0) >= quota.documents:
            raise OverQuota(f"there are {quota.documents} documents already, as many as may be: delete some")
    if quota.bytes is not None:
        others = schema.files.c.tenant == tenant
        if row is not None:
            others &= schema.files.c.document != row.number
        used = int(connection.scalar(select(func.coalesce(func.sum(schema.files.c.size), 0)).where(others)) or 0)
        if used + size > quota.bytes:
            left = max(0, quota.bytes - used)
            raise OverQuota(f"{left} of {quota.bytes} bytes are left for documents: delete some, or send less")


def check_match(connection: Connection, row: Row[Any] | None, if_match: str | None) -> None:
    """Refuse when `if_match` is not the visible version (`*` is any). Raises PreconditionFailed, Conflict."""
    if if_match is None:
        return
    if row is None or row.version is None or if_match not in (row.version, "*"):
        raise PreconditionFailed(
            f"the current version is {None if row is None else row.version}, another one was named"
        )
    newer = (_revisions.c.document == row.number) & (_revisions.c.revision > row.visible)
    if connection.execute(select(_revisions.c.revision).where(newer)).first() is not None:
        raise Conflict("another replacement of this document is under way: read it again when that is done")


def title_of(*, sent: str | None, parsed: str | None, filename: str | None, document_id: str) -> str:
    """The title to show: as sent, else the document's own, else the name of its file, else its id."""
    return sent or parsed or filename or document_id


def _find(connection: Connection, tenant: str, document_id: str) -> Row[Any] | None:
    mine = (_documents.c.tenant == tenant) & (_documents.c.id == document_id)
    return connection.execute(select(_documents).where(mine)).first()


def _same_bytes(connection: Connection, tenant: str, sent: Mapping[str, Any]) -> Row[Any] | None:
    same = _documents.c.sha256 == sent["sha256"]
    inside = (_documents.c.tenant == tenant) & (_documents.c.collection == sent["collection"])
    return connection.execute(select(_documents).where(inside, same).order_by(_documents.c.number).limit(1)).first()


def _duplicate(connection: Connection, row: Row[Any], sent: Mapping[str, Any]) -> Accepted:
    newest = select(_revisions).where(_revisions.c.document == row.number).order_by(_revisions.c.revision.desc())
    last = connection.execute(newest.limit(1)).one()
    parsed, filename = last.parsed_title, sent["filename"] or last.filename
    title = title_of(sent=sent["title"], parsed=parsed, filename=filename, document_id=row.id)
    metadata = {"metadata": sent["metadata"]}
    _describe(connection, row, {"title": title, **metadata}, later={"title": sent["title"], **metadata})
    document = document_of(document_row(connection, row.tenant, row.id))
    pending = None if last.published else last.job_id
    return Accepted(document=document, job_id=pending, created=False, duplicate=True)


def _describe(connection: Connection, row: Row[Any], shown: Mapping[str, Any], *, later: Mapping[str, Any]) -> None:
    """Change what the document shows, and `later` on the revisions under way, which will show their own."""
    connection.execute(update(_documents).where(_documents.c.number == row.number).values(**shown, updated_at=now()))
    if later:
        own = (_revisions.c.document == row.number) & _revisions.c.published.is_(False)
        connection.execute(update(_revisions).where(own).values(**later))


def _document_row_for(
    connection: Connection, tenant: str, document_id: str, row: Row[Any] | None, sent: Mapping[str, Any]
) -> tuple[int, int]:
    """The row that a new revision belongs to, made or made ready; returns its number and the revision's."""
    title = title_of(sent=sent["title"], parsed=None, filename=sent["filename"], document_id=document_id)
    shown = {"collection": sent["collection"], "title": title, "metadata": sent["metadata"], "status": "pending"}
    shown |= {"media_type": sent["declared_type"] or UNKNOWN_TYPE, "warnings": []}
    at = now()
    counted = {"sha256": sent["sha256"], "updated_at": at}
    if row is None:
        empty: dict[str, Any] = {
            "version": None,
            "characters": 0,
            "pages": 0,
            "passages": 0,
            "visible": None,
        }
        values = {"tenant": tenant, "id": document_id, "revisions": 1, "created_at": at, **shown, **counted, **empty}
        return inserted(connection, insert(_documents).values(values)), 1
    revision = int(row.revisions) + 1
    changed = counted if row.visible is not None else {**shown, **counted}
    mine = _documents.c.number == row.number
    connection.execute(update(_documents).where(mine).values(revisions=revision, **changed))
    return int(row.number), revision
