"""API keys as people hold them: `lectern_ID_SECRET`, made here, shown once, and compared with what the store has.

The secret is 256 random bits, so there is nothing to guess: a plain SHA-256 protects it as well as a slow hash would,
whose work only pays against passwords that people choose, and takes microseconds of each request.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

from app.errors import Invalid
from retriever.store.keys import Key
from retriever.store.records import new_id, now

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

_FORM = re.compile(r"lectern_([a-z2-7]{16})_([a-z2-7]{52})\Z")
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-]{0,63}\Z")
_DAYS = re.compile(r"([1-9]\d{0,4})d\Z")
_NOBODY = hashlib.sha256(b"").hexdigest()  # what a key of an unknown id is compared with: never equal, as long to do


@dataclass(frozen=True, kw_only=True)
class Minted:
    """A new key and its secret, which is shown once and kept nowhere."""

    key: Key
    secret: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a key may do, and for how long. None of a limit: the service's own; `expires` None: for ever."""

    tenant: str = "default"
    name: str = ""
    scopes: Sequence[str] = ("read", "write")
    expires: str | None = None
    requests_per_minute: int | None = None
    documents: int | None = None
    bytes: int | None = None


def mint(terms: Terms) -> Minted:
    """Make a key. Raises Invalid for terms that mean nothing."""
    if not _TENANT.match(terms.tenant):
        raise Invalid("a tenant has 1 to 64 letters, digits, '-' and '_', and begins with a letter or digit")
    if not terms.scopes or not set(terms.scopes) <= set(SCOPES):
        raise Invalid(f"scopes are some of {', '.join(SCOPES)}, separated by commas")
    limits = {name: getattr(terms, name) for name in ("requests_per_minute", "documents", "bytes")}
    for name, value in limits.items():
        if value is not None and value < 1:
            raise Invalid(f"{name} is {value}: it must be 1 or more")
    identifier = new_id()
    secret = f"lectern_{identifier}_{base64.b32encode(secrets.token_bytes(32)).decode().rstrip('=').lower()}"
    key = Key(
        id=identifier,
        tenant=terms.tenant,
        name=terms.name,
        scopes=tuple(scope for scope in SCOPES if scope in terms.scopes),
        digest=digest_of(secret),
        created_at=now(),
        expires_at=None if terms.expires is None else _moment(terms.expires),
        **limits,
    )
    return Minted(key=key, secret=secret)


def id_of(sent: str) -> str | None:
    """The id in a key as sent; None for what cannot be a key at all."""
    form = _FORM.match(sent)
    return form.group(1) if form else None


def digest_of(secret: str) -> str:
    """What the store keeps of a key."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def is_secret_of(sent: str, key: Key | None) -> bool:
    """Whether this is the key itself, in constant time, also where there is no key of that id."""
    return hmac.compare_digest(digest_of(sent), _NOBODY if key is None else key.digest) and key is not None


def allows(scopes: Sequence[str], needed: Scope) -> bool:
    """Whether these scopes allow what needs that one: `admin` allows everything, `write` does not allow to read."""
    return needed in scopes or "admin" in scopes


def _moment(expires: str) -> str:
    """The time of `90d` from now, or of an ISO 8601 date or time (UTC where it names no zone), as the store has it."""
    if days := _DAYS.match(expires):
        moment = datetime.now(UTC) + timedelta(days=int(days.group(1)))
    else:
        try:
            moment = datetime.fromisoformat(expires)
        except ValueError as error:
            raise Invalid("expires is a number of days such as 90d, or a date such as 2027-01-31") from error
        moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    if moment <= datetime.now(UTC):
        raise Invalid("expires is in the past")
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
