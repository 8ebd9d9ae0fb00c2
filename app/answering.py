"""Question -> hits -> passages -> reading -> answer with citations."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from app import metrics
from app.citations import Library, cite
from app.errors import Invalid
from app.finding import Finder, Findings
from app.inference import Reader
from app.pieces import Piece, held_by
from app.schemas import Alternative, AskManyReply, AskReply, AskRequest, Citation, Models, ReadCounts
from app.sources import SourceText
from app.telemetry import Timer
from model.types import Reading, ReadSpan
from retriever.errors import Conflict, NotFound
from retriever.store import Store
from retriever.types import Hit

MAX_CITATIONS = 5  # places cited for one answer, the best first
LONGEST_DOCUMENT = 16_384  # word pieces of a document that is read whole; a longer one is read by its passages
COMPARED = 20  # answers of several passages that are weighed again by what stands around the best
UNSURE = 0.5  # where the best has less than this share among answers; more of it is never overtaken
RELEVANT = 0.0  # logit from which a passage that holds the same string counts as a further place of the answer

Progress = Callable[[int, int, str], None]
Found = Callable[[int, Sequence[Hit]], None]  # of which question, from 0, and what was found for it


class Answering:
    """Answers questions; every reply's citations are checked against the stored text before it leaves."""

    def __init__(self, store: Store, finder: Finder, reader: Reader) -> None:
        self._store = store
        self._finder = finder
        self._reader = reader

    def ask(self, tenant: str, request: AskRequest) -> AskReply:
        """The answer to `request.question`. Raises NotFound, Conflict, Invalid, parsing errors, QueueFull."""
        if request.question is None:
            raise Invalid("question is missing", errors=[{"loc": ["question"], "msg": "Field required"}])
        return next(self.each(tenant, request))

    def ask_many(self, tenant: str, request: AskRequest, *, progress: Progress | None = None) -> AskManyReply:
        """The answers to `request.questions`, in order; the source is resolved once."""
        total = len(request.questions or [])
        answers: list[AskReply] = []
        for answer in self.each(tenant, request, before=lambda done: progress and progress(done, total, "questions")):
            answers.append(answer)
        return AskManyReply(answers=answers)

    def each(
        self,
        tenant: str,
        request: AskRequest,
        *,
        before: Callable[[int], object] = lambda _: None,
        found: Found = lambda *_: None,
    ) -> Iterator[AskReply]:
        """The answers one by one, to `request.question` or to each of its `questions`; the source is resolved once.

        `before` is told each question's number, `found` what is to be read for it: again, where documents were deleted
        meanwhile. What they raise ends the work.
        """
        questions = request.questions if request.question is None else [request.question]
        findings = self._finder.prepare(tenant, request)
        for number, question in enumerate(questions or []):
            before(number)
            yield self._answer(findings, question, request, lambda hits, number=number: found(number, hits))  # type: ignore[misc]

    def _answer(
        self,
        findings: Findings,
        question: str,
        request: AskRequest,
        found: Callable[[Sequence[Hit]], None] = lambda _: None,
    ) -> AskReply:
        try:
            return self._attempt(findings, question, request, found)
        except NotFound:  # a document that was found has been deleted since: the next search does not find it
            pass
        try:
            return self._attempt(findings, question, request, found)
        except NotFound as error:
            raise Conflict("the documents changed while they were read: ask again") from error

    def _attempt(
        self, findings: Findings, question: str, request: AskRequest, found: Callable[[Sequence[Hit]], None]
    ) -> AskReply:
        timer = Timer("ask")
        whole = self._finder.whole(findings, longest=LONGEST_DOCUMENT) if request.read == "document" else None
        hits = [whole] if whole else self._finder.find_to_read(findings, question, k=request.top_k)
        timer.stage("retrieve")
        found([] if whole else hits)
        library = Library(self._store, findings.tenant)
        pieces = self._pieces(findings, library, hits, whole)
        reading = self._read(question, pieces, request, findings, library, whole=whole is not None)
        timer.stage("read")
        spans = reading.spans
        best = spans[0] if reading.answerable and spans else None
        metrics.ANSWERS.labels("answered" if best else "abstained").inc()
        rest = spans[1:] if best else spans
        reply = AskReply(
            answer=_string(pieces, best) if best else None,
            answerable=best is not None,
            confidence=_chance(reading.confidence if best else 1 - reading.confidence),
            citations=[
                _cite(findings.inline, library, *place) for place in _places(pieces, best, reading) if best is not None
            ],
            alternatives=[
                Alternative(
                    answer=_string(pieces, span),
                    confidence=_chance(span.confidence),
                    citation=_cite(findings.inline, library, pieces[span.passage], span.start, span.end),
                )
                for span in rest[: request.alternatives]
            ],
            read=ReadCounts(
                passages=len(hits),
                characters=sum(len(piece.text) for piece in pieces),
                documents=len({hit.passage.document_id for hit in hits}),
                whole=whole is not None,
            ),
            model=Models(reader=self._reader.name, retriever=self._finder.retriever_of(findings, hits)),
            timings_ms={},
        )
        timer.stage("cite")
        return reply.model_copy(update={"timings_ms": timer.total()})

    def _pieces(self, findings: Findings, library: Library, hits: Sequence[Hit], whole: Hit | None) -> Sequence[Piece]:
        if whole:
            return [Piece(hits=(whole,), start=0, end=whole.passage.end, text=whole.passage.text)]
        return self._finder.pieces(
            hits, lambda hit, start, end: _source(findings.inline, library, hit).document.text[start:end]
        )

    def _read(
        self,
        question: str,
        pieces: Sequence[Piece],
        request: AskRequest,
        findings: Findings,
        library: Library,
        *,
        whole: bool,
    ) -> Reading:
        if not pieces:
            return Reading(spans=(), answerable=False, confidence=0.0, relevance=(), null=1.0)
        answers = request.alternatives + 1
        if whole:
            return self._reader.read_document(
                question, pieces[0].text, target_error=request.target_error, answers=answers
            )
        texts = [piece.text for piece in pieces]
        again = len(pieces) > 1
        reading = self._reader.read(
            question, texts, target_error=request.target_error, answers=max(answers, COMPARED) if again else answers
        )
        if not again or not _unsure(reading):
            return replace(reading, spans=reading.spans[:answers])
        closer = self._around(findings, library, pieces, reading.spans[0])
        return self._reader.read_again(
            question, reading, texts, closer, target_error=request.target_error, answers=answers
        )

    def _around(self, findings: Findings, library: Library, pieces: Sequence[Piece], best: ReadSpan) -> Sequence[str]:
        piece = pieces[best.passage]
        start, end = piece.start + best.start, piece.start + best.end
        document = _source(findings.inline, library, held_by(piece, start, end)).document
        return self._finder.around(document, piece, start, end)


def _unsure(reading: Reading) -> bool:
    return bool(reading.spans) and reading.spans[0].probability < UNSURE * (1.0 - reading.null)


def _chance(value: float) -> float:
    return round(min(1.0, max(0.0, value)), 6)


def _string(pieces: Sequence[Piece], span: ReadSpan) -> str:
    return pieces[span.passage].text[span.start : span.end]


def _places(pieces: Sequence[Piece], best: ReadSpan | None, reading: Reading) -> Iterator[tuple[Piece, int, int]]:
    """Where the answer stands: the span that was read, then the same whole words in other relevant pieces."""
    if best is None:
        return
    yield pieces[best.passage], best.start, best.end
    answer = _string(pieces, best)
    found = 1
    whole = re.compile(rf"(?<!\w){re.escape(answer)}(?!\w)")
    for index, piece in enumerate(pieces):
        relevant = index < len(reading.relevance) and reading.relevance[index] > RELEVANT
        match = whole.search(piece.text) if index != best.passage and relevant else None
        if match and found < MAX_CITATIONS:
            found += 1
            yield piece, match.start(), match.end()


def _cite(inline: SourceText | None, library: Library, piece: Piece, start: int, end: int) -> Citation:
    """The citation of a span of a piece, in the passage of the piece that holds most of it."""
    first, last = piece.start + start, piece.start + end
    hit = held_by(piece, first, last)
    return cite(
        _source(inline, library, hit),
        first,
        last,
        quote=piece.text[start:end],
        passage_id=hit.passage.id or None,
        score=hit.score,
        within=(piece.start, piece.end),
    )


def _source(inline: SourceText | None, library: Library, hit: Hit) -> SourceText:
    """The document of a hit, with its whole text."""
    passage = hit.passage
    if passage.document_id is not None:
        return library.text(passage.document_id, passage.version, hit.title)
    if inline is None:
        raise NotFound("the inline text is gone")
    return inline
