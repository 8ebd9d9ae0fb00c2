"""Measures of one ranked list against relevance judgements, as trec_eval and BEIR compute them.

`ranking` holds distinct item ids, best first; `relevant` maps the ids that were judged to their grade. Grades of zero
and below are not relevant. All results are between 0 and 1.
"""

import math
from collections.abc import Mapping, Sequence


def ndcg_at(ranking: Sequence[str], relevant: Mapping[str, int], k: int) -> float:
    """Normalized discounted cumulative gain: the gain is the grade itself, the discount log2(rank + 1).

    The ideal list is of all judged items, cut at k: as trec_eval's `ndcg_cut`. (Järvelin and Kekäläinen 2002.)
    """
    gains = [max(relevant.get(item, 0), 0) for item in ranking[:k]]
    ideal = sorted((grade for grade in relevant.values() if grade > 0), reverse=True)[:k]
    best = _discounted(ideal)
    return _discounted(gains) / best if best > 0 else 0.0


def recall_at(ranking: Sequence[str], relevant: Mapping[str, int], k: int) -> float:
    """The share of the relevant items that stand among the first k; with one relevant item, whether it does."""
    wanted = {item for item, grade in relevant.items() if grade > 0}
    return len(wanted.intersection(ranking[:k])) / len(wanted) if wanted else 0.0


def reciprocal_rank_at(ranking: Sequence[str], relevant: Mapping[str, int], k: int) -> float:
    """One over the rank of the first relevant item, 0 if none stands among the first k."""
    for rank, item in enumerate(ranking[:k], start=1):
        if relevant.get(item, 0) > 0:
            return 1 / rank
    return 0.0


def _discounted(gains: Sequence[int]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))
