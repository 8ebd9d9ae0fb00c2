"""Question -> hits, whatever the source: stored documents through the indexes, an inline text in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from app.citations import section_title
from app.contents import without_contents
from app.inference import Reader
from app.pieces import Between, Piece, around, join_hits
from app.reranking import RERANKED, rerank
from app.schemas import Models, SearchHit, SearchReply, SearchRequest, SourceRequest
from app.sources import InlineSource, SourceText, StoredSource, TextParser, resolve, texts
from app.telemetry import Timer
from retriever.chunking import WordPieceCounter, split
from retriever.parsing import parse_text
from retriever.store import Store
from retriever.types import Hit, Mode, ParsedDocument, Passage


class Retriever(Protocol):
    """What the service needs of a retriever; `retriever.hybrid.HybridRetriever` is one."""

    def search(
        self,
        tenant: str,
        query: str,
        *,
        collection: str | None = None,
        documents: Sequence[str] | None = None,
        mode: Mode = "hybrid",
        k: int,
    ) -> list[Hit]:
        """The k best passages of a collection, or of the named documents."""

    def version(self, tenant: str, collection: str | None) -> str:
        """Names the encoder, and what was learned for the collection."""

    def search_passages(self, passages: Sequence[Passage], query: str, *, mode: Mode = "hybrid", k: int) -> list[Hit]:
        """The k best of these passages."""


@dataclass(frozen=True, kw_only=True)
class Findings:
    """A source that is ready to be searched; `inline` and `passages` are set for an inline text."""

    tenant: str
    stored: StoredSource | None
    inline: SourceText | None
    passages: tuple[Passage, ...]


class Finder:
    """Finds passages for questions."""

    def __init__(
        self,
        store: Store,
        retriever: Retriever,
        reader: Reader,
        count: WordPieceCounter,
        *,
        parse: TextParser = parse_text,
    ) -> None:
        self._store = store
        self._parse = parse
        self._retriever = retriever
        self._reader = reader
        self._count = count

    def prepare(self, tenant: str, request: SourceRequest) -> Findings:
        """Resolve the request's source; an inline text is split here, once for all questions. Raises as `resolve`."""
        source = resolve(self._store, tenant, request, parse=self._parse)
        if isinstance(source, StoredSource):
            return Findings(tenant=tenant, stored=source, inline=None, passages=())
        return Findings(tenant=tenant, stored=None, inline=_named(source), passages=self._passages(source))

    def find(self, findings: Findings, query: str, *, k: int, mode: Mode = "hybrid") -> list[Hit]:
        """The k best hits."""
        if findings.stored is None:
            return self._retriever.search_passages(findings.passages, query, mode=mode, k=k)
        stored = findings.stored
        if stored.documents is not None and not stored.documents:
            return []
        return self._retriever.search(
            findings.tenant, query, collection=stored.collection, documents=stored.documents, mode=mode, k=k
        )

    def find_to_read(self, findings: Findings, question: str, *, k: int) -> list[Hit]:
        """At most k hits for the reader; an inline text of at most k passages is not searched: it is all read.

        Tables of contents and indexes, which have the words of a question and not its answer, give way to what is next
        best, unless there is nothing else.
        """
        if findings.stored is None and len(findings.passages) <= k:
            hits = [Hit(passage=passage, title="", score=0.0) for passage in findings.passages]
            return without_contents(hits) or hits
        hits = self.find(findings, question, k=k)
        telling = without_contents(hits)
        if len(telling) < len(hits) == k:
            telling = without_contents(self.find(findings, question, k=4 * k))[:k]
        return telling or hits

    def search(self, tenant: str, request: SearchRequest) -> SearchReply:
        """The reply of `POST /search`."""
        timer = Timer("search")
        findings = self.prepare(tenant, request)
        wanted = max(request.top_k, RERANKED) if request.rerank else request.top_k
        hits = self.find(findings, request.query, k=wanted, mode=request.mode)
        timer.stage("retrieve")
        if request.rerank:
            hits = rerank(self._reader, request.query, hits)
            timer.stage("read")
        model = Models(
            reader=self._reader.name if request.rerank else None, retriever=self.retriever_of(findings, hits)
        )
        best = [shown(hit) for hit in hits[: request.top_k]]
        return SearchReply(hits=best, model=model, timings_ms=timer.total())

    def retriever_of(self, findings: Findings, hits: Sequence[Hit]) -> str:
        """The version of the retriever that found these; where none was needed, that would have been used."""
        named = next((hit.retriever for hit in hits if hit.retriever), None)
        if named is not None:
            return named
        return self._retriever.version(findings.tenant, findings.stored.collection if findings.stored else None)

    def whole(self, findings: Findings, *, longest: int) -> Hit | None:
        """The document of a source as one hit, where the source is one of at most `longest` word pieces; else None."""
        source = findings.inline
        if source is None:
            stored = findings.stored
            if stored is None or stored.documents is None or len(stored.documents) != 1:
                return None
            (source,) = texts(self._store, findings.tenant, stored)
        text = source.document.text
        if self._count([text])[0] > longest:
            return None
        passage = Passage(
            key=0,
            id="",
            document_id=source.document_id,
            version=source.version,
            ordinal=0,
            start=0,
            end=len(text),
            text=text,
        )
        return Hit(passage=passage, title=source.title or "", score=0.0)

    def pieces(self, hits: Sequence[Hit], between: Between) -> list[Piece]:
        """What the reader is to read of these hits; `join_hits` tells how they are joined."""
        return join_hits(hits, count=self._count, between=between)

    def around(self, document: ParsedDocument, piece: Piece, start: int, end: int) -> Sequence[str]:
        """What the reader is to read again of an answer in a piece, at these characters of its document."""
        return around(document, piece, start, end, count=self._count)

    def _passages(self, source: InlineSource) -> tuple[Passage, ...]:
        text = source.document.text
        return tuple(
            Passage(
                key=ordinal,
                id=f"text.{ordinal}",
                document_id=None,
                version=source.version,
                ordinal=ordinal,
                start=chunk.start,
                end=chunk.end,
                text=text[chunk.start : chunk.end],
                section=chunk.section,
                page=chunk.page,
            )
            for ordinal, chunk in enumerate(split(source.document, count=self._count))
        )


def shown(hit: Hit) -> SearchHit:
    """A hit as the API shows it."""
    passage = hit.passage
    return SearchHit(
        passage_id=passage.id,
        document_id=passage.document_id,
        title=hit.title if passage.document_id is not None else None,
        version=passage.version,
        start=passage.start,
        end=passage.end,
        text=passage.text,
        page=passage.page,
        section=section_title(passage.section),
        score=round(hit.score, 6),
        ranks=dict(hit.ranks),
    )


def _named(source: InlineSource) -> SourceText:
    return SourceText(document_id=None, title=None, version=source.version, document=source.document)
