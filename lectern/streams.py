"""Server-sent events: what has been seen of one stream, and what each of its events is to a client.

A `Track` reads nothing itself: the sync and the async client open what it names and give it the events. Comments, which
the service sends in silence, never come this far: httpx-sse reads the format as the HTML standard has it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Generic, TypeVar

import httpx
from httpx_sse import ServerSentEvent

from lectern import calls, replies
from lectern.calls import Call
from lectern.errors import LecternError, NoConnection, UnexpectedReply, problem_from
from lectern.options import AskOptions, SummarizeOptions
from lectern.steps import RESTART, Patience, Pause, Steps, sent

T = TypeVar("T")
Reader = Callable[[Any], T]


class Track(Generic[T]):
    """One stream from its first event to its last; `over` once nothing comes any more.

    With `resumes`, a broken connection is made again from the last event that was seen; else it is an error.
    """

    def __init__(
        self, call: Call[None], readers: Mapping[str, Reader[T]], *, last: str, resumes: bool = False, seen: str = ""
    ) -> None:
        self.over = False
        self._call, self._readers, self._last, self._resumes = call, readers, last, resumes
        self._seen, self._cuts = seen, 0

    def opened(self, patience: Patience) -> Steps[httpx.Response]:
        """Open the stream, or open it again after it broke. Raises as `steps.sent` does, and UnexpectedReply."""
        if self._cuts > 1:  # the first time at once: a gateway may only have ended a long connection
            yield Pause(seconds=patience.pause(self._cuts))
        headers = {**self._call.headers, **({"Last-Event-ID": self._seen} if self._seen else {})}
        retries = patience.retries + (RESTART if self._resumes else 0)
        reply = yield from sent(replace(self._call, headers=headers), patience, retries=retries)
        self.over = reply.status_code == 204  # nothing comes after the last event that was seen
        return reply

    def take(self, event: ServerSentEvent) -> list[T]:
        """What an event is to the client: one thing, or nothing. Raises the Problem of an `error` event."""
        if not event.data:  # an id that is kept makes httpx-sse tell of comments too
            return []
        payload = _parsed(event.data)
        if event.event == "error":
            self.over = True
            raise _failure(payload)
        self._cuts, self._seen = 0, event.id
        self.over = event.event == self._last
        reader = self._readers.get(event.event)
        return [] if reader is None else [_read(reader, payload)]

    def cut(self, error: Exception | None, patience: Patience) -> None:
        """The stream ended, or broke by `error`, before it was over. Raises NoConnection unless it is opened again."""
        self._cuts += 1
        if not self._resumes or self._cuts > patience.retries:
            raise NoConnection("the stream broke off before its end") from error


def answers(question: str | list[str], options: AskOptions) -> Track[replies.Found | replies.Answer]:
    """The passages and then the answer, of each question in turn."""
    call = calls.ask(question, options) if isinstance(question, str) else calls.ask_many(question, options)
    readers: Mapping[str, Reader[replies.Found | replies.Answer]] = {
        "hits": replies.Found.model_validate,
        "answer": replies.Answer.model_validate,
    }
    return Track(calls.streaming(call), readers, last="done")


def summary(options: SummarizeOptions) -> Track[replies.Progress | replies.SummarySentence | replies.Summary]:
    """How far it is, each sentence, and the whole summary."""
    readers: Mapping[str, Reader[replies.Progress | replies.SummarySentence | replies.Summary]] = {
        "progress": replies.Progress.model_validate,
        "sentence": replies.SummarySentence.model_validate,
        "summary": replies.Summary.model_validate,
    }
    return Track(calls.streaming(calls.summarize(options)), readers, last="done")


def job(job_id: str) -> Track[replies.JobProgress | replies.Job]:
    """New states of a job, and the job once it is over; resumed where the connection breaks."""
    readers: Mapping[str, Reader[replies.JobProgress | replies.Job]] = {
        "progress": replies.JobProgress.model_validate,
        "done": replies.Job.model_validate,
    }
    return Track(calls.job_events(job_id), readers, last="done", resumes=True)


def is_stream(reply: httpx.Response) -> bool:
    """Whether a reply is a stream of events. Raises UnexpectedReply for anything else that should have been one."""
    if reply.status_code == 204:
        return False
    if reply.headers.get("content-type", "").startswith("text/event-stream"):
        return True
    raise UnexpectedReply("a reply that is no stream of events", status=reply.status_code)


def _failure(payload: Any) -> LecternError:
    if isinstance(payload, Mapping):
        return problem_from(payload)
    return UnexpectedReply("an error of another shape than Lectern's", status=200)


def _parsed(data: str) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        raise UnexpectedReply("an event that is not JSON", status=200) from error


def _read(reader: Reader[T], payload: Any) -> T:
    try:
        return reader(payload)
    except (ValueError, KeyError, TypeError):
        raise UnexpectedReply("an event of another shape than Lectern's", status=200) from None
