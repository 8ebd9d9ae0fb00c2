"""The tools' work by a running service, through its client."""

from contextlib import aclosing
from typing import Any

from pydantic import BaseModel

from app.tools import requests
from app.tools.workers import Reply, Tell
from lectern import AsyncClient, Progress, Summary, UnexpectedReply


class RemoteWorker:
    """Asks a service, with the key that the client carries. Raises LecternError."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def ask(self, arguments: requests.Ask, tell: Tell) -> Reply:
        """As `POST /ask`."""
        return _json(await self._client.ask(**_given(arguments)))

    async def summarize(self, arguments: requests.Summarize, tell: Tell) -> Reply:
        """As `POST /summarize`, streamed, as that tells how far it is."""
        async with aclosing(self._client.stream_summary(**_given(arguments))) as events:
            async for each in events:
                if isinstance(each, Progress):
                    tell(each.done, each.total, each.unit)
                elif isinstance(each, Summary):
                    return _json(each)
        raise UnexpectedReply("the summary ended before it was whole", status=200)

    async def search(self, arguments: requests.Search, tell: Tell) -> Reply:
        """As `POST /search`."""
        return _json(await self._client.search(**{"top_k": arguments.top_k, **_given(arguments)}))

    async def add_document(self, arguments: requests.AddDocument, tell: Tell) -> Reply:
        """As `POST /documents`, waiting until it is indexed."""
        return _json(await self._client.documents.add(**_given(arguments)))

    async def list_documents(self, arguments: requests.ListDocuments, tell: Tell) -> Reply:
        """As `GET /documents`."""
        return _json(await self._client.documents.page(**{"limit": arguments.limit, **_given(arguments)}))


def _given(arguments: BaseModel) -> dict[str, Any]:
    return arguments.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _json(found: BaseModel) -> Reply:
    return found.model_dump(mode="json")
