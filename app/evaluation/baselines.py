"""The systems that a summary is compared with. Each ranks all sentences of a document, best first; `budget.fit` cuts.

- `lead`: the document's order.
- `textrank`, `lexrank`: sumy, within a cap of time.
- `centroid`: similarity of a sentence's vector to the mean of all of the document's (Radev et al. 2000, with
  embeddings).
- `query_similarity`: similarity of a sentence's vector to the query's; only where there is a query.

None of them drops repetitions: that is what they are as published.
"""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from app.evaluation.graph_rankers import GraphRanker, Ranked

if TYPE_CHECKING:
    from retriever.dense import Encoder

Baseline = Literal["lead", "textrank", "lexrank", "centroid", "query_similarity"]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)

_BATCH = 64


class Baselines:
    """Ranks the sentences of one document after another; a document that comes again at once is not computed again.

    The seconds of a ranking are those of its first computation, vectors included, so that a reused part costs what it
    costs.
    """

    def __init__(self, encoder: "Encoder", *, cap_seconds: float) -> None:
        self._encoder = encoder
        self._cap_seconds = cap_seconds
        self._graphs = GraphRanker()
        self._sentences: Sequence[str] = ()
        self._vectors: tuple[NDArray[np.float32], float] | None = None
        self._ranked: dict[Baseline, Ranked | None] = {}

    def rank(self, system: Baseline, sentences: Sequence[str], query: str | None) -> Ranked | None:
        """The ranking; None if it took longer than the cap, or if the system needs a query and there is none."""
        if tuple(sentences) != self._sentences:
            self._sentences, self._vectors, self._ranked = tuple(sentences), None, {}
        if system == "query_similarity":
            return None if query is None else self._by_similarity(query)
        if system not in self._ranked:
            self._ranked[system] = self._compute(system)
        return self._ranked[system]

    def close(self) -> None:
        """End the process of the graph methods."""
        self._graphs.close()

    def _compute(self, system: Literal["lead", "textrank", "lexrank", "centroid"]) -> Ranked | None:
        if system == "lead":
            return Ranked(ranking=tuple(range(len(self._sentences))), seconds=0.0)
        if system == "centroid":
            return self._by_similarity(None)
        return self._graphs.rank(system, self._sentences, cap_seconds=self._cap_seconds)

    def _by_similarity(self, query: str | None) -> Ranked:
        vectors, seconds = self._sentence_vectors()  # [N, D]
        started = time.perf_counter()
        to = vectors.mean(axis=0) if query is None else self._encoder.encode_queries([query])[0]
        order = np.argsort(-(vectors @ to), kind="stable")
        return Ranked(ranking=tuple(order.tolist()), seconds=seconds + time.perf_counter() - started)

    def _sentence_vectors(self) -> tuple[NDArray[np.float32], float]:
        if self._vectors is None:
            started = time.perf_counter()
            batches = [
                self._encoder.encode_passages(self._sentences[start : start + _BATCH])
                for start in range(0, len(self._sentences), _BATCH)
            ]
            self._vectors = np.concatenate(batches), time.perf_counter() - started
        return self._vectors
