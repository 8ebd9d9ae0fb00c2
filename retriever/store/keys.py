"""API keys: whom each one acts for, and what it may do. Of the secret only a hash is here."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, insert, select, update

from retriever.errors import NotFound
from retriever.store import schema
from retriever.store.records import Part, now

_keys = schema.keys


@dataclass(frozen=True, kw_only=True)
class Key:
    """A key of one tenant. `digest` is the hash of its secret, which nobody can read again.

    The limits are this key's own; None: the service's. Times are ISO 8601 in UTC; `expires_at` None: never.
    """

    id: str
    tenant: str
    name: str
    scopes: tuple[str, ...]
    digest: str = field(repr=False)
    created_at: str
    expires_at: str | None = None
    revoked_at: str | None = None
    requests_per_minute: int | None = None
    documents: int | None = None
    bytes: int | None = None

    @property
    def works(self) -> bool:
        """Whether it is neither revoked nor expired now."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now())


class Keys(Part):
    """The keys of the whole instance: whoever may run commands on its store may hand them out."""

    def add_key(self, key: Key) -> Key:
        """Store a new key. Raises Conflict when its id is taken."""
        values = {name: getattr(key, name) for name in Key.__dataclass_fields__}
        with self._db.write() as connection:
            connection.execute(insert(_keys).values({**values, "scopes": list(key.scopes)}))
        return key

    def key(self, key_id: str) -> Key:
        """One key, whether or not it still works. Raises NotFound."""
        with self._db.read() as connection:
            row = connection.execute(select(_keys).where(_keys.c.id == key_id)).first()
        if row is None:
            raise NotFound(f"no key {key_id!r}")
        return _key_of(row)

    def keys(self, *, tenants: Collection[str] | None = None) -> list[Key]:
        """All keys, oldest first, or those of some tenants; revoked and expired ones too."""
        query = select(_keys).order_by(_keys.c.created_at, _keys.c.id)
        if tenants is not None:
            query = query.where(_keys.c.tenant.in_(list(tenants)))
        with self._db.read() as connection:
            return [_key_of(row) for row in connection.execute(query)]

    def has_keys(self) -> bool:
        """Whether a key was ever made here; one that was revoked counts."""
        with self._db.read() as connection:
            return connection.execute(select(_keys.c.id).limit(1)).first() is not None

    def revoke_key(self, key_id: str) -> Key:
        """End a key for good; one that is revoked already stays as it is. Raises NotFound."""
        mine = (_keys.c.id == key_id) & _keys.c.revoked_at.is_(None)
        with self._db.write() as connection:
            connection.execute(update(_keys).where(mine).values(revoked_at=now()))
        return self.key(key_id)


def _key_of(row: Row[Any]) -> Key:
    found = dict(row._mapping)
    return Key(**{**found, "scopes": tuple(found["scopes"])})
