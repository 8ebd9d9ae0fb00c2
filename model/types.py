"""What the models take and return, free of tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Layers = Mapping[str, NDArray[np.float16]]
"""What a collection's encoder has in place of its own: arrays by name. Half precision moves a weight by under 0.05%."""


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Questions, and passages that answer them: question i is answered by passage `positive[i]`."""

    questions: Sequence[str]
    passages: Sequence[str]
    positive: Sequence[int]

    def __post_init__(self) -> None:  # noqa: D105
        if not self.questions or len(self.questions) != len(self.positive):
            raise ValueError(f"{len(self.questions)} questions, {len(self.positive)} passages that answer them")


@dataclass(frozen=True, kw_only=True)
class ReadSpan:
    """A span of one of the passages that were read: `passages[passage][start:end]`, in code points.

    `probability` is the share of the reader's one softmax over all passages and the null answer, summed over the
    places where the same string stands. `confidence` is the calibrated chance that this answer is right.
    """

    passage: int
    start: int
    end: int
    probability: float
    confidence: float


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What the reader makes of one question and its passages.

    `spans` are distinct answers, best first; empty only when no passage held a token. `answerable` is the decision
    at the threshold that was asked for. `relevance` has one logit a passage, in the passages' order; `null` is the
    probability that none of them answers.
    """

    spans: tuple[ReadSpan, ...]
    answerable: bool
    confidence: float
    relevance: tuple[float, ...]
    null: float
