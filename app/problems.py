"""One table from errors to HTTP: status, code and title, and the problem+json body (RFC 9457) made from it.

The submitted text is never part of a problem: details are written by us, and validation errors lose their input.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app import errors as app_errors
from model import errors as model_errors
from retriever import errors as retriever_errors

Code = Literal[
    "malformed",
    "invalid",
    "too_large",
    "unsupported",
    "unreadable",
    "no_text",
    "limits",
    "not_found",
    "method",
    "precondition",
    "conflict",
    "unauthenticated",
    "forbidden",
    "rate_limited",
    "busy",
    "storage",
    "internal",
]

MEDIA_TYPE = "application/problem+json"
_PLAIN_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]{0,63}\Z")
# pydantic puts these markers of a union's branches into `loc`; a client knows nothing of them.
_BRANCHES = re.compile(r"(bool|int|float|str|none|list\[.*|function-.*|constrained-.*|[A-Z]\w*)\Z")

# Pydantic's own words name our classes here.
_MESSAGES = {"model_type": "must be an object", "model_attributes_type": "must be an object"}


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What an error means to a client. With `opaque`, the error's own message stays inside the service."""

    status: int
    code: Code
    title: str
    opaque: bool = False


MALFORMED = Meaning(status=400, code="malformed", title="The body cannot be read")
INVALID = Meaning(status=422, code="invalid", title="The request is not valid")
TOO_LARGE = Meaning(status=413, code="too_large", title="The body is too large")
UNSUPPORTED = Meaning(status=415, code="unsupported", title="The format is not supported")
UNREADABLE = Meaning(status=422, code="unreadable", title="The file cannot be read")
NOT_FOUND = Meaning(status=404, code="not_found", title="Not found")
METHOD = Meaning(status=405, code="method", title="Method not allowed")
UNAUTHENTICATED = Meaning(status=401, code="unauthenticated", title="A key is needed")
FORBIDDEN = Meaning(status=403, code="forbidden", title="Not allowed")
RATE_LIMITED = Meaning(status=429, code="rate_limited", title="A limit is reached")
BUSY = Meaning(status=503, code="busy", title="Busy: try again later")
UNREACHABLE = Meaning(status=503, code="storage", title="The store cannot be reached", opaque=True)
INTERNAL = Meaning(status=500, code="internal", title="Something went wrong inside the service", opaque=True)

MEANINGS: Mapping[type[Exception], Meaning] = {
    app_errors.AppError: INTERNAL,
    app_errors.Malformed: MALFORMED,
    app_errors.Invalid: INVALID,
    app_errors.UnsupportedMediaType: UNSUPPORTED,
    app_errors.TooLarge: TOO_LARGE,
    app_errors.NoSuchRoute: NOT_FOUND,
    app_errors.MethodNotAllowed: METHOD,
    app_errors.Unauthenticated: UNAUTHENTICATED,
    app_errors.Forbidden: FORBIDDEN,
    app_errors.Busy: BUSY,
    app_errors.RateLimited: RATE_LIMITED,
    app_errors.QueueFull: BUSY,
    app_errors.ShuttingDown: BUSY,
    app_errors.NoGenerator: Meaning(status=409, code="conflict", title="No generator is configured"),
    app_errors.Cancelled: Meaning(status=409, code="conflict", title="The job was cancelled"),
    app_errors.Stopping: BUSY,
    app_errors.JobFailed: INTERNAL,  # only its own problem is ever shown: see `problem_of`
    app_errors.CitationBroken: INTERNAL,
    app_errors.RefreshFailed: INTERNAL,
    app_errors.NotTried: INTERNAL,  # the adaptation catches it
    app_errors.Exposed: INTERNAL,
    app_errors.SettingsError: INTERNAL,
    retriever_errors.RetrieverError: INTERNAL,
    retriever_errors.ParsingError: UNREADABLE,
    retriever_errors.UnsupportedFormat: UNSUPPORTED,
    retriever_errors.UnreadableFile: UNREADABLE,
    retriever_errors.NoText: Meaning(status=422, code="no_text", title="The file holds no text"),
    retriever_errors.LimitExceeded: Meaning(status=422, code="limits", title="The file goes past a limit"),
    retriever_errors.ParserFailed: INTERNAL,
    retriever_errors.ParsersClosed: BUSY,
    retriever_errors.NotFound: NOT_FOUND,
    retriever_errors.PreconditionFailed: Meaning(status=412, code="precondition", title="Not the current version"),
    retriever_errors.Conflict: Meaning(status=409, code="conflict", title="In conflict with what is there"),
    retriever_errors.Outdated: INTERNAL,  # the ingest catches it
    retriever_errors.KeyReused: INVALID,
    retriever_errors.OverQuota: RATE_LIMITED,
    retriever_errors.StoreError: UNREACHABLE,
    retriever_errors.StoreUnavailable: UNREACHABLE,
    retriever_errors.StoreCorrupt: UNREACHABLE,
    retriever_errors.StorageFull: Meaning(status=507, code="storage", title="No space is left", opaque=True),
    retriever_errors.StoreOlder: INTERNAL,
    retriever_errors.StoreNewer: INTERNAL,
    retriever_errors.BackupBroken: INTERNAL,
    retriever_errors.IndexCorrupt: INTERNAL,
    model_errors.ModelError: INTERNAL,
    model_errors.WeightsMissing: INTERNAL,
    model_errors.WeightsCorrupt: INTERNAL,
    model_errors.UnsupportedModel: INTERNAL,
}


def meaning(error: BaseException) -> Meaning:
    """The meaning of an error: that of the nearest class in the table, `internal` for what is not in it."""
    return next((MEANINGS[kind] for kind in type(error).__mro__ if kind in MEANINGS), INTERNAL)


def problem(
    what: Meaning, *, detail: str | None = None, request_id: str = "", errors: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """The body of an error reply."""
    return {
        "type": f"urn:lectern:problem:{what.code}",
        "title": what.title,
        "status": what.status,
        "detail": detail or what.title,
        "code": what.code,
        "request_id": request_id,
        "errors": [dict(error) for error in errors],
    }


def problem_of(error: BaseException, *, request_id: str = "") -> dict[str, Any]:
    """The problem for an error; a failed job's is the job's own, under this request's id."""
    if isinstance(error, app_errors.JobFailed) and {"status", "code"} <= error.problem.keys():
        return {**error.problem, "request_id": request_id}
    what = meaning(error)
    errors = error.errors if isinstance(error, app_errors.Invalid) else ()
    return problem(what, detail=None if what.opaque else str(error) or None, request_id=request_id, errors=errors)


def headers_of(error: BaseException) -> dict[str, str]:
    """The headers that go with an error: `Retry-After` where trying again helps, the challenge where a key does."""
    if isinstance(error, app_errors.Unauthenticated):  # RFC 6750, 3: no error code where nothing was sent
        return {"WWW-Authenticate": 'Bearer error="invalid_token"' if error.sent else "Bearer"}
    if isinstance(error, app_errors.Forbidden) and error.scope:
        return {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{error.scope}"'}
    if isinstance(error, app_errors.MethodNotAllowed) and error.allowed:
        return {"Allow": ", ".join(error.allowed)}
    if isinstance(error, app_errors.Busy | retriever_errors.OverQuota):
        return {"Retry-After": str(error.retry_after)}
    return {"Retry-After": "5"} if meaning(error).status == 503 else {}


def field_errors(errors: Sequence[Mapping[str, Any]], *, prefix: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Pydantic's errors without what was submitted: places and messages only.

    A field's name is kept where it looks like one; anything else that a client sent as a name becomes `?`.
    """
    plain: dict[tuple[tuple[str | int, ...], str], dict[str, Any]] = {}
    for error in errors:
        named = len(error["loc"]) - 1 if error.get("type") == "extra_forbidden" else -1  # a field as a client named it
        parts = [
            part
            for place, part in enumerate(error["loc"])
            if isinstance(part, int) or place == named or not _BRANCHES.match(part)
        ]
        loc = [*prefix, *(p if isinstance(p, int) or _PLAIN_FIELD.match(p) else "?" for p in parts)]
        message = _MESSAGES.get(str(error.get("type"))) or str(error["msg"]).removeprefix("Value error, ")
        plain.setdefault((tuple(loc), message), {"loc": loc, "msg": message})
    return list(plain.values())
