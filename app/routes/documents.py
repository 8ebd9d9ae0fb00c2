"""`/documents`: create, replace, read, change, list and delete."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from app import problems, schemas
from app.bodies import (
    Upload,
    attachment,
    fingerprint_of,
    invalid,
    location,
    read_json,
    read_lines,
    read_upload,
    receipt_of,
    reply,
)
from app.citations import section_title
from app.errors import JobFailed
from app.ingesting import forget_failed
from app.openapi import errors, json_body, lines_body, upload_body
from app.routes.shared import (
    IdempotencyKey,
    accepted,
    document_reply,
    etag,
    if_match,
    known_query,
    lectern_of,
    waiting_time,
)
from app.security import caller_of, tenant_of
from app.wiring import Lectern
from retriever.errors import Conflict
from retriever.store import Receipt, version_of
from retriever.types import Document

router = APIRouter(tags=["documents"], dependencies=[Depends(known_query)])
REPLAYED = "Idempotent-Replayed"  # says of a reply that it is about something that was done before
Wait = Annotated[float | None, Query(ge=0, le=3_600, description="seconds to wait until it is indexed")]
NewId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:\-]{0,127}$")]
_UPLOAD_ERRORS = errors(400, 404, 409, 413, 415, 422, 507)


@router.post(
    "/documents",
    summary="Add a document",
    status_code=201,
    response_model=schemas.DocumentReply,
    responses={
        200: {"model": schemas.DocumentReply, "description": "The same bytes are there already"},
        202: {"model": schemas.PendingDocumentReply, "description": "Accepted and durable, not indexed yet"},
        **_UPLOAD_ERRORS,
    },
    openapi_extra=upload_body(),
)
async def create(request: Request, wait: Wait = None, idempotency_key: IdempotencyKey = None) -> Response:
    """Add a document, as JSON text or as a file; the same bytes into the same collection are one document."""
    upload = await read_upload(request)
    if idempotency_key is None:
        return await _accepted(request, upload, wait=wait)
    return await _once(request, upload, wait=wait, key=idempotency_key)


@router.post(
    "/documents/batch",
    summary="Add many documents",
    status_code=202,
    response_model=schemas.JobAcceptedReply,
    responses=errors(400, 413, 415, 422, 507),
    openapi_extra=lines_body(),
)
async def create_batch(request: Request, idempotency_key: IdempotencyKey = None) -> Response:
    """Add a document a line, by a job whose result says of each line what became of it; a bad line fails alone."""
    lines, digest = await read_lines(request)
    lectern, tenant, quota = lectern_of(request), tenant_of(request), caller_of(request).quota
    receipt = receipt_of(idempotency_key, scope="batch", fingerprint=digest)
    payload = {"quota": {"documents": quota.documents, "bytes": quota.bytes}}
    job = await lectern.desk.aside(
        lambda: lectern.store.create_batch(tenant, lines, payload=payload, receipt=receipt, quota=quota)
    )
    lectern.jobs.changed()
    return accepted(request, job)


@router.put(
    "/documents/{document_id}",
    summary="Replace or create a document",
    response_model=schemas.DocumentReply,
    responses={
        201: {"model": schemas.DocumentReply, "description": "Created"},
        202: {"model": schemas.PendingDocumentReply, "description": "Accepted and durable, not indexed yet"},
        **errors(400, 404, 409, 412, 413, 415, 422, 507),
    },
    openapi_extra=upload_body(),
)
async def replace(request: Request, document_id: NewId, wait: Wait = None) -> Response:
    """Replace the document at this id, or create it; readers see the old version until the new one is whole."""
    condition = if_match(request)
    upload = await read_upload(request)
    return await _accepted(request, upload, wait=wait, document_id=document_id, condition=condition)


@router.get("/documents", summary="List documents", response_model=schemas.DocumentsReply, responses=errors(404, 422))
async def list_documents(
    request: Request,
    collection: Annotated[str | None, Query(pattern=r"^\w[\w.\-]{0,127}$")] = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    cursor: str | None = None,
) -> Response:
    """A page of documents, oldest first."""
    lectern, tenant = lectern_of(request), tenant_of(request)

    def read() -> schemas.DocumentsReply:
        if collection is not None:
            lectern.store.collection(tenant, collection)
        try:
            found, more = lectern.store.documents(tenant, collection=collection, limit=limit, cursor=cursor)
        except ValueError as error:
            raise invalid([{"loc": ["cursor"], "msg": "not a cursor of this service"}]) from error
        return schemas.DocumentsReply(documents=[document_reply(each) for each in found], next_cursor=more)

    return reply(await lectern.desk.aside(read))


@router.get(
    "/documents/{document_id}",
    summary="Read about a document",
    response_model=schemas.DocumentReply,
    responses=errors(404, 422),
)
async def read_document(request: Request, document_id: str) -> Response:
    """A document's state, without its text."""
    lectern, tenant = lectern_of(request), tenant_of(request)
    document = await lectern.desk.aside(lambda: lectern.store.document(tenant, document_id))
    return reply(document_reply(document), headers=etag(document))


@router.patch(
    "/documents/{document_id}",
    summary="Change title or metadata",
    response_model=schemas.DocumentReply,
    responses=errors(400, 404, 409, 412, 413, 415, 422, 507),
    openapi_extra=json_body(schemas.DocumentPatch),
)
async def change(request: Request, document_id: str) -> Response:
    """Change the title, replace the metadata, or both; the text and its version stay."""
    condition = if_match(request)
    body = await read_json(request, schemas.DocumentPatch)
    lectern, tenant = lectern_of(request), tenant_of(request)
    document = await lectern.desk.aside(
        lambda: lectern.store.update_document(
            tenant, document_id, title=body.title, metadata=body.metadata, if_match=condition
        )
    )
    return reply(document_reply(document), headers=etag(document))


@router.delete(
    "/documents/{document_id}", summary="Delete a document", status_code=204, responses=errors(404, 409, 412, 422, 507)
)
async def delete(request: Request, document_id: str) -> Response:
    """Purge a document with all its versions, passages and vectors."""
    condition = if_match(request)
    lectern, tenant = lectern_of(request), tenant_of(request)
    await lectern.desk.aside(lambda: _delete(lectern, tenant, document_id, condition))
    return Response(status_code=204)


@router.get(
    "/documents/{document_id}/text",
    summary="Read a range of a document's text",
    response_model=schemas.TextReply,
    responses=errors(404, 422),
)
async def read_text(
    request: Request,
    document_id: str,
    start: Annotated[int, Query(ge=0)] = 0,
    end: Annotated[int | None, Query(ge=0)] = None,
    version: str | None = None,
) -> Response:
    """Characters `start` to `end` of the current or of a named version, clipped to the text."""
    if end is not None and end < start:
        raise invalid([{"loc": ["end"], "msg": "must not be before start"}])
    lectern, tenant = lectern_of(request), tenant_of(request)

    def read() -> Response:
        text, first, last, found = lectern.store.text(tenant, document_id, start=start, end=end, version=version)
        body = schemas.TextReply(text=text, start=first, end=last, version=found)
        return reply(body, headers={"ETag": f'"{found}"'})

    return await lectern.desk.aside(read)


@router.get(
    "/documents/{document_id}/outline",
    summary="Read how a document is divided",
    response_model=schemas.OutlineReply,
    responses=errors(404, 422),
)
async def read_outline(request: Request, document_id: str, version: str | None = None) -> Response:
    """The sections and pages of the current or of a named version, as ranges of its text."""
    lectern, tenant = lectern_of(request), tenant_of(request)

    def read() -> Response:
        _, parsed = lectern.store.parsed(tenant, document_id, version=version)
        found = version_of(parsed.text)
        body = schemas.OutlineReply(
            version=found,
            characters=len(parsed.text),
            sections=[
                schemas.OutlineSection(
                    title=section_title(each.path), depth=len(each.path), start=each.start, end=each.end
                )
                for each in parsed.sections
            ],
            pages=[schemas.OutlinePage(number=each.number, start=each.start, end=each.end) for each in parsed.pages],
        )
        return reply(body, headers={"ETag": f'"{found}"'})

    return await lectern.desk.aside(read)


@router.get(
    "/documents/{document_id}/file",
    summary="Download the original file",
    response_class=Response,
    responses={200: {"content": {"*/*": {}}, "description": "The bytes as sent"}, **errors(404, 422)},
)
async def read_file(request: Request, document_id: str) -> Response:
    """The original bytes, always as a download: a document's script never runs in this service's origin."""
    lectern, tenant = lectern_of(request), tenant_of(request)
    data, media_type, filename = await lectern.desk.aside(lambda: lectern.store.file(tenant, document_id))
    name = filename or f"{document_id}{'.md' if media_type == 'text/markdown' else '.txt'}"
    headers = {
        "Content-Disposition": attachment(name),
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    return Response(data, media_type=media_type.encode("ascii", "ignore").decode(), headers=headers)


async def _once(request: Request, upload: Upload, *, wait: float | None, key: str) -> Response:
    """Accept an upload unless it was accepted under this key before; then reply as it was, or will be, replied to."""
    lectern, tenant = lectern_of(request), tenant_of(request)
    fingerprint = await lectern.desk.aside(lambda: fingerprint_of(upload))
    receipt = Receipt(scope="documents", key=key, fingerprint=fingerprint)
    kept = await lectern.desk.aside(lambda: lectern.store.kept(tenant, receipt))
    if kept is not None and kept.reply is not None:
        return _replayed(request, kept.reply)
    try:
        found = await _accepted(request, upload, wait=wait, receipt=receipt)
    except (Conflict, JobFailed) as error:
        problem = problems.problem_of(error)
        await lectern.desk.aside(lambda: lectern.store.keep_reply(tenant, receipt, {"problem": problem}))
        raise
    if found.status_code != 202:  # that would not be its last word
        told = {"status": found.status_code, "body": json.loads(bytes(found.body))}
        await lectern.desk.aside(lambda: lectern.store.keep_reply(tenant, receipt, told))
    if kept is not None:
        found.headers[REPLAYED] = "true"
    return found


def _replayed(request: Request, kept: Mapping[str, Any]) -> Response:
    """The reply that a request with the same key got."""
    if "problem" in kept:
        raise JobFailed(kept["problem"])
    body, status = kept["body"], int(kept["status"])
    headers = {"ETag": f'"{body["version"]}"', REPLAYED: "true"}
    if status == 201:
        headers["Location"] = location(request, f"/documents/{body['id']}")
    return reply(body, status=status, headers=headers)


async def _accepted(
    request: Request,
    upload: Upload,
    *,
    wait: float | None,
    document_id: str | None = None,
    condition: str | None = None,
    receipt: Receipt | None = None,
) -> Response:
    """Make an upload durable, wait for its ingest, and say how far it is."""
    lectern, tenant = lectern_of(request), tenant_of(request)
    taken = await lectern.desk.aside(
        lambda: lectern.store.accept(
            tenant,
            collection=upload.collection,
            data=upload.data,
            filename=upload.filename,
            media_type=upload.media_type,
            title=upload.title,
            metadata=upload.metadata,
            document_id=document_id,
            if_match=condition,
            deduplicate=document_id is None,
            quota=caller_of(request).quota,
            receipt=receipt,
        )
    )
    if taken.job_id is None:
        return reply(document_reply(taken.document), headers=etag(taken.document))
    lectern.jobs.changed()
    seconds = waiting_time(wait, lectern.settings.document_wait, lectern.settings.max_wait)
    if seconds == 0:
        return _pending(request, taken.document, taken.job_id)
    job = await lectern.jobs.settled(tenant, taken.job_id, timeout=seconds)
    if job.status in ("failed", "cancelled"):
        await lectern.desk.aside(lambda: forget_failed(lectern.store, tenant, taken.document.id))
        if job.status == "cancelled":
            raise Conflict("the document was deleted, or its ingest cancelled, before it was indexed")
        raise JobFailed(job.problem or {})
    document = await lectern.desk.aside(lambda: lectern.store.document(tenant, taken.document.id))
    place = location(request, f"/documents/{document.id}")
    if job.status == "succeeded":
        created = taken.created and not taken.duplicate
        status, headers = (201, {"Location": place}) if created else (200, {})
        return reply(document_reply(document), status=status, headers={**etag(document), **headers})
    return _pending(request, document, job.id)


def _pending(request: Request, document: Document, job_id: str) -> Response:
    """The 202 of a document that is durable and not indexed yet; a replaced one still shows its old version."""
    body = schemas.PendingDocumentReply(**document_reply(document).model_dump(), job=job_id)
    return reply(body, status=202, headers={"Location": location(request, f"/jobs/{job_id}")})


def _delete(lectern: Lectern, tenant: str, document_id: str, condition: str | None) -> None:
    collection = lectern.store.document(tenant, document_id).collection
    lectern.store.delete_document(tenant, document_id, if_match=condition)
    lectern.jobs.changed()  # its ingests are cancelled: whoever waits for one should know
    lectern.indexes.refresh(tenant, collection)
