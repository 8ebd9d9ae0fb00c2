"""What is known of the sentences of a text: the input of every salience model. Numpy only.

N sentences, D dimension of a vector. Nothing here builds an N x N matrix: time and memory grow linearly.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Turn = Callable[[Callable[[], Any]], Any]
"""Carries out a step of long work and returns what it makes: at once, or in its turn among the work of others."""

STATIC = 35  # features of a sentence without a query
ASKED = 12  # features of a sentence and a query
WIDE = 15  # sentences on both sides that a topic of a talk may take
_BLOCK = 4_096  # rows that are turned into float32 at a time


class SectionKind(IntEnum):
    """What a section is for, as far as its heading says."""

    OTHER = 0
    ABSTRACT = 1
    INTRODUCTION = 2
    CONCLUSION = 3
    APPARATUS = 4  # references, acknowledgements, contents


@dataclass(frozen=True, kw_only=True, eq=False)
class SentenceTable:
    """Sentences in document order, documents one after the other; every array has one row a sentence.

    `vectors` [N, D] are unit rows of half or single precision. `words` counts each sentence's words, `words_before`
    those before it in its document. `document`, `section` and `speaker` are numbers that tell them apart; `speaker` is
    -1 where nobody speaks. `turn_words` are the words of the whole turn. `first` marks the first sentence of a
    paragraph or a turn, `asks` a question, `counts` a sentence with a number. `kind` is the section's SectionKind.
    `central` is how much of the document's own words a sentence has, a cosine.
    """

    vectors: NDArray[np.floating]
    words: NDArray[np.int64]
    words_before: NDArray[np.int64]
    document: NDArray[np.int64]
    section: NDArray[np.int64]
    speaker: NDArray[np.int64]
    turn_words: NDArray[np.int64]
    first: NDArray[np.bool_]
    asks: NDArray[np.bool_]
    counts: NDArray[np.bool_]
    kind: NDArray[np.int64]
    central: Floats

    def __post_init__(self) -> None:
        """Refuses arrays of different lengths."""
        for field in fields(self):
            if len(getattr(self, field.name)) != len(self.vectors):
                raise ValueError(
                    f"{len(self.vectors)} vectors do not match {len(getattr(self, field.name))} {field.name}"
                )

    def __len__(self) -> int:
        """N."""
        return len(self.words)

    def part(self, start: int, end: int) -> "SentenceTable":
        """Rows `start` to `end`."""
        return SentenceTable(**{field.name: getattr(self, field.name)[start:end] for field in fields(self)})


@dataclass(frozen=True, kw_only=True, eq=False)
class Query:
    """What a summary is to be about: its unit vector [D], and of each sentence [N]:

    the share of the query's weight that it holds (`overlap`); how near the stretch of text that it stands in is to the
    query (`near`, up to about 2); the reader's chance that this stretch answers the query (`relevance`), and its
    confidence in an answer that the sentence has a part of (`answer`), both 0 for what was not read.
    """

    vector: Floats
    overlap: Floats
    near: Floats
    relevance: Floats
    answer: Floats

    def part(self, start: int, end: int) -> "Query":
        """The same query about sentences `start` to `end`."""
        rows = slice(start, end)
        return replace(
            self,
            overlap=self.overlap[rows],
            near=self.near[rows],
            relevance=self.relevance[rows],
            answer=self.answer[rows],
        )


def at_once(step: Callable[[], Any]) -> Any:
    """The turn of work that nobody else waits beside."""
    return step()


def static_features(table: SentenceTable) -> Floats:
    """[N, STATIC] of the sentences of one document, each about between -3 and 3."""
    if len(table) == 0:
        return np.zeros((0, STATIC), dtype=np.float32)
    before = table.words_before.astype(np.float32)
    total = _per_group(table.document, table.words)
    inside = before - _first_of_group(table.section, before)
    spoken = table.speaker >= 0
    said = _per_group(np.where(spoken, table.speaker, -1 - table.document), table.words)
    block = np.cumsum(table.first).astype(np.float32)  # paragraphs or turns so far
    inner = np.arange(len(table), dtype=np.float32) - _first_of_group(block.astype(np.int64), np.arange(len(table)))
    opening = spoken & (_first_of_group(table.speaker, block) == block)  # the first turn of its speaker
    answers = spoken & (table.speaker != _first_of_group(table.document, table.speaker))  # not who spoke first
    block -= _first_of_group(table.document, block)
    speakers = len(np.unique(table.speaker[spoken]))
    length = length_prior(table.words)
    centrality = centroid_similarity(table.vectors, length)
    columns = [
        np.log1p(table.words) - 3.0,
        length,
        np.exp(-before / 150.0),
        np.exp(-before / 1500.0),
        2.0 * before / total - 1.0,
        np.log1p(total) / 3.0 - 2.5,
        np.exp(-inside / 60.0),
        table.first.astype(np.float32),
        standard(centrality),
        centrality,
        table.asks.astype(np.float32),
        table.counts.astype(np.float32),
        (table.speaker >= 0).astype(np.float32),
        np.where(table.speaker < 0, 0.0, np.log1p(table.turn_words) - 3.0),
        np.where(table.speaker < 0, 0.0, said / total),
        np.exp(-(total - before) / 150.0),
        *((table.kind == kind).astype(np.float32) for kind in SectionKind if kind != SectionKind.OTHER),
        np.isin(table.document, table.document[table.kind == SectionKind.ABSTRACT]).astype(np.float32),
        np.exp(-(table.section - _first_of_group(table.document, table.section.astype(np.float32))) / 3.0),
        standard(table.central),
        np.exp(-before / 30.0),
        np.exp(-(total - before) / 30.0),
        np.exp(-block),
        np.exp(-block / 4.0),
        np.exp(-inner),
        opening.astype(np.float32),
        answers.astype(np.float32),
        (opening & answers).astype(np.float32),
        np.full(len(table), min(speakers, 8) / 4.0),
        np.minimum(table.words, 60) ** 2 / 900.0,
        (table.words < 5).astype(np.float32),
        (table.words < 10).astype(np.float32),
    ]
    features: Floats = np.stack(columns, axis=1).astype(np.float32)
    return features


def asked_features(table: SentenceTable, query: Query | None) -> Floats:
    """[N, ASKED] of the sentences of one document and a query; zeros without one."""
    if query is None or len(table) == 0:
        return np.zeros((len(table), ASKED), dtype=np.float32)
    cosine = dot(table.vectors, query.vector)
    columns = [
        np.ones_like(cosine),
        standard(cosine),
        cosine,
        standard(query.overlap),
        query.overlap,
        standard(_smoothed(cosine, 1)),
        standard(_smoothed(cosine, WIDE)),
        standard(_smoothed(query.overlap, WIDE)),
        standard(query.near),
        query.near,
        query.relevance,
        query.answer,
    ]
    features: Floats = np.stack(columns, axis=1).astype(np.float32)
    return features


def centroid_similarity(vectors: NDArray[np.floating], weight: NDArray[np.floating]) -> Floats:
    """Cosine [N] of each row of vectors [N, D] with their weighted mean: LexRank's degree centrality, in O(N D)."""
    centroid = np.zeros(vectors.shape[1], dtype=np.float32)
    for start in range(0, len(vectors), _BLOCK):
        part = slice(start, start + _BLOCK)
        centroid += weight[part].astype(np.float32) @ vectors[part].astype(np.float32)
    norm = float(np.linalg.norm(centroid))
    return dot(vectors, centroid / norm if norm > 0 else centroid)


def length_prior(words: NDArray[np.integer]) -> Floats:
    """0 for a fragment, 1 from a dozen words on, and less again past fifty, where a "sentence" is often a list."""
    count = words.astype(np.float32)
    prior: Floats = np.clip((count - 2.0) / 10.0, 0.0, 1.0) * np.clip(1.0 - (count - 50.0) / 100.0, 0.3, 1.0)
    return prior


def dot(vectors: NDArray[np.floating], vector: Floats) -> Floats:
    """The products [N] of rows [N, D], half precision or single, with a vector [D]."""
    found = np.empty(len(vectors), dtype=np.float32)
    for start in range(0, len(vectors), _BLOCK):
        found[start : start + _BLOCK] = vectors[start : start + _BLOCK].astype(np.float32) @ vector
    return found


def standard(values: Floats) -> Floats:
    """Values [N] with mean 0 and deviation 1; zeros where they are all the same."""
    spread = float(values.std())
    return (values - values.mean()) / spread if spread > 1e-6 else np.zeros_like(values)


def _per_group(group: NDArray[np.int64], amounts: NDArray[np.int64]) -> Floats:
    """For each row the sum [N] of the amounts of its group, at least 1."""
    _, place = np.unique(group, return_inverse=True)
    sums = np.bincount(place, weights=amounts)
    found: Floats = np.maximum(sums[place], 1.0).astype(np.float32)
    return found


def _first_of_group(group: NDArray[np.int64], values: NDArray[Any]) -> NDArray[Any]:
    """For each row the value [N] of the first row of its group."""
    _, first, place = np.unique(group, return_index=True, return_inverse=True)
    return values[first[place]]


def _smoothed(values: Floats, reach: int) -> Floats:
    """The mean [N] of each value and `reach` neighbours on both sides, the first and the last repeated beyond them."""
    padded = np.pad(values.astype(np.float64), (reach + 1, reach), mode="edge")
    sums = padded.cumsum()
    smooth: Floats = ((sums[2 * reach + 1 :] - sums[: -2 * reach - 1]) / (2 * reach + 1)).astype(np.float32)
    return smooth
