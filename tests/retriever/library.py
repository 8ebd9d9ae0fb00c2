"""A store with its indexes and a retriever in a folder, and the steps of an ingest, for tests."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retriever.hybrid import HybridRetriever
from retriever.indexes import Indexes
from retriever.store import Accepted, Job, Store
from retriever.types import Page, ParsedDocument, Section
from tests.fakes import HashingEncoder

TENANT = "acme"


@dataclass(frozen=True)
class Slice:
    start: int
    end: int
    section: tuple[str, ...] = ()
    page: int | None = None


def parsed(text: str, **changes: Any) -> ParsedDocument:
    sections = (Section(path=(), start=0, end=len(text)),)
    fields = {"text": text, "media_type": "text/plain", "title": None, "sections": sections} | changes
    return ParsedDocument(**fields)


def lines(text: str) -> list[Slice]:
    """A passage for each line."""
    found, start = [], 0
    for line in text.splitlines(keepends=True):
        found.append(Slice(start, start + len(line.rstrip("\n"))))
        start += len(line)
    return found


def paged(text: str) -> ParsedDocument:
    """A document of one section and one page a line."""
    sections = tuple(Section(path=(f"part {n}",), start=s.start, end=s.end) for n, s in enumerate(lines(text)))
    pages = tuple(Page(number=n, start=s.start, end=s.end) for n, s in enumerate(lines(text), start=1))
    return parsed(text, sections=sections, pages=pages, title="Paged", warnings=("a warning",))


class Library:
    """Everything in one folder; `Library(folder)` again is a restart."""

    def __init__(self, folder: Path, *, encoder: HashingEncoder | None = None, **options: Any) -> None:
        self.folder, self.encoder = folder, encoder or HashingEncoder()
        self.store = Store(f"sqlite:///{folder / 'store.db'}", **options)
        self.indexes = Indexes(
            folder / "indexes", self.store, encoder=self.encoder.version, dimension=self.encoder.dimension
        )
        self.retriever = HybridRetriever(self.store, self.indexes, self.encoder)

    def send(self, text: str | bytes, *, tenant: str = TENANT, **options: Any) -> Accepted:
        data = text.encode() if isinstance(text, str) else text
        fields: dict[str, Any] = {"collection": "default", "filename": None, "media_type": "text/plain", "title": None}
        fields |= {"metadata": {}, "deduplicate": True} | options
        return self.store.accept(tenant, data=data, **fields)

    def work(self, job: Job | None = None) -> int:
        """Do one ingest as the service does; returns the sequence number."""
        job = job or self.store.claim_job()
        assert job is not None
        tenant, document = job.tenant, job.payload["document_id"]
        revision = self.store.resume_revision(tenant, document, job.id)
        if revision is None:
            text = self.store.file(tenant, document, job_id=job.id)[0].decode()
            revision = self.store.start_revision(tenant, document, job.id, parsed(text), lines(text))
        self.encode(tenant, document, revision)
        seq = self.indexes.publish(tenant, document, revision)
        self.store.finish_job(tenant, job.id, {})
        return seq

    def encode(self, tenant: str, document: str, revision: int) -> None:
        version = self.encoder.version
        while batch := self.store.unencoded(tenant, document, revision, encoder=version, limit=2):
            self.store.put_vectors(version, [k for k, _ in batch], self.encoder.encode_passages([t for _, t in batch]))

    def add(self, text: str, **options: Any) -> str:
        """Send and ingest; returns the document's id."""
        accepted = self.send(text, **options)
        if accepted.job_id is not None:
            self.work(self.store.claim_job())
        return accepted.document.id

    def found(self, query: str, *, tenant: str = TENANT, k: int = 10, **options: Any) -> list[str]:
        """The texts of what a search finds."""
        return [hit.passage.text for hit in self.retriever.search(tenant, query, k=k, **options)]

    def crash(self) -> None:
        """End as SIGKILL does: nothing is closed in order, only the operating system lets go of the files."""
        self.indexes._held.close()
        for pair in self.indexes._pairs.values():
            pair.sparse._writer = None

    def close(self) -> None:
        self.indexes.close()
        self.store.close()
