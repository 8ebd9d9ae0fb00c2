"""Everything that a client raises.

LecternError
├── Problem              the service refused or failed, and said so as problem+json
│   ├── Malformed · Invalid · TooLarge · Unsupported · Unreadable · NoText · Limits
│   ├── NotFound · MethodNotAllowed · PreconditionFailed · Conflict
│   ├── Unauthenticated · Forbidden · RateLimited · Busy
│   └── StorageFailed · InternalError
├── NoConnection         nothing answers there, or the connection broke
├── UnexpectedReply      something answers, but not as Lectern does
├── JobCancelled         the job that was waited for was cancelled
└── DeadlineExceeded     the time that was given is over; a job may go on
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class LecternError(Exception):
    """The base of all that a client raises about the service."""


@dataclass(frozen=True, kw_only=True)
class FieldError:
    """One field that was not accepted: its path, and what is wrong with it."""

    loc: tuple[str | int, ...]
    msg: str


class Problem(LecternError):
    """A problem as RFC 9457 has it; `code` is stable, `errors` name fields, `retry_after` is in seconds.

    A problem whose code is newer than this client is a plain `Problem`.
    """

    def __init__(
        self,
        detail: str,
        *,
        status: int,
        code: str,
        title: str = "",
        request_id: str = "",
        errors: tuple[FieldError, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail, self.status, self.code, self.title = detail, status, code, title
        self.request_id, self.errors, self.retry_after = request_id, errors, retry_after

    def __str__(self) -> str:
        """What happened, with the code and the request's id to look for in the service's log."""
        named = f"{self.code}, request {self.request_id}" if self.request_id else self.code
        return f"{self.detail} ({named})"


class Malformed(Problem):
    """400: the body could not be read."""


class Invalid(Problem):
    """422: a missing, unknown or wrong field; `errors` name it."""


class TooLarge(Problem):
    """413: the body is over the service's limit."""


class Unsupported(Problem):
    """415: a format that is not supported, or content that is not what it claims."""


class Unreadable(Problem):
    """422: a broken or encrypted file."""


class NoText(Problem):
    """422: a file without text, such as a scan."""


class Limits(Problem):
    """422: a file past a limit of pages, nesting, text or time."""


class NotFound(Problem):
    """404: no such document, collection, job or version."""


class MethodNotAllowed(Problem):
    """405: the path does not take this method."""


class PreconditionFailed(Problem):
    """412: `if_match` named another version than the current one."""


class Conflict(Problem):
    """409: a concurrent change came first, or the service is not set up for this."""


class Unauthenticated(Problem):
    """401: no key, or one that is wrong, revoked or expired."""


class Forbidden(Problem):
    """403: the key lacks the scope."""


class RateLimited(Problem):
    """429: the requests, documents, bytes or waiting jobs of the key are used up."""


class Busy(Problem):
    """503: too much is waiting, or the service is stopping."""


class StorageFailed(Problem):
    """507 or 503: the disk is full, or the store cannot be reached."""


class InternalError(Problem):
    """500: a defect of the service; its log has the `request_id`."""


class NoConnection(LecternError):
    """Nothing answers at the service's address, or the connection broke before the reply was whole."""


class UnexpectedReply(LecternError):
    """What answers is not Lectern, or not one that this client understands; `status` is the reply's."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class JobCancelled(LecternError):
    """The job `job` was cancelled while its result was waited for."""

    def __init__(self, job: str) -> None:
        super().__init__(f"the job {job} was cancelled")
        self.job = job


class DeadlineExceeded(LecternError):
    """The time that a call was given is over. The job `job` goes on: `client.jobs.wait(error.job)` waits on."""

    def __init__(self, job: str) -> None:
        super().__init__(f"the job {job} is not over yet; it goes on")
        self.job = job


BY_CODE: Mapping[str, type[Problem]] = {
    "malformed": Malformed,
    "invalid": Invalid,
    "too_large": TooLarge,
    "unsupported": Unsupported,
    "unreadable": Unreadable,
    "no_text": NoText,
    "limits": Limits,
    "not_found": NotFound,
    "method": MethodNotAllowed,
    "precondition": PreconditionFailed,
    "conflict": Conflict,
    "unauthenticated": Unauthenticated,
    "forbidden": Forbidden,
    "rate_limited": RateLimited,
    "busy": Busy,
    "storage": StorageFailed,
    "internal": InternalError,
}


def problem_from(payload: Mapping[str, Any], *, retry_after: float | None = None) -> Problem:
    """The error for a problem's body, of a reply, an `error` event or a failed job."""
    code, status, errors = str(payload.get("code", "")), payload.get("status"), payload.get("errors")
    listed = [each for each in errors if isinstance(each, Mapping)] if isinstance(errors, list) else []
    return BY_CODE.get(code, Problem)(
        str(payload.get("detail") or payload.get("title") or "the service gave no reason"),
        status=status if isinstance(status, int) else 0,
        code=code,
        title=str(payload.get("title", "")),
        request_id=str(payload.get("request_id", "")),
        errors=tuple(FieldError(loc=_place(each.get("loc")), msg=str(each.get("msg", ""))) for each in listed),
        retry_after=retry_after,
    )


def _place(loc: Any) -> tuple[str | int, ...]:
    return tuple(loc) if isinstance(loc, list) else ()
