"""Words that many use for the same, by the encoder's word embeddings: kids for children, constructed for built."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from model.encoder import load_tokenizer, word_embeddings

SAME = 0.4  # the cosine from which on words mostly mean the same: car and vehicle, kids and children
NEARLY_SAME = 0.5  # from which on but few do not
SHORTEST = 3
Related = Callable[[str], Sequence[str]]
"""A word -> other words for the same, nearest first."""

_STEM = 4  # words that begin with the same letters are forms of each other
_ENDINGS = ("ing", "ed", "ly", "est", "er", "al", "ic", "tion", "ness", "ity", "s")


class RelatedWords:
    """Looks up neighbours among the whole words of the encoder's vocabulary."""

    def __init__(self, least: float = SAME) -> None:
        """`least`: the cosine from which on words are related."""
        self._least = least
        vocabulary = load_tokenizer().get_vocab()
        chosen = sorted(
            (row, word)
            for word, row in vocabulary.items()
            if word.isascii() and word.isalpha() and len(word) >= SHORTEST
        )
        self._words = [word for _, word in chosen]
        vectors = word_embeddings().numpy()[[row for row, _ in chosen]]
        self._vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        self._rows = {word: row for row, word in enumerate(self._words)}
        self._found = lru_cache(maxsize=50_000)(self._find)

    def __call__(self, word: str) -> tuple[str, ...]:
        """Related words, nearest first; those with the word's own ending alone where there are any."""
        return self._found(word.casefold())

    def _find(self, word: str) -> tuple[str, ...]:
        row = self._rows.get(word)
        if row is None:
            return ()
        cosines = self._vectors @ self._vectors[row]
        near = np.flatnonzero(cosines >= self._least)
        near = near[np.lexsort((near, -cosines[near]))]
        found = [self._words[at] for at in near if self._words[at][:_STEM] != word[:_STEM]]
        ending = next((ending for ending in _ENDINGS if word.endswith(ending)), "")
        alike = [other for other in found if ending and other.endswith(ending)]
        return tuple(alike or found)
