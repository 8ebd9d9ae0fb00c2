"""Words of like kind and another meaning, or of one meaning, by the encoder's word embeddings.

teachers -> nurses and buy -> eat between the cosines of OTHERS, children -> kids and built -> constructed in SAME.
"""

from functools import lru_cache

import numpy as np

from model.encoder import load_tokenizer, word_embeddings

OTHERS = (0.25, 0.55)  # cosines: nearer ones mostly mean the same, farther ones have nothing to do with it
SAME = (0.4, 1.0)  # of words that many would use for the same: car and vehicle, kids and children
SHORTEST = 3
_STEM = 4  # words that begin with the same letters are forms of each other
_ENDINGS = ("ing", "ed", "ly", "est", "er", "al", "ic", "tion", "ness", "ity", "s")


class RelatedWords:
    """Looks up neighbours among the whole words of the encoder's vocabulary."""

    def __init__(self, band: tuple[float, float] = OTHERS) -> None:
        """`band`: the cosines between which words are related."""
        self._band = band
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
        near = np.flatnonzero((cosines >= self._band[0]) & (cosines <= self._band[1]))
        near = near[np.lexsort((near, -cosines[near]))]
        found = [self._words[at] for at in near if self._words[at][:_STEM] != word[:_STEM]]
        ending = next((ending for ending in _ENDINGS if word.endswith(ending)), "")
        alike = [other for other in found if ending and other.endswith(ending)]
        return tuple(alike or found)
