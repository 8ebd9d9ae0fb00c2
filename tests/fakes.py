"""One honest fake for each Protocol: simple, deterministic, and true to the contract."""

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retriever.terms import terms


class HashingEncoder:
    """An encoder whose vectors add up a pseudo-random one for each distinct term: texts that share terms are near."""

    def __init__(self, dimension: int = 64, version: str = "hashing@1") -> None:
        self._dimension, self._version = dimension, version
        self.encoded = 0

    @property
    def version(self) -> str:
        return self._version

    @property
    def dimension(self) -> int:
        return self._dimension

    def encode_passages(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        rows = [self._vector(text) for text in texts]
        self.encoded += len(rows)
        return np.stack(rows) if rows else np.zeros((0, self._dimension), dtype=np.float32)

    def encode_queries(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        return self.encode_passages(texts)

    def _vector(self, text: str) -> NDArray[np.float32]:
        total = np.zeros(self._dimension)
        for term in sorted(set(terms(text))) or [""]:
            total += np.random.default_rng(zlib.crc32(term.encode())).standard_normal(self._dimension)
        return (total / np.linalg.norm(total)).astype(np.float32)
