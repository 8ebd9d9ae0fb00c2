"""All passages at once: what query-side training compares its queries with.

Where passages keep their vectors, these are made once, and then every passage of the file is a negative of every query,
for the price of a product of matrices. A step then encodes its queries alone: about 15 word pieces each, instead of
hundreds for the passages of a batch.
"""

import torch
from torch import Tensor

from model.towers import Towers
from model.training.pairs import POOLED, Pair


def passage_vectors(towers: Towers, texts: list[str]) -> Tensor:
    """The vectors [P, W] of passages, without gradients."""
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))  # like lengths together: less padding
    found: list[Tensor] = [torch.empty(0)] * len(texts)
    with torch.no_grad():
        for at in range(0, len(order), POOLED):
            rows = order[at : at + POOLED]
            for row, vector in zip(rows, towers.passages([texts[row] for row in rows]), strict=True):
                found[row] = vector
    return torch.stack(found)


class Bank:
    """The distinct passages of some pairs, and their vectors [P, W]."""

    def __init__(self, towers: Towers, pairs: list[Pair]) -> None:
        """Raises ValueError where the towers' passages do not keep their vectors."""
        if towers.frozen is None:
            raise ValueError("passages change while they are learnt: compare with those of the batch")
        texts = list(dict.fromkeys(text for pair in pairs for text in pair.passages))
        self._place = {text: place for place, text in enumerate(texts)}
        self.vectors = passage_vectors(towers, texts)

    def positive(self, pairs: list[Pair]) -> Tensor:
        """Which passages [B, P] answer each of these pairs' queries."""
        positive = torch.zeros(len(pairs), len(self._place), dtype=torch.bool, device=self.vectors.device)
        for row, pair in enumerate(pairs):
            positive[row, [self._place[pair.passages[place]] for place in pair.positive]] = True
        return positive
