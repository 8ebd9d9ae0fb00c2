"""Where documents and jobs are looked at: in the store of this machine, or in a running service."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from app.cli.support import TENANT, CommandError, client_of, service_of, settings_of, store_of

if TYPE_CHECKING:
    from app.local import Make
    from app.settings import Settings
    from lectern import Client, Document, Job, TextRange
    from retriever import types
    from retriever.store import Job as StoredJob
    from retriever.store import Store

PAGE = 1_000
Progress = Callable[[int, int | None, str], None]


class Shelf(Protocol):
    """Documents and jobs of one tenant."""

    def documents(self, collection: str | None) -> "Iterator[Document]":
        """All documents, or those of a collection, oldest first."""

    def document(self, document_id: str) -> "Document":
        """One document."""

    def text(self, document_id: str, *, start: int, end: int | None, version: str | None) -> "TextRange":
        """A range of its text."""

    def delete(self, document_id: str) -> None:
        """Purge it."""

    def jobs(self) -> "Iterator[Job]":
        """All jobs, oldest first."""

    def job(self, job_id: str) -> "Job":
        """One job."""

    def wait(self, job_id: str, progress: Progress) -> "Job":
        """A job once it is over."""

    def cancel(self, job_id: str) -> "Job":
        """Cancel it."""


@contextmanager
def shelf_of(arguments: argparse.Namespace, make: "Make | None") -> Iterator[Shelf]:
    """The shelf that the arguments name, open while the command needs it."""
    url = service_of(arguments)
    if url is not None:
        with client_of(arguments, url) as client:
            yield RemoteShelf(client)
    else:
        with store_of(arguments) as store:
            yield LocalShelf(store, settings_of(arguments), make)


class LocalShelf:
    """The store of this machine; a model is loaded only where a job has to be carried on."""

    def __init__(self, store: "Store", settings: "Settings", make: "Make | None") -> None:
        self._store, self._settings, self._make = store, settings, make

    def documents(self, collection: str | None) -> "Iterator[Document]":
        """As `Shelf` says. Raises NotFound."""
        if collection is not None:
            self._store.collection(TENANT, collection)
        cursor: str | None = None
        while True:
            found, cursor = self._store.documents(TENANT, collection=collection, limit=PAGE, cursor=cursor)
            yield from map(document_of, found)
            if cursor is None:
                return

    def document(self, document_id: str) -> "Document":
        """As `Shelf` says. Raises NotFound."""
        return document_of(self._store.document(TENANT, document_id))

    def text(self, document_id: str, *, start: int, end: int | None, version: str | None) -> "TextRange":
        """As `Shelf` says. Raises NotFound, and CommandError for what is no range."""
        from lectern import TextRange

        if start < 0 or (end is not None and end < start):  # as the service says too
            raise CommandError("a range of a text begins at 0 or later, and does not end before it begins")
        text, first, last, found = self._store.text(TENANT, document_id, start=start, end=end, version=version)
        return TextRange(text=text, start=first, end=last, version=found)

    def delete(self, document_id: str) -> None:
        """As `Shelf` says; the indexes follow when they are next opened. Raises StoreUnavailable beside a service."""
        from retriever.durable import hold

        with hold(self._settings.data_dir / "lock"):
            self._store.delete_document(TENANT, document_id)

    def jobs(self) -> "Iterator[Job]":
        """As `Shelf` says."""
        cursor: str | None = None
        while True:
            found, cursor = self._store.jobs(TENANT, limit=PAGE, cursor=cursor)
            yield from map(job_of, found)
            if cursor is None:
                return

    def job(self, job_id: str) -> "Job":
        """As `Shelf` says. Raises NotFound."""
        return job_of(self._store.job(TENANT, job_id))

    def wait(self, job_id: str, progress: Progress) -> "Job":
        """As `Shelf` says; a job that is not over is carried on in this process."""
        job = self.job(job_id)
        if job.over:
            return job
        from app import local
        from app.wiring import build

        with local.opened(self._settings, make=self._make or build) as lectern:
            return job_of(local.settled(lectern, job_id, progress=progress))

    def cancel(self, job_id: str) -> "Job":
        """As `Shelf` says; a service that runs it sees that too."""
        return job_of(self._store.cancel_job(TENANT, job_id))


class RemoteShelf:
    """A running service; all of it raises LecternError."""

    def __init__(self, client: "Client") -> None:
        self._client = client

    def documents(self, collection: str | None) -> "Iterator[Document]":
        """As `Shelf` says."""
        return self._client.documents.all(collection=collection, page_size=PAGE)

    def document(self, document_id: str) -> "Document":
        """As `Shelf` says."""
        return self._client.documents.get(document_id)

    def text(self, document_id: str, *, start: int, end: int | None, version: str | None) -> "TextRange":
        """As `Shelf` says."""
        return self._client.documents.text(document_id, start=start, end=end, version=version)

    def delete(self, document_id: str) -> None:
        """As `Shelf` says."""
        self._client.documents.delete(document_id)

    def jobs(self) -> "Iterator[Job]":
        """As `Shelf` says."""
        return self._client.jobs.all(page_size=PAGE)

    def job(self, job_id: str) -> "Job":
        """As `Shelf` says."""
        return self._client.jobs.get(job_id)

    def wait(self, job_id: str, progress: Progress) -> "Job":
        """As `Shelf` says, by its events."""
        return followed(self._client, job_id, progress)

    def cancel(self, job_id: str) -> "Job":
        """As `Shelf` says."""
        return self._client.jobs.cancel(job_id)


def followed(client: "Client", job_id: str, progress: Progress) -> "Job":
    """A job of a service once it is over, its progress told meanwhile. Raises LecternError."""
    from lectern import Job

    for event in client.jobs.events(job_id):
        if isinstance(event, Job):
            return event
        progress(event.done, event.total, event.unit or "")
    return client.jobs.get(job_id)


def document_of(document: "types.Document") -> "Document":
    """A stored document as the API shows it."""
    from lectern import Document

    return Document.model_validate(document, from_attributes=True)


def job_of(job: "StoredJob") -> "Job":
    """A stored job as the API shows it."""
    from lectern import Job

    names = ("id", "kind", "status", "result", "problem", "created_at", "updated_at")
    fields: dict[str, Any] = {name: getattr(job, name) for name in names}
    return Job.model_validate({**fields, "progress": {"done": job.done, "total": job.total, "unit": job.unit}})
