"""Source -> sentences -> vectors -> salience -> a selection in document order, cited, with an account of what was read.

Every sentence of the source is encoded and scored, however long it is: time grows linearly, and what is kept for a
sentence is its place and a half-precision vector.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.asked import query_of
from app.choosing import BOOK_WORDS, budget_of, choose, choose_from_book
from app.citations import cite, section_title
from app.errors import NoGenerator
from app.inference import Reader, SalienceModel
from app.lines import UNIT, Encoder, Line, NoShelf, Progress, Shelf, encode_lines, table_of
from app.outlining import score_definitions
from app.parts import Part, Read, parts_of, read_lines
from app.prose import one_line
from app.schemas import (
    Coverage,
    CoveredSection,
    Models,
    SummarizeReply,
    SummarizeRequest,
    SummaryPart,
    SummarySentence,
)
from app.sources import SourceText, TextParser, resolve, texts
from app.telemetry import Timer
from model.sentence_table import Floats, Query, Turn
from model.summarizer import CentralitySalience, probability
from retriever.errors import NotFound
from retriever.parsing import parse_text
from retriever.store import Store


class Summarizing:
    """Summaries of stored documents and of inline texts."""

    def __init__(
        self,
        store: Store,
        encoder: Encoder,
        salience: SalienceModel = CentralitySalience(),
        reader: Reader | None = None,
        *,
        parse: TextParser = parse_text,
    ) -> None:
        """`reader` reads what is nearest to a query, where a summary is asked with one."""
        self._store = store
        self._reader = reader
        self._parse = parse
        self._encoder = encoder
        self._salience = salience

    @property
    def summarizer(self) -> str:
        """What scores the sentences, by name and hash."""
        return self._salience.name

    def summarize(
        self,
        tenant: str,
        request: SummarizeRequest,
        *,
        progress: Progress,
        job: Callable[[], str | None] = lambda: None,
    ) -> SummarizeReply:
        """The summary that a request asks for.

        `progress(done, total, unit)` counts encoded sentences and is called at least once; what it raises, such as
        Cancelled, stops the work. `job` tells the job, if there is one by then, that goes on with it after a kill.
        Raises NoGenerator for `mode: abstractive`, and what `sources.resolve` raises.
        """
        if request.mode == "abstractive":
            raise NoGenerator("no generator is configured: mode 'extractive' is the one that works")
        source = resolve(self._store, tenant, request, parse=self._parse)
        sources = list(texts(self._store, tenant, source))
        return summarize_texts(
            sources,
            request,
            encoder=self._encoder,
            salience=self._salience,
            reader=self._reader,
            shelf=_StoreShelf(self._store, tenant, self._encoder.version, job),
            progress=progress,
        )


@dataclass
class _StoreShelf:
    """The store as the place where vectors of sentences are kept.

    A document that is deleted while it is summarized was read already: nothing more is kept of it. What is encoded of
    an inline text before a job takes the work over waits for that job.
    """

    store: Store
    tenant: str
    encoder: str
    job: Callable[[], str | None]
    _waiting: dict[bytes, NDArray[np.float16]] = field(default_factory=dict)

    def get(self, document_id: str | None, digests: Sequence[bytes]) -> Mapping[bytes, NDArray[np.float16]]:
        with suppress(NotFound):
            if document_id is not None:
                return self.store.sentence_blocks(self.tenant, document_id, encoder=self.encoder, digests=digests)
            if (job_id := self.job()) is not None:
                return self.store.job_blocks(self.tenant, job_id, encoder=self.encoder, digests=digests)
        return {}

    def put(self, document_id: str | None, digest: bytes, vectors: NDArray[np.float16]) -> None:
        if document_id is None:
            self._put_of_job(digest, vectors)
            return
        with suppress(NotFound):
            blocks = {digest: vectors}
            self.store.put_sentence_blocks(self.tenant, document_id, encoder=self.encoder, blocks=blocks)

    def keep(self, document_id: str | None, digests: Sequence[bytes]) -> None:
        if document_id is not None:
            with suppress(NotFound):
                self.store.keep_sentence_blocks(self.tenant, document_id, encoder=self.encoder, digests=digests)

    def _put_of_job(self, digest: bytes, vectors: NDArray[np.float16]) -> None:
        self._waiting[digest] = vectors
        if (job_id := self.job()) is not None:
            self.store.put_job_blocks(self.tenant, job_id, encoder=self.encoder, blocks=self._waiting)
            self._waiting = {}


def summarize_texts(
    sources: Sequence[SourceText],
    request: SummarizeRequest,
    *,
    encoder: Encoder,
    salience: SalienceModel = CentralitySalience(),
    reader: Reader | None = None,
    shelf: Shelf = NoShelf(),
    progress: Progress,
) -> SummarizeReply:
    """An extractive summary of these documents together; of the request, only what the summary is to be like counts."""
    timer = Timer("summarize")
    read: list[Read] = []
    lines: list[Line] = []
    for place, source in enumerate(sources):
        if read:
            progress(0, len(lines), UNIT)  # whoever waits may have gone meanwhile
        read.append(read_lines(place, source, request.kind))
        lines += read[-1].lines
    timer.stage("split")
    vectors = encode_lines(encoder, shelf, [source.document_id for source in sources], lines, progress)
    timer.stage("encode")
    query = None
    if request.query is not None:
        query = query_of(encoder, reader, request.query, lines, vectors)
        timer.stage("read")

    def turn(step: Callable[[], Any]) -> Any:
        progress(len(lines), len(lines), UNIT)
        return step()

    scores = _score(read, vectors, query, salience, turn)
    progress(len(lines), len(lines), UNIT)
    parts = parts_of(sources, read) if request.format == "sections" else []
    chosen = _choose(request, read, parts, vectors, scores, salience)
    timer.stage("select")
    shown = probability(scores)
    sentences = [_sentence(read[lines[place].source].source, lines[place], float(shown[place])) for place in chosen]
    shown_parts = _parts(parts, chosen, sentences)
    return SummarizeReply(
        summary=_written(request, shown_parts, sentences, [lines[place].source for place in chosen]),
        sentences=sentences,
        parts=shown_parts,
        coverage=_coverage(sources, [lines[place] for place in chosen]),
        model=Models(
            reader=None if query is None or reader is None else reader.name,
            retriever=encoder.version,
            summarizer=salience.name,
        ),
        timings_ms=timer.total(),
    )


def _choose(
    request: SummarizeRequest,
    read: Sequence[Read],
    parts: Sequence[Part],
    vectors: NDArray[np.float16],
    scores: Floats,
    salience: SalienceModel,
) -> list[int]:
    """The places of the sentences that make the summary, in order."""
    lines = [line for one in read for line in one.lines]
    words = sum(line.words for line in lines)
    if request.format == "sections":
        return choose(parts, lines, vectors, scores, budget_of(request, words, parts=len(parts)))
    budget = budget_of(request, words)
    outlined = any(one.definitions for one in read)
    if words < BOOK_WORDS or request.query is not None or outlined:
        return choose([Part(title=None, members=range(len(lines)))], lines, vectors, scores, budget)
    return choose_from_book(
        lines,
        vectors,
        scores,
        budget,
        rescore=lambda places, condensed: salience.score(table_of(condensed, vectors[np.array(places)])),
    )


def _score(
    read: Sequence[Read], vectors: NDArray[np.float16], query: Query | None, salience: SalienceModel, turn: Turn
) -> Floats:
    """Salience [N] of all lines: source code by its outline, everything else by the model."""
    lines = [line for one in read for line in one.lines]
    scores = salience.score(table_of(lines, vectors), query, turn=turn)
    at = 0
    for one in read:
        rows = slice(at, at + len(one.lines))
        if one.definitions:
            own = None if query is None else query.part(rows.start, rows.stop)
            scores[rows] = score_definitions(one.definitions, vectors[rows].astype(np.float32), own)
        at += len(one.lines)
    return scores


def _sentence(source: SourceText, line: Line, salience: float) -> SummarySentence:
    quote = source.document.text[line.start : line.end]
    citation = cite(
        source,
        line.start,
        line.end,
        quote=quote,
        passage_id=None,
        score=salience,
        within=(line.start, line.end),
    )
    return SummarySentence(
        text=one_line(quote), salience=round(salience, 6), citation=citation, speaker=citation.speaker
    )


def _parts(groups: Sequence[Part], chosen: Sequence[int], sentences: Sequence[SummarySentence]) -> list[SummaryPart]:
    """One part for each group that something was chosen from."""
    order = {place: number for number, place in enumerate(chosen)}
    parts: list[SummaryPart] = []
    for group in groups:
        numbers = [order[place] for place in group.members if place in order]
        if numbers:
            joined = join_sentences([sentences[number].text for number in numbers])
            parts.append(SummaryPart(title=group.title, summary=joined, sentences=numbers))
    return parts


def _written(
    request: SummarizeRequest,
    parts: Sequence[SummaryPart],
    sentences: Sequence[SummarySentence],
    sources: Sequence[int],
) -> str:
    if request.format == "bullets":
        return "\n".join(f"- {sentence.text}" for sentence in sentences)
    if request.format == "sections":
        return "\n\n".join(f"{part.title}\n{part.summary}" if part.title else part.summary for part in parts)
    paragraphs = groupby(zip(sources, sentences, strict=True), key=lambda pair: pair[0])
    return "\n\n".join(join_sentences([sentence.text for _, sentence in pairs]) for _, pairs in paragraphs)


def join_sentences(sentences: Sequence[str]) -> str:
    """Sentences as one paragraph: a blank between two, none after Chinese and Japanese punctuation."""
    joined = ""
    for sentence in sentences:
        joined += ("" if not joined or joined[-1] in "。！？」』）" else " ") + sentence
    return joined


def _coverage(sources: Sequence[SourceText], chosen: Sequence[Line]) -> Coverage:
    """Every section of every document with how many sentences were taken from it; all of it was read."""
    covered: list[CoveredSection] = []
    for place, source in enumerate(sources):
        starts = [line.start for line in chosen if line.source == place]
        ranges = [(section_title(s.path), s.start, s.end) for s in source.document.sections]
        for title, start, end in ranges or [(None, 0, len(source.document.text))]:
            covered.append(
                CoveredSection(
                    document_id=source.document_id,
                    title=title or source.title,
                    start=start,
                    end=end,
                    sentences=sum(start <= taken < end for taken in starts),
                )
            )
    total = sum(len(source.document.text) for source in sources)
    return Coverage(characters_read=total, characters_total=total, sections=covered)
