"""The HTTP service: `create_app(settings)`, and `serve(settings)` to run it."""

import asyncio
import importlib.metadata
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app import openapi, problems, telemetry, tracing
from app.bodies import invalid
from app.connections import HEAD_BYTES, protocol
from app.errors import AppError, Malformed, MethodNotAllowed, NoSuchRoute, TooLarge
from app.gate import Gate, check_exposure
from app.middleware import BodyLimit, HeadAsGet, RequestLog, encode
from app.routes import asking, collections, documents, jobs, page, running, v1
from app.settings import Settings, load_settings
from app.tools.http import Tools
from app.v1.errors import OpenAIErrors
from app.wiring import Lectern, build
from model.errors import ModelError
from retriever.errors import RetrieverError

OPEN_RETRY_SECONDS = 5.0  # between two attempts to open all indexes

_FRAMEWORK: dict[int, type[AppError]] = {404: NoSuchRoute, 405: MethodNotAllowed, 413: TooLarge}


def create_app(settings: Settings, *, make: Callable[[Settings], Lectern] = build) -> FastAPI:
    """The service with these settings. Nothing is opened or loaded before its lifespan begins; `make` does it then."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        lectern = await run_in_threadpool(make, settings)
        try:
            requeued = await run_in_threadpool(lectern.jobs.start)
            telemetry.log("started", version=app.version, requeued=requeued, data_dir=str(settings.data_dir))
            app.state.lectern = lectern
            app.state.indexes, stopping = "opening", asyncio.Event()
            opening = asyncio.create_task(_keep_opening(app, lectern, stopping))
            yield
            stopping.set()
            await tools.close()
            await opening
        finally:
            await run_in_threadpool(lectern.close)
            telemetry.log("stopped")
            await run_in_threadpool(tracing.flush)

    app = FastAPI(
        title="Lectern",
        version=importlib.metadata.version("lectern"),
        description="Questions about, and summaries of, long documents, cited to the character.",
        lifespan=lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},  # see app/tracing.py
        docs_url=None,  # its page loads scripts from another host
        redoc_url=None,
        redirect_slashes=False,
    )
    for module in (asking, documents, collections, jobs, running, v1, page):
        app.include_router(module.router)
    tools = Tools(settings)
    app.router.add_route(tools.path, tools, methods=["POST"], include_in_schema=False)  # type: ignore[arg-type]
    for kind in (AppError, RetrieverError, ModelError):
        app.add_exception_handler(kind, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _framework)
    app.add_middleware(BodyLimit, limit=settings.max_body_bytes, timeout=settings.body_timeout)
    app.add_middleware(Gate, settings=settings)
    app.add_middleware(HeadAsGet)
    app.add_middleware(RequestLog)
    app.add_middleware(OpenAIErrors)
    app.openapi = lambda: openapi.describe(app)  # type: ignore[method-assign]
    return app


async def _keep_opening(app: FastAPI, lectern: Lectern, stopping: asyncio.Event) -> None:
    """Open all indexes, and try again while one cannot be: a disk that is full at the start may have room later."""
    while not await run_in_threadpool(_open_indexes, lectern):
        app.state.indexes = "failed"
        try:
            await asyncio.wait_for(stopping.wait(), OPEN_RETRY_SECONDS)
        except TimeoutError:
            continue
        return
    app.state.indexes = "ok"


def _open_indexes(lectern: Lectern) -> bool:
    """Open all indexes before anyone searches them; whether all could be. A search opens its own if it comes first."""
    try:
        lectern.indexes.catch_up()
    except (RetrieverError, OSError) as error:
        telemetry.log("an index cannot be opened", level=40, error=error)
        return False
    return True


def serve(settings: Settings, *, make: Callable[[Settings], Lectern] = build) -> None:
    """Run the service until it is told to stop. What was accepted is finished or goes on at the next start.

    `make` runs before the server does, so that what it raises (StoreUnavailable, WeightsMissing and their kin) reaches
    the caller instead of the server's log. Raises Exposed before that: see `check_exposure`.
    """
    telemetry.configure(settings.log_level)
    tracing.configure(importlib.metadata.version("lectern"))
    check_exposure(settings)
    lectern = make(settings)
    config = uvicorn.Config(
        create_app(settings, make=lambda _: lectern),
        http=protocol(
            head_timeout=settings.head_timeout,
            stall_timeout=settings.body_timeout,
            connections=settings.max_connections,
        ),
        ws="none",
        h11_max_incomplete_event_size=HEAD_BYTES,
        host=settings.host,
        port=settings.port,
        root_path=settings.root_path,
        proxy_headers=True,
        forwarded_allow_ips=settings.forwarded_allow_ips,
        timeout_keep_alive=settings.keep_alive,
        timeout_graceful_shutdown=settings.shutdown_timeout,
        server_header=False,
        access_log=False,
        log_config=None,
    )
    server = Server(config, leaving=lectern.jobs.dismiss)
    with suppress(KeyboardInterrupt):  # Ctrl-C: it has stopped in order by then
        server.run()
    if not server.started:
        sys.exit(3)  # the log says why; uvicorn's own number for it


class Server(uvicorn.Server):
    """A server that tells those who wait that it is about to stop, before it waits for them."""

    def __init__(self, config: uvicorn.Config, *, leaving: Callable[[], None]) -> None:
        super().__init__(config)
        self._leaving = leaving

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: no new connections, those under way to their end, then the lifespan's."""
        self._leaving()
        await super().shutdown(sockets)


def main() -> None:
    """`python -m app.main`: serve with the settings of the environment."""
    try:
        serve(load_settings())
    except (AppError, RetrieverError, ModelError) as error:
        sys.exit(f"lectern: {error}")


async def _problem(_: Request, error: Exception) -> Response:
    body = problems.problem_of(error, request_id=telemetry.request_id.get())
    if body["status"] >= 500:
        telemetry.log("request failed", level=40, error=error)
    return Response(
        encode(body), status_code=body["status"], media_type=problems.MEDIA_TYPE, headers=problems.headers_of(error)
    )


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this kind only
    errors = problems.field_errors([{**each, "loc": each["loc"][1:]} for each in error.errors()])
    on_new_name = any(each["loc"][0] == "path" for each in error.errors()) and request.method not in ("PUT", "POST")
    return await _problem(request, NoSuchRoute("no such thing") if on_new_name else invalid(errors))


async def _framework(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this kind only
    kind = _FRAMEWORK.get(error.status_code, Malformed)
    told = {404: "nothing is served at this path", 405: "this path does not take that method"}
    response = await _problem(request, kind(told.get(error.status_code, "the request cannot be read")))
    response.headers.update({k: v for k, v in (error.headers or {}).items() if k.lower() == "allow"})
    return response


if __name__ == "__main__":
    main()
