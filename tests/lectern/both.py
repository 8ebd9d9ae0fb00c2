"""Both clients behind one face: the async one is called as the sync one is, on an event loop of its own."""

import asyncio
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from lectern import AsyncClient, Client

KINDS = ("sync", "async")


class Blocking:
    """An async client or a group of its methods, each call carried out to its end."""

    def __init__(self, target: Any, runner: asyncio.Runner) -> None:
        self._target, self._runner = target, runner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not callable(found):
            return Blocking(found, self._runner)

        def call(*args: Any, **named: Any) -> Any:
            value = found(*args, **named)
            if inspect.isasyncgen(value):
                return self._items(value)
            return self._runner.run(value) if inspect.iscoroutine(value) else value

        return call

    def _items(self, source: Any) -> Iterator[Any]:
        async def following() -> Any:
            return await anext(source)

        try:
            while True:
                try:
                    yield self._runner.run(following())
                except StopAsyncIteration:
                    return
        finally:
            self._runner.run(source.aclose())


@contextmanager
def connected(kind: str, url: str, **options: Any) -> Iterator[Any]:
    """A client of this kind. Its own transport keeps proxies of the environment out."""
    options = {"backoff": 0.001, **options}
    if kind == "sync":
        with Client(url, transport=httpx.HTTPTransport(), **options) as client:
            yield client
        return
    with asyncio.Runner() as runner:
        client = AsyncClient(url, transport=httpx.AsyncHTTPTransport(), **options)
        assert runner.run(client.__aenter__()) is client
        try:
            yield Blocking(client, runner)
        finally:
            runner.run(client.__aexit__(None, None, None))
