"""Request ids and logs: one JSON object a line, never a word of a document, a question or an answer."""

import json
import logging
import re
import secrets
import sys
import time
import traceback
from contextvars import ContextVar
from typing import Any

from app import metrics, tracing
from retriever.errors import ParserFailed

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request at hand; empty outside of one."""

_SANE = re.compile(r"[A-Za-z0-9._\-]{1,128}\Z")
logger = logging.getLogger("lectern")
OURS = ("lectern", "retriever", "model", "uvicorn", "uvicorn.error")
OTHERS = ("asyncio", "concurrent.futures", "opentelemetry")  # else Python's last resort shows what they say as it is


def new_request_id(sent: str | None = None) -> str:
    """The caller's own id where it is sane, else a new one of 32 hexadecimal digits."""
    return sent if sent and _SANE.match(sent) else secrets.token_hex(16)


class JsonLines(logging.Formatter):
    """A record as one JSON object. Of an exception it keeps the kinds and the places, not the messages or values."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage().partition("\n")[0],  # after it asyncio shows an exception, message and all
        }
        if identifier := request_id.get():
            line["request_id"] = identifier
        line.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[1]:
            line["error"] = describe(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False, default=str)


def describe(error: BaseException) -> list[dict[str, Any]]:
    """An exception and its causes as kinds and places. Messages may quote what was submitted, so they are left out."""
    described: list[dict[str, Any]] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        frames = traceback.extract_tb(current.__traceback__)[-12:]
        described.append(
            {"kind": type(current).__qualname__, "at": [f"{f.filename}:{f.lineno} {f.name}" for f in frames]}
        )
        if isinstance(current, ParserFailed):  # in another process: what it told of it
            described.append({"kind": current.kind, "at": list(current.places)})
        current = current.__cause__ or current.__context__
    return described


def log(event: str, *, level: int = logging.INFO, error: BaseException | None = None, **fields: Any) -> None:
    """One line about one event; fields are numbers, ids, names and paths, never submitted text."""
    logger.log(level, event, extra={"fields": fields}, exc_info=error)


def configure(level: str) -> None:
    """Send the service's and the server's logs to standard error, a JSON object a line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in OURS + OTHERS:
        target = logging.getLogger(name)
        target.handlers = [handler] if name != "uvicorn.error" else []
        target.propagate = name == "uvicorn.error"
        target.setLevel(level.upper())
    quiet = logging.getLogger("mcp")  # its messages quote what clients sent; what fails in a tool is logged here
    quiet.handlers, quiet.propagate = [logging.NullHandler()], False
    logging.getLogger("uvicorn.access").handlers = []
    logging.getLogger("uvicorn.access").propagate = False


class Timer:
    """Milliseconds of the stages of one reply, or of a job; metrics and traces are told of each stage too."""

    def __init__(self, operation: str) -> None:
        self._operation = operation
        self._start = self._last = time.perf_counter()
        self.stages: dict[str, float] = {}

    def stage(self, name: str) -> None:
        """What happened since the last stage was this one."""
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        self.stages[name] = round(self.stages.get(name, 0.0) + seconds * 1000, 2)
        metrics.STAGE_SECONDS.labels(self._operation, name).observe(seconds)
        tracing.stage(f"{self._operation} {name}", seconds)

    def total(self) -> dict[str, float]:
        """All stages and their total."""
        return {**self.stages, "total": round((time.perf_counter() - self._start) * 1000, 2)}
