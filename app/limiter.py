"""Requests per minute: a bucket of tokens for each key, in this process's memory; a restart fills them."""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from app.errors import RateLimited


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """What is left after a request was counted: `remaining` requests now, all of `limit` in `reset` seconds."""

    limit: int
    remaining: int
    reset: int

    def headers(self) -> dict[str, str]:
        """The header fields of draft-ietf-httpapi-ratelimit-headers-10."""
        return {
            "RateLimit-Policy": f'"requests";q={self.limit};w=60',
            "RateLimit": f'"requests";r={self.remaining};t={self.reset}',
        }


@dataclass
class _Bucket:
    tokens: float
    at: float


class Limiter:
    """Token buckets. A key that was quiet for a minute may send a minute's requests at once."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[str, _Bucket] = {}  # as many as there are keys that were used

    def take(self, name: str, *, per_minute: int) -> Allowance:
        """Count one request of `name`. Raises RateLimited, which says when the next one may come."""
        with self._lock:
            now = self._clock()
            bucket = self._buckets.setdefault(name, _Bucket(tokens=per_minute, at=now))
            rate = per_minute / 60
            bucket.tokens = min(float(per_minute), bucket.tokens + (now - bucket.at) * rate)
            bucket.at = now
            if bucket.tokens < 1:
                seconds = max(1, math.ceil((1 - bucket.tokens) / rate))
                raise RateLimited(f"this key has {per_minute} requests a minute", retry_after=seconds)
            bucket.tokens -= 1
            reset = math.ceil((per_minute - bucket.tokens) / rate)
            return Allowance(limit=per_minute, remaining=int(bucket.tokens), reset=reset)
