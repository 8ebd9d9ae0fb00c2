"""Where the service is and who asks, and the requests of httpx that calls become: the same for both clients."""

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import httpx

from lectern.calls import Call
from lectern.steps import Patience

DEFAULT_URL = "http://127.0.0.1:8000"
_SENDABLE = re.compile(r"[!-~]+\Z")  # what a header can carry as one word


def _version() -> str:
    try:
        return version("lectern")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0"


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Address and key of a service, and how patient its client is, in seconds.

    `timeout` is for silence, `deadline` for one call with all its tries and waiting; `backoff` before the second try,
    twice as long before each later one.
    """

    url: str
    key: str | None
    timeout: float
    deadline: float
    retries: int
    backoff: float

    def __post_init__(self) -> None:
        """Raise ValueError for what cannot work."""
        if not self.url.startswith(("http://", "https://")):
            raise ValueError("the address of the service begins with http:// or https://")
        try:
            httpx.URL(self.url)
        except httpx.InvalidURL as error:
            raise ValueError(f"the address of the service is not one: {error}") from error
        if self.key is not None and not _SENDABLE.match(self.key):  # httpx would refuse it in words that show it
            raise ValueError("the key is not one: it has characters that no key has")
        if min(self.timeout, self.deadline) <= 0 or self.retries < 0 or self.backoff < 0:
            raise ValueError("timeout and deadline are more than 0 seconds, retries and backoff at least 0")

    def __repr__(self) -> str:
        """Without the key."""
        return f"Connection(url={self.url!r})"

    def headers(self, more: Mapping[str, str]) -> dict[str, str]:
        """The headers that every request has."""
        known = {"User-Agent": f"lectern-python/{_version()}"}
        return {**known, **({"Authorization": f"Bearer {self.key}"} if self.key else {}), **more}

    def patience(self, deadline: float | None = None) -> Patience:
        """The patience of a call that begins now, with `deadline` seconds in place of the client's."""
        seconds = self.deadline if deadline is None else deadline
        until = time.monotonic() + seconds
        return Patience(until=until, timeout=self.timeout, retries=self.retries, backoff=self.backoff)


def named() -> str | None:
    """The address in LECTERN_URL."""
    return os.environ.get("LECTERN_URL") or None


def connection(
    url: str | None, key: str | None, *, timeout: float, deadline: float, retries: int, backoff: float
) -> Connection:
    """What was said, else LECTERN_URL and LECTERN_KEY, else the service of this machine. Raises ValueError."""
    return Connection(
        url=(url or named() or DEFAULT_URL).rstrip("/"),
        key=(key or os.environ.get("LECTERN_KEY") or "").strip() or None,  # a file's last line end is no part of it
        timeout=timeout,
        deadline=deadline,
        retries=retries,
        backoff=backoff,
    )


def options(call: Call[Any], *, timeout: float) -> dict[str, Any]:
    """The arguments of httpx's `build_request` for a call."""
    built: dict[str, Any] = {
        "method": call.method,
        "url": call.path,
        "params": dict(call.params) or None,
        "headers": dict(call.headers),
        "timeout": httpx.Timeout(timeout, connect=min(timeout, 10.0)),
    }
    if call.file is not None:
        name, data, media_type = call.file
        # Without a type of our own, httpx would guess one by the name alone: a list in .m3u would be a sound.
        built |= {"files": {"file": (name, data, media_type or "application/octet-stream")}, "data": dict(call.fields)}
    elif call.content is not None:
        built["content"] = call.content
    elif call.json is not None:
        built["json"] = call.json
    return built
