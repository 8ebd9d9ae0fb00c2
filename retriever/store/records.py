"""What the store hands out besides documents and passages, and how rows become nouns."""

import base64
import binascii
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from sqlalchemy import Connection, Insert, Row, and_, insert, or_, select
from sqlalchemy.sql.elements import ColumnElement

from retriever.errors import NotFound
from retriever.store import schema
from retriever.store.engine import Database
from retriever.types import Document

JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]
DEFAULT_COLLECTION = "default"  # exists from the start, for every tenant
INGEST = "ingest"  # the kind of job that `accept` makes
BATCH = "batch"  # the kind of job that takes many documents in


@dataclass(frozen=True, kw_only=True)
class Collection:
    """A named set of documents of one tenant. The counts are of what is visible."""

    tenant: str
    name: str
    documents: int
    passages: int
    characters: int
    created_at: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Job:
    """A piece of work that survives a restart. `result` is set when it succeeded, `problem` when it failed."""

    tenant: str
    id: str
    kind: str
    status: JobStatus
    done: int
    total: int | None
    unit: str | None
    payload: Mapping[str, Any]
    result: Mapping[str, Any] | None
    problem: Mapping[str, Any] | None
    cancelling: bool
    created_at: str
    updated_at: str


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """An upload that is durable. `job_id` is the ingest to wait for: None for a duplicate that is already indexed."""

    document: Document
    job_id: str | None
    created: bool
    duplicate: bool


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A file of a collection that is not a document; `size` in bytes, `sha256` of these."""

    name: str
    sha256: str
    size: int
    created_at: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Change:
    """Document `document_id` changed in its collection: look at what is visible of it now. `seq` only grows."""

    seq: int
    document_id: str


@dataclass(frozen=True, kw_only=True)
class Quota:
    """How much one tenant may have: documents, bytes of their files, jobs that wait. None: no limit."""

    documents: int | None = None
    bytes: int | None = None
    jobs: int | None = None

    def over(self, own: "Quota") -> "Quota":
        """This quota with the limits that `own` has in place of its own."""
        return Quota(
            documents=self.documents if own.documents is None else own.documents,
            bytes=self.bytes if own.bytes is None else own.bytes,
            jobs=self.jobs if own.jobs is None else own.jobs,
        )


class ChunkLike(Protocol):
    """A slice of a text that is to become a passage, as `chunking.split` makes them."""

    @property
    def start(self) -> int: ...  # noqa: D102
    @property
    def end(self) -> int: ...  # noqa: D102
    @property
    def section(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def page(self) -> int | None: ...  # noqa: D102


class Part:
    """One side of the store; all sides share the database."""

    _db: Database
    _quota: Quota  # of every tenant


def now() -> str:
    """The time as ISO 8601 in UTC, with microseconds and `Z`."""
    return timestamp(datetime.now(UTC))


def timestamp(moment: datetime) -> str:
    """A time in UTC as the store writes it: in the order of time."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def new_id() -> str:
    """A random id of 16 characters a-z2-7 (80 bits): safe in a URL, and no other tenant's can be guessed."""
    return base64.b32encode(secrets.token_bytes(10)).decode("ascii").lower()


def write_cursor(created_at: str, identifier: str) -> str:
    """A cursor that stands after this row, whether or not the row stays."""
    return base64.urlsafe_b64encode(json.dumps([created_at, identifier]).encode()).decode("ascii").rstrip("=")


def read_cursor(cursor: str) -> tuple[str, str]:
    """The inverse of `write_cursor`. Raises ValueError for anything else."""
    try:
        created_at, identifier = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, TypeError, RecursionError) as error:
        raise ValueError("not a cursor of this service: send the `next_cursor` of the page before") from error
    if not isinstance(created_at, str) or not isinstance(identifier, str):
        raise ValueError("not a cursor of this service: send the `next_cursor` of the page before")
    return created_at, identifier


def after_cursor(cursor: str, created_at: ColumnElement[str], identifier: ColumnElement[str]) -> ColumnElement[bool]:
    """The condition for the rows after the cursor, in ascending order."""
    at, last = read_cursor(cursor)
    return or_(created_at > at, and_(created_at == at, identifier > last))


def document_of(row: Row[Any]) -> Document:
    """A row of `documents` as the noun."""
    return Document(
        tenant=row.tenant,
        id=row.id,
        collection=row.collection,
        title=row.title,
        version=row.version,
        status=row.status,
        media_type=row.media_type,
        characters=row.characters,
        pages=row.pages,
        passages=row.passages,
        created_at=row.created_at,
        updated_at=row.updated_at,
        metadata=row.metadata,
        warnings=tuple(row.warnings),
    )


def document_row(connection: Connection, tenant: str, document_id: str) -> Row[Any]:
    """The row of one document. Raises NotFound."""
    table = schema.documents
    row = connection.execute(select(table).where(table.c.tenant == tenant, table.c.id == document_id)).first()
    if row is None:
        raise NotFound(f"no document {document_id!r}")
    return row


def inserted(connection: Connection, statement: Insert) -> int:
    """Run an insert of one row; returns the number that the row got."""
    key = connection.execute(statement).inserted_primary_key
    assert key is not None  # noqa: S101 - for the type checker: one row has a key
    return int(key[0])


def collection_number(connection: Connection, tenant: str, name: str) -> int | None:
    """The number of a collection that has a row; a re-created collection has another one."""
    table = schema.collections
    number = connection.scalar(select(table.c.number).where(table.c.tenant == tenant, table.c.name == name))
    return None if number is None else int(number)


def ensure_collection(connection: Connection, tenant: str, name: str) -> int:
    """The number of a collection, which comes to be if it was not."""
    number = collection_number(connection, tenant, name)
    if number is not None:
        return number
    values = {"tenant": tenant, "name": name, "metadata": {}, "created_at": now()}
    return inserted(connection, insert(schema.collections).values(values))


def log_change(connection: Connection, tenant: str, collection: int, document_id: str) -> int:
    """Append a change to the collection's log, in place of the document's last one; returns its sequence number."""
    table = schema.changes
    same = (table.c.collection == collection) & (table.c.document_id == document_id)
    connection.execute(table.delete().where(same))
    return inserted(connection, insert(table).values(tenant=tenant, collection=collection, document_id=document_id))


def job_row(connection: Connection, tenant: str, job_id: str) -> Row[Any]:
    """The row of one job. Raises NotFound."""
    table = schema.jobs
    row = connection.execute(select(table).where(table.c.tenant == tenant, table.c.id == job_id)).first()
    if row is None:
        raise NotFound(f"no job {job_id!r}")
    return row


def job_of(row: Row[Any]) -> Job:
    """A row of `jobs` as the noun."""
    return Job(
        tenant=row.tenant,
        id=row.id,
        kind=row.kind,
        status=row.status,
        done=row.done,
        total=row.total,
        unit=row.unit,
        payload=row.payload,
        result=row.result,
        problem=row.problem,
        cancelling=row.cancelling,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
