"""`/livez`, `/readyz`, `/metrics` and `/version`."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from app import schemas
from app.bodies import reply
from app.openapi import errors
from app.routes.shared import lectern_of
from app.scraping import exposition
from app.wiring import Lectern
from retriever.errors import StoreError

router = APIRouter(tags=["running"])

_SCRAPED = ("text/plain", "application/openmetrics-text")


@router.get("/livez", summary="Does the process run?", response_model=schemas.LiveReply, responses=errors())
async def livez() -> Response:
    """200 while the process can answer at all."""
    return reply(schemas.LiveReply())


@router.get(
    "/readyz",
    summary="Can it answer questions?",
    response_model=schemas.ReadyReply,
    responses={**errors(), 503: {"model": schemas.ReadyReply, "description": "Not ready"}},
)
async def readyz(request: Request) -> Response:
    """Whether store, indexes and models can be used; 503 while one cannot."""
    lectern = lectern_of(request)
    indexes = request.app.state.indexes
    state = await lectern.desk.aside(lambda: _state(lectern, "stopping" if lectern.jobs.stopping else indexes))
    return reply(state, status=200 if state.ready else 503)


@router.get(
    "/metrics",
    summary="Counts, times and sizes, for Prometheus",
    response_class=Response,
    responses={**errors(), 200: {"content": {kind: {"schema": {"type": "string"}} for kind in _SCRAPED}}},
)
async def metrics(request: Request) -> Response:
    """What has happened since the start, and how much of everything there is now, over all tenants."""
    lectern, accept = lectern_of(request), request.headers.get("accept", "")
    made = lambda: exposition(lectern, version=request.app.version, accept=accept)  # noqa: E731
    content, media_type = await lectern.desk.aside(made)
    return Response(content, headers={"content-type": media_type})


@router.get("/version", summary="Which version is this?", response_model=schemas.VersionReply, responses=errors())
async def version(request: Request) -> Response:
    """The name and version of the service."""
    return reply(schemas.VersionReply(name="lectern", version=request.app.version))


def _state(lectern: Lectern, indexes: str) -> schemas.ReadyReply:
    try:
        lectern.store.ping()
        store = "ok"
    except StoreError:
        store = "unavailable"
    return schemas.ReadyReply(
        ready=store == indexes == "ok",
        store=store,
        indexes=indexes,
        models={
            "encoder": lectern.encoder.version,
            "reader": lectern.reader.name,
            "summarizer": lectern.summarizing.summarizer,
        },
    )
