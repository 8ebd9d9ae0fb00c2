"""How a collection is searched: how the scores are mixed, and a map on query vectors; learned for a collection or not.

    score(z) = mix(z) + nearby * max of mix over z and up to REACH passages each side + whole * max over z's document
    mix(z)   = weight * bm25 / (the pool's largest bm25) + (1 - weight) * cosine
               + near * near(q, z)^EMPHASIS + joined * joined(q, z)^EMPHASIS
    cosine   = d(z) . unit(q + U D q)

`retriever/closeness.py` has near(q, z) and joined(q, z), of the best candidates by all else; for others they are 0.
A passage that stands beside a good one, or in the same document, is a better guess than its own words say. The passage
itself is among those that the maximum is taken of, so the best one is never overtaken by its neighbour.

A collection may also have learned layers of the encoder itself: then d and q are of a version of the encoder that is
its own, whose vectors of its passages stand in the store and the indexes beside those that all collections share.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from retriever.errors import StoreCorrupt

Vectors = NDArray[np.float32]
Scores = NDArray[np.float64]
Place = tuple[str, int]  # a document's version, and the number of a passage in it

WEIGHT = 0.4  # of BM25 in the mix: the best recall@1 and @5 on 4,000 training questions of pooled SQuAD, 76.5 / 92.7
EMPHASIS = 1.5  # half of a query in one place says less than half of what all of it says: CONTRIBUTING.md has measures
REACH = 2  # passages each side that `nearby` looks at
STATES = ("current", "previous")
ASSET = "retriever"  # the name of the asset that keeps a collection's state
VECTORS = "vectors"  # in its metadata: the versions of the encoder that are the collection's own
OWN = "~"  # between an encoder's version and the hash of the layers that a collection has in place of its own
Layers = Mapping[str, NDArray[np.float16]]


@dataclass(frozen=True, kw_only=True)
class Mix:
    """The weights of the formula above. Raises ValueError where one is out of range."""

    weight: float = WEIGHT
    nearby: float = 0.0
    whole: float = 0.0
    near: float = 0.0
    joined: float = 0.0

    def __post_init__(self) -> None:  # noqa: D105
        if not 0 <= self.weight <= 1 or min(self.nearby, self.whole, self.near, self.joined) < 0:
            raise ValueError(f"weight must be in 0..1, the others not below 0: {self}")

    @property
    def alone(self) -> "Mix":
        """What each passage gets by itself, whatever stands around it."""
        return replace(self, nearby=0.0, whole=0.0)

    def towards(self, other: "Mix", share: float) -> "Mix":
        """The mix that has gone this share of the way to the other one."""
        return Mix(**{name: value + share * (getattr(other, name) - value) for name, value in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What each of some passages [N] got by itself, in the terms of the formula."""

    bm25: Scores
    cosine: Scores
    near: Scores
    joined: Scores

    def mixed(self, mix: Mix) -> Scores:
        """mix(z) of each passage [N]."""
        words = self.bm25 / (self.bm25.max(initial=0.0) or 1.0)
        both = mix.weight * words + (1 - mix.weight) * self.cosine
        return both + mix.near * self.near**EMPHASIS + mix.joined * self.joined**EMPHASIS


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The terms of the formula for the same passages [N]: their own mix, the best around, the best of the whole."""

    own: Scores
    around: Scores
    whole: Scores

    def mixed(self, mix: Mix) -> Scores:
        """The scores [N]; what a passage gets by itself is in the parts already."""
        return self.own + mix.nearby * self.around + mix.whole * self.whole


def parts_of(places: Sequence[Place], own: Scores) -> Parts:
    """The parts of the passages that stand at these places, by their own mix."""
    best: dict[str, float] = {}
    at = dict(zip(places, own.tolist(), strict=True))
    for (document, _), score in at.items():
        best[document] = max(best.get(document, score), score)
    reach = range(-REACH, REACH + 1)
    around = [max(at.get((name, number + step), at[name, number]) for step in reach) for name, number in places]
    whole = [best[document] for document, _ in places]
    return Parts(own=own, around=np.array(around, dtype=np.float64), whole=np.array(whole, dtype=np.float64))


@dataclass(frozen=True, kw_only=True)
class QueryMap:
    """A low-rank residual map on query vectors of width W: `down` is [R, W], `up` [W, R]."""

    down: Vectors
    up: Vectors

    def __call__(self, vector: Vectors) -> Vectors:
        """Unit vectors [..., W] -> unit vectors [..., W]."""
        moved = vector + (vector @ self.down.T) @ self.up.T
        unit: Vectors = (moved / np.linalg.norm(moved, axis=-1, keepdims=True)).astype(np.float32)
        return unit


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What was learned for one collection, for the vectors of one encoder; `facts` tell how it was made.

    `queries` names what made the vectors of queries that it was judged with; empty: the encoder. `layers` stand in
    place of that encoder's own, by name; None: it is used as it is.
    """

    encoder: str
    mix: Mix
    map: QueryMap | None = None
    layers: Layers | None = None
    queries: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def version(self) -> str:
        """The encoder's version and a hash of all that was learned."""
        digest = hashlib.sha256(repr((self.encoder, self.queries, self.mix)).encode())
        if self.map is not None:
            digest.update(self.map.down.tobytes() + self.map.up.tobytes())
        return f"{self.vectors}+{digest.hexdigest()[:12]}"

    @cached_property
    def vectors(self) -> str:
        """The version of the encoder whose vectors are searched: with layers of its own, their hash is part of it."""
        if self.layers is None:
            return self.encoder
        digest = hashlib.sha256()
        for name in sorted(self.layers):
            digest.update(name.encode() + self.layers[name].tobytes())
        return f"{self.encoder}{OWN}{digest.hexdigest()[:12]}"


@dataclass(frozen=True, kw_only=True)
class TuningState:
    """What a collection is searched by now, and what it was searched by before; None stands for the service's default.

    `revertible` says whether there is anything before.
    """

    current: Tuning | None = None
    previous: Tuning | None = None
    revertible: bool = False

    def promoted(self, tuning: Tuning) -> "TuningState":
        """The state in which this tuning has taken over."""
        return TuningState(current=tuning, previous=self.current, revertible=True)

    def rolled_back(self) -> "TuningState":
        """The state before the last promotion; what was current is forgotten."""
        return TuningState(current=self.previous)

    @property
    def own(self) -> dict[str, Tuning]:
        """The versions of the encoder that are the collection's own, each with a tuning that has its layers."""
        both = [tuning for tuning in (self.current, self.previous) if tuning is not None]
        return {tuning.vectors: tuning for tuning in both if tuning.layers is not None}

    def to_bytes(self) -> bytes:
        """One file: safetensors, with everything but the arrays in its header."""
        arrays: dict[str, NDArray[Any]] = {"format": np.array([1], dtype=np.int64)}
        header: dict[str, Any] = {"revertible": self.revertible}
        for name in STATES:
            tuning: Tuning | None = getattr(self, name)
            if tuning is None:
                continue
            header[name] = {
                "encoder": tuning.encoder,
                "queries": tuning.queries,
                "mix": vars(tuning.mix),
                "facts": dict(tuning.facts),
            }
            if tuning.map is not None:
                arrays |= {f"{name}.down": tuning.map.down, f"{name}.up": tuning.map.up}
            arrays |= {f"{name}.layers.{layer}": array for layer, array in (tuning.layers or {}).items()}
        return save(arrays, metadata={"state": json.dumps(header)})

    @classmethod
    def from_bytes(cls, data: bytes) -> "TuningState":
        """The inverse of `to_bytes`. Raises StoreCorrupt for anything else."""
        try:
            arrays, header = load(data), json.loads(_header(data)["state"])
            found = {name: _tuning(header[name], arrays, name) for name in STATES if name in header}
            return cls(revertible=bool(header["revertible"]), **found)
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise StoreCorrupt("what a collection's retriever has learned cannot be read") from error


def _tuning(described: Mapping[str, Any], arrays: Mapping[str, Any], name: str) -> Tuning:
    down, up = arrays.get(f"{name}.down"), arrays.get(f"{name}.up")
    learned = None if down is None or up is None else QueryMap(down=down, up=up)
    start = f"{name}.layers."
    layers = {key.removeprefix(start): array for key, array in arrays.items() if key.startswith(start)}
    mix, facts = Mix(**described["mix"]), described["facts"]
    # States that were written before queries had layers of their own do not say whose vectors they were.
    asked = described.get("queries", "")
    return Tuning(encoder=described["encoder"], queries=asked, mix=mix, map=learned, layers=layers or None, facts=facts)


def _header(data: bytes) -> dict[str, str]:
    """The metadata of a safetensors file in memory: its length in 8 bytes, then JSON."""
    size = int.from_bytes(data[:8], "little")
    return dict(json.loads(data[8 : 8 + size])["__metadata__"])
