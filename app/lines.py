"""Sources -> the sentences that can stand in a summary, their vectors, and what a salience model is told of them."""

import hashlib
import re
import zlib
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app import metrics
from app.prose import count_words, one_line, summarizable
from app.section_kinds import abstract_rows, begins_with_abstract, kind_of
from app.sources import SourceText
from model.sentence_table import Floats, SectionKind, SentenceTable
from retriever.parsing.dialogue import said_from
from retriever.terms import terms
from retriever.units import sentences_of

UNIT = "sentences"  # what `progress` counts
BATCH = 128  # sentences encoded between two reports of progress, about a second on two cores
SMALLEST_BLOCK = 32  # sentences whose vectors are kept together, at least; a section of so many has blocks of its own
USUAL_BLOCK = 48  # more of them on the mean, of a large section
SECTIONS_IN_BLOCK = 4  # more of them on the mean, of small ones

Progress = Callable[[int, int, str], None]

_ASKS = re.compile(r"""[?？]["'”’»」』)\]）]*\Z""")
_COUNTS = re.compile(r"\d")


class Encoder(Protocol):
    """Texts to unit vectors."""

    @property
    def version(self) -> str:
        """Name and hash of the weights."""

    @property
    def dimension(self) -> int:
        """The length of a vector."""

    @property
    def longest(self) -> int:
        """Word pieces of a text up to which it is read whole."""

    def count_word_pieces(self, texts: Sequence[str], /) -> list[int]:
        """Word pieces of each text."""

    def encode_passages(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Unit rows [N, D]."""

    def encode_queries(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Unit rows [N, D]."""


class Shelf(Protocol):
    """Where vectors of blocks of sentences are kept, by a digest of what they say.

    They are a stored document's, or, where its id is None, those of the text that came with the request.
    """

    def get(self, document_id: str | None, digests: Sequence[bytes]) -> Mapping[bytes, NDArray[np.float16]]:
        """The known ones: digest -> [N, D]. NotFound for a document that is gone, as from the others."""

    def put(self, document_id: str | None, digest: bytes, vectors: NDArray[np.float16]) -> None:
        """Keep a block."""

    def keep(self, document_id: str | None, digests: Sequence[bytes]) -> None:
        """Let go of the document's other blocks."""


class NoShelf:
    """Keeps nothing."""

    def get(self, document_id: str | None, digests: Sequence[bytes]) -> Mapping[bytes, NDArray[np.float16]]:
        """Nothing is known."""
        return {}

    def put(self, document_id: str | None, digest: bytes, vectors: NDArray[np.float16]) -> None:
        """Nothing is kept."""

    def keep(self, document_id: str | None, digests: Sequence[bytes]) -> None:
        """Nothing is there to let go of."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A sentence that can stand in a summary: `sources[source].document.text[start:end]`; `text` is it on one line.

    In a transcript `text` is without the speaker, who is `speaker`, and `turn_words` are the words of the whole turn.
    `first` marks the first sentence of a paragraph or turn, `kind` what its section is for.
    """

    source: int
    start: int
    end: int
    text: str
    words: int
    words_before: int
    section: int
    first: bool
    speaker: str | None
    turn_words: int
    kind: SectionKind = SectionKind.OTHER


def lines_of(place: int, source: SourceText) -> list[Line]:
    """The sentences of the document `sources[place]` that can stand in a summary, in order."""
    text, turns = source.document.text, source.document.turns
    sentences = sentences_of(source.document)
    good = summarizable(source.document, sentences)
    sections = source.document.sections
    section_starts = [section.start for section in sections]
    kinds = [kind_of(section.path) for section in sections]
    begun = [said_from(text, turn) for turn in turns]
    turn_words = [count_words(text[said : turn.end]) for said, turn in zip(begun, turns, strict=True)]
    lines: list[Line] = []
    before = 0
    for sentence in (sentence for sentence, passed in zip(sentences, good, strict=True) if passed):
        at = bisect_right(turns, sentence.start, key=lambda turn: turn.start) - 1
        spoken = at >= 0 and sentence.start < turns[at].end
        start = max(sentence.start, begun[at]) if spoken else sentence.start
        said = one_line(text[start : sentence.end])
        if not said:
            continue  # a label alone
        start = sentence.end - len(text[start : sentence.end].lstrip())
        words = count_words(said)
        section = bisect_right(section_starts, sentence.start) - 1
        lines.append(
            Line(
                source=place,
                start=start,
                end=sentence.end,
                text=said,
                words=words,
                words_before=before,
                section=section,
                first=not text[max(0, text.rfind("\n", 0, sentence.start)) : sentence.start].strip(),
                speaker=turns[at].speaker if spoken else None,
                turn_words=turn_words[at] if spoken else 0,
                kind=kinds[section] if section >= 0 else SectionKind.OTHER,
            )
        )
        before += words
    return _with_abstract(lines, text)


def _with_abstract(lines: list[Line], text: str) -> list[Line]:
    """The same lines, those that are of an abstract marked as that and no others."""
    of_abstract = set(
        abstract_rows(
            [line.kind for line in lines],
            [line.section for line in lines],
            [line.words for line in lines],
            [line.first for line in lines],
            [line.text if line.speaker is None else "" for line in lines],
            titled=begins_with_abstract(text),
        )
    )
    for row, line in enumerate(lines):
        if (line.kind == SectionKind.ABSTRACT) != (row in of_abstract):
            lines[row] = replace(line, kind=SectionKind.ABSTRACT if row in of_abstract else SectionKind.OTHER)
    return lines


@dataclass(frozen=True, kw_only=True)
class _Block:
    """Lines that are encoded together, of one section of one document; `digest` is of what they say."""

    document_id: str | None
    lines: tuple[Line, ...]
    digest: bytes


def encode_lines(
    encoder: Encoder, shelf: Shelf, documents: Sequence[str | None], lines: Sequence[Line], progress: Progress
) -> NDArray[np.float16]:
    """Vectors [N, D] of all lines, in half precision: a book of 10,000 sentences takes 8 MB.

    `documents` are the ids of the sources, None for an inline text. Blocks that the shelf has are not encoded, and
    every other one is put there as soon as it is, so that work which is cut short goes on from there.
    """
    blocks = list(_blocks_of(documents, lines))
    vectors = np.zeros((len(lines), encoder.dimension), dtype=np.float16)
    progress(0, len(lines), UNIT)
    done = 0
    for document_id, group in groupby(blocks, key=lambda block: block.document_id):
        own = list(group)
        known = shelf.get(document_id, [block.digest for block in own])
        for block in own:
            found = known.get(block.digest)
            rows = vectors[done : done + len(block.lines)]
            if found is None or found.shape != rows.shape:
                rows[:] = _encode(encoder, [line.text for line in block.lines])
                shelf.put(document_id, block.digest, rows)
                metrics.SENTENCE_VECTORS.labels("encoded").inc(len(rows))
            else:
                rows[:] = found
                metrics.SENTENCE_VECTORS.labels("kept").inc(len(rows))
            done += len(rows)
            progress(done, len(lines), UNIT)
        shelf.keep(document_id, [block.digest for block in own])
    return vectors


def _encode(encoder: Encoder, texts: Sequence[str]) -> Floats:
    """Unit vectors [N, D]: of a sentence that is longer than the encoder reads, the mean of its pieces'."""
    pieces = [list(_readable(encoder, text)) for text in texts]
    vectors = encoder.encode_passages([piece for own in pieces for piece in own])
    if len(vectors) == len(texts):
        return vectors
    sums = np.add.reduceat(vectors, [0, *accumulate(len(own) for own in pieces)][:-1])
    means: Floats = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return means


def _readable(encoder: Encoder, text: str) -> Iterator[str]:
    """A sentence, cut in halves until the encoder reads each whole. A word piece has a character or more."""
    if len(text) <= encoder.longest or encoder.count_word_pieces([text])[0] <= encoder.longest:
        yield text
        return
    middle = len(text) // 2
    cut = text.find(" ", middle, middle + encoder.longest // 4) + 1 or middle
    yield from _readable(encoder, text[:cut])
    yield from _readable(encoder, text[cut:])


def _blocks_of(documents: Sequence[str | None], lines: Sequence[Line]) -> Iterator[_Block]:
    """The lines in order, cut by what they say: an edit changes the blocks around it, and no others.

    Blocks end with a large section, and else after a line whose hash says so (content-defined chunking, as in LBFS:
    Muthitacharoen et al. 2001), more often between small sections than inside one.
    """
    for place, group in groupby(lines, key=lambda line: line.source):
        waiting: list[Line] = []
        before = 0  # lines of the section before
        for _, section in groupby(group, key=lambda line: line.section):
            own = list(section)
            for number, line in enumerate(own):
                large = number == 0 and max(before, len(own)) >= SMALLEST_BLOCK
                usual = SECTIONS_IN_BLOCK if number == 0 else USUAL_BLOCK
                ended = len(waiting) >= SMALLEST_BLOCK and _hash(waiting[-1]) % usual == 0
                if waiting and (large or ended or len(waiting) == BATCH):
                    yield from _block(documents[place], waiting)
                    waiting = []
                waiting.append(line)
            before = len(own)
        yield from _block(documents[place], waiting)


def _hash(line: Line) -> int:
    return zlib.crc32(line.text.encode("utf-8", "surrogatepass"))


def _block(document_id: str | None, lines: Sequence[Line]) -> Iterator[_Block]:
    if lines:
        said = "\0".join(line.text for line in lines).encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(said, digest_size=16).digest()
        yield _Block(document_id=document_id, lines=tuple(lines), digest=digest)


def table_of(lines: Sequence[Line], vectors: NDArray[np.float16]) -> SentenceTable:
    """What a salience model is told of these lines."""
    speakers: dict[tuple[int, str], int] = {}
    sections = {pair: number for number, pair in enumerate(dict.fromkeys((it.source, it.section) for it in lines))}
    return SentenceTable(
        vectors=vectors,
        words=_whole(line.words for line in lines),
        words_before=_whole(line.words_before for line in lines),
        document=_whole(line.source for line in lines),
        section=_whole(sections[line.source, line.section] for line in lines),
        speaker=_whole(
            -1 if line.speaker is None else speakers.setdefault((line.source, line.speaker), len(speakers))
            for line in lines
        ),
        turn_words=_whole(line.turn_words for line in lines),
        first=np.array([line.first for line in lines], dtype=np.bool_),
        asks=np.array([_ASKS.search(line.text) is not None for line in lines], dtype=np.bool_),
        counts=np.array([_COUNTS.search(line.text) is not None for line in lines], dtype=np.bool_),
        kind=_whole(int(line.kind) for line in lines),
        central=_central(lines),
    )


def _central(lines: Sequence[Line]) -> Floats:
    """For each sentence [N] the cosine of its words with those of its document, weighed by tf-idf.

    The degree centrality of LexRank (Erkan and Radev 2004) by words, without comparing every two sentences.
    """
    found = [_centrality(list(group)) for _, group in groupby(lines, key=lambda line: line.source)]
    return np.concatenate([np.zeros(0, dtype=np.float32), *found])


def _centrality(lines: Sequence[Line]) -> Floats:
    numbers: dict[str, int] = {}
    term, row, count = array("i"), array("i"), array("i")
    for place, line in enumerate(lines):
        for name, times in Counter(terms(line.text)).items():
            term.append(numbers.setdefault(name, len(numbers)))
            row.append(place)
            count.append(times)
    term_of, row_of = np.array(term), np.array(row)
    idf = np.log1p(len(lines) / np.bincount(term_of, minlength=len(numbers)))
    weight = np.array(count) * idf[term_of]
    weight /= _length(_sums(weight**2, row_of, len(lines)))[row_of]
    centre = _sums(weight, term_of, len(numbers))
    cosines = _sums(weight * centre[term_of], row_of, len(lines)) / _length((centre**2).sum(keepdims=True))
    return cosines.astype(np.float32)


def _sums(values: NDArray[np.float64], places: NDArray[np.int32], size: int) -> NDArray[np.float64]:
    return np.bincount(places, weights=values, minlength=size).astype(np.float64, copy=False)


def _length(squares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Square roots, and 1 for 0: what has no word is divided by something."""
    return np.where(squares > 0, np.sqrt(squares), 1.0)


def _whole(numbers: Iterator[int]) -> NDArray[np.int64]:
    return np.fromiter(numbers, dtype=np.int64)
