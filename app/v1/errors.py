"""Errors under `/v1`, in OpenAI's shape, made of the problem that they are everywhere else.

One place sees all of them: what the routes refuse, and what is refused before any route, such as a missing key.
"""

import json
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import problems
from app.middleware import encode
from app.streams import unnamed
from app.v1.schemas import ErrorBody, ErrorReply

MEDIA_TYPE = "application/json"
TYPES: Mapping[int, str] = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def error_of(problem: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a problem's error; `param` is the first field that it names."""
    status = int(problem["status"])
    places = [each["loc"] for each in problem.get("errors", ()) if each["loc"]]
    body = ErrorBody(
        message=str(problem["detail"]),
        type=TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error"),
        param=".".join(map(str, places[0])) if places else None,
        code=str(problem["code"]),
    )
    return ErrorReply(error=body).model_dump(mode="json")


def error_event(problem: Mapping[str, Any]) -> bytes:
    """The last event of a stream that failed, as OpenAI's clients raise it."""
    return unnamed(error_of(problem))


class OpenAIErrors:
    """Turns the problems that go out under `/v1` into OpenAI's errors, with the same status and headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or not is_ours(scope["path"].removeprefix(scope.get("root_path", ""))):
            await self._app(scope, receive, send)
            return
        held: Message | None = None

        async def translated(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and _is_problem(message):
                held = message  # its length is that of another body
                return
            if held is not None:
                content = encode(error_of(json.loads(message["body"])))  # our problems go out in one piece
                headers = MutableHeaders(scope=held)
                headers["content-type"], headers["content-length"] = MEDIA_TYPE, str(len(content))
                start, held, message = held, None, {**message, "body": content}
                await send(start)
            await send(message)

        await self._app(scope, receive, translated)


def is_ours(path: str) -> bool:
    """Whether a path is under `/v1`."""
    return path == "/v1" or path.startswith("/v1/")


def _is_problem(start: Message) -> bool:
    return Headers(raw=start["headers"]).get("content-type", "") == problems.MEDIA_TYPE
