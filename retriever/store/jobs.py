"""The durable queue of jobs: claimed one at a time, fair between tenants, and never lost by a restart.

queued -> running -> succeeded | failed | cancelled. A job that was running when the process died is queued again.
Progress, results and problems are the runner's; the store keeps them.
"""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, insert, select, update

from retriever.errors import OverQuota
from retriever.store import schema
from retriever.store.receipts import LINES, Receipt, find_receipt, write_receipt
from retriever.store.records import (
    BATCH,
    INGEST,
    Job,
    Part,
    Quota,
    after_cursor,
    collection_number,
    job_of,
    job_row,
    log_change,
    new_id,
    now,
    write_cursor,
)

_jobs = schema.jobs
ALIVE = ("queued", "running")
CANCELLED = "its ingest was cancelled"  # the warning of a document that failed so


class Jobs(Part):
    """The jobs of every tenant."""

    def create_job(self, tenant: str, kind: str, payload: Mapping[str, Any], *, receipt: Receipt | None = None) -> Job:
        """Queue a job. `payload` is JSON, and all that the runner will know of it.

        A `receipt` that is known gives the job that it was for. Raises OverQuota, KeyReused.
        """
        with self._db.write() as connection:
            kept = find_receipt(connection, tenant, receipt) if receipt else None
            if kept is not None:
                return job_of(job_row(connection, tenant, str(kept.job_id)))
            check_queue(connection, tenant, self._quota)
            job_id = insert_job(connection, tenant, kind, payload)
            write_receipt(connection, tenant, receipt, job_id=job_id, created=True)
            return job_of(job_row(connection, tenant, job_id))

    def job(self, tenant: str, job_id: str) -> Job:
        """One job. Raises NotFound."""
        with self._db.read() as connection:
            return job_of(job_row(connection, tenant, job_id))

    def jobs(self, tenant: str, *, limit: int, cursor: str | None = None) -> tuple[list[Job], str | None]:
        """A page of jobs, oldest first, and the cursor of the next one. Raises ValueError for a bad cursor."""
        query = select(_jobs).where(_jobs.c.tenant == tenant)
        if cursor is not None:
            query = query.where(after_cursor(cursor, _jobs.c.created_at, _jobs.c.id))
        with self._db.read() as connection:
            rows = connection.execute(query.order_by(_jobs.c.created_at, _jobs.c.id).limit(limit + 1)).all()
        more = write_cursor(rows[limit - 1].created_at, rows[limit - 1].id) if len(rows) > limit else None
        return [job_of(row) for row in rows[:limit]], more

    def claim_job(
        self, *, kinds: Collection[str] | None = None, share: int | None = None, only: str | None = None
    ) -> Job | None:
        """Take the next queued job and mark it running, or None. Only one caller ever gets it.

        Tenants take turns: the one that has waited longest since its last claim is next, with its oldest job.
        `kinds` restricts the claim to these kinds; a tenant of which `share` jobs are running gets no further one.
        `only` is the id of the one job to take.
        """
        queued = _jobs.c.status == "queued"
        if only is not None:
            queued &= _jobs.c.id == only
        if kinds is not None:
            queued &= _jobs.c.kind.in_(list(kinds))
        with self._db.write() as connection:
            if share is not None:
                busy = select(_jobs.c.tenant).where(_jobs.c.status == "running").group_by(_jobs.c.tenant)
                queued &= _jobs.c.tenant.not_in(busy.having(func.count() >= share))
            oldest = select(_jobs.c.tenant, func.min(_jobs.c.number).label("number")).where(queued)
            waiting = oldest.group_by(_jobs.c.tenant).subquery()
            turn = func.coalesce(schema.turns.c.turn, 0)
            tenants = waiting.outerjoin(schema.turns, schema.turns.c.tenant == waiting.c.tenant)
            first = select(waiting).select_from(tenants).order_by(turn, waiting.c.number).limit(1)
            chosen = connection.execute(first).first()
            if chosen is None:
                return None
            _take_turn(connection, chosen.tenant)
            mine = _jobs.c.number == chosen.number
            connection.execute(update(_jobs).where(mine).values(status="running", updated_at=now()))
            return job_of(connection.execute(select(_jobs).where(mine)).one())

    def requeue_running(self) -> int:
        """At start: put back what was running when the process ended; returns how many. Call it before any claim.

        Jobs whose cancellation was asked for are not run again.
        """
        running = _jobs.c.status == "running"
        with self._db.write() as connection:
            for row in connection.execute(select(_jobs).where(running, _jobs.c.cancelling)).all():
                _end(connection, row, "cancelled")
            requeued = connection.execute(update(_jobs).where(running).values(status="queued", updated_at=now()))
            return int(requeued.rowcount)

    def job_progress(self, tenant: str, job_id: str, *, done: int, total: int | None, unit: str | None) -> bool:
        """Note how far a running job is. False: stop, cancellation was asked for or the job is over."""
        mine = (_jobs.c.tenant == tenant) & (_jobs.c.id == job_id) & (_jobs.c.status == "running")
        with self._db.write() as connection:
            values = {"done": done, "total": total, "unit": unit, "updated_at": now()}
            connection.execute(update(_jobs).where(mine).values(values))
            cancelling = connection.scalar(select(_jobs.c.cancelling).where(mine))
        return cancelling is False

    def finish_job(self, tenant: str, job_id: str, result: Mapping[str, Any]) -> None:
        """The job succeeded. Nothing happens when it is over already. Raises NotFound."""
        self._over(tenant, job_id, "succeeded", result=dict(result))

    def fail_job(self, tenant: str, job_id: str, problem: Mapping[str, Any]) -> None:
        """The job failed, `problem` says why. Nothing happens when it is over already. Raises NotFound."""
        self._over(tenant, job_id, "failed", problem=dict(problem))

    def mark_cancelled(self, tenant: str, job_id: str) -> None:
        """The runner stopped as it was asked to. Nothing happens when the job is over already. Raises NotFound."""
        self._over(tenant, job_id, "cancelled")

    def cancel_job(self, tenant: str, job_id: str) -> Job:
        """Cancel a queued job at once, ask a running one to stop; one that is over stays as it is. Raises NotFound."""
        with self._db.write() as connection:
            row = job_row(connection, tenant, job_id)
            _cancel(connection, row)
            return job_of(job_row(connection, tenant, job_id))

    def _over(self, tenant: str, job_id: str, status: str, **values: Any) -> None:
        with self._db.write() as connection:
            row = job_row(connection, tenant, job_id)
            if row.status in ALIVE:
                _end(connection, row, status, **values)


def insert_job(connection: Connection, tenant: str, kind: str, payload: Mapping[str, Any]) -> str:
    """Queue a job inside a transaction of the caller's; returns its id."""
    job_id, at = new_id(), now()
    connection.execute(
        insert(_jobs).values(
            tenant=tenant,
            id=job_id,
            kind=kind,
            status="queued",
            cancelling=False,
            done=0,
            payload=dict(payload),
            created_at=at,
            updated_at=at,
        )
    )
    return job_id


def check_queue(connection: Connection, tenant: str, quota: Quota) -> None:
    """Raise OverQuota where the tenant has as many jobs waiting as it may."""
    if quota.jobs is None:
        return
    waiting = select(func.count()).where(_jobs.c.tenant == tenant, _jobs.c.status == "queued")
    if int(connection.scalar(waiting) or 0) >= quota.jobs:
        raise OverQuota(f"{quota.jobs} jobs are waiting already: wait for some of them", retry_after=5)


def cancel_ingests(connection: Connection, documents: ColumnElement[bool]) -> None:
    """Cancel the ingests of these documents, which are about to be deleted."""
    table, revisions = schema.documents, schema.revisions
    ids = select(revisions.c.job_id).join(table, table.c.number == revisions.c.document).where(documents)
    for row in connection.execute(select(_jobs).where(_jobs.c.id.in_(ids), _jobs.c.status.in_(ALIVE))).all():
        _cancel(connection, row)


def drop_revision(connection: Connection, tenant: str, document_id: str, job_id: str, *, why: str = CANCELLED) -> None:
    """Forget the revision that a job was to make visible, unless it is.

    The document failed if it has no other, and `why` is its warning.
    """
    documents, revisions = schema.documents, schema.revisions
    mine = (documents.c.tenant == tenant) & (documents.c.id == document_id)
    document = connection.execute(select(documents).where(mine)).first()
    if document is None:
        return
    own = revisions.c.document == document.number
    revision = connection.scalar(select(revisions.c.revision).where(own, revisions.c.job_id == job_id))
    if revision is None or revision == document.visible:
        return
    connection.execute(revisions.delete().where(own, revisions.c.revision == revision))
    number = collection_number(connection, tenant, document.collection)
    if number is not None and document.visible is not None:
        log_change(connection, tenant, number, document_id)  # the indexes may hold its passages already
    last = select(revisions.c.revision, revisions.c.sha256).where(own).order_by(revisions.c.revision.desc()).limit(1)
    left = connection.execute(last).first()
    # A failed document keeps the hash of its bytes, so that sending them again tries again under the same id.
    values = {"status": "failed", "warnings": [why]} if left is None else {"sha256": left.sha256}
    connection.execute(update(documents).where(mine).values(**values, updated_at=now()))


def _end(connection: Connection, row: Row[Any], status: str, **values: Any) -> None:
    mine = _jobs.c.number == row.number
    connection.execute(update(_jobs).where(mine).values(status=status, updated_at=now(), **values))
    if status != "succeeded" and row.kind == INGEST:
        why = str((values.get("problem") or {}).get("detail", CANCELLED))
        drop_revision(connection, row.tenant, row.payload["document_id"], row.id, why=why)
    connection.execute(schema.job_blocks.delete().where(schema.job_blocks.c.job == row.number))
    if row.kind == BATCH:
        connection.execute(schema.batch_lines.delete().where(schema.batch_lines.c.job == row.number))
        connection.execute(schema.receipts.delete().where(schema.receipts.c.scope == f"{LINES}{row.id}"))


def _cancel(connection: Connection, row: Row[Any]) -> None:
    if row.status == "queued":
        _end(connection, row, "cancelled")
    elif row.status == "running":
        connection.execute(update(_jobs).where(_jobs.c.number == row.number).values(cancelling=True, updated_at=now()))


def _take_turn(connection: Connection, tenant: str) -> None:
    table = schema.turns
    turn = int(connection.scalar(select(func.max(table.c.turn))) or 0) + 1
    known = connection.execute(update(table).where(table.c.tenant == tenant).values(turn=turn))
    if not known.rowcount:
        connection.execute(insert(table).values(tenant=tenant, turn=turn))
