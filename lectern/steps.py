"""What a call takes, step by step: sending, waiting before it is sent again, following a job to its end.

Written once as generators, without any input or output: they yield a `Send` or a `Pause`, and are given the reply.
The sync and the async client only carry the steps out.
"""

import random
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx

from lectern import calls, replies
from lectern.calls import Call
from lectern.errors import (
    DeadlineExceeded,
    JobCancelled,
    LecternError,
    NoConnection,
    UnexpectedReply,
    problem_from,
)

T = TypeVar("T")
R = TypeVar("R", bound=replies.Reply)

LONGEST_PAUSE = 60.0  # seconds: a Retry-After beyond it, as of a quota, is the caller's to decide about
SLOWEST = 8.0  # seconds between two tries, however many there were
RESTART = 6  # further tries of who follows a job: a service that restarts goes on with it
POLL = 20.0  # seconds that the service is asked to wait for a job: well below any gateway's timeout
UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)  # nothing has reached the service
GATEWAY = frozenset({502, 504})  # of a gateway whose service is gone: what became of the request is not known


@dataclass(frozen=True, kw_only=True)
class Patience:
    """For how long, and how often, a call is tried; times in seconds, `until` by the monotonic clock."""

    until: float
    timeout: float
    retries: int
    backoff: float

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self.until - time.monotonic()

    def pause(self, attempt: int, *, asked: float = 0.0) -> float:
        """Seconds before try `attempt` + 1: what was asked for and, so that clients do not come back together, more."""
        return asked + random.uniform(0.5, 1.0) * min(self.backoff * 2.0**attempt, SLOWEST)  # noqa: S311 - not a secret


@dataclass(frozen=True, kw_only=True)
class Send:
    """Send this, and give back the reply; where it is streamed and a success, unread. Seconds without a byte."""

    call: Call[Any]
    timeout: float


@dataclass(frozen=True, kw_only=True)
class Pause:
    """Wait."""

    seconds: float


Steps = Generator[Send | Pause, Any, T]


def sent(call: Call[Any], patience: Patience, *, retries: int | None = None) -> Steps[httpx.Response]:
    """The reply to a call, which is sent again where that is safe and may help.

    Raises Problem, NoConnection and UnexpectedReply.
    """
    lost, attempt = False, 0
    most = patience.retries if retries is None else retries
    while True:
        failure: LecternError
        try:
            reply: httpx.Response = yield Send(call=call, timeout=_silence(call, patience))
        except httpx.RequestError as error:
            unsent = isinstance(error, UNSENT)
            lost = lost or not unsent
            failure, asked = _no_connection(error), 0.0
            again = unsent or call.repeat == "always"
        else:
            if reply.is_redirect:  # not followed: the key would go there too
                raise UnexpectedReply("the service is at another address: name that one", status=reply.status_code)
            if not reply.is_error or reply.status_code in call.expected:
                return reply
            if lost and call.method == "DELETE" and reply.status_code == 404 and call.form == "nothing":
                return reply  # the try whose reply was lost has deleted it
            failure = _failure(reply)
            asked, again = _worth_repeating(call, reply)
        pause = patience.pause(attempt, asked=asked)
        if not again or attempt >= most or asked > LONGEST_PAUSE or pause > patience.left:
            raise failure
        attempt += 1
        yield Pause(seconds=pause)


def done(call: Call[T], patience: Patience) -> Steps[T]:
    """What a call gives. Raises as `sent` does."""
    reply = yield from sent(call, patience)
    return _read(call, reply)


def answered(call: Call[T], patience: Patience) -> Steps[T]:
    """What a question or summary gives, also where it becomes a job meanwhile. Raises as `result` does."""
    reply = yield from sent(call, patience)
    if reply.status_code != 202:
        return _read(call, reply)
    found = yield from result(_as(replies.Accepted, reply).job, patience)
    return _validated(call, found, status=202)


def stored(call: Call[replies.Document], patience: Patience, *, follow: bool) -> Steps[replies.Document]:
    """The document of an upload, once it is indexed; where it is not followed, as the service has it now."""
    reply = yield from sent(call, patience)
    found = _read(call, reply)
    if reply.status_code != 202 or not follow or found.job is None:
        return found
    yield from result(found.job, patience)
    return (yield from done(calls.document(found.id), patience))


def finished(call: Call[replies.Accepted], model: type[R], patience: Patience) -> Steps[R]:
    """The result of a call that is always a job. Raises as `result` does."""
    accepted = yield from done(call, patience)
    found = yield from result(accepted.job, patience)
    return _validated(Call(method="GET", path="", read=model.model_validate), found, status=200)


def begun(call: Call[replies.Accepted], patience: Patience) -> Steps[replies.Job]:
    """The job that a call has begun."""
    accepted = yield from done(call, patience)
    return (yield from done(calls.job(accepted.job), patience))


def result(job_id: str, patience: Patience) -> Steps[Mapping[str, Any]]:
    """The result of a job, once it is over.

    Raises its Problem, JobCancelled, and DeadlineExceeded; the job goes on then.
    """
    job = yield from settled(job_id, patience)
    if job.problem is not None:
        raise problem_from(job.problem)
    if job.status == "cancelled":
        raise JobCancelled(job.id)
    return job.result or {}


def settled(job_id: str, patience: Patience) -> Steps[replies.Job]:
    """A job once it is over, however it ended; also across a restart of the service. Raises DeadlineExceeded."""
    attempt = 0
    while True:
        wait = max(0.0, min(POLL, patience.left))
        asked = time.monotonic()
        reply = yield from sent(calls.job(job_id, wait=wait), patience, retries=patience.retries + RESTART)
        job = _as(replies.Job, reply)
        if job.over:
            return job
        if patience.left <= 0:
            raise DeadlineExceeded(job_id)
        if time.monotonic() - asked < wait / 2:  # it lets go of all who wait before it stops
            pause = patience.pause(attempt)
            attempt += 1
            yield Pause(seconds=min(pause, max(0.0, patience.left)))


def _worth_repeating(call: Call[Any], reply: httpx.Response) -> tuple[float, bool]:
    """The seconds that an error asks to wait, and whether the call may be sent again."""
    asked = retry_after(reply)
    if reply.status_code in (429, 503) and asked is not None:
        return asked, call.repeat != "unsent"
    return 0.0, reply.status_code in GATEWAY and call.repeat == "always"


def retry_after(reply: httpx.Response) -> float | None:
    """The seconds of `Retry-After`, which is a number or a date (RFC 9110, 10.2.3); None where there is none."""
    sent = reply.headers.get("retry-after", "").strip()
    if sent.isascii() and sent.isdigit():
        return float(sent)
    try:
        return max(0.0, parsedate_to_datetime(sent).timestamp() - time.time())
    except ValueError:
        return None


def _failure(reply: httpx.Response) -> LecternError:
    """The error that a reply tells of. What is no problem of Lectern's comes from something else in between."""
    status, asked = reply.status_code, retry_after(reply)
    try:
        payload = reply.json()
    except ValueError:
        payload = None
    if isinstance(payload, Mapping) and isinstance(payload.get("code"), str):
        return problem_from({"status": status, **payload}, retry_after=asked)
    if status in (429, 503):
        return problem_from(
            {"status": status, "code": "busy" if status == 503 else "rate_limited", "detail": reply.reason_phrase},
            retry_after=asked,
        )
    return UnexpectedReply(f"{status} {reply.reason_phrase}, but not from Lectern", status=status)


def _no_connection(error: httpx.RequestError) -> NoConnection:
    place = error.request.url.copy_with(path="/", query=None)
    if isinstance(error, httpx.TimeoutException) and not isinstance(error, UNSENT):
        return NoConnection(f"no reply from {place} in time")
    reason = str(error) or type(error).__name__
    said = "cannot reach" if isinstance(error, UNSENT) else "the connection broke to"
    return NoConnection(f"{said} {place}: {reason}")


def _silence(call: Call[Any], patience: Patience) -> float:
    """The seconds that a reply may be silent: what it was asked to wait comes on top, and no more than are left."""
    return max(0.001, min(patience.timeout + (call.wait or 0.0), max(patience.left, 1.0)))


def _read(call: Call[T], reply: httpx.Response) -> T:
    if call.form == "nothing":
        return call.read(None)
    if call.form == "bytes":
        return call.read(reply.content)
    try:
        payload = reply.json()
    except ValueError as error:
        raise UnexpectedReply("a reply that is not JSON", status=reply.status_code) from error
    return _validated(call, payload, status=reply.status_code)


def _as(model: type[R], reply: httpx.Response) -> R:
    return _read(Call(method="GET", path="", read=model.model_validate), reply)


def _validated(call: Call[T], payload: Any, *, status: int) -> T:
    """The payload as the call reads it. What was in it is not part of the error."""
    try:
        return call.read(payload)
    except (ValueError, KeyError, TypeError):
        raise UnexpectedReply("a reply of another shape than Lectern's", status=status) from None
