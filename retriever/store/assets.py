"""Assets: files that belong to a collection besides its documents, such as a retriever that was adapted to it.

They stand in the store, not beside it: a backup holds them, and they go when their collection does.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, and_, insert, select

from retriever.errors import NotFound, StoreCorrupt
from retriever.store import schema
from retriever.store.records import Asset, Part, collection_number, ensure_collection, now

_assets = schema.assets


class Assets(Part):
    """The assets of every tenant's collections."""

    def put_asset(
        self, tenant: str, collection: str, name: str, data: bytes, *, metadata: Mapping[str, Any] | None = None
    ) -> Asset:
        """Keep bytes under a name, in place of what was there; the collection comes to be if it was not."""
        with self._db.write() as connection:
            number = ensure_collection(connection, tenant, collection)
            write_asset(connection, tenant, number, name, data, metadata or {})
            return _asset_of(connection.execute(_described(tenant, collection).where(_assets.c.name == name)).one())

    def assets(self, tenant: str, collection: str) -> list[Asset]:
        """What a collection has, by name, without the bytes; none for a collection that never was."""
        with self._db.read() as connection:
            rows = connection.execute(_described(tenant, collection).order_by(_assets.c.name))
            return [_asset_of(row) for row in rows]

    def asset(self, tenant: str, collection: str, name: str) -> bytes:
        """The bytes of an asset as they were given. Raises NotFound, StoreCorrupt when they are not those any more."""
        with self._db.read() as connection:
            mine = _described(tenant, collection).where(_assets.c.name == name).add_columns(_assets.c.data)
            row = connection.execute(mine).first()
        if row is None:
            raise NotFound(f"collection {collection!r} has no asset {name!r}")
        if hashlib.sha256(row.data).hexdigest() != row.sha256:
            raise StoreCorrupt("an asset does not match its checksum: restore a backup with 'lectern restore'")
        return bytes(row.data)

    def delete_asset(self, tenant: str, collection: str, name: str) -> None:
        """Purge an asset. Raises NotFound."""
        with self._db.write() as connection:
            number = collection_number(connection, tenant, collection)
            mine = and_(_assets.c.collection == number, _assets.c.name == name)
            if number is None or not connection.execute(_assets.delete().where(mine)).rowcount:
                raise NotFound(f"collection {collection!r} has no asset {name!r}")


def write_asset(
    connection: Connection, tenant: str, number: int, name: str, data: bytes, metadata: Mapping[str, Any]
) -> None:
    """Keep bytes under a name, in place of what was there."""
    connection.execute(_assets.delete().where(_assets.c.collection == number, _assets.c.name == name))
    values = {"collection": number, "name": name, "tenant": tenant, "metadata": dict(metadata)}
    values |= {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "created_at": now()}
    connection.execute(insert(_assets).values(**values, data=data))


def _described(tenant: str, collection: str) -> Any:
    columns = [column for column in _assets.c if column.name != "data"]
    inside = and_(schema.collections.c.tenant == tenant, schema.collections.c.name == collection)
    return select(*columns).join(schema.collections).where(inside)


def _asset_of(row: Row[Any]) -> Asset:
    return Asset(name=row.name, sha256=row.sha256, size=row.size, created_at=row.created_at, metadata=row.metadata)
