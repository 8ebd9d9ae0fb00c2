"""Source -> sentences -> vectors -> salience -> a selection in document order, cited, with an account of what was read.

Every sentence of the source is encoded and scored, however long it is: time grows linearly, and what is kept for a
sentence is its place and a half-precision vector.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from app.citations import cite, section_title
from app.dialogues import is_support, stages_of
from app.errors import NoGenerator
from app.inference import SalienceModel
from app.lines import Encoder, Line, NoShelf, Progress, Shelf, encode_lines, lines_of, query_of, table_of
from app.outlining import Definition, definitions_of, score_definitions
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
from model.sentence_table import Floats, Query
from model.summarizer import Budget, CentralitySalience, probability, select
from retriever.parsing import parse_text
from retriever.store import Store
from retriever.types import Kind

LONGEST_DEFAULT = 20  # sentences of the default summary of a very long text: what one reads without scrolling
MOST_PARTS = 40  # parts of a document by sections that still read as an overview: a novel's chapters, not its scenes
FEWEST_UNTITLED = 50  # words before a first heading that make a part


@dataclass(frozen=True, kw_only=True)
class _Group:
    """A part of a summary by sections: a title and the places of its candidate sentences."""

    title: str | None
    members: Sequence[int]


class Summarizing:
    """Summaries of stored documents and of inline texts."""

    def __init__(
        self,
        store: Store,
        encoder: Encoder,
        salience: SalienceModel = CentralitySalience(),
        *,
        parse: TextParser = parse_text,
    ) -> None:
        self._store = store
        self._parse = parse
        self._encoder = encoder
        self._salience = salience

    @property
    def summarizer(self) -> str:
        """What scores the sentences, by name and hash."""
        return self._salience.name

    def summarize(self, tenant: str, request: SummarizeRequest, *, progress: Progress) -> SummarizeReply:
        """The summary that a request asks for.

        `progress(done, total, unit)` counts encoded sentences and is called at least once; what it raises, such as
        Cancelled, stops the work. Raises NoGenerator for `mode: abstractive`, and what `sources.resolve` raises.
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
            shelf=_StoreShelf(self._store, tenant, self._encoder.version),
            progress=progress,
        )


@dataclass(frozen=True)
class _StoreShelf:
    """The store as the place where vectors of sentences are kept."""

    store: Store
    tenant: str
    encoder: str

    def get(self, document_id: str, digests: Sequence[bytes]) -> Mapping[bytes, NDArray[np.float16]]:
        return self.store.sentence_blocks(self.tenant, document_id, encoder=self.encoder, digests=digests)

    def put(self, document_id: str, digest: bytes, vectors: NDArray[np.float16]) -> None:
        blocks = {digest: vectors}
        self.store.put_sentence_blocks(self.tenant, document_id, encoder=self.encoder, blocks=blocks)

    def keep(self, document_id: str, digests: Sequence[bytes]) -> None:
        self.store.keep_sentence_blocks(self.tenant, document_id, encoder=self.encoder, digests=digests)


def summarize_texts(
    sources: Sequence[SourceText],
    request: SummarizeRequest,
    *,
    encoder: Encoder,
    salience: SalienceModel = CentralitySalience(),
    shelf: Shelf = NoShelf(),
    progress: Progress,
) -> SummarizeReply:
    """An extractive summary of these documents together; of the request, only what the summary is to be like counts."""
    timer = Timer("summarize")
    read = [_read(place, source, request.kind) for place, source in enumerate(sources)]
    lines = [line for one in read for line in one.lines]
    timer.stage("split")
    vectors = encode_lines(encoder, shelf, [source.document_id for source in sources], lines, progress)
    timer.stage("encode")
    query = None if request.query is None else query_of(encoder, request.query, lines)
    scores = _score(read, vectors, query, salience)
    groups = _groups(sources, read) if request.format == "sections" else []
    budget = _budget(request, sum(line.words for line in lines), parts=len(groups))
    chosen = _choose(groups or [_Group(title=None, members=range(len(lines)))], lines, vectors, scores, budget)
    timer.stage("select")
    shown = probability(scores)
    sentences = [_sentence(sources[lines[place].source], lines[place], float(shown[place])) for place in chosen]
    parts = _parts(groups, chosen, sentences)
    return SummarizeReply(
        summary=_written(request, parts, sentences, [lines[place].source for place in chosen]),
        sentences=sentences,
        parts=parts,
        coverage=_coverage(sources, [lines[place] for place in chosen]),
        model=Models(retriever=encoder.version, summarizer=salience.name),
        timings_ms=timer.total(),
    )


@dataclass(frozen=True, kw_only=True)
class _Read:
    """A document as it is summarized: its lines, and for source code the definitions that they show."""

    kind: Kind
    lines: Sequence[Line]
    definitions: Sequence[Definition]


def _read(place: int, source: SourceText, asked: Literal["auto", "prose", "dialogue", "code"]) -> _Read:
    """The document as what it is, or as what it is asked to be taken for; one without definitions is no code."""
    kind = source.document.kind if asked == "auto" else asked
    if kind == "code":
        definitions = definitions_of(place, source)
        if definitions:
            return _Read(kind="code", lines=[one.line for one in definitions], definitions=definitions)
    if kind == "prose" and source.document.turns:
        source = replace(source, document=replace(source.document, turns=()))
    return _Read(kind="prose" if kind == "code" else kind, lines=lines_of(place, source), definitions=())


def _score(read: Sequence[_Read], vectors: NDArray[np.float16], query: Query | None, salience: SalienceModel) -> Floats:
    """Salience [N] of all lines: source code by its outline, everything else by the model."""
    lines = [line for one in read for line in one.lines]
    scores = salience.score(table_of(lines, vectors), query)
    at = 0
    for one in read:
        rows = slice(at, at + len(one.lines))
        if one.definitions:
            own = None if query is None else replace(query, overlap=query.overlap[rows])
            scores[rows] = score_definitions(one.definitions, vectors[rows].astype(np.float32), own)
        at += len(one.lines)
    return scores


def default_sentences(words: int) -> int:
    """The default length for a text of so many words: 1 sentence for 100, 3 for 300, 6 for 1,000, 10 for 5,000."""
    return min(LONGEST_DEFAULT, max(1, round(1.6 * math.log2(max(words, 1) / 75))))


def _budget(request: SummarizeRequest, words: int, *, parts: int) -> Budget:
    """What was asked for, else by the size of what can be selected from; by sections at least a sentence each."""
    length = request.length
    if length is None:
        return Budget(unit="sentences", amount=max(default_sentences(words), parts))
    if length.sentences is not None:
        return Budget(unit="sentences", amount=length.sentences)
    return Budget(unit="words", amount=length.words or max(1, round((length.ratio or 1.0) * words)))


def _groups(sources: Sequence[SourceText], read: Sequence[_Read]) -> list[_Group]:
    """The parts of each document that have something to select.

    A file of source code is one part, a support dialogue has the problem, the steps and the outcome, and everything
    else its sections at the depth that reads as chapters. A few words before the first heading, such as a motto, are no
    part of their own.
    """
    groups: list[_Group] = []
    at = 0
    for source, one in zip(sources, read, strict=True):
        own = list(range(at, at + len(one.lines)))
        at += len(own)
        if one.kind == "code":
            titles: Sequence[str | None] = [source.title] * len(own)
        elif one.kind == "dialogue" and is_support({line.speaker for line in one.lines if line.speaker}):
            titles = stages_of(one.lines)
        else:
            groups += _chapters(source, one.lines, own)
            continue
        for title, pairs in groupby(zip(titles, own, strict=True), key=lambda pair: pair[0]):
            groups.append(_Group(title=title, members=[place for _, place in pairs]))
    return groups


def _chapters(source: SourceText, lines: Sequence[Line], own: Sequence[int]) -> Iterator[_Group]:
    sections = source.document.sections
    depth = chapter_depth({section.path for section in sections if section.path})
    starts = [section.start for section in sections]
    at = np.searchsorted(starts, [line.start for line in lines], side="right") - 1
    paths = [sections[int(number)].path[:depth] if sections else () for number in at]
    words = {place: line.words for place, line in zip(own, lines, strict=True)}
    for path, pairs in groupby(zip(paths, own, strict=True), key=lambda pair: pair[0]):
        members = [place for _, place in pairs]
        if path or len(set(paths)) == 1 or sum(words[place] for place in members) >= FEWEST_UNTITLED:
            yield _Group(title=section_title(path) or (None if depth else source.title), members=members)


def chapter_depth(paths: set[tuple[str, ...]]) -> int:
    """How many headings of a path name a part: the most that make no more than MOST_PARTS parts; 0 without headings.

    Where even the fewest make more than that, the outermost headings that tell parts apart do.
    """
    counts = [len({path[:depth] for path in paths}) for depth in range(1, max(map(len, paths), default=0) + 1)]
    readable = [depth for depth, count in enumerate(counts, start=1) if count <= MOST_PARTS]
    dividing = [depth for depth, count in enumerate(counts, start=1) if count > 1]
    if readable and counts[readable[-1] - 1] > 1:
        return readable[-1]
    return dividing[0] if dividing else len(counts)


def _choose(
    groups: Sequence[_Group],
    lines: Sequence[Line],
    vectors: NDArray[np.float16],
    salience: Floats,
    budget: Budget,
) -> list[int]:
    """The chosen lines in document order; the budget is shared among the groups by their words.

    What one group leaves or takes too much is carried to the next, so that the whole meets the budget.
    """
    sizes = [sum(lines[place].words for place in group.members) for group in groups]
    chosen: list[int] = []
    spent, seen = 0, 0
    for number, (group, size) in enumerate(zip(groups, sizes, strict=True)):
        seen += size
        due = budget.amount * seen / max(1, sum(sizes)) - spent
        if budget.unit == "sentences":
            later = len(groups) - number - 1
            least = 1 if budget.amount >= len(groups) else 0
            due = min(max(round(due), least), budget.amount - spent - least * later)
        if due < 1:
            continue
        rows = np.array(group.members, dtype=np.int64)
        words = [lines[place].words for place in group.members]
        picked = select(vectors[rows], salience[rows], words, budget=Budget(unit=budget.unit, amount=round(due)))
        chosen.extend(group.members[index] for index in picked)
        spent += len(picked) if budget.unit == "sentences" else sum(words[index] for index in picked)
    return chosen


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


def _parts(groups: Sequence[_Group], chosen: Sequence[int], sentences: Sequence[SummarySentence]) -> list[SummaryPart]:
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
