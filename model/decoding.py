"""From logits to distinct answers: the best spans of all passages, with the places of one string added up.

N passages, C tokens a passage
"""

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from model.network import Logits, Pieces

MAX_ANSWER_PIECES = 30
CANDIDATES = 64  # spans looked at before equal strings are added up


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An answer string at its most probable place; `probability` is summed over all its places."""

    passage: int
    start: int
    end: int
    probability: float


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """Distinct answers, most probable first, and the probability that there is none."""

    candidates: tuple[Candidate, ...]
    null: float


def decode(logits: Logits, row: int, *, passages: Sequence[Pieces], texts: Sequence[str]) -> Decoded:
    """The answers of one row of a batch. `texts[i]` is the text of `passages[i]`; positions are code points in it."""
    start, end, null = (part[row] for part in logits.log_probabilities())
    start, end = start[: len(passages)], end[: len(passages)]
    length = start.shape[1]
    place = torch.arange(length)
    allowed = (place[None, :] >= place[:, None]) & (place[None, :] < place[:, None] + MAX_ANSWER_PIECES)
    joint = (start[:, :, None] + end[:, None, :]).masked_fill(~allowed, float("-inf")).flatten()
    scores, indices = joint.topk(min(CANDIDATES, joint.numel()))
    found: dict[str, Candidate] = {}
    for score, index in zip(scores.exp().tolist(), indices.tolist(), strict=True):
        if score == 0.0:
            break
        passage, inside = divmod(index, length * length)
        first, last = divmod(inside, length)
        offsets = passages[passage].offsets
        begin, stop = offsets[first][0], offsets[last][1]
        name = normalized(texts[passage][begin:stop])
        known = found.get(name)
        if known is None:
            found[name] = Candidate(passage=passage, start=begin, end=stop, probability=score)
        else:
            found[name] = Candidate(
                passage=known.passage, start=known.start, end=known.end, probability=known.probability + score
            )
    ordered = sorted(found.values(), key=lambda it: (-it.probability, it.passage, it.start))
    return Decoded(candidates=tuple(ordered), null=float(null.exp()))


def normalized(answer: str) -> str:
    """The form in which two answers count as one string: no case, punctuation, articles or extra space."""
    lowered = "".join(character for character in answer.casefold() if character not in string.punctuation)
    words = re.sub(r"\b(a|an|the)\b", " ", lowered).split()
    return " ".join(words) or answer
