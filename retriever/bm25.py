"""BM25 as tantivy computes it, in numpy: what scores inline texts, and the reference that the sparse index is held to.

An in-memory tantivy index of 100 passages takes 12 ms to build and 2 ms to throw away, this 2 ms in all; `rank-bm25`
has another idf (negative for frequent terms, then floored) and no length table, so its scores and some of its ranks
differ from those of a stored document. One formula for both is what a user expects.

    score(q, d) = sum over the terms t of q:  idf(t) * (k1 + 1) * tf / (tf + k1 * (1 - b + b * length / average))
    idf(t) = ln(1 + (N - n + 0.5) / (n + 0.5))      N passages, n of them with t       (Robertson and Zaragoza 2009)

`length` goes through the table of 256 lengths that Lucene and tantivy store in a byte; `average` is exact.
"""

from collections import Counter
from collections.abc import Sequence
from math import log

import numpy as np
from numpy.typing import NDArray

K1 = 1.2  # tantivy's constants, which it does not let one set
B = 0.75
EXACT_LENGTHS = 24  # Lucene's SmallFloat: lengths below are stored as they are, those above with 3 bits of mantissa


def _length_table() -> NDArray[np.int64]:
    lengths = list(range(EXACT_LENGTHS))
    for code in range(256 - EXACT_LENGTHS):
        mantissa, shift = code & 7, (code >> 3) - 1
        lengths.append(EXACT_LENGTHS + (mantissa if shift < 0 else (mantissa | 8) << shift))
    return np.array(lengths, dtype=np.int64)


LENGTHS = _length_table()


def stored_lengths(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each length as it reads back from its byte: the largest of the table that is not above it."""
    return LENGTHS[np.searchsorted(LENGTHS, lengths, side="right") - 1]


def bm25(query: Sequence[str], passages: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """The score of every passage [N] for a query, both as terms; a term asked twice counts twice."""
    if not passages:
        return np.zeros(0)
    exact = np.array([len(terms) for terms in passages], dtype=np.int64)
    average = max(float(exact.mean()), 1e-9)
    norm = K1 * (1 - B + B * stored_lengths(exact) / average)
    scores = np.zeros(len(passages))
    wanted = Counter(query)
    counts = np.zeros((len(wanted), len(passages)))
    column = {term: place for place, term in enumerate(wanted)}
    for place, terms in enumerate(passages):
        for term in terms:
            if term in column:
                counts[column[term], place] += 1
    for term, times in wanted.items():
        frequency = counts[column[term]]
        holding = int(np.count_nonzero(frequency))
        if holding:
            scores += times * idf(holding, len(passages)) * (K1 + 1) * frequency / (frequency + norm)
    return scores


def idf(holding: int, passages: int) -> float:
    """The weight of a term that so many of all passages hold."""
    return log(1 + (passages - holding + 0.5) / (holding + 0.5))
