"""What wraps every request: its id and its log line, the limit of its body, and the last resort for errors."""

import asyncio
import json
import logging
import time
from typing import Any

from opentelemetry.trace import Span
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import metrics, problems, telemetry, tracing
from app.errors import AppError, Malformed, QueueFull, TooLarge

DRAIN_SECONDS = 2.0  # how long a refused body is read and dropped, so that its sender gets to see the refusal
DRAIN_BYTES = 64 * 1024 * 1024
URL_BYTES = 8_192  # of path and query
HEADER_BYTES = 32_768  # of all names and values
LEAST_RATE = 1_024  # bytes a second of a body, once its first seconds are over: no client holds a request for hours
BODIES_AT_ONCE = 8  # of the largest size: more bytes of bodies than these are never held in memory together
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})


class RequestLog:
    """Gives every request its id, logs one line about it, and answers whatever else failed with a problem."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        identifier = telemetry.new_request_id(headers.get("x-request-id"))
        token = telemetry.request_id.set(identifier)
        try:
            with tracing.request(headers, method=_method(scope), request_id=identifier) as span:
                await self._serve(scope, receive, send, identifier, span)
        finally:
            telemetry.request_id.reset(token)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, identifier: str, span: Span) -> None:
        started = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = identifier
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:
            # Our own errors are raised on purpose; of anything else the log has to say where it came from.
            if problems.meaning(error).status == 500:
                telemetry.log("request failed", level=logging.ERROR, error=error)
            if status:
                raise  # too late for another status: break the connection, so that nobody takes half for the whole
            await send_problem(error, send_with_id)
        finally:
            seconds, method = time.perf_counter() - started, _method(scope)
            route = getattr(scope.get("route"), "path", None)
            metrics.REQUESTS.labels(method, route or "none", status).inc()
            metrics.REQUEST_SECONDS.labels(method, route or "none").observe(seconds)
            ms = round(seconds * 1000, 1)
            fields: dict[str, Any] = {"method": method, "route": route, "status": status, "ms": ms}
            telemetry.log("request", **fields, **_who(scope))
            tracing.answered(span, method=method, route=route, status=status)


class HeadAsGet:
    """Answers HEAD with what GET would say, without its body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        over = False

        async def send_head(message: Message) -> None:
            nonlocal over
            if message["type"] == "http.response.body":
                if over:
                    return
                over, message = True, {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        async def gone() -> Message:
            return {"type": "http.disconnect"} if over else await receive()

        asked = {**scope, "method": "GET"}
        try:
            await self._app(asked, gone, send_head)
        finally:
            scope.update(
                {name: value for name, value in asked.items() if name != "method"}
            )  # whoever logs it looks there


def check_head(scope: Scope) -> None:
    """Raise Malformed for a URL or headers that are longer than any client of ours needs."""
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > URL_BYTES:
        raise Malformed(f"the URL is over {URL_BYTES} bytes")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > HEADER_BYTES:
        raise Malformed(f"the headers are over {HEADER_BYTES} bytes")


class BodyLimit:
    """Refuses a body over the limit before it is read whole, by its declared length or while it streams in.

    A client that sends nothing for `timeout` seconds is given up, and so is one that sends almost nothing.
    """

    def __init__(self, app: ASGIApp, *, limit: int, timeout: float) -> None:
        self._app = app
        self._limit = limit
        self._timeout = timeout
        self._held = 0  # bytes of all bodies that are being received or worked on

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        declared = Headers(scope=scope).get("content-length", "")
        seen = 0
        whole = False
        refused: AppError | None = None
        begun = False

        async def limited() -> Message:
            nonlocal seen, whole, refused
            if whole:
                return await receive()
            left = self._timeout + seen / LEAST_RATE - (time.monotonic() - began)
            try:
                message = await asyncio.wait_for(receive(), max(0.0, min(self._timeout, left)))
            except TimeoutError:
                refused = Malformed(f"the body stopped arriving for {self._timeout:g} seconds, or arrives too slowly")
                raise refused from None
            seen += len(message.get("body", b""))
            self._held += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if seen > self._limit:
                refused = TooLarge(f"the body is over the limit of {self._limit} bytes")
                raise refused
            if self._held > BODIES_AT_ONCE * self._limit:
                refused = QueueFull("too many large bodies are being received")
                raise refused
            return message

        async def watched(message: Message) -> None:
            nonlocal begun
            if refused is None or begun:  # what the routes make of a refused body does not go out
                begun = True
                await send(message)

        if declared.isascii() and declared.isdigit() and int(declared) > self._limit:
            refused = TooLarge(f"the body is over the limit of {self._limit} bytes")
        else:
            try:
                await self._app(scope, limited, watched)
            except AppError:
                # Whatever became of the error further in, a refused body is answered here.
                if refused is None or begun:
                    raise
            finally:
                self._held -= seen
        if refused is not None and not begun:
            await _refuse(refused, receive, send)


async def refuse(error: Exception, receive: Receive, send: Send, *, body: bool) -> None:
    """Answer with the problem of an error before anything of the request's body was read; `body`: it may have one."""
    if body:
        await _refuse(error, receive, send)
    else:
        await send_problem(error, send)


async def _refuse(error: Exception, receive: Receive, send: Send) -> None:
    """Send the problem whole, then read and drop for a while: a sender that is cut off might never look at it."""
    held: list[Message] = []

    async def hold(message: Message) -> None:
        held.append(message)

    await send_problem(error, hold)
    start, body = held
    MutableHeaders(scope=start)["Connection"] = "close"
    await send(start)
    await send({**body, "more_body": True})
    dropped = 0
    deadline = time.monotonic() + DRAIN_SECONDS
    pending = True
    while pending and dropped < DRAIN_BYTES and (left := deadline - time.monotonic()) > 0:
        try:
            message = await asyncio.wait_for(receive(), left)
        except TimeoutError:
            break
        dropped += len(message.get("body", b""))
        pending = bool(message.get("more_body", False))
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _method(scope: Scope) -> str:
    """The method for the log; what no server knows is not repeated there."""
    method: str = scope["method"]
    return method if method in METHODS else "?"


def _who(scope: Scope) -> dict[str, Any]:
    """Who asked, as the gate found out: the key's id and its tenant, never the key."""
    key = getattr(scope.get("state", {}).get("caller"), "key", None)
    return {} if key is None else {"key": key.id, "tenant": key.tenant}


async def send_problem(error: BaseException, send: Send) -> None:
    """Answer with the problem of an error."""
    body = problems.problem_of(error, request_id=telemetry.request_id.get())
    content = encode(body)
    headers: dict[str, Any] = {
        "content-type": problems.MEDIA_TYPE,
        "content-length": str(len(content)),
        **problems.headers_of(error),
    }
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": body["status"], "headers": raw})
    await send({"type": "http.response.body", "body": content})


def encode(value: object) -> bytes:
    """JSON as it goes out. Lone surrogates, which UTF-8 cannot hold, become question marks."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")
