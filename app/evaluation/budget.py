"""One rule for the length of every system's summary, so that none wins by length.

A system ranks the sentences of a document; `fit` cuts the ranking to a budget of words, whole sentences only: going
down the ranking, a sentence is taken unless it would carry the summary past 110% of the budget, and it ends at 90% or
more. A summary is never empty: if every sentence is too long, the first of the ranking is taken alone. It is in the
document's order.

A system that makes its own summary is held to the upper end of the same range by `trim`.
"""

from collections.abc import Sequence

UPPER, LOWER = 1.1, 0.9  # of the budget


def fit(ranking: Sequence[int], words: Sequence[int], budget: int) -> list[int]:
    """The sentences that a ranking gives under a budget, in the document's order.

    Args:
        ranking: sentence numbers, best first; not all need be there.
        words: [N] the words of each sentence of the document.
        budget: words of the summary.
    """
    taken: list[int] = []
    total = 0
    for sentence in ranking:
        if total >= LOWER * budget:
            break
        if total + words[sentence] <= UPPER * budget:
            taken.append(sentence)
            total += words[sentence]
    return sorted(taken or list(ranking[:1]))


def trim(salience: Sequence[float], words: Sequence[int], budget: int) -> list[int]:
    """The sentences of a finished summary that stay: the least salient go while it is past 110% of the budget.

    Args:
        salience: [N] of each sentence of the summary, in its order.
        words: [N] the words of each.
        budget: words of the summary.
    """
    kept = list(range(len(words)))
    for sentence in sorted(kept, key=lambda place: (salience[place], -place)):
        if len(kept) == 1 or sum(words[place] for place in kept) <= UPPER * budget:
            break
        kept.remove(sentence)
    return kept
