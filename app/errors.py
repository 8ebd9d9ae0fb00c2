"""The errors of the service itself, one tree:

AppError
├── Malformed               the body is not JSON, or not the multipart that its header names
├── Invalid                 a field is missing, unknown, of a wrong value, or two sources were given
├── UnsupportedMediaType    the request's Content-Type is not one that this route takes
├── TooLarge                the body is over the limit
├── NoSuchRoute             no such path
├── MethodNotAllowed        the path exists, the method does not
├── Unauthenticated         no key, or none that works
├── Forbidden               the key may not do this
├── Busy                    try again later
│   ├── RateLimited         the key's requests of this minute are used up
│   ├── QueueFull           more is waiting than is allowed to wait
│   └── ShuttingDown        the service is stopping and takes nothing new
├── NoGenerator             an abstractive summary was asked for, and no generator is configured
├── Cancelled               the job was cancelled while it ran
├── Stopping                the job was interrupted by a shutdown and goes on at the next start
├── JobFailed               the job behind a request failed; carries its problem
├── CitationBroken          a citation does not slice back to its quote; the reply is withheld
├── RefreshFailed           the process that embeds passages anew for a training ended with an error
├── NotTried                no encoder was learned from a collection, for a reason that its adaptation's result gives
├── Exposed                 others could connect and nobody would be asked for a key: the service does not start
└── SettingsError           the environment holds a setting that cannot be used
"""

from collections.abc import Mapping, Sequence
from typing import Any


class AppError(Exception):
    """The root: catch this to catch everything that the service raises on purpose."""


class Malformed(AppError):
    """The body is not what its Content-Type says."""


class Invalid(AppError):
    """A field of the request cannot be accepted; `errors` names each with its place."""

    def __init__(self, message: str, *, errors: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(message)
        self.errors = tuple(errors)


class UnsupportedMediaType(AppError):
    """The request's Content-Type is not one that this route takes."""


class TooLarge(AppError):
    """The body is over the limit."""


class NoSuchRoute(AppError):
    """Nothing is served at this path."""


class MethodNotAllowed(AppError):
    """The path exists, the method does not; `allowed` are those that do."""

    def __init__(self, message: str, *, allowed: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.allowed = tuple(allowed)


class Unauthenticated(AppError):
    """No key was sent, or one that does not work; `sent` says which."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class Forbidden(AppError):
    """The caller is known and may not do this; `scope` is what would be needed, if that would help."""

    def __init__(self, message: str, *, scope: str | None = None) -> None:
        super().__init__(message)
        self.scope = scope


class Busy(AppError):
    """Nothing was done; the same request may succeed after `retry_after` seconds."""

    def __init__(self, message: str, *, retry_after: int = 2) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RateLimited(Busy):
    """The requests that this key has in a minute are used up."""


class QueueFull(Busy):
    """More is waiting than is allowed to wait."""


class ShuttingDown(Busy):
    """The service is stopping and takes nothing new."""


class NoGenerator(AppError):
    """An abstractive summary was asked for and no generator is configured."""


class Cancelled(AppError):
    """The job was cancelled while it ran; its handler stops at the next report of progress."""


class Stopping(AppError):
    """The service is stopping: the handler leaves its job as it is, to go on at the next start."""


class JobFailed(AppError):
    """The job behind a request failed; `problem` is the job's own problem, with its status and code."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        super().__init__(str(problem.get("detail", "the job failed")))
        self.problem = dict(problem)


class CitationBroken(AppError):
    """A citation does not slice back to its quote: a defect of ours, so the reply is withheld."""


class RefreshFailed(AppError):
    """The process that embeds passages anew ended with an error; what it was to replace is still in use."""


class NotTried(AppError):
    """No encoder was learned from a collection, for the reason that the message gives: a result tells it."""


class Exposed(AppError):
    """Others than this machine could connect, and nobody would be asked for a key; the message says what to do."""


class SettingsError(AppError):
    """The environment holds a setting that cannot be used; the message names it and the nearest valid one."""
