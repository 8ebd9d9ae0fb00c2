"""Salience of sentences from their vectors alone, and a diverse selection of them under a budget. Numpy only.

N sentences, D dimension. Vectors are unit rows, float16 or float32; nothing here builds an N x N matrix, so that
time and memory grow linearly with the document. Same input, same output: ties go to the earlier sentence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from model.sentence_table import (
    Floats,
    Query,
    SentenceTable,
    Turn,
    at_once,
    centroid_similarity,
    dot,
    length_prior,
    standard,
)

DIVERSITY = 1.0  # log-odds lost by a full repetition of a chosen sentence; CONTRIBUTING.md has the measures
NEAR_DUPLICATE = 0.95  # cosine above which a second sentence says nothing new: rewordings of one fact stay below
BAND = 0.10  # a budget of words is met within this share of it
EXCHANGED = 512  # sentences that a budget of words may be met with beside those of the greedy choice
LEAD_WORDS = 150.0  # how far the weight of an opening reaches: an abstract, a first paragraph


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What salience is a mix of, in log-odds.

    Chosen by ROUGE on samples of the training sets of QMSum, SQuALITY, SciSummNet and TweetSumm. Likeness to the
    neighbouring sentences was tried as a further feature: it lowered ROUGE-2 at every weight on papers and dialogues.
    `relevance` and `answer` weigh the two chances, between 0 and 1, that the reader gives a sentence.
    """

    centroid: float = 0.6
    lead: float = 2.0
    length: float = 1.0
    query: float = 1.7
    overlap: float = 1.5
    relevance: float = 2.0
    answer: float = 8.0


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much to select: `amount` of `unit`, at least 1."""

    unit: Literal["sentences", "words"]
    amount: int

    def __post_init__(self) -> None:
        """Refuses an amount below 1."""
        if self.amount < 1:
            raise ValueError(f"a budget is at least 1 of its unit, not {self.amount}")


class CentralitySalience:
    """Salience without training: how near a sentence is to what its text is about, and how near to its opening."""

    name = "centrality"

    def __init__(self, *, weights: Weights = Weights()) -> None:
        self._weights = weights

    def score(self, table: SentenceTable, query: Query | None = None, *, turn: Turn = at_once) -> Floats:
        """Salience [N] in log-odds, higher is better; a query pulls it towards itself."""
        salience: Floats = turn(lambda: self._score(table, query))
        return salience

    def _score(self, table: SentenceTable, query: Query | None) -> Floats:
        if len(table) == 0:
            return np.zeros(0, dtype=np.float32)
        mix = self._weights
        length = length_prior(table.words)
        total = mix.centroid * standard(centroid_similarity(table.vectors, length))
        total = total + mix.length * length + mix.lead * np.exp(-table.words_before.astype(np.float32) / LEAD_WORDS)
        if query is not None:
            total = total + mix.query * standard(dot(table.vectors, query.vector))
            total = total + mix.overlap * standard(query.overlap)
            total = total + said_by_reader(query, weights=mix)
        salience: Floats = (total - total.mean()).astype(np.float32)
        return salience


def said_by_reader(query: Query, *, weights: Weights = Weights()) -> Floats:
    """What the reader's word on a query adds to each sentence's log-odds [N]."""
    return weights.relevance * query.relevance + weights.answer * query.answer


def probability(salience: NDArray[np.floating]) -> Floats:
    """Log-odds [N] as numbers between 0 and 1, in the same order."""
    shown: Floats = (1.0 / (1.0 + np.exp(-np.clip(salience, -30.0, 30.0)))).astype(np.float32)
    return shown


def select(
    vectors: NDArray[np.floating],
    salience: NDArray[np.floating],
    words: Sequence[int] | NDArray[np.integer],
    *,
    budget: Budget,
    diversity: float = DIVERSITY,
    said: Floats | None = None,
) -> list[int]:
    """Indices, ascending, of the sentences that say most within the budget without saying it twice.

    Greedy maximal marginal relevance (Carbonell and Goldstein, 1998): the next sentence has the highest
    `salience - diversity * highest cosine with what is chosen`. `said` [M, D] are vectors of what stands in the summary
    already: it is not repeated either. A budget of words is met as `fit` meets it. Of sentences that may be chosen, at
    least one is.
    """
    count = np.asarray(words, dtype=np.int64)
    if not len(vectors) == len(salience) == len(count):
        raise ValueError(f"{len(vectors)} vectors, {len(salience)} saliences and {len(count)} word counts do not match")
    if len(vectors) == 0:
        return []
    order = _shortlist(salience, count, budget)
    some, worth = vectors[order].astype(np.float32), salience[order]
    closest = np.zeros(len(order), dtype=np.float32) if said is None or not len(said) else (some @ said.T).max(axis=1)
    chosen = _greedy(some, worth, count[order], budget, diversity, closest)
    if budget.unit == "words":
        chosen = fit(some, worth, count[order], chosen, amount=budget.amount, closed=closest >= NEAR_DUPLICATE)
    return sorted(int(order[index]) for index in chosen)


def fit(
    vectors: NDArray[np.floating],
    salience: NDArray[np.floating],
    words: NDArray[np.int64],
    chosen: list[int],
    *,
    amount: int,
    closed: NDArray[np.bool_] | None = None,
) -> list[int]:
    """A choice with as few as possible of its last picks exchanged, so that its words are within 10% of the amount.

    That is so whenever some set of these sentences that do not repeat each other allows it, of the EXCHANGED most
    salient that are not too long; where none does, the choice stays. `closed` ones are not put in.
    """
    low, high = band(Budget(unit="words", amount=amount))
    total = int(words[chosen].sum())
    if low <= total <= high:
        return chosen
    free = words <= high
    free[chosen] = False
    if closed is not None:
        free &= ~closed
    others = _others(vectors, salience, chosen, free)
    if total + int(words[others].sum()) < low:
        return chosen
    for kept in range(len(chosen), -1, -1):
        stay = chosen[:kept]
        base = int(words[stay].sum())
        found = _subset(sorted(others + chosen[kept:]), words, low - base, high - base)
        if found is not None:
            return stay + found
    return chosen


def band(budget: Budget) -> tuple[int, int]:
    """The least and the most that a budget is met by: its sentences exactly, its words within BAND."""
    if budget.unit == "sentences":
        return budget.amount, budget.amount
    return int(np.ceil(budget.amount * (1 - BAND))), int(np.floor(budget.amount * (1 + BAND)))


def _shortlist(salience: NDArray[np.floating], words: NDArray[np.int64], budget: Budget) -> NDArray[np.int64]:
    """The candidates, most salient first: a few times what the budget can take, so that selection stays linear."""
    order = np.lexsort((np.arange(len(salience)), -salience))
    if budget.unit == "sentences":
        return order[: 4 * budget.amount + 256]
    _, high = band(budget)
    fitting: NDArray[np.int64] = order[words[order] <= max(high, words.min())]
    enough = int(np.searchsorted(np.cumsum(words[fitting]), 4 * budget.amount)) + 1
    return fitting[: enough + 256]


def _greedy(
    vectors: Floats,
    salience: NDArray[np.floating],
    words: NDArray[np.int64],
    budget: Budget,
    diversity: float,
    closest: Floats,
) -> list[int]:
    """What is chosen, in that order. `closest` [N] is each sentence's highest cosine with what was said before."""
    closest = closest.copy()
    open_ = closest < NEAR_DUPLICATE
    chosen: list[int] = []
    costs = words if budget.unit == "words" else np.ones_like(words)
    low, high = band(budget)
    total = 0
    while total < low:
        fits = open_ & (total + costs <= high)
        if not fits.any():
            break
        value = np.where(fits, salience - diversity * closest, -np.inf)
        best = int(np.argmax(value))
        chosen.append(best)
        total += int(costs[best])
        similarity = vectors @ vectors[best]
        np.maximum(closest, similarity, out=closest)
        open_ &= similarity < NEAR_DUPLICATE
        open_[best] = False
    if not chosen and open_.any():  # not even one fits: the shortest is the nearest
        chosen = [int(np.argmin(np.where(open_, words, np.iinfo(np.int64).max)))]
    return chosen


def _others(
    vectors: NDArray[np.floating], salience: NDArray[np.floating], chosen: list[int], free: NDArray[np.bool_]
) -> list[int]:
    """What of the `free` ones could stand beside the choice, the most salient EXCHANGED: nothing is said twice."""
    order = np.flatnonzero(free)
    order = order[np.lexsort((order, -salience[order]))][: 2 * EXCHANGED]  # enough, and few to compare with the choice
    some = vectors[order].astype(np.float32)  # numpy multiplies half precision without BLAS
    if chosen:
        new = (some @ vectors[chosen].astype(np.float32).T).max(axis=1) < NEAR_DUPLICATE
        order, some = order[new], some[new]
    order, some = order[:EXCHANGED], some[:EXCHANGED]
    alike = some @ some.T >= NEAR_DUPLICATE
    kept: list[int] = []
    for row in range(len(order)):
        if not alike[row, kept].any():
            kept.append(row)
    return [int(order[row]) for row in kept]


def _subset(candidates: list[int], words: NDArray[np.int64], low: int, high: int) -> list[int] | None:
    """Candidates, the earliest possible, whose words add up to between `low` and `high`; None where no set does.

    Subset sums as bits of one integer: bit s is set when some set of the candidates so far adds up to s.
    """
    if high < max(low, 1):
        return None
    mask = (1 << (high + 1)) - 1
    wanted = mask ^ ((1 << max(low, 0)) - 1)
    reachable = [1]
    for candidate in candidates:
        reachable.append((reachable[-1] | reachable[-1] << int(words[candidate])) & mask)
        if reachable[-1] & wanted:
            break
    else:
        return None
    total = (reachable[-1] & wanted).bit_length() - 1
    found: list[int] = []
    for step in range(len(reachable) - 1, 0, -1):
        if not reachable[step - 1] >> total & 1:
            candidate = candidates[step - 1]
            found.append(candidate)
            total -= int(words[candidate])
    return found
