"""Fits the confidence of the reader that ships on validation groups: `python -m model.training.calibration --help`.

The weights stay as they are; the manifest beside them gets another calibration, and what was measured with it.
"""

import argparse
import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.decoding import normalized
from model.reader import Calibration, LongformerReader, features_of
from model.training.groups import MinedGroup, read_groups
from model.weights_files import WEIGHTS

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]
RIDGE = 1e-3  # keeps the regression finite where a feature separates the classes
FEATURES = ("odds", "relevance", "share", "margin")


@dataclass(frozen=True, kw_only=True)
class Read:
    """What came out for one validation group: the best answer's features and how good it is.

    `exact` and `f1`, 0 to 1, are against the one answer that the group marks.
    """

    features: tuple[float, float, float, float]
    exact: float
    f1: float
    answerable: bool

    @property
    def right(self) -> float:
        """How right it counts, 0 to 1: halfway between its exact match and its F1.

        Another reader would have marked a word more or less: to match the one mark that is there is asked too much of a
        good answer, and its F1 calls a wrong end nearly right.
        """
        return (self.exact + self.f1) / 2


def read_all(reader: LongformerReader, groups: Sequence[MinedGroup]) -> list[Read]:
    """Reads every group; one without answers has exact and F1 of 0 for whatever is answered."""
    results = []
    for number, group in enumerate(groups, start=1):
        decoded, relevance = reader.decode(group.question, group.passages)
        best = decoded.candidates[0]
        answer = group.passages[best.passage][best.start : best.end]
        gold = [group.passages[passage][start:end] for passage, start, end in group.answers]
        results.append(
            Read(
                features=features_of(best, decoded, relevance=relevance[best.passage]),
                exact=max((float(normalized(answer) == normalized(it)) for it in gold), default=0.0),
                f1=max((token_f1(answer, it) for it in gold), default=0.0),
                answerable=bool(gold),
            )
        )
        if number % 200 == 0:
            logger.info("read %d of %d", number, len(groups))
    return results


def token_f1(answer: str, gold: str) -> float:
    """The harmonic mean of precision and recall over normalized words, 0 to 1 (Rajpurkar et al. 2016)."""
    found, wanted = normalized(answer).split(), normalized(gold).split()
    shared = sum((Counter(found) & Counter(wanted)).values())
    return 2 * shared / (len(found) + len(wanted)) if shared else 0.0


def calibrate(results: Sequence[Read]) -> Calibration:
    """A logistic regression of being right, by Newton's method, and the threshold of the best mean F1."""
    features = np.array([[1.0, *result.features] for result in results])
    right = np.array([result.right for result in results])
    weights = np.zeros(features.shape[1])
    for _ in range(50):
        chance = _sigmoid(features @ weights)
        gradient = features.T @ (right - chance) - RIDGE * weights
        curvature = (features * (chance * (1 - chance))[:, None]).T @ features + RIDGE * np.eye(len(weights))
        weights += np.linalg.solve(curvature, gradient)
    threshold, _ = best_threshold(_sigmoid(features @ weights), results)
    fitted = dict(zip(FEATURES, map(float, weights[1:]), strict=True))
    return Calibration(bias=float(weights[0]), **fitted, threshold=threshold)


def best_threshold(confidence: Floats, results: Sequence[Read]) -> tuple[float, float]:
    """The least confidence to answer at that gives the best mean F1, abstaining rightly counting 1; and that F1."""
    order = np.argsort(-confidence, kind="stable")
    gains = np.array([results[i].f1 - (0.0 if results[i].answerable else 1.0) for i in order])
    abstained = float(sum(not result.answerable for result in results))
    totals = np.concatenate([[abstained], abstained + np.cumsum(gains)])
    answered = int(totals.argmax())
    ranked = confidence[order]
    if answered == 0:
        threshold = 1.0
    elif answered == len(ranked):
        threshold = 0.0
    else:
        threshold = float(ranked[answered - 1] + ranked[answered]) / 2
    return threshold, float(totals[answered]) / len(results)


def measures(results: Sequence[Read], calibration: Calibration) -> dict[str, float]:
    """Percentages on the groups that were read; `ece` is the expected calibration error over ten equal bins.

    `ece` and `brier` are against exact matches, as everybody measures them.
    """
    weights = np.array([calibration.bias, *(getattr(calibration, name) for name in FEATURES)])
    confidence = _sigmoid(np.array([[1.0, *result.features] for result in results]) @ weights)
    exact = np.array([result.exact for result in results])
    answerable = [result for result in results if result.answerable]
    bins = np.minimum((confidence * 10).astype(int), 9)
    gaps = [abs(confidence[bins == b].sum() - exact[bins == b].sum()) for b in range(10)]
    kept = confidence >= calibration.threshold
    f1 = [r.f1 if keep else float(not r.answerable) for r, keep in zip(results, kept, strict=True)]
    return {
        "groups": len(results),
        "answerable": len(answerable),
        "em": 100 * sum(result.exact for result in answerable) / max(1, len(answerable)),
        "f1": 100 * sum(result.f1 for result in answerable) / max(1, len(answerable)),
        "threshold_f1": 100 * sum(f1) / len(results),
        "answered": 100 * float(kept.mean()),
        "ece": 100 * sum(gaps) / len(results),
        "brier": float(((confidence - exact) ** 2).mean()),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=Path, required=True, help="validation groups")
    parser.add_argument("--limit", type=int, default=None, help="so many of them, from the top")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="the folder of reader.json")
    options = parser.parse_args(arguments)
    results = read_all(LongformerReader.load(options.weights), read_groups(options.groups)[: options.limit])
    calibration = calibrate(results)
    path = options.weights / "reader.json"
    measured = measures(results, calibration)
    manifest = json.loads(path.read_text()) | {"calibration": asdict(calibration), "validation": measured}
    path.write_text(json.dumps(manifest, indent=1) + "\n")
    logger.info("%s", measured)


def _sigmoid(x: Floats) -> Floats:
    chance: Floats = 1.0 / (1.0 + np.exp(-np.clip(x, -60.0, 60.0)))
    return chance


if __name__ == "__main__":
    main()
