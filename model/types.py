"""What the models return, free of tensors."""

from dataclasses import dataclass


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
    at the threshold that was asked for. `relevance` has one logit a passage, in the passages' order.
    """

    spans: tuple[ReadSpan, ...]
    answerable: bool
    confidence: float
    relevance: tuple[float, ...]
