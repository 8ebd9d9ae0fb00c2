"""Where requests wait for a thread: a bounded pool for the work of questions, searches and summaries."""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool

from app.errors import QueueFull, ShuttingDown
from app.jobs import Attached
from app.streams import Channel

T = TypeVar("T")


class Desk:
    """Threads for requests. At most `threads` are worked on and `queue` wait; more is QueueFull."""

    def __init__(self, *, threads: int = 32, queue: int = 512) -> None:
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="request")
        self._room = threads + queue
        self._lock = threading.Lock()
        self._taken = 0
        self._closed = False

    @property
    def taken(self) -> int:
        """Requests that are worked on or wait."""
        return self._taken

    def submit(self, work: Callable[[], T]) -> "Future[T]":
        """Run work on a thread, with this request's context. Raises QueueFull and ShuttingDown."""
        with self._lock:
            if self._closed:
                raise ShuttingDown("the service is stopping")
            if self._taken >= self._room:
                raise QueueFull(f"{self._taken} requests are already under way or waiting")
            self._taken += 1
        return self._pool.submit(contextvars.copy_context().run, self._work, work)

    async def run(self, work: Callable[[], T]) -> T:
        """Run work on a thread and wait for it, from the event loop."""
        return await asyncio.wrap_future(self.submit(work))

    @staticmethod
    async def aside(work: Callable[[], T]) -> T:
        """Run a short read or write of the store on the framework's own threads: it never waits behind questions."""
        return await run_in_threadpool(work)

    async def begin(
        self, work: Callable[[Attached], Mapping[str, Any]], *, wait: float
    ) -> tuple[Attached, Mapping[str, Any] | None]:
        """Begin work that a job may take over; its result, or None where it takes longer than `wait` seconds."""
        attached = Attached()
        self.submit(lambda: work(attached)).add_done_callback(attached.settle)
        waiting = asyncio.wrap_future(attached.future)
        done, _ = await asyncio.wait([waiting], timeout=wait)  # which leaves the work going on when the time is up
        if not done:
            waiting.add_done_callback(lambda future: future.cancelled() or future.exception())
            return attached, None
        return attached, waiting.result()

    def stream(self, work: Callable[[Channel], None], *, heartbeat: float) -> Channel:
        """Begin work whose events one client follows; it is left alone once that client is gone."""
        channel = Channel(heartbeat=heartbeat)

        def ended(future: "Future[None]") -> None:
            channel.end(ShuttingDown("the service is stopping") if future.cancelled() else future.exception())

        self.submit(lambda: work(channel)).add_done_callback(ended)
        return channel

    def close(self) -> None:
        """Take nothing new; wait for what is under way, drop what waits."""
        with self._lock:
            self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _work(self, work: Callable[[], T]) -> T:
        """The work, whose place is free before anyone hears of its end: a client that asks again at once finds room."""
        try:
            return work()
        finally:
            with self._lock:
                self._taken -= 1
