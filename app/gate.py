"""The gate before all routes: which scope a request needs, whose key it carries, and how much that key may still ask.

A key is looked up again after a second: one that is revoked works for at most that long.
"""

import time
from collections.abc import Callable
from contextlib import closing

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import AppError, Exposed, Unauthenticated
from app.keys import id_of, is_secret_of
from app.limiter import Allowance, Limiter
from app.middleware import check_head, refuse
from app.security import ANYBODY, Caller, Rules, check_browser, check_scope
from app.settings import Settings
from retriever.durable import hold
from retriever.errors import NotFound, RetrieverError
from retriever.store import Key, Store

KEY_SECONDS = 1.0  # how long a look at the store counts; the README promises it


def check_exposure(settings: Settings) -> None:
    """Raise Exposed where others could connect and there is neither a key nor the word that none is wanted."""
    if not settings.exposed or settings.allow_anonymous:
        return
    with hold(settings.data_dir / "lock"), closing(Store(settings.store_url)) as store:
        if store.has_keys():
            return
    raise Exposed(
        f"{settings.published_on or settings.host} can be reached from other machines, and there are no keys: make one"
        " with 'lectern keys create', or set LECTERN_ALLOW_ANONYMOUS=true to let in anyone who can connect"
    )


class Gate:
    """Lets a request through to the routes with its `Caller`, or answers it with a problem."""

    def __init__(self, app: ASGIApp, *, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._settings = settings
        self._rules = Rules()
        self._limiter = Limiter()
        self._keys = KeyRing(clock=clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            check_head(scope)
            allowance = await self._admit(scope)
        except (AppError, RetrieverError) as error:
            headers = Headers(scope=scope)
            await refuse(error, receive, send, body="transfer-encoding" in headers or "content-length" in headers)
            return

        async def counted(message: Message) -> None:
            if allowance is not None and message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(allowance.headers())
            await send(message)

        await self._app(scope, receive, counted)

    async def _admit(self, scope: Scope) -> Allowance | None:
        """Find out who is asking, and whether they may. Raises AppError."""
        needed = self._rules.scope_of(scope)
        if needed is None:
            return None
        caller = await self._caller(scope["app"].state.lectern.store, Headers(scope=scope))
        scope.setdefault("state", {})["caller"] = caller
        allowance = None
        if caller.key is not None:
            per_minute = caller.key.requests_per_minute or self._settings.requests_per_minute
            allowance = self._limiter.take(caller.key.id, per_minute=per_minute)
        check_scope(caller, needed)
        return allowance

    async def _caller(self, store: Store, headers: Headers) -> Caller:
        if not await self._keys.any(store):
            if self._settings.exposed and not self._settings.allow_anonymous:
                raise Unauthenticated("send a key as 'Authorization: Bearer KEY'", sent=False)
            check_browser(headers, self._settings)
            return ANYBODY
        scheme, _, sent = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not sent.strip():
            raise Unauthenticated("send a key as 'Authorization: Bearer KEY'", sent=False)
        key = await self._keys.key(store, sent.strip())
        if key is None:
            raise Unauthenticated("this key does not work: it is wrong, revoked or expired", sent=True)
        return Caller(tenant=key.tenant, scopes=key.scopes, key=key)


class KeyRing:
    """The keys of the store, each looked up at most once in `KEY_SECONDS`."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._any: tuple[bool, float] | None = None
        self._found: dict[str, tuple[Key, float]] = {}

    async def any(self, store: Store) -> bool:
        """Whether a key was ever made; once that is so, it stays so."""
        if self._any is None or not (self._any[0] or self._clock() < self._any[1]):
            until = self._clock() + KEY_SECONDS
            self._any = await run_in_threadpool(store.has_keys), until
        return self._any[0]

    async def key(self, store: Store, sent: str) -> Key | None:
        """The key that was sent, if it works."""
        identifier = id_of(sent)
        if identifier is None:
            return None
        known = self._found.get(identifier)
        key = known[0] if known and self._clock() < known[1] else await self._look_up(store, identifier)
        return key if is_secret_of(sent, key) and key is not None and key.works else None

    async def _look_up(self, store: Store, identifier: str) -> Key | None:
        until = self._clock() + KEY_SECONDS
        try:
            key = await run_in_threadpool(store.key, identifier)
        except NotFound:  # not remembered: whoever sends made-up ids must not fill the memory
            self._found.pop(identifier, None)
            return None
        self._found[identifier] = (key, until)
        return key
