"""The hybrid retriever: BM25 and cosine, mixed over one pool of candidates that both sides score exactly.

The pool has the best of each side, and the neighbours of the best of both; `retriever/tuning.py` has the formula. Rank
fusion throws away how much better a hit is: on pooled SQuAD (20,881 paragraphs, 2,000 dev questions) recall@1 / @5 is
67.6 / 88.7 by rank fusion, 71.0 / 88.4 by BM25, 54.3 / 78.3 by cosine, and 74.8 / 91.7 by the mix of both alone.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from retriever.bm25 import bm25, idf
from retriever.closeness import closeness
from retriever.dense import DenseIndex, Encoder
from retriever.errors import NotFound
from retriever.indexes import Indexes
from retriever.sparse import Scored, SparseIndex
from retriever.store import DEFAULT_COLLECTION, Store
from retriever.terms import query_terms, terms
from retriever.tuning import REACH, Evidence, Mix, Parts, Tuning, parts_of
from retriever.types import Hit, Mode, Passage

POOL = 100  # candidates of each side
EXPANDED = 20  # candidates whose neighbours become candidates too
CLOSE = 50  # candidates whose words are looked at where they stand
TERMS_KEPT = 4_096  # passages of which the terms are kept, about 2 kB each
OVERFETCH = 4  # how many times more to ask for where replaced passages took the places

Scores = Mapping[int, float]  # by key
Find = Callable[[int], list[Scored]]  # how many -> the best so many
TuningOf = Callable[[str, str], Tuning | None]  # (tenant, collection) -> what was learned for it
EncoderOf = Callable[[Tuning], Encoder]  # with the layers that were learned
# CONTRIBUTING.md has the measures, of training sets.
DEFAULT_MIX = Mix(weight=0.2, nearby=0.25, whole=0.5, near=0.3, joined=0.5)


class Asking(Protocol):
    """What makes vectors of queries; `model.encoder.MiniLMEncoder` with other layers is one."""

    @property
    def version(self) -> str:
        """Names its weights."""
        ...

    def encode_queries(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Unit rows [N, D]."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Scope:
    """One collection's indexes, and the documents in it to keep to; None: all of them."""

    sparse: SparseIndex
    dense: DenseIndex
    documents: Sequence[str] | None
    tuning: Tuning | None
    vector: NDArray[np.float32] | None = None  # of the query, as this collection's tuning maps it


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """What a search ranks: visible passages with their titles, what each side found, and every candidate's scores."""

    shown: Mapping[int, tuple[Passage, str]]
    found: Mapping[str, Scores]
    scores: Mapping[str, Scores]
    retriever: str
    close: Mapping[int, tuple[float, float]] = field(default_factory=dict)  # `near` and `joined` of the best

    @cached_property
    def keys(self) -> list[int]:
        """The keys of all that is scored, ascending."""
        return sorted({key for side in self.scores.values() for key in side if key in self.shown})

    def mixed(self, mix: Mix) -> NDArray[np.float64]:
        """The score of each key under this mix; one side alone keeps its own scale."""
        if len(self.scores) == 1:
            (alone,) = self.scores.values()
            return np.array([alone[key] for key in self.keys])
        if mix.alone not in self._parts:  # several mixes share what takes long
            passages = [self.shown[key][0] for key in self.keys]
            places = [(f"{one.document_id} {one.version}", one.ordinal) for one in passages]
            self._parts[mix.alone] = parts_of(places, self._evidence.mixed(mix))
        return self._parts[mix.alone].mixed(mix)

    def order(self, scores: NDArray[np.float64]) -> list[int]:
        """Places in `keys`, the highest score first; ties by key."""
        return [int(place) for place in np.lexsort((np.arange(len(scores)), -scores))]

    @cached_property
    def _parts(self) -> dict[Mix, Parts]:
        return {}

    @cached_property
    def _evidence(self) -> Evidence:
        bm25, cosine = (
            np.array([self.scores[side].get(key, 0.0) for key in self.keys]) for side in ("sparse", "dense")
        )
        near, joined = np.array([self.close.get(key, (0.0, 0.0)) for key in self.keys]).reshape(-1, 2).T
        return Evidence(bm25=bm25, cosine=cosine, near=near, joined=joined)


class HybridRetriever:
    """Searches the visible passages of a tenant's collections, or the passages of an inline text."""

    def __init__(
        self,
        store: Store,
        indexes: Indexes,
        encoder: Encoder,
        *,
        pool: int = POOL,
        mix: Mix = DEFAULT_MIX,
        tuning_of: TuningOf = lambda tenant, collection: None,
        encoder_of: EncoderOf | None = None,
        asking: Asking | None = None,
    ) -> None:
        """`tuning_of` tells what was learned for a collection, None for most; `mix` is for those.

        Without `encoder_of` what has learned layers is not used. `asking` makes the vectors of queries in place of
        `encoder`, for its vectors of passages.
        """
        if pool < 1:
            raise ValueError(f"pool must be at least 1: {pool}")
        self._store, self._indexes, self._encoder = store, indexes, encoder
        self._pool, self._mix, self._tuning_of, self._encoder_of = pool, mix, tuning_of, encoder_of
        self._asking: Asking = asking or encoder
        self._asked = "" if asking is None else asking.version

    def search(
        self,
        tenant: str,
        query: str,
        *,
        collection: str | None = None,
        documents: Sequence[str] | None = None,
        filters: Mapping[str, Any] | None = None,
        mode: Mode = "hybrid",
        k: int,
    ) -> list[Hit]:
        """The best k passages of a collection (none given: `default`), or of these documents, best first.

        All are of one snapshot: a passage of a version that was replaced or deleted is never among them. Unknown
        documents are passed over. Raises NotFound for an unknown collection, StoreUnavailable.
        """
        scopes = self._scopes(tenant, collection, documents, filters)
        if not scopes or k < 1:
            return []
        mix = self._mix_of(scopes)
        return _ranked(self._gather(tenant, query, scopes, mode=mode, size=max(self._pool, k), mix=mix), mix)[:k]

    def candidates(
        self, tenant: str, query: str, *, collection: str, tuning: Tuning | None, own: DenseIndex | None = None
    ) -> Candidates:
        """What `search` would rank if the collection had this tuning, of which the mix can still be chosen.

        `own` stands in for the index of its vectors, where that is not there yet.
        """
        scopes = [self._scope(tenant, collection, None, tuning, own=own)]
        return self._gather(tenant, query, scopes, mode="hybrid", size=self._pool, mix=self._mix_of(scopes))

    @staticmethod
    def ranking(candidates: Candidates, mix: Mix, *, k: int) -> list[int]:
        """The keys of the best k candidates as `search` orders them under this mix."""
        order = candidates.order(candidates.mixed(mix))
        return [candidates.keys[place] for place in order[:k]]

    def version(self, tenant: str, collection: str | None) -> str:
        """Names the encoder and what queries go through; for a collection that has learned something, that."""
        return self._version_of(None if collection is None else self._tuning(tenant, collection))

    @property
    def asked(self) -> str:
        """Names what makes the vectors of queries, where it is not the encoder; else empty."""
        return self._asked

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors [N, W] of queries, for a collection without an encoder of its own."""
        return self._asking.encode_queries(texts)

    def fits(self, tuning: Tuning) -> bool:
        """Whether a tuning is for these vectors of passages, and for these of queries unless it has layers for both."""
        same = tuning.layers is not None or tuning.queries == self._asked
        return tuning.encoder == self._encoder.version and same

    @property
    def mix(self) -> Mix:
        """How collections without a tuning are mixed."""
        return self._mix

    def search_passages(self, passages: Sequence[Passage], query: str, *, mode: Mode = "hybrid", k: int) -> list[Hit]:
        """The best k of these passages, best first; scored as a collection that holds nothing else."""
        if not passages or k < 1:
            return []
        scores: dict[str, Scores] = {}
        keys = [passage.key for passage in passages]
        words = [terms(passage.text) for passage in passages] if mode != "dense" else []
        if mode != "dense":
            by_words = bm25(query_terms(query), words)
            scores["sparse"] = {key: float(score) for key, score in zip(keys, by_words, strict=True)}
        if mode != "sparse":
            vectors = self._encoder.encode_passages([passage.text for passage in passages])
            nearness = np.einsum("nd,d->n", vectors, self._asking.encode_queries([query])[0])
            scores["dense"] = {key: float(score) for key, score in zip(keys, nearness, strict=True)}
        found = {side: {key: s for key, s in each.items() if side == "dense" or s > 0} for side, each in scores.items()}
        shown = {passage.key: (passage, "") for passage in passages}
        candidates = Candidates(shown=shown, found=found, scores=scores, retriever=self._version_of(None))
        if mode == "hybrid":
            holding = Counter(term for passage in words for term in set(passage))
            candidates = _with_closeness(candidates, query, self._mix, [(len(words), holding)])
        return _ranked(candidates, self._mix)[:k]

    def _gather(
        self, tenant: str, query: str, scopes: Sequence[_Scope], *, mode: Mode, size: int, mix: Mix
    ) -> Candidates:
        """The visible candidates of the sides that the mode has, and their exact scores."""
        if mode != "sparse":
            scopes = self._with_vectors(scopes, query)
        sides: dict[str, Find] = {}
        if mode != "dense":
            sides["sparse"] = lambda n: _best((s.sparse.search(query, n, documents=s.documents) for s in scopes), n)
        if mode != "sparse":
            sides["dense"] = lambda n: _best((_nearest(s, n) for s in scopes), n)
        found, shown = self._visible(tenant, sides, size)
        version = " ".join(sorted({self._version_of(scope.tuning) for scope in scopes}))
        gathered = Candidates(shown=shown, found=found, scores=found, retriever=version)
        if mode != "hybrid":
            return gathered
        gathered = replace(gathered, scores=_scored(scopes, query, {key for side in found.values() for key in side}))
        if mix.nearby or mix.whole:
            beside = self._beside(tenant, gathered, mix)
            more = _scored(scopes, query, beside.keys())
            scores = {side: {**each, **more[side]} for side, each in gathered.scores.items()}
            gathered = replace(gathered, shown={**shown, **beside}, scores=scores)
        asked = set(query_terms(query))
        return _with_closeness(gathered, query, mix, [scope.sparse.holding(asked) for scope in scopes])

    def _beside(self, tenant: str, gathered: Candidates, mix: Mix) -> dict[int, tuple[Passage, str]]:
        """Passages that stand within REACH of the best candidates, in the same version, and are none themselves."""
        best = {hit.passage.key: hit.passage for hit in _ranked(gathered, mix)[:EXPANDED]}
        of = {key + step: passage for key, passage in best.items() for step in range(-REACH, REACH + 1)}
        there = self._store.resolve(tenant, of.keys() - set(gathered.keys))
        return {key: each for key, each in there.items() if _together(each[0], of[key])}

    def _with_vectors(self, scopes: Sequence[_Scope], query: str) -> list[_Scope]:
        own = scopes[0].tuning  # only one collection alone is searched by an encoder of its own
        if own is not None and own.layers is not None and self._encoder_of is not None:
            vector = self._encoder_of(own).encode_queries([query])[0]
        else:
            vector = self._asking.encode_queries([query])[0]
        maps = [None if scope.tuning is None else scope.tuning.map for scope in scopes]
        return [
            replace(scope, vector=vector if learned is None else learned(vector))
            for scope, learned in zip(scopes, maps, strict=True)
        ]

    def _mix_of(self, scopes: Sequence[_Scope]) -> Mix:
        """The tuning's mix, for one collection that has one; scores of several have to be on one scale."""
        tuning = scopes[0].tuning if len(scopes) == 1 else None
        return self._mix if tuning is None else tuning.mix

    def _scopes(
        self,
        tenant: str,
        collection: str | None,
        documents: Sequence[str] | None,
        filters: Mapping[str, Any] | None,
    ) -> list[_Scope]:
        """Where to look: in one collection, or in those that the documents are in. Raises NotFound."""
        name = collection or (DEFAULT_COLLECTION if documents is None else None)
        if name is not None and self._store.collection_number(tenant, name) is None:
            if name == DEFAULT_COLLECTION:
                return []
            raise NotFound(f"no collection {name!r}")
        if name is not None and documents is None and not filters:
            return [self._scope(tenant, name, None, self._tuning(tenant, name))]
        ids = self._store.matching(tenant, collection=name, documents=documents, filters=filters)
        places = self._store.collections_of(tenant, ids)
        return [
            self._scope(tenant, place, inside, self._tuning(tenant, place, alone=len(places) == 1))
            for place, inside in sorted(places.items())
        ]

    def _version_of(self, tuning: Tuning | None) -> str:
        if tuning is not None:
            return tuning.version
        return f"{self._encoder.version}+{self._asked}" if self._asked else self._encoder.version

    def _tuning(self, tenant: str, collection: str, *, alone: bool = True) -> Tuning | None:
        """What the collection has learned, unless it was for other vectors of passages or queries.

        Cosines of two encoders are not on one scale: beside others a collection is searched by the one they share.
        """
        tuning = self._tuning_of(tenant, collection)
        if tuning is None or not self.fits(tuning):
            return None
        return tuning if tuning.layers is None or (alone and self._encoder_of is not None) else None

    def _scope(
        self,
        tenant: str,
        collection: str,
        documents: Sequence[str] | None,
        tuning: Tuning | None,
        *,
        own: DenseIndex | None = None,
    ) -> _Scope:
        sparse, dense = self._indexes.of(tenant, collection)
        if tuning is not None and tuning.layers is not None:
            found = own or self._indexes.own(tenant, collection, tuning.vectors)
            # Taken back this moment, its vectors are gone.
            dense, tuning = (dense, None) if found is None else (found, tuning)
        return _Scope(sparse=sparse, dense=dense, documents=documents, tuning=tuning)

    def _visible(
        self, tenant: str, sides: Mapping[str, Find], size: int
    ) -> tuple[dict[str, Scores], Mapping[int, tuple[Passage, str]]]:
        """Up to `size` visible passages of each side, and what all of them are, from one read of the store.

        The indexes may hold passages of versions that are gone: where too few are left, more are asked for.
        """
        asked = size
        while True:
            lists = {side: find(asked) for side, find in sides.items()}
            shown = self._store.resolve(tenant, {each.key for found in lists.values() for each in found})
            kept = {side: [each for each in found if each.key in shown][:size] for side, found in lists.items()}
            if all(len(kept[side]) == size or len(lists[side]) < asked for side in sides):
                return {side: {each.key: each.score for each in found} for side, found in kept.items()}, shown
            asked *= OVERFETCH


def _best(lists: Iterable[list[Scored]], n: int) -> list[Scored]:
    """The n best of several lists; ties by key."""
    return sorted((each for found in lists for each in found), key=lambda each: (-each.score, each.key))[:n]


def _joined(scores: Iterable[Scores]) -> Scores:
    """One mapping of several; a key is known to one of them only, the others say 0 or nothing."""
    found: dict[int, float] = {}
    for some in scores:
        for key, score in some.items():
            if score or key not in found:
                found[key] = score
    return found


def _nearest(scope: _Scope, n: int) -> list[Scored]:
    return [] if scope.vector is None else scope.dense.search(scope.vector, n, documents=scope.documents)


def _scored(scopes: Sequence[_Scope], query: str, keys: Collection[int]) -> dict[str, Scores]:
    """The exact scores of these keys on both sides."""
    return {
        "sparse": _joined(scope.sparse.score(query, keys) for scope in scopes),
        "dense": _joined(scope.dense.score(scope.vector, keys) for scope in scopes if scope.vector is not None),
    }


def _with_closeness(
    candidates: Candidates, query: str, mix: Mix, counted: Sequence[tuple[int, Mapping[str, int]]]
) -> Candidates:
    """How closely the best of these candidates say the query, if the mix asks; `counted` is what each index holds.

    That is how many passages, and how many of them have each term of the query.
    """
    if not (mix.near or mix.joined):
        return candidates
    asked = query_terms(query)
    passages = sum(count for count, _ in counted)
    weight = {term: idf(min(passages, sum(each.get(term, 0) for _, each in counted)), passages) for term in set(asked)}
    best = [candidates.keys[place] for place in candidates.order(candidates.mixed(mix))[:CLOSE]]
    near, joined = closeness(asked, [_terms_of(candidates.shown[key][0].text) for key in best], weight)
    return replace(candidates, close=dict(zip(best, zip(near.tolist(), joined.tolist(), strict=True), strict=True)))


@lru_cache(maxsize=TERMS_KEPT)
def _terms_of(text: str) -> tuple[str, ...]:
    """The terms of a passage; making them of the 50 best takes 8 ms, in which no other search gets on."""
    return tuple(terms(text))


def _together(one: Passage, other: Passage) -> bool:
    """Whether two passages are of one version, within REACH of each other."""
    same = (one.document_id, one.version) == (other.document_id, other.version)
    return same and abs(one.ordinal - other.ordinal) <= REACH


def _ranked(candidates: Candidates, mix: Mix) -> list[Hit]:
    """Every candidate, best first, ties by key."""
    ranks: dict[int, dict[str, int]] = {}
    for side, each in candidates.found.items():
        for rank, key in enumerate(sorted(each, key=lambda key: (-each[key], key)), start=1):
            ranks.setdefault(key, {})[side] = rank
    scores, total, keys = candidates.scores, candidates.mixed(mix), candidates.keys
    return [
        Hit(
            passage=candidates.shown[keys[place]][0],
            title=candidates.shown[keys[place]][1],
            score=float(total[place]),
            ranks=ranks.get(keys[place], {}),
            scores={side: each[keys[place]] for side, each in scores.items() if keys[place] in each},
            retriever=candidates.retriever,
        )
        for place in candidates.order(total)
    ]
