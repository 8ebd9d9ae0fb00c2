"""Batches: a body of many documents, one JSON object a line, taken in by one durable job.

A line that cannot be taken in fails alone. Each line's upload has a receipt, so that after a restart the batch goes on
with the lines that it was at, and finds what they had become already.
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from app import problems
from app.bodies import parse_json, validated
from app.errors import AppError, JobFailed, ShuttingDown, Stopping
from app.ingesting import Progress, forget_failed
from app.schemas import BatchLine, BatchResult, DocumentUpload
from retriever.errors import Conflict, RetrieverError, StoreError
from retriever.store import Accepted, Job, Quota, Receipt, Store
from retriever.store.receipts import LINES

UNIT = "lines"
AT_ONCE = 16  # lines taken in together: they share the commits of the indexes, which are the slowest part
NO_QUEUE = 1 << 62  # the jobs of a batch do not wait in the tenant's queue: there is always room for the one at hand


class Runner(Progress, Protocol):
    """What a batch needs of the runner of its job."""

    def run(self, job_id: str) -> Job:
        """Run another job of this tenant now and here. Raises Stopping."""


class Batches:
    """Runs batch jobs."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def run(self, job: Job, context: Runner) -> Mapping[str, Any]:
        """Take in the lines that have no result yet; the result has one for each. Raises StoreError, and Stopping."""
        done, total = self._store.lines_done(job.tenant, job.id), int(job.payload["lines"])
        context.progress(done, total, UNIT, force=True)
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="batch") as pool:
            while lines := self._store.next_lines(job.tenant, job.id, limit=AT_ONCE):
                # Accepted in their order, so that of two equal lines the second is the one that is known already.
                accepted = [(number, self._accepted(job, number, data)) for number, data in lines]
                ends = [pool.submit(self._ended, job, number, found, context) for number, found in accepted]
                results = {end.result().line: end.result().model_dump(mode="json") for end in ends}
                self._store.settle_lines(job.tenant, job.id, results)
                done += len(results)
                context.progress(done, total, UNIT)
        return _counted(self._store.line_results(job.tenant, job.id))

    def _accepted(self, job: Job, number: int, data: bytes) -> Accepted | BatchLine:
        try:
            return self._accept(job, number, validated(DocumentUpload, parse_json(data)))
        except (AppError, RetrieverError) as error:
            return _refused(job, number, error)

    def _ended(self, job: Job, number: int, found: Accepted | BatchLine, context: Runner) -> BatchLine:
        if isinstance(found, BatchLine):
            return found
        try:
            if found.job_id is not None:
                self._ingest(job.tenant, found, context)
            document = self._store.document(job.tenant, found.document.id)
        except (AppError, RetrieverError) as error:
            return _refused(job, number, error)
        status = 201 if found.created else 200
        return BatchLine(line=number, status=status, id=document.id, version=document.version, problem=None)

    def _accept(self, job: Job, number: int, body: DocumentUpload) -> Accepted:
        return self._store.accept(
            job.tenant,
            collection=body.collection or "default",
            data=body.text.encode(),
            filename=None,
            media_type=body.media_type,
            title=body.title or None,
            metadata=body.metadata,
            deduplicate=True,
            quota=Quota(**job.payload["quota"], jobs=NO_QUEUE),
            receipt=Receipt(scope=f"{LINES}{job.id}", key=str(number), fingerprint=""),
        )

    def _ingest(self, tenant: str, accepted: Accepted, context: Runner) -> None:
        over = context.run(str(accepted.job_id))
        if over.status == "succeeded":
            return
        forget_failed(self._store, tenant, accepted.document.id)
        if over.status == "cancelled":
            raise Conflict("the document was deleted, or its ingest cancelled, before it was indexed")
        raise JobFailed(over.problem or {})


def _refused(job: Job, number: int, error: AppError | RetrieverError) -> BatchLine:
    """The result of a line that could not be taken in. Raises the error where it is not the line's own."""
    if isinstance(error, StoreError | Stopping | ShuttingDown):
        raise error
    problem = problems.problem_of(error, request_id=job.id)
    return BatchLine(line=number, status=problem["status"], id=None, version=None, problem=problem)


def _counted(results: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    lines = [BatchLine.model_validate(each) for each in results]
    failed = sum(line.problem is not None for line in lines)
    return BatchResult(results=lines, succeeded=len(lines) - failed, failed=failed).model_dump(mode="json")
