"""From logits to distinct answers: the best spans of all passages, with the places of one string added up.

N passages, C tokens a passage
"""

import math
import re
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import torch.nn.functional as F

from model.network import Logits, Pieces
from model.types import Reading, ReadSpan

MAX_ANSWER_PIECES = 30
CANDIDATES = 64  # spans looked at before equal strings are added up
FLOOR = 1e-9  # of a probability whose logarithm is taken
FAINT = 1e-4  # the share of an answer that a second reading does not find


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
    ends = F.pad(end, (0, MAX_ANSWER_PIECES - 1), value=float("-inf")).unfold(1, MAX_ANSWER_PIECES, 1)
    joint = (start[:, :, None] + ends).flatten()  # a span is its start and how many pieces follow
    scores, indices = joint.topk(min(CANDIDATES, joint.numel()))
    found: dict[str, Candidate] = {}
    for score, index in zip(scores.exp().tolist(), indices.tolist(), strict=True):
        if score == 0.0:
            break
        passage, inside = divmod(index, length * MAX_ANSWER_PIECES)
        first, further = divmod(inside, MAX_ANSWER_PIECES)
        offsets = passages[passage].offsets
        begin, stop = offsets[first][0], offsets[first + further][1]
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


def decode_blocks(
    logits: Logits, blocks: Sequence[tuple[int, Pieces]], *, texts: Sequence[str]
) -> tuple[Decoded, tuple[float, ...]]:
    """The answers of one question, and a relevance logit a text: the best of its blocks, -inf where it has none.

    `blocks` are what was read: each the index of its text and a stretch of that text's pieces.
    """
    read = [block for _, block in blocks]
    decoded = decode(logits, 0, passages=read, texts=[texts[index] for index, _ in blocks])
    relevance = [float("-inf")] * len(texts)
    for (index, _), value in zip(blocks, logits.relevance[0].tolist(), strict=True):
        relevance[index] = max(relevance[index], value)
    candidates = tuple(replace(found, passage=blocks[found.passage][0]) for found in decoded.candidates)
    return replace(decoded, candidates=candidates), tuple(relevance)


def cut(pieces: Pieces, *, longest: int, overlap: int) -> list[Pieces]:
    """The pieces themselves, or overlapping stretches of them where there are more than `longest`; none of nothing."""
    length = len(pieces.ids)
    if length <= longest:
        return [pieces] if length else []
    return [
        Pieces(ids=pieces.ids[at : at + longest], offsets=pieces.offsets[at : at + longest])
        for at in range(0, length - overlap, longest - overlap)
    ]


def reading_of(
    decoded: Decoded,
    relevance: tuple[float, ...],
    *,
    confidence: Callable[[Candidate], float],
    least: float,
    answers: int,
) -> Reading:
    """The best `answers` as what a reader returns; answerable where the best one's confidence is at least `least`."""
    spans = tuple(
        ReadSpan(
            passage=candidate.passage,
            start=candidate.start,
            end=candidate.end,
            probability=candidate.probability,
            confidence=confidence(candidate),
        )
        for candidate in decoded.candidates[:answers]
    )
    best = spans[0].confidence if spans else 0.0
    return Reading(
        spans=spans,
        answerable=bool(spans) and best >= least,
        confidence=best,
        relevance=relevance,
        null=decoded.null,
    )


def read_closer(
    reading: Reading, passages: Sequence[str], closer: Sequence[str], *, decode: Callable[[str], Decoded]
) -> Decoded:
    """What a reading of passages comes to once each of the `closer` texts was read alone; equal texts are read once."""
    return agreed(reading, passages, {text: decode(text) for text in dict.fromkeys(closer)})


def agreed(reading: Reading, passages: Sequence[str], again: Mapping[str, Decoded]) -> Decoded:
    """The answers of a reading of several passages, after single texts around the likeliest one were read `again`.

    Each answer's share among answers is the geometric mean of those that it has in every reading, at least FAINT, and
    the log odds of null are their mean. No answer is added, and each keeps its place.
    """
    first = Decoded(
        candidates=tuple(
            Candidate(passage=span.passage, start=span.start, end=span.end, probability=span.probability)
            for span in reading.spans
        ),
        null=reading.null,
    )
    readings = [(passages, first), *(([text], decoded) for text, decoded in again.items() if decoded.candidates)]
    shares = [_shares(decoded, texts) for texts, decoded in readings]
    names = [normalized(passages[it.passage][it.start : it.end]) for it in first.candidates]
    means = [math.exp(fmean(math.log(max(of.get(name, 0.0), FAINT)) for of in shares)) for name in names]
    odds = fmean(math.log(max(it.null, FLOOR)) - math.log(max(1.0 - it.null, FLOOR)) for _, it in readings)
    null = 1.0 / (1.0 + math.exp(-odds))
    whole = sum(of for of in shares[0].values()) * (1.0 - null) / sum(means)
    candidates = [replace(it, probability=mean * whole) for it, mean in zip(first.candidates, means, strict=True)]
    return Decoded(candidates=tuple(sorted(candidates, key=lambda it: -it.probability)), null=null)


def _shares(decoded: Decoded, texts: Sequence[str]) -> dict[str, float]:
    """The probability of each answer where there is one, by its normalized string."""
    answered = max(1.0 - decoded.null, FLOOR)
    return {normalized(texts[it.passage][it.start : it.end]): it.probability / answered for it in decoded.candidates}


def normalized(answer: str) -> str:
    """The form in which two answers count as one string: no case, punctuation, articles or extra space."""
    lowered = "".join(character for character in answer.casefold() if character not in string.punctuation)
    words = re.sub(r"\b(a|an|the)\b", " ", lowered).split()
    return " ".join(words) or answer
