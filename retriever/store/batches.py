"""Batches: bodies of many documents, kept line by line with the job that takes them in."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from retriever.errors import OverQuota
from retriever.store import schema
from retriever.store.jobs import check_queue, insert_job
from retriever.store.receipts import Receipt, find_receipt, write_receipt
from retriever.store.records import BATCH, Job, Part, Quota, job_of, job_row

_jobs, _lines = schema.jobs, schema.batch_lines


class Batches(Part):
    """The batches of every tenant. Their lines go when the job is over."""

    def create_batch(
        self,
        tenant: str,
        lines: Sequence[tuple[int, bytes]],
        *,
        payload: Mapping[str, Any],
        receipt: Receipt | None = None,
        quota: Quota = Quota(),
    ) -> Job:
        """Make a batch durable with its job, in one transaction; `lines` are (number, bytes).

        The lines that wait may have as many bytes as the tenant's documents; the limits of `quota` stand in place of
        the store's. A `receipt` that is known gives the job that it was for. Raises OverQuota, KeyReused.
        """
        with self._db.write() as connection:
            kept = find_receipt(connection, tenant, receipt) if receipt else None
            if kept is not None:
                return job_of(job_row(connection, tenant, str(kept.job_id)))
            check_queue(connection, tenant, self._quota.over(quota))
            _check_bytes(connection, tenant, self._quota.over(quota), size=sum(len(data) for _, data in lines))
            job_id = insert_job(connection, tenant, BATCH, {**payload, "lines": len(lines)})
            row = job_row(connection, tenant, job_id)
            connection.execute(insert(_lines), [{"job": row.number, "line": n, "data": data} for n, data in lines])
            write_receipt(connection, tenant, receipt, job_id=job_id, created=True)
            return job_of(row)

    def next_lines(self, tenant: str, job_id: str, *, limit: int) -> list[tuple[int, bytes]]:
        """(number, bytes) of the first lines that are not done with; none at the end. Raises NotFound."""
        with self._db.read() as connection:
            left = (_lines.c.job == job_row(connection, tenant, job_id).number) & _lines.c.result.is_(None)
            rows = connection.execute(select(_lines).where(left).order_by(_lines.c.line).limit(limit))
            return [(int(row.line), bytes(row.data)) for row in rows]

    def settle_lines(self, tenant: str, job_id: str, results: Mapping[int, Mapping[str, Any]]) -> None:
        """Lines are done with: keep their results, by number, and let go of their bytes. Raises NotFound."""
        with self._db.write() as connection:
            number = job_row(connection, tenant, job_id).number
            for line, result in results.items():
                own = (_lines.c.job == number) & (_lines.c.line == line)
                connection.execute(update(_lines).where(own).values(result=dict(result), data=b""))

    def line_results(self, tenant: str, job_id: str) -> list[Mapping[str, Any]]:
        """The results so far, in the order of the lines. Raises NotFound."""
        with self._db.read() as connection:
            done = (_lines.c.job == job_row(connection, tenant, job_id).number) & _lines.c.result.is_not(None)
            return list(connection.scalars(select(_lines.c.result).where(done).order_by(_lines.c.line)))

    def lines_done(self, tenant: str, job_id: str) -> int:
        """How many lines have a result. Raises NotFound."""
        with self._db.read() as connection:
            done = (_lines.c.job == job_row(connection, tenant, job_id).number) & _lines.c.result.is_not(None)
            return int(connection.scalar(select(func.count()).where(done)) or 0)


def _check_bytes(connection: Connection, tenant: str, quota: Quota, *, size: int) -> None:
    """Raise OverQuota where a batch would make more bytes wait than the tenant may have as documents."""
    if quota.bytes is None:
        return
    own = (_jobs.c.tenant == tenant) & _lines.c.result.is_(None)
    waiting = select(func.coalesce(func.sum(func.length(_lines.c.data)), 0)).join(_jobs).where(own)
    if int(connection.scalar(waiting) or 0) + size > quota.bytes:
        raise OverQuota(f"batches of more than {quota.bytes} bytes would wait: send less, or later", retry_after=60)
