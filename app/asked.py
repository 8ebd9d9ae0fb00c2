"""What a summary is asked to be about, as a salience model takes it: likeness, shared words, and what the reader says.

The reader reads the stretches of the text that seem nearest to the query, as it reads passages for a question.
"""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

import numpy as np
from numpy.typing import NDArray

from app.inference import Reader
from app.lines import Encoder, Line
from model.sentence_table import Floats, Query, dot
from retriever.terms import query_terms, terms

READ = 8  # stretches that are read: as many as `/ask` reads passages
STRETCH_WORDS = 120  # of a stretch, about: a passage's size; a sentence is never divided


@dataclass(frozen=True, kw_only=True)
class _Stretch:
    """Lines [first, last) as one text; line first + i begins at starts[i] in it."""

    first: int
    last: int
    text: str
    starts: Sequence[int]


def query_of(
    encoder: Encoder, reader: Reader | None, query: str, lines: Sequence[Line], vectors: NDArray[np.floating]
) -> Query:
    """A query as a salience model takes it, about these lines [N] with these vectors [N, D].

    A stretch of text is as near as its likest sentence and the query's words that it holds, together. The nearest are
    read, where there is a reader.
    """
    vector = encoder.encode_queries([query])[0]
    near, relevance, answer = np.zeros((3, len(lines)), dtype=np.float32)
    stretches = list(_stretches(lines))
    if stretches:
        likest = np.maximum.reduceat(dot(vectors, vector), [stretch.first for stretch in stretches])
        nearness = likest + query_overlap(query, [stretch.text for stretch in stretches])
        near[:] = np.repeat(nearness, [stretch.last - stretch.first for stretch in stretches])
        if reader is not None:
            best = [stretches[place] for place in np.argsort(-nearness, kind="stable")[:READ]]
            _read(reader, query, best, relevance, answer)
    return Query(
        vector=vector,
        overlap=query_overlap(query, [line.text for line in lines]),
        near=near,
        relevance=relevance,
        answer=answer,
    )


def query_overlap(query: str, sentences: Sequence[str]) -> Floats:
    """The share [N] of the query's terms that each sentence holds, terms weighed by their idf among the sentences."""
    wanted = set(query_terms(query))
    held = [wanted.intersection(terms(sentence)) for sentence in sentences]
    frequency = Counter(term for found in held for term in found)
    weight = {term: math.log(1 + (len(sentences) - n + 0.5) / (n + 0.5)) for term, n in frequency.items()}
    whole = sum(weight.values()) or 1.0
    return np.array([sum(weight[term] for term in sorted(found)) / whole for found in held], dtype=np.float32)


def _read(reader: Reader, query: str, best: Sequence[_Stretch], relevance: Floats, answer: Floats) -> None:
    """Writes for each line [N] of these stretches the chances that its stretch answers, and that it has an answer."""
    reading = reader.read(query, [stretch.text for stretch in best])
    for stretch, logit in zip(best, reading.relevance, strict=True):
        relevance[stretch.first : stretch.last] = 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, logit))))
    for span in reading.spans:
        stretch = best[span.passage]
        first = stretch.first + bisect_right(stretch.starts, span.start) - 1
        last = stretch.first + bisect_right(stretch.starts, span.end - 1)
        answer[first:last] = np.maximum(answer[first:last], np.float32(span.confidence))


def _stretches(lines: Sequence[Line]) -> Iterator[_Stretch]:
    """All lines in order, as stretches of one document each; a section of some length is not joined with another."""
    at = 0
    for size in _sections(lines):
        section = lines[at : at + size]
        words = sum(line.words for line in section)
        share = words / max(1, round(words / STRETCH_WORDS))  # even parts, so that none is a remnant
        before = [0, *accumulate(line.words for line in section)]
        for _, part in groupby(range(size), key=lambda place: int(before[place] / max(share, 1.0))):
            places = list(part)
            texts = [_said(section[place]) for place in places]
            starts = [0, *accumulate(len(text) + 1 for text in texts[:-1])]
            yield _Stretch(first=at + places[0], last=at + places[-1] + 1, text=" ".join(texts), starts=starts)
        at += size


def _sections(lines: Sequence[Line]) -> Iterator[int]:
    """How many lines each section has, with the small ones before it or, at the end of a document, after it."""
    for _, own in groupby(lines, key=lambda line: line.source):
        sizes: list[int] = []
        waiting = words = 0
        for _, group in groupby(own, key=lambda line: line.section):
            section = list(group)
            waiting += len(section)
            words += sum(line.words for line in section)
            if words >= STRETCH_WORDS // 2:
                sizes.append(waiting)
                waiting = words = 0
        if waiting:
            sizes.append(waiting + (sizes.pop() if sizes else 0))
        yield from sizes


def _said(line: Line) -> str:
    """A line as the reader reads it: the first of a turn after who speaks."""
    return f"{line.speaker}: {line.text}" if line.speaker is not None and line.first else line.text
