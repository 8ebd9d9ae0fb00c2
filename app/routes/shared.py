"""What all routes share: the running Lectern, waiting, and the replies about documents and jobs."""

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Annotated, Any

from fastapi import Header, Request
from starlette.responses import Response

from app import problems, schemas, telemetry
from app.bodies import invalid, location, receipt_of, reply
from app.errors import JobFailed
from app.jobs import Attached
from app.wiring import Lectern
from retriever.errors import PreconditionFailed
from retriever.store import Job
from retriever.types import Document

IdempotencyKey = Annotated[
    str | None,
    Header(
        pattern=r"^[!-~]([ -~]{0,253}[!-~])?$",
        description="a name of the sender's own for this request: sent again within a day, it is done once",
    ),
]


def lectern_of(request: Request) -> Lectern:
    """The parts that the lifespan built."""
    lectern: Lectern = request.app.state.lectern
    return lectern


def waiting_time(wanted: float | None, default: float, longest: float) -> float:
    """Seconds to wait for a result: as asked for, else the default, never longer than is allowed."""
    return min(default if wanted is None else wanted, longest)


def document_reply(document: Document) -> schemas.DocumentReply:
    """A document as the API shows it."""
    return schemas.DocumentReply(
        id=document.id,
        version=document.version,
        status=document.status,
        collection=document.collection,
        title=document.title,
        media_type=document.media_type,
        characters=document.characters,
        pages=document.pages,
        passages=document.passages,
        created_at=document.created_at,
        updated_at=document.updated_at,
        metadata=dict(document.metadata),
        warnings=list(document.warnings),
    )


async def known_query(request: Request) -> None:
    """Raise Invalid for a query parameter that the route does not have: one that is misspelt would change nothing."""
    if not request.query_params:
        return
    described = request.app.openapi()["paths"][request.scope["route"].path][request.method.lower()]
    known = {each["name"] for each in described.get("parameters", ()) if each["in"] == "query"}
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        wrong = [
            {"loc": (name,), "msg": "there is no such query parameter", "type": "extra_forbidden"} for name in unknown
        ]
        raise invalid(problems.field_errors(wrong))


def etag(document: Document) -> dict[str, str]:
    """The version as an ETag, where there is one."""
    return {"ETag": f'"{document.version}"'} if document.version else {}


def if_match(request: Request) -> str | None:
    """The version that the caller takes for the current one, or `*`. Raises PreconditionFailed for anything else."""
    sent = request.headers.get("if-match")
    if sent is None:
        return None
    value = sent.strip()
    if value == "*":
        return value
    if len(value) < 2 or value[0] != '"' or value[-1] != '"' or "," in value:
        # A weak tag never matches (RFC 9110, 13.1.1), and a list cannot name the one version that is to be changed.
        raise PreconditionFailed('If-Match takes one version in quotes, as in "sha256:...", or *')
    return value[1:-1]


def job_reply(job: Job) -> schemas.JobReply:
    """A job as the API shows it."""
    return schemas.JobReply(
        id=job.id,
        kind=job.kind,
        status=job.status,
        progress=schemas.Progress(done=job.done, total=job.total, unit=job.unit),
        result=None if job.result is None else dict(job.result),
        problem=None if job.problem is None else dict(job.problem),
        created_at=job.created_at,
        updated_at=job.updated_at,
    )


def accepted(request: Request, job: Job) -> Response:
    """The 202 of work that goes on as a job."""
    progress = schemas.Progress(done=job.done, total=job.total, unit=job.unit)
    body = schemas.JobAcceptedReply(job=job.id, status=job.status, progress=progress)
    return reply(body, status=202, headers={"Location": location(request, f"/jobs/{job.id}")})


async def answered(
    request: Request,
    tenant: str,
    kind: str,
    payload: schemas.SourceRequest,
    work: Callable[[Attached], Mapping[str, Any]],
    *,
    wait: float,
    key: str | None = None,
) -> Response:
    """The result of work that is done within `wait` seconds, else a 202 with the job that it has become.

    Who does not wait at all gets a job from the start. A job that was made under the same `key` is waited for.
    """
    lectern = lectern_of(request)
    sent = payload.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"wait", "stream"})
    receipt = receipt_of(key, scope=kind, fingerprint=sha256(json.dumps(sent, sort_keys=True).encode()).hexdigest())
    kept = await lectern.desk.aside(lambda: lectern.store.kept(tenant, receipt)) if receipt else None
    if kept is not None:
        job = await lectern.jobs.settled(tenant, str(kept.job_id), timeout=wait)
        if job.status == "failed":
            raise JobFailed(job.problem or {})
        return accepted(request, job) if job.result is None else reply(_replayed(job.result))
    attached = None
    if wait > 0:
        attached, result = await lectern.desk.begin(work, wait=wait)
        if result is not None:
            return reply(result)
    job = await lectern.desk.aside(lambda: lectern.jobs.submit(tenant, kind, sent, attached=attached, receipt=receipt))
    return accepted(request, job)


def _replayed(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """A job's result as the reply to this request."""
    mine = {"request_id": telemetry.request_id.get()}
    answers = {"answers": [{**answer, **mine} for answer in result["answers"]]} if "answers" in result else {}
    return {**result, **answers, **mine}
