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
WEIGHT = 0.05  # of a logit, where the mix of a good passage and of a bad one differ by about 0.5

READER = "reader"  # its name among a hit's ranks and scores


def rerank(reader: Reader, query: str, hits: Sequence[Hit], *, weight: float = WEIGHT) -> list[Hit]:
    """The same hits, best first by both; those that were read have the reader's rank and logit too."""
    read = hits[:RERANKED]
    if not read:
        return []
    reading = reader.read(query, [hit.passage.text for hit in read], answers=1)
    logits = [max(LEAST, logit) for logit in reading.relevance]
    ranks = {place: rank for rank, place in enumerate(sorted(range(len(read)), key=lambda at: -logits[at]), start=1)}
    scored = [
        replace(
            hit,
            score=hit.score + weight * logit,
            ranks={**hit.ranks, READER: ranks[place]},
            scores={**hit.scores, READER: logit},
        )
        for place, (hit, logit) in enumerate(zip(read, logits, strict=True))
    ]
    least = min(logits)
    rest = [replace(hit, score=hit.score + weight * least) for hit in hits[RERANKED:]]
    return sorted(scored, key=lambda hit: -hit.score) + rest
