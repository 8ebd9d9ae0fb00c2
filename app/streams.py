"""Server-sent events: from a thread that works for one client, or from a job that anybody may follow.

Events are encoded by FastAPI's own `format_sse_event`; its `EventSourceResponse` only names the media type.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from pydantic import BaseModel
from starlette.responses import Response

from app import problems, telemetry
from app.errors import Cancelled
from app.jobs import OVER, Jobs
from retriever.store import Job

RETRY_MS = 2_000  # how long a browser waits before it follows a job again
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the second for gateways that are not ours


class Source(Protocol):
    """Where the chunks of one stream come from."""

    async def next(self) -> bytes | None:
        """The next event, or a heartbeat when there was none for a while; None at the end."""

    def close(self) -> None:
        """The stream is over, or its client is gone."""


def event(name: str, data: Mapping[str, Any], *, identifier: str | None = None, retry: int | None = None) -> bytes:
    """One event as it goes over the wire. Lone surrogates, which UTF-8 cannot hold, become question marks."""
    return format_sse_event(event=name, data_str=_json(data), id=identifier, retry=retry)


def unnamed(data: Mapping[str, Any]) -> bytes:
    """An event without a name, as some clients want them."""
    return format_sse_event(data_str=_json(data))


def _json(data: Mapping[str, Any]) -> str:
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode("utf-8")


def error_event(problem: Mapping[str, Any]) -> bytes:
    """The last event of a stream that failed."""
    return event("error", problem)


async def streamed(source: Source, *, failed: Callable[[Mapping[str, Any]], bytes] = error_event) -> Response:
    """The reply that streams a source. What fails before its first event is an error like any other.

    What fails later ends it with what `failed` makes of the problem.
    """
    try:
        first = await source.next()
    except BaseException:
        source.close()
        raise
    return EventSourceResponse(_chunks(first, source, failed), headers=HEADERS)


async def _chunks(
    first: bytes | None, source: Source, failed: Callable[[Mapping[str, Any]], bytes]
) -> AsyncIterator[bytes]:
    """The chunks up to the end, or to an error as an event. Cancelled where the client is gone."""
    chunk = first
    try:
        while chunk is not None:
            yield chunk
            chunk = await source.next()
    except Exception as error:  # noqa: BLE001 - too late for another status: it goes out as an event
        if problems.meaning(error).status >= 500:
            telemetry.log("stream failed", level=40, error=error)
        yield failed(problems.problem_of(error, request_id=telemetry.request_id.get()))
    finally:
        source.close()


class Channel:
    """The events of work on a thread, to one client; made in the event loop."""

    def __init__(self, *, heartbeat: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._heartbeat = heartbeat
        self._arrived = asyncio.Event()
        self._chunks: deque[bytes] = deque()
        self._over = False
        self._error: BaseException | None = None
        self._abandoned = False

    def tell(self, name: str, data: Mapping[str, Any]) -> None:
        """Send an event, from the thread. Raises Cancelled once the client is gone."""
        self.send(event(name, data))

    def send(self, chunk: bytes) -> None:
        """Send an event that is made already, from the thread. Raises Cancelled once the client is gone."""
        self.check()
        self._chunks.append(chunk)
        self._loop.call_soon_threadsafe(self._arrived.set)

    def progress(self, done: int, total: int | None, unit: str) -> None:
        """Send a `progress` event, from the thread. Raises Cancelled once the client is gone."""
        self.tell("progress", {"done": done, "total": total, "unit": unit})

    def check(self) -> None:
        """Raise Cancelled once the client is gone."""
        if self._abandoned:
            raise Cancelled("the client is gone")

    def end(self, error: BaseException | None = None) -> None:
        """Nothing comes after this, from the thread; `error` is what the work raised."""
        self._error, self._over = error, True
        self._loop.call_soon_threadsafe(self._arrived.set)

    async def next(self) -> bytes | None:
        """As `Source` says. Raises what the work raised, after the events before it."""
        while not self._chunks and not self._over:
            self._arrived.clear()
            if not self._chunks and not self._over and not await _set_within(self._arrived, self._heartbeat):
                return KEEPALIVE_COMMENT
        if self._chunks:
            return self._chunks.popleft()
        if self._error is not None:
            raise self._error
        return None

    def close(self) -> None:
        """The work stops when it next looks."""
        self._abandoned = True


class JobEvents:
    """The states of a job, from the first that a client has not seen: `progress` events, then `done` with the job.

    An event's id is the time of the state, so a client that comes back with it gets what is newer; states in between
    that are over are left out. It ends early when the service stops.
    """

    def __init__(
        self,
        jobs: Jobs,
        job: Job,
        *,
        seen: str | None,
        show: Callable[[Job], BaseModel],
        heartbeat: float,
    ) -> None:
        self._jobs, self._job, self._seen, self._show = jobs, job, seen, show
        self._heartbeat = heartbeat
        self._listener = jobs.listen(job.id)

    @property
    def finished(self) -> bool:
        """Whether the client has seen the end already."""
        return self._job.status in OVER and self._seen == self._job.updated_at

    async def next(self) -> bytes | None:
        """As `Source` says. Raises NotFound and StoreUnavailable."""
        while not self.finished:
            self._listener.clear()
            job = self._job = await asyncio.to_thread(self._jobs.store.job, self._job.tenant, self._job.id)
            if self._seen != job.updated_at:
                self._seen = job.updated_at
                return self._event(job)
            if self._jobs.leaving:
                return None
            if not await _set_within(self._listener.changed, self._heartbeat):
                return KEEPALIVE_COMMENT
        return None

    def _event(self, job: Job) -> bytes:
        if job.status in OVER:
            return event("done", self._show(job).model_dump(mode="json"), identifier=job.updated_at)
        data = {"status": job.status, "done": job.done, "total": job.total, "unit": job.unit}
        return event("progress", data, identifier=job.updated_at, retry=RETRY_MS)

    def close(self) -> None:
        """Nobody follows the job here any more; it goes on."""
        self._listener.close()


async def _set_within(flag: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(flag.wait(), seconds)
    except TimeoutError:
        return False
    return True
