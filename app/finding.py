"""Question -> hits, whatever the source: stored documents through the indexes, an inline text in memory."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from app.citations import section_title
from app.schemas import SearchHit, SearchReply, SearchRequest, SourceRequest
from app.sources import InlineSource, SourceText, StoredSource, resolve
from app.telemetry import Timer
from retriever.chunking import WordPieceCounter, split
from retriever.store import Store
from retriever.types import Hit, Mode, Passage

LONGEST_PIECE = 256  # word pieces of a merged piece: about two passages, and what the reader takes as one block


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

    def search_passages(self, passages: Sequence[Passage], query: str, *, mode: Mode = "hybrid", k: int) -> list[Hit]:
        """The k best of these passages."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What the reader gets as one passage: a hit, or overlapping hits of one document read once.

    `text` is the document's text[start:end]; `hits` are best first.
    """

    hits: tuple[Hit, ...]
    start: int
    end: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Findings:
    """A source that is ready to be searched; `inline` and `passages` are set for an inline text."""

    tenant: str
    stored: StoredSource | None
    inline: SourceText | None
    passages: tuple[Passage, ...]


class Finder:
    """Finds passages for questions."""

    def __init__(self, store: Store, retriever: Retriever, count: WordPieceCounter) -> None:
        self._store = store
        self._retriever = retriever
        self._count = count

    def prepare(self, tenant: str, request: SourceRequest) -> Findings:
        """Resolve the request's source; an inline text is split here, once for all questions. Raises as `resolve`."""
        source = resolve(self._store, tenant, request)
        if isinstance(source, StoredSource):
            return Findings(tenant=tenant, stored=source, inline=None, passages=())
        return Findings(tenant=tenant, stored=None, inline=_named(source), passages=self._passages(source))

    def find(
        self, findings: Findings, query: str, *, k: int, mode: Mode = "hybrid", everything: bool = False
    ) -> list[Hit]:
        """The k best hits. With `everything`, an inline text of at most k passages is not searched: it is all read."""
        if findings.stored is None:
            if everything and len(findings.passages) <= k:
                return [Hit(passage=passage, title="", score=0.0) for passage in findings.passages]
            return self._retriever.search_passages(findings.passages, query, mode=mode, k=k)
        stored = findings.stored
        if stored.documents is not None and not stored.documents:
            return []
        return self._retriever.search(
            findings.tenant, query, collection=stored.collection, documents=stored.documents, mode=mode, k=k
        )

    def search(self, tenant: str, request: SearchRequest) -> SearchReply:
        """The reply of `POST /search`."""
        timer = Timer()
        findings = self.prepare(tenant, request)
        hits = self.find(findings, request.query, k=request.top_k, mode=request.mode)
        timer.stage("retrieve")
        return SearchReply(hits=[shown(hit) for hit in hits], timings_ms=timer.total())

    def pieces(self, hits: Sequence[Hit]) -> list[Piece]:
        """Overlapping hits of one document joined, so that nothing is read twice and no answer counts twice.

        A join that would be longer than LONGEST_PIECE word pieces is not made: the later hit begins where the earlier
        ends instead. In the order of each piece's best hit.
        """
        rank = {hit.passage.key: place for place, hit in enumerate(hits)}
        ordered = sorted(hits, key=lambda hit: (hit.passage.document_id or "", hit.passage.version, hit.passage.start))
        pieces: list[Piece] = []
        for hit in ordered:
            last = pieces[-1] if pieces else None
            if last is None or not _overlap(last, hit.passage):
                pieces.append(_piece(hit, hit.passage.start))
            elif hit.passage.end <= last.end:
                pieces[-1] = _with_hit(last, hit, rank)
            else:
                joined = last.text + hit.passage.text[last.end - hit.passage.start :]
                if self._count([joined])[0] <= LONGEST_PIECE:
                    wider = Piece(hits=last.hits, start=last.start, end=hit.passage.end, text=joined)
                    pieces[-1] = _with_hit(wider, hit, rank)
                else:
                    pieces.append(_piece(hit, last.end))
        return sorted(pieces, key=lambda piece: rank[piece.hits[0].passage.key])

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


def _overlap(piece: Piece, passage: Passage) -> bool:
    before = piece.hits[0].passage
    same = (before.document_id, before.version) == (passage.document_id, passage.version)
    return same and passage.start < piece.end


def _piece(hit: Hit, start: int) -> Piece:
    """A hit from `start` on; the white space there belongs to neither piece."""
    rest = hit.passage.text[start - hit.passage.start :]
    start += re.match(r"\s*", rest).end()  # type: ignore[union-attr]
    return Piece(hits=(hit,), start=start, end=hit.passage.end, text=rest.lstrip())


def _with_hit(piece: Piece, hit: Hit, rank: dict[int, int]) -> Piece:
    hits = tuple(sorted((*piece.hits, hit), key=lambda one: rank[one.passage.key]))
    return Piece(hits=hits, start=piece.start, end=piece.end, text=piece.text)
