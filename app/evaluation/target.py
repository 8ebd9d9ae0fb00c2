"""What is measured, behind one narrow face: the wired service in this process.

The protocols are what each measurement needs; the tests' fakes satisfy them too.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from app.evaluation.errors import EvaluationError
from app.evaluation.fused import reciprocal_ranks
from app.evaluation.progress import Progress, ProgressCallback
from app.reranking import rerank
from retriever.tuning import Mix
from retriever.types import Mode

if TYPE_CHECKING:
    from app.schemas import AskReply
    from app.wiring import Lectern
    from retriever.store import Accepted, Job

TENANT = "default"
Reads = Literal["passages", "document"]
Search = Literal["sparse", "dense", "hybrid", "plain", "rank_fusion", "linear", "reranked"]
"""The modes of a search; `plain` is dense with the encoder's own vectors of queries, and of these and BM25 are the
baselines: reciprocal rank fusion, and the mix of both alone; `reranked` are the hybrid's best in the reader's order."""

_MOST_PASSAGES = 1_000_000  # of one document: all of them
_BULK_DOCUMENTS = 256  # documents whose passages are encoded together: enough to sort them by length


@dataclass(frozen=True, kw_only=True)
class BulkUpload:
    """A text to upload with the caller's own key for it."""

    key: str
    text: str


class Target(Protocol):
    """Something that takes documents and questions. A source is `{"text"}`, `{"documents"}` or `{"collection"}`."""

    def upload(self, text: str, *, title: str, collection: str) -> str:
        """Upload a text as a document; returns its id when it can be searched."""

    def ask(self, question: str, source: Mapping[str, Any], *, top_k: int) -> "AskReply":
        """The reply to a question, with at least one alternative where there is one."""

    def search(self, question: str, source: Mapping[str, Any], *, k: int) -> Sequence[str]:
        """The texts of the k best passages, as the answering path retrieves them."""

    def text(self, document_id: str) -> str:
        """The stored text of a document."""


class RetrievalTarget(Protocol):
    """Something that takes many documents at once and can be searched."""

    def upload_all(
        self, uploads: Sequence[BulkUpload], *, collection: str, progress: ProgressCallback
    ) -> Mapping[str, str]:
        """Upload all; returns the key of each document by its id, when all can be searched."""

    def ranked_documents(self, query: str, *, collection: str, search: Search, k: int) -> Sequence[str]:
        """The document ids of the k best passages, best first, with repetitions."""


class LecternTarget:
    """The wired service, driven through the parts that its routes use."""

    def __init__(self, lectern: "Lectern", *, read: Reads = "passages") -> None:
        self._lectern = lectern
        self._read: Reads = read
        self._texts: dict[str, str] = {}
        from retriever.hybrid import HybridRetriever

        self._plain = HybridRetriever(lectern.store, lectern.indexes, lectern.encoder, mix=Mix())

    def upload(self, text: str, *, title: str, collection: str) -> str:
        """As `POST /documents` of a text file: accepted, then ingested by its job. EvaluationError if that fails."""
        accepted = self._accept(text, f"{title}.txt", title, collection)
        self._lectern.jobs.changed()
        self._wait(accepted)
        return accepted.document.id

    def ask(self, question: str, source: Mapping[str, Any], *, top_k: int) -> "AskReply":
        """As `POST /ask`."""
        from app.schemas import AskRequest

        request = AskRequest(question=question, top_k=top_k, alternatives=1, read=self._read, **source)
        return self._lectern.answering.ask(TENANT, request)

    def search(self, question: str, source: Mapping[str, Any], *, k: int) -> Sequence[str]:
        """The hybrid search that answering uses."""
        hits = self._lectern.retriever.search(TENANT, question, **source, k=k)
        return [hit.passage.text for hit in hits]

    def text(self, document_id: str) -> str:
        """The stored text, read once."""
        if document_id not in self._texts:
            self._texts[document_id] = self._lectern.store.text(TENANT, document_id)[0]
        return self._texts[document_id]

    def summarize(self, text: str, *, words: int, query: str | None) -> Sequence[tuple[str, float]]:
        """As `POST /summarize` of an inline text."""
        from app.schemas import Length, SummarizeRequest

        request = SummarizeRequest(text=text, query=query, length=Length(words=words))
        reply = self._lectern.summarizing.summarize(TENANT, request, progress=lambda done, total, unit: None)
        return [(sentence.text, sentence.salience) for sentence in reply.sentences]

    def upload_all(
        self, uploads: Sequence[BulkUpload], *, collection: str, progress: ProgressCallback
    ) -> Mapping[str, str]:
        """The same steps as an ingest job's, with the passages of many documents encoded together."""
        started = time.perf_counter()
        keys: dict[str, str] = {}
        for start in range(0, len(uploads), _BULK_DOCUMENTS):
            some = uploads[start : start + _BULK_DOCUMENTS]
            keys |= self._ingest_together(some, collection)
            elapsed = time.perf_counter() - started
            progress(Progress(done=start + len(some), total=len(uploads), unit="documents", elapsed_s=elapsed))
        self._lectern.indexes.refresh(TENANT, collection)
        return keys

    def ranked_documents(self, query: str, *, collection: str, search: Search, k: int) -> Sequence[str]:
        """One search of the retriever, or of one that has learned nothing."""
        if search in ("rank_fusion", "linear"):
            candidates = self._plain.candidates(TENANT, query, collection=collection, tuning=None)
            by_rank = search == "rank_fusion"
            keys = reciprocal_ranks(candidates, k=k) if by_rank else self._plain.ranking(candidates, Mix(), k=k)
            passages = [candidates.shown[key][0] for key in keys]
        elif search == "plain":
            hits = self._plain.search(TENANT, query, collection=collection, mode="dense", k=k)
            passages = [hit.passage for hit in hits]
        else:
            mode: Mode = search if search in ("sparse", "dense") else "hybrid"
            hits = self._lectern.retriever.search(TENANT, query, collection=collection, mode=mode, k=k)
            if search == "reranked":
                hits = rerank(self._lectern.reader, query, hits)
            passages = [hit.passage for hit in hits]
        return [passage.document_id for passage in passages if passage.document_id is not None]

    def _accept(self, text: str, filename: str | None, title: str, collection: str) -> "Accepted":
        # No two uploads are merged, though their bytes may be the same: each has its own judgements.
        return self._lectern.store.accept(
            TENANT,
            collection=collection,
            data=text.encode(),
            filename=filename,
            media_type="text/plain",
            title=title,
            metadata={},
            deduplicate=False,
        )

    def _wait(self, accepted: "Accepted") -> None:
        if accepted.job_id is None:
            return
        job = self._lectern.jobs.wait(TENANT, accepted.job_id)
        if job.status != "succeeded":
            detail = (job.problem or {}).get("detail", job.status)
            raise EvaluationError(f"{accepted.document.title!r} could not be ingested: {detail}")

    def _ingest_together(self, uploads: Sequence[BulkUpload], collection: str) -> dict[str, str]:
        """Take the ingest jobs of these uploads from the queue and do them side by side."""
        accepted = [self._accept(upload.text, None, upload.key[:1000], collection) for upload in uploads]
        claimed: list[Job] = []
        while (job := self._lectern.store.claim_job(kinds=["ingest"])) is not None:
            claimed.append(job)
        self._encode_and_publish(claimed)
        for one in accepted:  # a worker that was awake may have been faster with some
            self._wait(one)
        return {one.document.id: upload.key for one, upload in zip(accepted, uploads, strict=True)}

    def _encode_and_publish(self, jobs: "Sequence[Job]") -> None:
        store, encoder = self._lectern.store, self._lectern.encoder
        revisions = {job.id: self._begin(job) for job in jobs}
        waiting: list[tuple[int, str]] = []
        for job in jobs:
            document, revision = str(job.payload["document_id"]), revisions[job.id]
            waiting += store.unencoded(TENANT, document, revision, encoder=encoder.version, limit=_MOST_PASSAGES)
        if waiting:
            vectors = encoder.encode_passages([text for _, text in waiting])
            store.put_vectors(encoder.version, [key for key, _ in waiting], vectors)
        for job in jobs:
            store.publish(TENANT, str(job.payload["document_id"]), revisions[job.id])
            store.finish_job(TENANT, job.id, {"document": job.payload["document_id"]})

    def _begin(self, job: "Job") -> int:
        from retriever.chunking import split

        document_id = str(job.payload["document_id"])
        data, media_type, filename = self._lectern.store.file(TENANT, document_id, job_id=job.id)
        parsed = self._lectern.ingesting.parsed(data, filename, media_type)
        chunks = split(parsed, count=self._lectern.encoder.count_word_pieces)
        return self._lectern.store.start_revision(TENANT, document_id, job.id, parsed, chunks)
