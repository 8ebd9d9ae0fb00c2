"""The tools over HTTP, at `/mcp`: one POST a call, and no session, so that each is let in by the key that it carries.

Keys, scopes, limits, `Host` and `Origin` are the gate's, as for every other route.
"""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from app.bodies import body_of, parse_json
from app.errors import Malformed, ShuttingDown
from app.settings import Settings

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager


class Tools:
    """An ASGI app. The SDK is imported with the first call; `close` ends what is under way."""

    path = "/mcp"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._manager: StreamableHTTPSessionManager | None = None
        self._lock = asyncio.Lock()
        self._closing = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call. Raises Malformed and ShuttingDown."""
        scope["route"] = self  # as routes of the framework do: the log and the metrics name it
        body = await body_of(Request(scope, receive))
        await run_in_threadpool(_check_message, body)
        manager = await self._ready()
        given = False

        async def again() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await manager.handle_request(scope, again, send)

    async def close(self) -> None:
        """Take no more calls, and end those under way."""
        self._closing.set()
        if self._running is not None:
            await self._running

    async def _ready(self) -> "StreamableHTTPSessionManager":
        async with self._lock:
            if self._closing.is_set():
                raise ShuttingDown("the service is stopping")
            if self._manager is None:
                manager = await run_in_threadpool(_made, self._settings.max_body_bytes)
                started = asyncio.Event()
                self._running = asyncio.create_task(self._run(manager, started))
                await started.wait()
                self._manager = manager
            return self._manager

    async def _run(self, manager: "StreamableHTTPSessionManager", started: asyncio.Event) -> None:
        """Hold the manager's task group open: it has to be left by the task that entered it."""
        async with manager.run():
            started.set()
            with suppress(asyncio.CancelledError):
                await self._closing.wait()


def _check_message(body: bytes) -> None:
    """Raise Malformed for what is no message: the SDK's parser knows no limits, and its errors show what was sent."""
    value = parse_json(body)
    from mcp.types import jsonrpc_message_adapter

    try:
        jsonrpc_message_adapter.validate_python(value, by_name=False)
    except ValidationError:
        raise Malformed("the body is not one message of JSON-RPC 2.0") from None


def _made(longest: int) -> "StreamableHTTPSessionManager":
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    from app.security import caller_of
    from app.tools.own import OwnWorker
    from app.tools.server import make_server

    def worker_of(context: Any) -> OwnWorker:
        request: Request = context.request
        return OwnWorker(request.app.state.lectern, caller_of(request))

    return StreamableHTTPSessionManager(make_server(worker_of), stateless=True, max_request_body_size=longest)
