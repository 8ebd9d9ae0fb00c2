"""How closely a passage says a query: whether its words stand together there, and side by side as the query has them.

    near(q, z)   = the largest share of the query's weight that WINDOW terms in a row of z hold
    joined(q, z) = the share, by weight, of the query's pairs of neighbouring terms that stand side by side in z

A term weighs its idf, a pair as much as both of its terms; both shares are between 0 and 1. BM25 counts a passage's
words wherever they stand, and a mean-pooled vector forgets their order.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

WINDOW = 16  # terms: about a sentence; 8, 24 and 40 were no better on training questions

Shares = NDArray[np.float64]


def closeness(
    query: Sequence[str], passages: Sequence[Sequence[str]], weight: Mapping[str, float]
) -> tuple[Shares, Shares]:
    """`near` and `joined` of each passage [N]; the query and the passages as terms, each of the query's with a weight.

    A query of one term has no pairs: nothing is joined.
    """
    wanted = set(query)
    pairs = {pair: weight[pair[0]] + weight[pair[1]] for pair in pairwise(query) if pair[0] != pair[1]}
    near, joined = [], []
    for passage in passages:
        found = [(place, term) for place, term in enumerate(passage) if term in wanted]
        beside = {(one, other) for (at, one), (then, other) in pairwise(found) if then == at + 1}
        near.append(_densest(found, weight))
        joined.append(sum(pairs.get(pair, 0.0) for pair in beside))
    return _shares(near, sum(weight[term] for term in wanted)), _shares(joined, sum(pairs.values()))


def _densest(found: Sequence[tuple[int, str]], weight: Mapping[str, float]) -> float:
    """The largest weight of distinct terms within WINDOW places; `found` are places with terms, ascending."""
    inside: Counter[str] = Counter()
    best = total = 0.0
    first = 0
    for place, term in found:
        if not inside[term]:
            total += weight[term]
        inside[term] += 1
        while place - found[first][0] >= WINDOW:
            gone = found[first][1]
            inside[gone] -= 1
            if not inside[gone]:
                total -= weight[gone]
            first += 1
        best = max(best, total)
    return best


def _shares(values: Sequence[float], whole: float) -> Shares:
    return np.array(values, dtype=np.float64) / (whole or 1.0)
