"""bytes -> document -> passages -> vectors -> indexes, as a job that goes on where it was after a restart."""

import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from app.adapted import Tunings
from app.encoders import Encoders
from app.errors import Stopping
from app.inference import TextEncoder
from app.telemetry import Timer
from retriever.chunking import split
from retriever.errors import NotFound, Outdated, ParsersClosed
from retriever.store import Job, Store
from retriever.tuning import ASSET
from retriever.types import ParsedDocument

SLICE = 256  # passages between two transactions: about 4 s of encoding, so little is lost and the disk is not busy
TEXT_TYPES = ("text/plain", "text/markdown")


class FileParser(Protocol):
    """Makes documents of files, wherever that happens; `retriever.parsing.pool.Parsers` is one."""

    def parse(self, data: bytes, *, filename: str | None = None, media_type: str | None = None) -> ParsedDocument:
        """The document that a file holds. Raises parsing errors, ParserFailed, ParsersClosed."""

    def parse_text(self, text: str, *, media_type: str = "text/plain") -> ParsedDocument:
        """The document of a text. Raises as `parse`."""


class Progress(Protocol):
    """Where a job reports to; raises Cancelled or Stopping."""

    def progress(self, done: int, total: int | None, unit: str | None, *, force: bool = False) -> None:
        """`done` of `total` units are done."""


class Publisher(Protocol):
    """The indexes, as ingesting sees them."""

    def publish(
        self, tenant: str, document_id: str, revision: int, *, made_for: tuple[str, str | None] | None = None
    ) -> int:
        """Make a revision visible; it is searchable when this returns. Raises Outdated, as the store does."""


class _Silent:
    def progress(self, done: int, total: int | None, unit: str | None, *, force: bool = False) -> None:
        """Nobody wants to know."""


class Ingesting:
    """Runs ingest jobs. Every step is durable and is found done when the job runs again."""

    def __init__(
        self, store: Store, indexes: Publisher, encoders: Encoders, tunings: Tunings, parsers: FileParser
    ) -> None:
        self._store = store
        self._indexes = indexes
        self._encoders, self._tunings = encoders, tunings
        self._encoder = encoders.of(None, "bulk")
        self._parsers = parsers

    def run(self, job: Job, context: Progress | None = None) -> Mapping[str, Any]:
        """Ingest the upload that `accept` made this job for; the result names the document and its version.

        Raises parsing errors, NotFound when the document was deleted meanwhile, and what `context.progress` raises.
        """
        context = context or _Silent()
        document_id = str(job.payload["document_id"])
        timer = Timer("ingest")
        revision = self._store.resume_revision(job.tenant, document_id, job.id)
        if revision is None:
            revision, done, total = self._begin(job, document_id, context, timer)
        else:
            left = len(self._waiting(job, document_id, revision, limit=sys.maxsize))
            total = left if job.total is None else job.total
            done = total - left

        def report(some: int) -> None:
            context.progress(done + some, total, "passages")

        self._encode(self._encoder, job, document_id, revision, report)
        timer.stage("encode")
        self._publish(job, document_id, revision, lambda _: context.progress(total, total, "passages"))
        timer.stage("index")
        document = self._store.document(job.tenant, document_id)
        return {"document": document_id, "version": document.version, "passages": document.passages}

    def _begin(self, job: Job, document_id: str, context: Progress, timer: Timer) -> tuple[int, int, int]:
        """Parse and split; the revision's number, how many of its passages have vectors, how many there are."""
        data, media_type, filename = self._store.file(job.tenant, document_id, job_id=job.id)
        parsed = self.parsed(data, filename, media_type)
        timer.stage("parse")
        chunks = split(parsed, count=self._encoder.count_word_pieces)
        timer.stage("split")
        revision = self._store.start_revision(job.tenant, document_id, job.id, parsed, chunks)
        timer.stage("store")
        if len(chunks) > SLICE:
            context.progress(0, len(chunks), "passages", force=True)
        return revision, 0, len(chunks)

    def parsed(self, data: bytes, filename: str | None, media_type: str | None) -> ParsedDocument:
        """What an upload holds. Without a file name it came as JSON: its text is the document, to the character.

        Raises parsing errors, ParserFailed, Stopping.
        """
        try:
            if filename is None and media_type in TEXT_TYPES:
                return self._parsers.parse_text(data.decode("utf-8"), media_type=media_type)
            return self._parsers.parse(data, filename=filename, media_type=media_type)
        except ParsersClosed as error:
            raise Stopping("the service is stopping") from error

    def _publish(self, job: Job, document_id: str, revision: int, report: Callable[[int], None]) -> None:
        """Make it visible once it has vectors of each version of the encoder that its collection has for its own."""
        while True:
            collection = self._store.destination(job.tenant, document_id, revision)
            own, digest = self._tunings.own(job.tenant, collection)
            for tuning in own.values():
                if tuning.encoder == self._encoder.version:
                    self._encode(self._encoders.of(tuning, "bulk"), job, document_id, revision, report)
            try:
                self._indexes.publish(job.tenant, document_id, revision, made_for=(ASSET, digest))
            except Outdated:  # the collection learned something, or forgot it, this moment
                continue
            return

    def _waiting(
        self, job: Job, document_id: str, revision: int, *, limit: int, version: str | None = None
    ) -> list[tuple[int, str]]:
        version = version or self._encoder.version
        return self._store.unencoded(job.tenant, document_id, revision, encoder=version, limit=limit)

    def _encode(
        self, encoder: TextEncoder, job: Job, document_id: str, revision: int, report: Callable[[int], None]
    ) -> None:
        done = 0
        while waiting := self._waiting(job, document_id, revision, limit=SLICE, version=encoder.version):
            vectors = encoder.encode_passages([text for _, text in waiting])
            self._store.put_vectors(encoder.version, [key for key, _ in waiting], vectors)
            done += len(waiting)
            report(done)


def forget_failed(store: Store, tenant: str, document_id: str) -> None:
    """A refused upload leaves nothing behind: the document goes, unless it has a version or another upload."""
    try:
        if store.document(tenant, document_id).status == "failed":
            store.delete_document(tenant, document_id)
    except NotFound:
        return
