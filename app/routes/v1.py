"""`/v1`: chat completions, embeddings and models for OpenAI's clients."""

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.bodies import read_json, reply
from app.errors import Busy
from app.openapi import also_events, errors, json_body
from app.routes.shared import lectern_of
from app.security import tenant_of
from app.streams import streamed
from app.v1 import chat, embeddings, models, schemas
from app.v1.errors import error_event
from app.wiring import Lectern

router = APIRouter(prefix="/v1", tags=["for OpenAI's clients"])
_ERRORS = errors(400, 404, 409, 413, 415, 422, openai=True)


@router.post(
    "/chat/completions",
    summary="Ask a question as a chat",
    response_model=schemas.ChatReply,
    responses={200: also_events("`chat.completion.chunk`s without names, then `[DONE]`"), **_ERRORS},
    openapi_extra=json_body(schemas.ChatRequest),
)
async def complete(request: Request) -> Response:
    """Answer the last message of the user from the collection that `model` names; no other message is read.

    Where the documents do not say, the content is a sentence that says so. Citations are the message's annotations.
    """
    body = await read_json(request, schemas.ChatRequest)
    lectern, tenant = lectern_of(request), tenant_of(request)
    asked = chat.chat_of(body, base=str(request.base_url).rstrip("/"))
    if not body.stream:
        return reply(await _within(lectern, lambda: chat.complete(lectern, tenant, asked)))
    heartbeat = lectern.settings.heartbeat
    work = lectern.desk.stream(lambda channel: chat.stream(lectern, tenant, asked, channel), heartbeat=heartbeat)
    return await streamed(work, failed=error_event)


@router.post(
    "/embeddings",
    summary="Texts to vectors",
    response_model=schemas.EmbeddingsReply,
    responses=_ERRORS,
    openapi_extra=json_body(schemas.EmbeddingsRequest),
)
async def embed(request: Request) -> Response:
    """The unit vectors of up to 2,048 texts, by the encoder that documents are searched with."""
    body = await read_json(request, schemas.EmbeddingsRequest)
    lectern, tenant = lectern_of(request), tenant_of(request)
    return reply(await _within(lectern, lambda: embeddings.embed(lectern, tenant, body)))


@router.get("/models", summary="List models", response_model=schemas.ModelsReply, responses=errors(openai=True))
async def list_models(request: Request) -> Response:
    """Every collection that can be asked, and the encoder."""
    lectern, tenant = lectern_of(request), tenant_of(request)
    return reply(await lectern.desk.aside(lambda: models.models(lectern, tenant)))


@router.get(
    "/models/lectern/{name}",
    summary="Read about a collection as a model",
    response_model=schemas.Model,
    responses=errors(404, openai=True),
)
async def read_collection(request: Request, name: str) -> Response:
    """A collection, if there is one of this name."""
    lectern, tenant = lectern_of(request), tenant_of(request)
    return reply(await lectern.desk.aside(lambda: models.model(lectern, tenant, f"{models.PREFIX}/{name}")))


@router.get(
    "/models/{name}",
    summary="Read about a model",
    response_model=schemas.Model,
    responses=errors(404, openai=True),
)
async def read_model(request: Request, name: str) -> Response:
    """The encoder, or `lectern`, which is the collection `default`."""
    lectern, tenant = lectern_of(request), tenant_of(request)
    return reply(await lectern.desk.aside(lambda: models.model(lectern, tenant, name)))


async def _within(lectern: Lectern, work: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """The result of work, before a gateway in front loses patience: OpenAI's clients know no 202. Raises Busy."""
    wait = lectern.settings.max_wait
    _, result = await lectern.desk.begin(lambda _: work(), wait=wait)
    if result is None:
        raise Busy(f"this took longer than {wait:g} seconds: send less at once, or try again later")
    return result
