"""The tools' work by the Lectern of this process, for one caller."""

import asyncio
from typing import Any, TypeVar

from pydantic import BaseModel

from app import schemas, telemetry
from app.bodies import invalid
from app.errors import JobFailed
from app.ingesting import forget_failed
from app.jobs import OVER
from app.keys import Scope
from app.routes.shared import document_reply
from app.security import Caller, check_scope
from app.tools import requests
from app.tools.workers import Reply, Tell
from app.wiring import Lectern
from retriever.errors import Conflict

M = TypeVar("M", bound=BaseModel)
POLL_SECONDS = 0.5  # how often the progress of an ingest is looked at


class OwnWorker:
    """Works for one caller, whose scopes every tool checks. Raises the service's errors."""

    def __init__(self, lectern: Lectern, caller: Caller) -> None:
        self._lectern, self._caller = lectern, caller

    async def ask(self, arguments: requests.Ask, tell: Tell) -> Reply:
        """As `POST /ask`."""
        tenant, request = self._for("read"), _as(schemas.AskRequest, arguments)
        return _reply(await self._lectern.desk.run(lambda: self._lectern.answering.ask(tenant, request)))

    async def summarize(self, arguments: requests.Summarize, tell: Tell) -> Reply:
        """As `POST /summarize`."""
        tenant, request = self._for("read"), _as(schemas.SummarizeRequest, arguments)
        summarizing = self._lectern.summarizing
        return _reply(await self._lectern.desk.run(lambda: summarizing.summarize(tenant, request, progress=tell)))

    async def search(self, arguments: requests.Search, tell: Tell) -> Reply:
        """As `POST /search`."""
        tenant, request = self._for("read"), _as(schemas.SearchRequest, arguments)
        return _reply(await self._lectern.desk.run(lambda: self._lectern.finder.search(tenant, request)))

    async def add_document(self, arguments: requests.AddDocument, tell: Tell) -> Reply:
        """As `POST /documents`; what takes longer than is ever waited for comes back as pending."""
        tenant, store = self._for("write"), self._lectern.store
        taken = await self._lectern.desk.aside(
            lambda: store.accept(
                tenant,
                collection=arguments.collection or "default",
                data=arguments.text.encode(),
                filename=None,
                media_type=arguments.media_type,
                title=arguments.title or None,
                metadata=arguments.metadata,
                deduplicate=True,
                quota=self._caller.quota,
            )
        )
        if taken.job_id is not None:
            self._lectern.jobs.changed()
            await self._indexed(tenant, taken.document.id, taken.job_id, tell)
        return _json(document_reply(await self._lectern.desk.aside(lambda: store.document(tenant, taken.document.id))))

    async def list_documents(self, arguments: requests.ListDocuments, tell: Tell) -> Reply:
        """As `GET /documents`."""
        tenant, store = self._for("read"), self._lectern.store

        def read() -> schemas.DocumentsReply:
            if arguments.collection is not None:
                store.collection(tenant, arguments.collection)
            try:
                found, more = store.documents(
                    tenant, collection=arguments.collection, limit=arguments.limit, cursor=arguments.cursor
                )
            except ValueError as error:
                raise invalid([{"loc": ["cursor"], "msg": "not a cursor of this service"}]) from error
            return schemas.DocumentsReply(documents=[document_reply(each) for each in found], next_cursor=more)

        return _json(await self._lectern.desk.aside(read))

    def _for(self, scope: Scope) -> str:
        """The caller's tenant. Raises Forbidden where the key may not do this."""
        check_scope(self._caller, scope)
        return self._caller.tenant

    async def _indexed(self, tenant: str, document_id: str, job_id: str, tell: Tell) -> None:
        """Wait for an ingest, telling how far it is. Raises JobFailed and Conflict."""
        until = asyncio.get_running_loop().time() + self._lectern.settings.max_wait
        while True:
            job = await self._lectern.jobs.settled(tenant, job_id, timeout=POLL_SECONDS)
            tell(job.done, job.total, job.unit)
            if job.status in OVER or self._lectern.jobs.leaving or asyncio.get_running_loop().time() > until:
                break
        if job.status in ("failed", "cancelled"):
            await self._lectern.desk.aside(lambda: forget_failed(self._lectern.store, tenant, document_id))
            if job.status == "cancelled":
                raise Conflict("the document was deleted, or its ingest cancelled, before it was indexed")
            raise JobFailed(job.problem or {})


def _as(model: type[M], arguments: BaseModel) -> M:
    """A tool's arguments as the request of the service that they are."""
    return model.model_validate(arguments.model_dump(by_alias=True, exclude_unset=True))


def _reply(found: schemas.AskReply | schemas.SummarizeReply | schemas.SearchReply) -> Reply:
    return _json(found.model_copy(update={"request_id": telemetry.request_id.get()}))


def _json(found: BaseModel) -> dict[str, Any]:
    return found.model_dump(mode="json")
