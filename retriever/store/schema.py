"""The tables, and the version of their layout.

A document has revisions, numbered as they were accepted; the one that its field `visible` names is what readers see.
A revision's bytes, text and passages stand in tables of their own, so that reading a document's row stays cheap.
"""

from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

SCHEMA_VERSION = 7  # how an older store gets there: `migrations.py`

metadata = MetaData()


def _number() -> Column[int]:
    # AUTOINCREMENT: a number is never given twice, so a stale entry of an index can never name another passage.
    return Column("number", Integer, primary_key=True, autoincrement=True)


def _of_document() -> Column[int]:
    return Column("document", ForeignKey("documents.number", ondelete="CASCADE"), primary_key=True)


def _block() -> tuple[Column[Any], ...]:
    return (
        Column("encoder", String, primary_key=True),
        Column("digest", LargeBinary, primary_key=True),  # of what the sentences of the block say
        Column("sentences", Integer, nullable=False),
        Column("vectors", LargeBinary, nullable=False),  # float16, little-endian, one after the other
    )


meta = Table("meta", metadata, Column("key", String, primary_key=True), Column("value", String, nullable=False))

collections = Table(
    "collections",
    metadata,
    _number(),
    Column("tenant", String, nullable=False),
    Column("name", String, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("created_at", String, nullable=False),
    UniqueConstraint("tenant", "name"),
    sqlite_autoincrement=True,
)

documents = Table(
    "documents",
    metadata,
    _number(),
    Column("tenant", String, nullable=False),
    Column("id", String, nullable=False),
    Column("collection", String, nullable=False),
    Column("visible", Integer),  # the revision that readers see; NULL before the first one is whole
    Column("revisions", Integer, nullable=False),  # the number of the last one accepted
    Column("status", String, nullable=False),
    Column("sha256", String, nullable=False),  # of the bytes of the last revision accepted, to know them again
    Column("title", String, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("created_at", String, nullable=False),
    Column("updated_at", String, nullable=False),
    # What follows describes the visible revision, and changes with it.
    Column("version", String),
    Column("media_type", String, nullable=False),
    Column("characters", Integer, nullable=False),
    Column("pages", Integer, nullable=False),
    Column("passages", Integer, nullable=False),
    Column("warnings", JSON, nullable=False),
    UniqueConstraint("tenant", "id"),
    Index("documents_by_collection", "tenant", "collection", "created_at", "id"),
    Index("documents_by_content", "tenant", "collection", "sha256"),
    sqlite_autoincrement=True,
)

revisions = Table(
    "revisions",
    metadata,
    _of_document(),
    Column("revision", Integer, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("job_id", String, nullable=False),
    Column("collection", String, nullable=False),
    Column("filename", String),
    Column("declared_type", String),  # the media type as sent; `media_type` is what the parser found
    Column("title", String),  # as sent; None: the document's own, else its file name
    Column("metadata", JSON, nullable=False),
    Column("sha256", String, nullable=False),
    Column("created_at", String, nullable=False),
    Column("published", Boolean, nullable=False),  # was visible once: its text can be read by its version
    # Written by `start_revision`; NULL until then.
    Column("version", String),
    Column("parsed_title", String),
    Column("media_type", String),
    Column("characters", Integer),
    Column("pages", Integer),
    Column("passages", Integer),
    Column("warnings", JSON),
)

files = Table(
    "files",
    metadata,
    _of_document(),
    Column("revision", Integer, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("size", Integer, nullable=False, server_default="0"),  # bytes of `data`, to add up without reading it
    ForeignKeyConstraint(["document", "revision"], ["revisions.document", "revisions.revision"], ondelete="CASCADE"),
)
files_by_tenant = Index("files_by_tenant", files.c.tenant, files.c.document, files.c.size)

texts = Table(
    "texts",
    metadata,
    _of_document(),
    Column("revision", Integer, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("sections", JSON, nullable=False),
    Column("pages", JSON, nullable=False),
    Column("turns", JSON, nullable=False, server_default="[]"),
    Column("text", Text, nullable=False),
    ForeignKeyConstraint(["document", "revision"], ["revisions.document", "revisions.revision"], ondelete="CASCADE"),
)

passages = Table(
    "passages",
    metadata,
    Column("key", Integer, primary_key=True, autoincrement=True),
    Column("document", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("tenant", String, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("page", Integer),
    Column("section", JSON, nullable=False),
    Column("text", Text, nullable=False),
    UniqueConstraint("document", "revision", "ordinal"),
    ForeignKeyConstraint(["document", "revision"], ["revisions.document", "revisions.revision"], ondelete="CASCADE"),
    sqlite_autoincrement=True,
)

# Versions whose texts are no longer kept: a citation of one is old, not made up.
past_versions = Table("past_versions", metadata, _of_document(), Column("version", String, primary_key=True))

vectors = Table(
    "vectors",
    metadata,
    Column("key", ForeignKey("passages.key", ondelete="CASCADE"), primary_key=True),
    Column("encoder", String, primary_key=True),
    Column("vector", LargeBinary, nullable=False),  # float16, little-endian
)

sentence_blocks = Table(
    "sentence_blocks",
    metadata,
    _of_document(),
    *_block(),
)

assets = Table(
    "assets",
    metadata,
    Column("collection", ForeignKey("collections.number", ondelete="CASCADE"), primary_key=True),
    Column("name", String, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("sha256", String, nullable=False),
    Column("size", Integer, nullable=False),  # bytes
    Column("metadata", JSON, nullable=False),
    Column("created_at", String, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

changes = Table(
    "changes",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("tenant", String, nullable=False),
    Column("collection", ForeignKey("collections.number", ondelete="CASCADE"), nullable=False),
    Column("document_id", String, nullable=False),
    # Only the last change of a document matters: the log never grows past the documents that there were.
    UniqueConstraint("collection", "document_id"),
    Index("changes_by_collection", "collection", "seq"),
    sqlite_autoincrement=True,
)

jobs = Table(
    "jobs",
    metadata,
    _number(),
    Column("tenant", String, nullable=False),
    Column("id", String, nullable=False, unique=True),
    Column("kind", String, nullable=False),
    Column("status", String, nullable=False),
    Column("cancelling", Boolean, nullable=False),
    Column("done", Integer, nullable=False),
    Column("total", Integer),
    Column("unit", String),
    Column("payload", JSON, nullable=False),
    Column("result", JSON(none_as_null=True)),
    Column("problem", JSON(none_as_null=True)),
    Column("created_at", String, nullable=False),
    Column("updated_at", String, nullable=False),
    Index("jobs_by_status", "status", "tenant", "number"),
    Index("jobs_by_tenant", "tenant", "number"),
    sqlite_autoincrement=True,
)

# Sentences of a text that came with the request, as in sentence_blocks; gone when the job is over.
job_blocks = Table(
    "job_blocks",
    metadata,
    Column("job", ForeignKey("jobs.number", ondelete="CASCADE"), primary_key=True),
    *_block(),
)

batch_lines = Table(
    "batch_lines",
    metadata,
    Column("job", ForeignKey("jobs.number", ondelete="CASCADE"), primary_key=True),
    Column("line", Integer, primary_key=True),  # counts from 1 in the body as it was sent
    Column("data", LargeBinary, nullable=False),
    Column("result", JSON(none_as_null=True)),  # NULL until the line is done with
)

receipts = Table(
    "receipts",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("scope", String, primary_key=True),  # what the key was sent to: one key may be used for each
    Column("key", String, primary_key=True),
    Column("fingerprint", String, nullable=False),  # of what was sent with it
    Column("document_id", String),
    Column("job_id", String),
    Column("created", Boolean, nullable=False),
    Column("reply", JSON(none_as_null=True)),  # NULL until it is known how it ends
    Column("created_at", String, nullable=False),
    Index("receipts_by_age", "created_at"),
    Index("receipts_by_document", "tenant", "document_id"),
)

turns = Table(
    "turns",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("turn", Integer, nullable=False),  # when this tenant's job was last claimed; the smallest is next
)

keys = Table(
    "keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("name", String, nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("digest", String, nullable=False),  # SHA-256 of the whole key, in hexadecimal
    Column("created_at", String, nullable=False),
    Column("expires_at", String),
    Column("revoked_at", String),
    # The key's own limits; NULL: the service's.
    Column("requests_per_minute", Integer),
    Column("documents", Integer),
    Column("bytes", Integer),
)
