"""Statistics of a measured set: percentiles, AUROC, the best threshold, bootstrap intervals. Pure functions.

Shapes: N questions (or queries, or documents), B resamples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BLOCK = 2_000_000  # numbers drawn at once by the bootstrap: 16 MB, whatever N is


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean, or a mean difference, with its bootstrap confidence interval: `low <= mean <= high` up to resampling."""

    mean: float
    low: float
    high: float
    confidence: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval is on one side of zero: for a paired difference, that it is significant."""
        return self.low > 0 or self.high < 0


def percentile(values: Sequence[float], share: float) -> float:
    """The percentile with linear interpolation; `share` is between 0 and 100. ValueError when there are no values."""
    if not values:
        raise ValueError("no values to take a percentile of")
    return float(np.percentile(np.asarray(values, dtype=np.float64), share))


def auroc(scores: Sequence[float], positive: Sequence[bool]) -> float | None:
    """The chance that a positive has a higher score than a negative, ties counting half; None if a class is empty."""
    values, is_positive = np.asarray(scores, dtype=np.float64), np.asarray(positive, dtype=bool)
    positives, negatives = int(is_positive.sum()), int((~is_positive).sum())
    if positives == 0 or negatives == 0:
        return None
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2  # ranks from 1, equal scores share their mean rank
    rank_sum = float(mean_rank[place][is_positive].sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def best_threshold_score(scores: Sequence[float], no_answer: Sequence[float], answerable: Sequence[bool]) -> float:
    """The best mean score over thresholds of the no-answer score, as SQuAD 2.0's `find_best_thresh` finds it.

    Args:
        scores: [N] the score (between 0 and 1) of the answer that is given when answering; for an unanswerable
        question 0, or 1 if that answer is empty.
        no_answer: [N] the no-answer score; a question is answered where it is at or below the threshold.
        answerable: [N] whether the question has an answer.

    An unanswerable question scores 1 while it is not answered. Questions of equal no-answer score
    are taken together, since no threshold parts them (the script parts them in the order of its file).
    """
    if not scores:
        raise ValueError("no questions to find a threshold for")
    unanswerable = ~np.asarray(answerable, dtype=bool)
    gains = np.asarray(scores, dtype=np.float64) - unanswerable
    values = np.asarray(no_answer, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    totals = int(unanswerable.sum()) + np.concatenate(([0.0], np.cumsum(gains[order])))
    ends = np.flatnonzero(np.diff(values[order], append=np.inf) > 0) + 1
    return float(max(totals[0], totals[ends].max())) / len(scores)


def bootstrap(
    values: Sequence[float], *, resamples: int = 10_000, confidence: float = 0.95, seed: int = 13
) -> Interval:
    """The mean of [N] values with its percentile-bootstrap interval."""
    return _bootstrap(np.asarray(values, dtype=np.float64), resamples, confidence, seed)


def paired_bootstrap(
    ours: Sequence[float], theirs: Sequence[float], *, resamples: int = 10_000, confidence: float = 0.95, seed: int = 13
) -> Interval:
    """The mean of `ours - theirs` over the same [N] items with its interval; items are resampled."""
    if len(ours) != len(theirs):
        raise ValueError(f"paired values must be of the same items: {len(ours)} against {len(theirs)}")
    difference = np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64)
    return _bootstrap(difference, resamples, confidence, seed)


def _bootstrap(values: NDArray[np.float64], resamples: int, confidence: float, seed: int) -> Interval:
    if values.size == 0:
        raise ValueError("no values to resample")
    generator = np.random.default_rng(seed)
    means = np.empty(resamples)  # [B]
    block = max(1, _BLOCK // values.size)
    for start in range(0, resamples, block):
        stop = min(start + block, resamples)
        picks = generator.integers(0, values.size, size=(stop - start, values.size))
        means[start:stop] = values[picks].mean(axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(mean=float(values.mean()), low=float(low), high=float(high), confidence=confidence)
