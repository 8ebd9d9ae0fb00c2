"""`/ask`, `/summarize`, `/search` and `/verify`."""

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from app import schemas, telemetry
from app.bodies import read_json, reply
from app.openapi import also_events, errors, json_body
from app.routes.shared import IdempotencyKey, answered, known_query, lectern_of, waiting_time
from app.security import tenant_of
from app.streams import streamed

router = APIRouter(tags=["asking"], dependencies=[Depends(known_query)])
_ERRORS = errors(400, 404, 409, 413, 415, 422)


@router.post(
    "/ask",
    summary="Ask a question of documents",
    response_model=schemas.AskReply | schemas.AskManyReply,
    responses={
        200: also_events("`hits` and `answer` for each question, then `done`"),
        202: {"model": schemas.JobAcceptedReply},
        **_ERRORS,
    },
    openapi_extra=json_body(schemas.AskRequest),
)
async def ask(request: Request, idempotency_key: IdempotencyKey = None) -> Response:
    """Answer one question, or a list, with citations; an answer that is not in the documents is null.

    With `stream`, as server-sent events; an `error` event carries a problem.
    """
    body = await read_json(request, schemas.AskRequest)
    lectern, tenant = lectern_of(request), tenant_of(request)
    if body.stream:
        return await streamed(
            lectern.desk.stream(
                lambda channel: lectern.tasks.stream_answers(tenant, body, channel),
                heartbeat=lectern.settings.heartbeat,
            )
        )
    wait = waiting_time(body.wait, lectern.settings.answer_wait, lectern.settings.max_wait)
    return await answered(
        request,
        tenant,
        "ask",
        body,
        lambda attached: lectern.tasks.ask(tenant, body, attached),
        wait=wait,
        key=idempotency_key,
    )


@router.post(
    "/summarize",
    summary="Summarize documents",
    response_model=schemas.SummarizeReply,
    responses={
        200: also_events("`progress`, `sentence`, `summary` and `done`"),
        202: {"model": schemas.JobAcceptedReply},
        **_ERRORS,
    },
    openapi_extra=json_body(schemas.SummarizeRequest),
)
async def summarize(request: Request, idempotency_key: IdempotencyKey = None) -> Response:
    """Summarize a source with cited sentences, and account for all that was read.

    With `stream`, as server-sent events; an `error` event carries a problem.
    """
    body = await read_json(request, schemas.SummarizeRequest)
    lectern, tenant = lectern_of(request), tenant_of(request)
    if body.stream:
        return await streamed(
            lectern.desk.stream(
                lambda channel: lectern.tasks.stream_summary(tenant, body, channel),
                heartbeat=lectern.settings.heartbeat,
            )
        )
    wait = waiting_time(body.wait, lectern.settings.answer_wait, lectern.settings.max_wait)
    return await answered(
        request,
        tenant,
        "summarize",
        body,
        lambda attached: lectern.tasks.summarize(tenant, body, attached),
        wait=wait,
        key=idempotency_key,
    )


@router.post(
    "/search",
    summary="Search passages",
    response_model=schemas.SearchReply,
    responses=_ERRORS,
    openapi_extra=json_body(schemas.SearchRequest),
)
async def search(request: Request) -> Response:
    """The passages nearest to a query, best first."""
    body = await read_json(request, schemas.SearchRequest)
    lectern, tenant = lectern_of(request), tenant_of(request)
    found = await lectern.desk.run(lambda: lectern.finder.search(tenant, body))
    return reply(found.model_copy(update={"request_id": telemetry.request_id.get()}))


@router.post(
    "/verify",
    summary="Verify citations",
    response_model=schemas.VerifyReply,
    responses=errors(400, 413, 415, 422),
    openapi_extra=json_body(schemas.VerifyRequest),
)
async def verify(request: Request) -> Response:
    """Whether citations still hold in the current versions of their documents, and where they are now."""
    body = await read_json(request, schemas.VerifyRequest)
    lectern, tenant = lectern_of(request), tenant_of(request)
    found = await lectern.desk.run(lambda: lectern.verifying.verify(tenant, body))
    return reply(found.model_copy(update={"request_id": telemetry.request_id.get()}))
