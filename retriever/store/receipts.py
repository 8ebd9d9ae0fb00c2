"""Receipts: what became of something that was sent under a key of the sender's own, so that sending it again is safe.

A receipt is written in the transaction of what it is for. It is forgotten after a day, and what it holds of a document
goes with the document.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, insert, update

from retriever.errors import KeyReused
from retriever.store import schema
from retriever.store.records import Part, now, timestamp

_receipts = schema.receipts
KEPT = timedelta(hours=24)  # longer than anybody goes on trying; the README promises it
LINES = "line of "  # the scope of a batch's lines: these stay as long as the batch runs


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """A sender's key for one upload or job. `fingerprint` tells what was sent: with another one the key is refused."""

    scope: str
    key: str
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What is known of a receipt: the document or job it was for, and the reply once it was known."""

    document_id: str | None
    job_id: str | None
    created: bool
    reply: Mapping[str, Any] | None


class Receipts(Part):
    """The receipts of every tenant."""

    def kept(self, tenant: str, receipt: Receipt) -> Kept | None:
        """What was kept for a receipt, None where nothing was. Raises KeyReused for another fingerprint."""
        with self._db.read() as connection:
            return find_receipt(connection, tenant, receipt)

    def keep_reply(self, tenant: str, receipt: Receipt, reply: Mapping[str, Any]) -> None:
        """Keep how it ended, for whoever sends the same again."""
        with self._db.write() as connection:
            connection.execute(update(_receipts).where(_is(tenant, receipt)).values(reply=dict(reply)))


def find_receipt(connection: Connection, tenant: str, receipt: Receipt) -> Kept | None:
    """As `Receipts.kept`, inside a transaction of the caller's."""
    row: Row[Any] | None = connection.execute(_receipts.select().where(_is(tenant, receipt))).first()
    if row is None or (not receipt.scope.startswith(LINES) and row.created_at < timestamp(datetime.now(UTC) - KEPT)):
        return None
    if row.fingerprint != receipt.fingerprint:
        raise KeyReused("this Idempotency-Key was sent with something else before: take a new one")
    return Kept(document_id=row.document_id, job_id=row.job_id, created=row.created, reply=row.reply)


def write_receipt(
    connection: Connection,
    tenant: str,
    receipt: Receipt | None,
    *,
    document_id: str | None = None,
    job_id: str | None,
    created: bool,
) -> None:
    """Write a receipt inside a transaction of the caller's, and forget those that are old."""
    if receipt is None:
        return
    old = _receipts.c.created_at < timestamp(datetime.now(UTC) - KEPT)
    connection.execute(_receipts.delete().where(old, ~_receipts.c.scope.startswith(LINES)))
    values: dict[str, Any] = {"tenant": tenant, "scope": receipt.scope, "key": receipt.key}
    values["fingerprint"] = receipt.fingerprint
    values |= {"document_id": document_id, "job_id": job_id, "created": created, "created_at": now()}
    connection.execute(insert(_receipts).values(values))


def forget_replies(connection: Connection, tenant: str, documents: Any) -> None:
    """Forget the replies about documents that are about to be deleted; `documents` selects their ids."""
    of_them: ColumnElement[bool] = (_receipts.c.tenant == tenant) & _receipts.c.document_id.in_(documents)
    connection.execute(update(_receipts).where(of_them).values(reply=None))


def _is(tenant: str, receipt: Receipt) -> ColumnElement[bool]:
    same = (_receipts.c.tenant == tenant) & (_receipts.c.scope == receipt.scope)
    return same & (_receipts.c.key == receipt.key)
