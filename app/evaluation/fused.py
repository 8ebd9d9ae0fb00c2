"""Reciprocal rank fusion: the baseline that knows no scores."""

from collections.abc import Mapping
from typing import Protocol

RRF_CONSTANT = 60  # Cormack et al. 2009


class Found(Protocol):
    """What each side of a search found: side -> key -> score."""

    @property
    def found(self) -> Mapping[str, Mapping[int, float]]:
        """Only what the side itself would return."""


def reciprocal_ranks(candidates: Found, *, k: int) -> list[int]:
    """The k best keys by the sum of 1 / (60 + rank) over both sides."""
    total: dict[int, float] = {}
    for found in candidates.found.values():
        for rank, key in enumerate(sorted(found, key=lambda key: (-found[key], key)), start=1):
            total[key] = total.get(key, 0.0) + 1 / (RRF_CONSTANT + rank)
    return sorted(total, key=lambda key: (-total[key], key))[:k]
