"""Collections: named sets of documents, counted from what is visible in them."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, insert, select, update

from retriever.errors import NotFound
from retriever.store import schema
from retriever.store.jobs import cancel_ingests
from retriever.store.receipts import forget_replies
from retriever.store.records import (
    DEFAULT_COLLECTION,
    Collection,
    Part,
    collection_number,
    now,
    read_cursor,
    write_cursor,
)


class Collections(Part):
    """The collections of every tenant."""

    def collections(self, tenant: str) -> list[Collection]:
        """All collections by name; `default` is always among them."""
        with self._db.read() as connection:
            found = _counted(connection, schema.collections.c.tenant == tenant)
            if all(each.name != DEFAULT_COLLECTION for each in found):
                found.append(_default(connection, tenant))
        return sorted(found, key=lambda each: each.name)

    def collection_page(
        self, tenant: str, *, limit: int, cursor: str | None = None
    ) -> tuple[list[Collection], str | None]:
        """A page of collections by name, and the cursor of the next one. Raises ValueError for a bad cursor."""
        table, last = schema.collections, "" if cursor is None else read_cursor(cursor)[1]
        with self._db.read() as connection:
            found = _counted(connection, and_(table.c.tenant == tenant, table.c.name > last), limit=limit + 1)
            if last < DEFAULT_COLLECTION and collection_number(connection, tenant, DEFAULT_COLLECTION) is None:
                found = sorted([*found, _default(connection, tenant)], key=lambda each: each.name)
        page = found[:limit]
        return page, write_cursor("", page[-1].name) if len(found) > limit else None

    def collection(self, tenant: str, name: str) -> Collection:
        """One collection with its counts. Raises NotFound."""
        table = schema.collections
        with self._db.read() as connection:
            found = _counted(connection, and_(table.c.tenant == tenant, table.c.name == name))
            if not found and name == DEFAULT_COLLECTION:
                found = [_default(connection, tenant)]
        if not found:
            raise NotFound(f"no collection {name!r}")
        return found[0]

    def put_collection(self, tenant: str, name: str, *, metadata: Mapping[str, Any]) -> tuple[Collection, bool]:
        """Create a collection, or replace its metadata; the second value says whether it is new."""
        table = schema.collections
        with self._db.write() as connection:
            number = collection_number(connection, tenant, name)
            if number is None:
                values = {"tenant": tenant, "name": name, "metadata": dict(metadata), "created_at": now()}
                connection.execute(insert(table).values(values))
            else:
                connection.execute(update(table).where(table.c.number == number).values(metadata=dict(metadata)))
            found = _counted(connection, and_(table.c.tenant == tenant, table.c.name == name))
        return found[0], number is None

    def delete_collection(self, tenant: str, name: str) -> None:
        """Purge a collection with all that is in it, and end the ingests under way. Raises NotFound."""
        documents = schema.documents
        inside = and_(documents.c.tenant == tenant, documents.c.collection == name)
        with self._db.write() as connection:
            number = collection_number(connection, tenant, name)
            if number is None and name != DEFAULT_COLLECTION:
                raise NotFound(f"no collection {name!r}")
            cancel_ingests(connection, inside)
            forget_replies(connection, tenant, select(documents.c.id).where(inside))
            connection.execute(documents.delete().where(inside))
            connection.execute(schema.collections.delete().where(schema.collections.c.number == number))

    def collection_number(self, tenant: str, name: str) -> int | None:
        """The number of a collection, never given again after its deletion; None while nothing was ever in it."""
        with self._db.read() as connection:
            return collection_number(connection, tenant, name)

    def collection_numbers(self) -> dict[int, tuple[str, str]]:
        """Every collection of the whole store as number -> (tenant, name), to find the indexes of deleted ones."""
        table = schema.collections
        with self._db.read() as connection:
            rows = connection.execute(select(table.c.number, table.c.tenant, table.c.name))
            return {row.number: (row.tenant, row.name) for row in rows}


def _counted(connection: Connection, where: ColumnElement[bool], *, limit: int | None = None) -> list[Collection]:
    table, documents = schema.collections, schema.documents
    inside = and_(
        documents.c.tenant == table.c.tenant,
        documents.c.collection == table.c.name,
        documents.c.visible.is_not(None),
    )
    counts = (
        func.count(documents.c.number),
        func.coalesce(func.sum(documents.c.passages), 0),
        func.coalesce(func.sum(documents.c.characters), 0),
    )
    query = select(table, *counts).outerjoin(documents, inside).where(where).group_by(table.c.number)
    query = query.order_by(table.c.name).limit(limit)
    return [
        Collection(
            tenant=row.tenant,
            name=row.name,
            metadata=row.metadata,
            created_at=row.created_at,
            documents=int(row[-3]),
            passages=int(row[-2]),
            characters=int(row[-1]),
        )
        for row in connection.execute(query)
    ]


def _default(connection: Connection, tenant: str) -> Collection:
    created = connection.scalar(select(schema.meta.c.value).where(schema.meta.c.key == "created_at"))
    return Collection(
        tenant=tenant, name=DEFAULT_COLLECTION, documents=0, passages=0, characters=0, created_at=str(created)
    )
