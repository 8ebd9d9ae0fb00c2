"""Who does the tools' work: `app/tools/own.py` in this process, `app/tools/remote.py` through a running service."""

from collections.abc import Callable
from typing import Any, Protocol

from app.tools import requests

Tell = Callable[[int, int | None, str | None], None]
"""How far the work is: done, of how many, of what; from any thread. It raises Cancelled once nobody waits any more."""

Reply = dict[str, Any]  # of the service, as JSON


class Worker(Protocol):
    """The work behind each tool."""

    async def ask(self, arguments: requests.Ask, tell: Tell) -> Reply:
        """As `POST /ask`."""

    async def summarize(self, arguments: requests.Summarize, tell: Tell) -> Reply:
        """As `POST /summarize`."""

    async def search(self, arguments: requests.Search, tell: Tell) -> Reply:
        """As `POST /search`."""

    async def add_document(self, arguments: requests.AddDocument, tell: Tell) -> Reply:
        """As `POST /documents`."""

    async def list_documents(self, arguments: requests.ListDocuments, tell: Tell) -> Reply:
        """As `GET /documents`."""
