"""Files of queries with passages: what the retriever is warmed up, contrasted and distilled on.

A line:
    {"id": str, "query": str, "passages": [str], "positive": [passage, ...], "relevance": [logit, ...] or absent}
Passages that are not positive are hard negatives; `relevance` is the reader's logit of each passage.
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.towers import Towers

POOLED = 256  # texts encoded at once where nothing is learnt


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One line of a file of pairs; `relevance` has a logit a passage, or is empty."""

    id: str
    query: str
    passages: tuple[str, ...]
    positive: tuple[int, ...]
    relevance: tuple[float, ...] = ()


def read_pairs(path: Path) -> list[Pair]:
    """All pairs of a file. Raises ValueError with the line's number where one is malformed."""
    pairs = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
                given: dict[str, Any] = {name: tuple(it) if isinstance(it, list) else it for name, it in row.items()}
                pair = Pair(**given)
                if not all(0 <= place < len(pair.passages) for place in pair.positive) or not pair.passages:
                    raise ValueError("positive names a passage that is not there")
                if pair.relevance and len(pair.relevance) != len(pair.passages):
                    raise ValueError("relevance needs a number for each passage")
            except (TypeError, AttributeError, ValueError) as error:
                raise ValueError(f"{path}, line {number}: not a pair: {error}") from error
            pairs.append(pair)
    return pairs


def read_corpus(path: Path) -> dict[int, str]:
    """Passages by key, a line each: {"key", "text"}. Raises ValueError with the line's number."""
    corpus: dict[int, str] = {}
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
                corpus[int(row["key"])] = str(row["text"])
            except (TypeError, KeyError, ValueError) as error:
                raise ValueError(f"{path}, line {number}: not a passage: {error}") from error
    return corpus


def shuffled(items: int, *, size: int, seed: int, skip: int = 0) -> Iterator[list[int]]:
    """Endless batches of places, each pass over all items in an order of its own; the first `skip` are left out."""
    number = 0
    for epoch in range(2**31):
        order = list(range(items))
        random.Random(f"{seed} {epoch}").shuffle(order)  # noqa: S311 - an order, not a secret
        for start in range(0, items, size):
            if number >= skip:
                yield order[start : start + size]
            number += 1


def candidates(pairs: Sequence[Pair]) -> tuple[list[str], Tensor]:
    """The distinct passages [P] of a batch, and which of them each query [B, P] is answered by.

    A passage of another query counts as a positive where it is word for word one of this query's own.
    """
    texts = list(dict.fromkeys(text for pair in pairs for text in pair.passages))
    place = {text: index for index, text in enumerate(texts)}
    positive = torch.zeros(len(pairs), len(texts), dtype=torch.bool)
    for row, pair in enumerate(pairs):
        positive[row, [place[pair.passages[index]] for index in pair.positive]] = True
    return texts, positive


def measures(towers: Towers, pairs: Sequence[Pair]) -> dict[str, float]:
    """recall@1, recall@5 and MRR, between 0 and 1, of each pair's first positive among all passages of the pairs."""
    texts, positive = candidates(pairs)
    with torch.no_grad():
        passages = torch.cat([towers.passages(texts[at : at + POOLED]) for at in range(0, len(texts), POOLED)])
        queries = torch.cat(
            [towers.queries([pair.query for pair in pairs[at : at + POOLED]]) for at in range(0, len(pairs), POOLED)]
        )
        scores = queries @ passages.T
    best = scores.masked_fill(~positive.to(scores.device), float("-inf")).amax(-1, keepdim=True)
    ranks = 1 + (scores > best).sum(-1)
    return {
        "recall_at_1": float((ranks <= 1).float().mean()),
        "recall_at_5": float((ranks <= 5).float().mean()),
        "mrr": float((1 / ranks).mean()),
    }
