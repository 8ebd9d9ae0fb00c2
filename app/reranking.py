"""Hits in the order that the reader thinks: it reads the best of them, and its relevance counts beside the mix.

    score(z) = mix(z) + weight * relevance(z)

`relevance` is the reader's logit that z answers the query. Hits past the first RERANKED are not read, and count as the
least relevant of those: they stay behind, in their order.
"""

from collections.abc import Sequence
from dataclasses import replace

from app.inference import Reader
from retriever.types import Hit

RERANKED = 20
LEAST = -30.0  # a logit as good as never: of a passage without any text, whose own is infinitely low
WEIGHT = 0.05  # of a logit, where the mix of a good passage and of a bad one differ by about 0.5; `app.fusion --read`

READER = "reader"  # its name among a hit's ranks and scores


def rerank(reader: Reader, query: str, hits: Sequence[Hit], *, weight: float = WEIGHT) -> list[Hit]:
    """The same hits, best first by both; those that were read have the reader's rank and logit too."""
    return by_both(hits, relevance_of(reader, query, hits), weight=weight)


def relevance_of(reader: Reader, query: str, hits: Sequence[Hit]) -> list[float]:
    """The reader's logit of each of the hits that are read, at least LEAST."""
    read = hits[:RERANKED]
    if not read:
        return []
    reading = reader.read(query, [hit.passage.text for hit in read], answers=1)
    return [max(LEAST, logit) for logit in reading.relevance]


def by_both(hits: Sequence[Hit], logits: Sequence[float], *, weight: float) -> list[Hit]:
    """Hits in the order of mix and relevance together; `logits` are of the first of them, which were read."""
    if not logits:
        return list(hits)
    ranks = {place: rank for rank, place in enumerate(sorted(range(len(logits)), key=lambda at: -logits[at]), start=1)}
    scored = [
        replace(
            hit,
            score=hit.score + weight * logit,
            ranks={**hit.ranks, READER: ranks[place]},
            scores={**hit.scores, READER: logit},
        )
        for place, (hit, logit) in enumerate(zip(hits, logits, strict=False))
    ]
    least = min(logits)
    rest = [replace(hit, score=hit.score + weight * least) for hit in hits[len(logits) :]]
    return sorted(scored, key=lambda hit: -hit.score) + rest
