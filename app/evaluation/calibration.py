"""How far a confidence can be believed: calibration, and what abstaining buys. Pure functions.

Of each question: the confidence in the best answer, and whether that answer is exactly right. An answer to a question
that has none is wrong. Shapes: N questions.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 10
TARGET_ERROR = 0.2  # the promise that is checked
CURVE = tuple(range(5, 101, 5))  # percentages of the questions answered
_NORMAL_95 = 1.959964  # of a two-sided interval

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class CalibrationMeasures:
    """Percentages, but for the two Brier scores.

    `brier_constant` is that of always stating the mean. `answered` and `error` are of the questions whose confidence
    keeps the promise of TARGET_ERROR, the interval is Wilson's of 95%; None where none does. `risk` has the error among
    the surest questions, for each share of CURVE.
    """

    ece: float
    brier: float
    brier_constant: float
    answered: float
    error: float | None
    error_interval: tuple[float, float] | None
    risk: tuple[float, ...]


def calibration_of(confidence: Sequence[float], right: Sequence[bool]) -> CalibrationMeasures:
    """The measures of [N] confidences between 0 and 1. Raises ValueError when there are none."""
    if not confidence:
        raise ValueError("no answers to judge the confidence of")
    stated = np.asarray(confidence, dtype=np.float64)
    true = np.asarray(right, dtype=np.float64)
    kept = true[stated >= 1 - TARGET_ERROR]
    wrong = int((1 - kept).sum())
    return CalibrationMeasures(
        ece=100 * expected_calibration_error(stated, true),
        brier=float(((stated - true) ** 2).mean()),
        brier_constant=float(true.mean() * (1 - true.mean())),
        answered=100 * len(kept) / len(true),
        error=100 * wrong / len(kept) if len(kept) else None,
        error_interval=wilson(wrong, len(kept)) if len(kept) else None,
        risk=_risk(stated, true),
    )


def expected_calibration_error(confidence: Floats, right: Floats) -> float:
    """The mean gap between what is stated and what is true, over BINS equal bins of confidence (Naeini et al. 2015)."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [abs(float(confidence[bins == each].sum() - right[bins == each].sum())) for each in range(BINS)]
    return sum(gaps) / len(confidence)


def wilson(count: int, of: int) -> tuple[float, float]:
    """The 95% interval of a share of `of` independent draws, in percent (Wilson 1927)."""
    share, square = count / of, _NORMAL_95**2
    middle = (share + square / (2 * of)) / (1 + square / of)
    reach = _NORMAL_95 * math.sqrt(share * (1 - share) / of + square / (4 * of * of)) / (1 + square / of)
    return 100 * max(0.0, middle - reach), 100 * min(1.0, middle + reach)


def _risk(confidence: Floats, right: Floats) -> tuple[float, ...]:
    """Error in percent among the surest questions; where confidences are equal, as if they came in random order."""
    _, place, counts = np.unique(-confidence, return_inverse=True, return_counts=True)
    mean = np.bincount(place, weights=1 - right) / counts
    wrong = np.cumsum(np.repeat(mean, counts))
    taken = [max(1, round(len(right) * share / 100)) for share in CURVE]
    return tuple(float(100 * wrong[count - 1] / count) for count in taken)
