"""How much the whole store holds, for whoever runs it: sums over all tenants, which no tenant is shown."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select

from retriever.store import schema
from retriever.store.jobs import ALIVE
from retriever.store.records import Part


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Of documents and passages those that can be found; `jobs`: (kind, status) -> how many wait or run."""

    collections: int
    documents: int
    passages: int
    jobs: Mapping[tuple[str, str], int]
    bytes: int


class Counting(Part):
    """Counts over all tenants."""

    def totals(self) -> Totals:
        """How much there is at this moment; its cost grows with the documents, some milliseconds for ten thousand."""
        documents, jobs = schema.documents.c, schema.jobs.c
        shown = select(func.count(), func.coalesce(func.sum(documents.passages), 0)).where(
            documents.visible.is_not(None)
        )
        alive = (
            select(jobs.kind, jobs.status, func.count()).where(jobs.status.in_(ALIVE)).group_by(jobs.kind, jobs.status)
        )
        with self._db.read() as connection:
            found, passages = connection.execute(shown).one()
            return Totals(
                collections=connection.scalar(select(func.count()).select_from(schema.collections)) or 0,
                documents=found,
                passages=passages,
                jobs={(kind, status): count for kind, status, count in connection.execute(alive)},
                bytes=self._db.size(),
            )
