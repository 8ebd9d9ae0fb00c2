"""Who may do what: the scope that every route needs, in one table, and who is asking.

A route that is not in the table is not served at all, so that none can be forgotten.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from fastapi import Request
from starlette.datastructures import Headers
from starlette.routing import Match, Route
from starlette.types import Receive, Send
from starlette.types import Scope as Connection

from app.errors import Forbidden, MethodNotAllowed, NoSuchRoute
from app.keys import SCOPES, Scope, allows
from app.settings import Settings, is_loopback
from app.wiring import DEFAULT_TENANT
from retriever.store import Key, Quota

_NAME = re.compile(r"\w[\w.:\-]{0,127}\Z")  # of all that a path can name
OPEN: None = None  # no key is needed: nothing of any tenant is told

ROUTES: Mapping[str, Mapping[str, Scope | None]] = {
    "/": {"GET": OPEN},
    "/ui/{release}/{name}": {"GET": OPEN},
    "/openapi.json": {"GET": OPEN},
    "/livez": {"GET": OPEN},
    "/readyz": {"GET": OPEN},
    "/version": {"GET": OPEN},
    "/metrics": {"GET": "admin"},  # counts over all tenants
    "/ask": {"POST": "read"},
    "/summarize": {"POST": "read"},
    "/search": {"POST": "read"},
    "/verify": {"POST": "read"},
    "/documents": {"GET": "read", "POST": "write"},
    "/documents/batch": {"POST": "write"},
    "/documents/{document_id}": {"GET": "read", "PUT": "write", "PATCH": "write", "DELETE": "write"},
    "/documents/{document_id}/text": {"GET": "read"},
    "/documents/{document_id}/outline": {"GET": "read"},
    "/documents/{document_id}/file": {"GET": "read"},
    "/collections": {"GET": "read"},
    "/collections/{name}": {"GET": "read", "PUT": "write", "DELETE": "write"},
    "/collections/{name}/adapt": {"POST": "write"},
    "/collections/{name}/adapt/rollback": {"POST": "write"},
    "/jobs": {"GET": "read"},
    "/jobs/{job_id}": {"GET": "read", "DELETE": "write"},
    "/jobs/{job_id}/events": {"GET": "read"},
    "/mcp": {"POST": "read"},  # a tool that writes asks for more
    "/v1/chat/completions": {"POST": "read"},
    "/v1/embeddings": {"POST": "read"},
    "/v1/models": {"GET": "read"},
    "/v1/models/lectern/{name}": {"GET": "read"},
    "/v1/models/{name}": {"GET": "read"},
}


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who is asking: a tenant, by a key or, in a service without keys, as anybody."""

    tenant: str
    scopes: tuple[str, ...]
    key: Key | None = None

    @property
    def quota(self) -> Quota:
        """The limits that the key has of its own."""
        return Quota() if self.key is None else Quota(documents=self.key.documents, bytes=self.key.bytes)


ANYBODY = Caller(tenant=DEFAULT_TENANT, scopes=SCOPES)


def tenant_of(request: Request) -> str:
    """The tenant that a request acts for."""
    return caller_of(request).tenant


def caller_of(request: Request) -> Caller:
    """Who is asking, as the gate found out."""
    caller: Caller = request.state.caller
    return caller


def check_scope(caller: Caller, needed: Scope) -> None:
    """Raise Forbidden where the caller's key lacks the scope."""
    if not allows(caller.scopes, needed):
        raise Forbidden(f"this needs a key with the scope '{needed}'", scope=needed)


class Rules:
    """The table, ready to be asked about requests."""

    def __init__(self, routes: Mapping[str, Mapping[str, Scope | None]] = ROUTES) -> None:
        self._rules = [
            [(Route(path, _never, methods=[method]), scope) for method, scope in methods.items()]
            for path, methods in routes.items()
        ]

    def scope_of(self, connection: Connection) -> Scope | None:
        """What a request needs; None: nothing. Raises NoSuchRoute and MethodNotAllowed for what is not in the table.

        An id or name in the path that nothing could have is not looked for, so that no error repeats it; where it is to
        be created, the route says what is wrong with it.
        """
        for rules in self._rules:
            others: set[str] = set()
            for route, scope in rules:
                match, found = route.matches(connection)
                if match is Match.FULL:
                    named = found.get("path_params", {}).values()
                    if connection["method"] != "PUT" and not all(_NAME.match(str(name)) for name in named):
                        raise NoSuchRoute("nothing has such a name")
                    return scope
                if match is Match.PARTIAL:
                    others |= (route.methods or set()) - {"HEAD"}
            if others:  # of the first path that fits: a later one of another kind, such as an id, is not meant
                allowed = others | ({"HEAD"} if "GET" in others else set())
                raise MethodNotAllowed("this path does not take that method", allowed=sorted(allowed))
        raise NoSuchRoute("nothing is served at this path")


def check_browser(headers: Headers, settings: Settings) -> None:
    """Refuse what a page of another site makes a browser send to a service that asks for no key. Raises Forbidden.

    Such a page can post a form to an address that only this machine reaches (`Origin` tells), or let its own name
    point there, to read replies as its own (`Host` tells: it is a public name).
    """
    host = urlsplit(f"//{headers.get('host', '')}").hostname or "localhost"
    origin = headers.get("origin")
    if origin is not None and not _same_site(origin, headers.get("host", "")):
        raise Forbidden("a page of another site may not ask a service without keys: make one with 'lectern keys'")
    if not settings.exposed and not _is_local(host):
        raise Forbidden("a service without keys goes by an address or a local name only: make one with 'lectern keys'")


def _same_site(origin: str, host: str) -> bool:
    """Whether a page of this origin is of the service itself, or of this machine."""
    of = urlsplit(origin)
    name = of.hostname or ""  # none in `null`, which a page in a sandbox sends
    return bool(name) and (of.netloc == host or is_loopback(name) or name.endswith(".localhost"))


def _is_local(name: str) -> bool:
    """Whether no stranger can own this name: an address, a name without a dot, or one under `localhost`."""
    name = name.rstrip(".")
    if "." not in name or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def _never(connection: Connection, receive: Receive, send: Send) -> None:
    raise AssertionError("the table matches requests, and serves none")
