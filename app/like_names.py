"""Names in the order of their likeness to one: a person's before a town's, by the encoder's vectors of them alone."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Encode = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts -> unit vectors [texts, width]."""


class LikeNames:
    """Orders names; each is encoded once."""

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self._vectors: dict[str, NDArray[np.float16]] = {}

    def __call__(self, name: str, others: Sequence[str]) -> list[str]:
        """The others, those first whose vectors are nearest to the name's."""
        if not others:
            return []
        new = sorted({one for one in (name, *others) if one not in self._vectors})
        if new:
            self._vectors.update(zip(new, self._encode(new).astype(np.float16), strict=True))
        likeness = np.stack([self._vectors[one] for one in others]).astype(np.float32) @ self._vectors[name]
        return [others[at] for at in np.argsort(-likeness, kind="stable")]
