"""Calibrates a trained reader on validation groups and writes what ships: `python -m model.training.export --help`.

The weights go out in bf16 without the word embeddings, which the encoder's package holds, and beside them a manifest.
"""

import argparse
import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file

from model.decoding import normalized
from model.encoder import load_tokenizer, minilm_folder, word_embeddings
from model.layers import Shape
from model.network import WORDS
from model.reader import Calibration, LongformerReader, build_network, features_of
from model.training.groups import MinedGroup, read_groups
from model.training.manifests import commit, write_weights
from model.weights_files import WEIGHTS

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]
UNCALIBRATED = Calibration(bias=0.0, odds=1.0, relevance=0.0, share=0.0, threshold=0.5)
RIDGE = 1e-3  # keeps the regression finite where a feature separates the classes


@dataclass(frozen=True, kw_only=True)
class Read:
    """What came out for one validation group: the best answer's features and how good it is."""

    features: tuple[float, float, float]
    exact: float
    f1: float
    answerable: bool


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
                features=features_of(best.probability, null=decoded.null, relevance=relevance[best.passage]),
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
    """A logistic regression of being exactly right, by Newton's method, and the threshold of the best mean F1."""
    features = np.array([[1.0, *result.features] for result in results])
    right = np.array([result.exact for result in results])
    weights = np.zeros(features.shape[1])
    for _ in range(50):
        chance = _sigmoid(features @ weights)
        gradient = features.T @ (right - chance) - RIDGE * weights
        curvature = (features * (chance * (1 - chance))[:, None]).T @ features + RIDGE * np.eye(len(weights))
        weights += np.linalg.solve(curvature, gradient)
    bias, odds, relevance, share = (float(weight) for weight in weights)
    threshold, _ = best_threshold(_sigmoid(features @ weights), results)
    return Calibration(bias=bias, odds=odds, relevance=relevance, share=share, threshold=threshold)


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
    """Percentages on the groups that were read; `ece` is the expected calibration error over ten equal bins."""
    weights = np.array([calibration.bias, calibration.odds, calibration.relevance, calibration.share])
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
    parser.add_argument("--run", type=Path, required=True, help="the folder that model.training.reader wrote")
    parser.add_argument("--groups", type=Path, required=True, help="validation groups")
    parser.add_argument("--limit", type=int, default=None, help="so many of them, from the top")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--data", action="append", default=[], metavar="NAME=LICENCE", help="what it was trained on")
    options = parser.parse_args(arguments)
    recipe = json.loads((options.run / "recipe.json").read_text())
    state = {name: x.bfloat16() for name, x in load_file(options.run / "reader.safetensors").items()}
    manifest: dict[str, Any] = {
        "name": "lectern-reader",
        "architecture": "longformer-reader",
        "file": "reader.safetensors",
        "shape": asdict(Shape.of_config(json.loads((minilm_folder() / "config.json").read_text()))),
        "own_global": recipe["own_global"],
    }
    network = build_network(manifest)
    network.load_state_dict({WORDS: word_embeddings(), **{name: x.float() for name, x in state.items()}}, assign=True)
    reader = LongformerReader(network, load_tokenizer(), name="lectern-reader", calibration=UNCALIBRATED)
    results = read_all(reader, read_groups(options.groups)[: options.limit])
    calibration = calibrate(results)
    manifest |= {
        "calibration": asdict(calibration),
        "validation": measures(results, calibration),
        "recipe": recipe,
        "commit": commit(),
        "data": dict(pair.split("=", 1) for pair in options.data),
    }
    write_weights(options.out, "reader", state, manifest)
    logger.info("%s", manifest["validation"])


def _sigmoid(x: Floats) -> Floats:
    chance: Floats = 1.0 / (1.0 + np.exp(-np.clip(x, -60.0, 60.0)))
    return chance


if __name__ == "__main__":
    main()
