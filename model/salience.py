"""The trained salience: a Transformer-XL over the vectors of sentences, a logit for each.

N sentences, D dimension of a vector, B batch, L length of a segment, W width
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load
from torch import Tensor, nn

from model.errors import UnsupportedModel
from model.sentence_table import (
    ASKED,
    STATIC,
    Floats,
    Query,
    SentenceTable,
    Turn,
    asked_features,
    at_once,
    static_features,
)
from model.summarizer import CentralitySalience, said_by_reader
from model.transformer_xl import Memory, TransformerXL, XLShape
from model.weights_files import WEIGHTS, load_weights

UNTRAINED = 0.75  # how much of the untrained salience is added: CONTRIBUTING.md has the measures


@dataclass(frozen=True, kw_only=True)
class SalienceShape:
    """The sizes of a salience network, and how it reads: segments of so many sentences, a memory of so many."""

    dimension: int = 384
    width: int = 256
    layers: int = 3
    heads: int = 4
    inner: int = 768
    segment: int = 128
    memory: int = 128


class SalienceNetwork(nn.Module):
    """A logit for each sentence: its vector, its likeness to the query and its features, read by a Transformer-XL."""

    def __init__(self, shape: SalienceShape) -> None:
        super().__init__()
        self.shape = shape
        self.sentence = nn.Linear(shape.dimension, shape.width)
        self.likeness = nn.Linear(shape.dimension, shape.width, bias=False)
        self.query = nn.Linear(shape.dimension, shape.width, bias=False)
        self.features = nn.Linear(STATIC + ASKED, shape.width, bias=False)
        self.reader = TransformerXL(
            XLShape(width=shape.width, layers=shape.layers, heads=shape.heads, inner=shape.inner), causal=False
        )
        self.norm = nn.LayerNorm(shape.width)
        self.logit = nn.Linear(shape.width, 1)
        self.shortcut = nn.Linear(STATIC + ASKED, 1, bias=False)

    def forward(
        self,
        vectors: Tensor,
        features: Tensor,
        query: Tensor,
        memory: Memory = (),
        *,
        mask: Tensor | None = None,
        dropout: float = 0.0,
    ) -> tuple[Tensor, Memory]:
        """One segment: vectors [B, L, D], features [B, L, STATIC + ASKED], query [B, D] (zeros without one), mask
        [B, L] -> logits [B, L] and the memory for the next segment.
        """
        scale = vectors.shape[-1] ** 0.5  # unit vectors have entries of about 1 / scale
        x = self.sentence(vectors * scale) + self.query(query * scale)[:, None]
        x = x + self.likeness(vectors * query[:, None] * scale**2) + self.features(features)
        hidden, memory = self.reader(x, memory, memory_length=self.shape.memory, mask=mask, dropout=dropout)
        return (self.logit(self.norm(hidden)) + self.shortcut(features))[..., 0], memory


def read_all(
    network: SalienceNetwork,
    vectors: Tensor,
    features: Tensor,
    query: Tensor,
    *,
    dropout: float = 0.0,
    turn: Turn = at_once,
) -> Tensor:
    """Logits [B, N] of whole documents, [B, N, ...], segment by segment, each in a turn of its own."""
    logits: list[Tensor] = []
    memory: Memory = ()
    size = network.shape.segment
    for at in range(0, vectors.shape[1], size):
        part = vectors[:, at : at + size].float(), features[:, at : at + size].float()
        found, memory = turn(partial(network, *part, query, memory, dropout=dropout))
        logits.append(found)
    return torch.cat(logits, dim=1)


def load_salience(encoder: str, path: Path | None = None) -> "CentralitySalience | TransformerXLSalience":
    """The trained salience where it was trained on this encoder's vectors, else the one without training.

    Raises WeightsMissing, WeightsCorrupt and UnsupportedModel.
    """
    manifest, _ = load_weights(path or WEIGHTS, "salience")
    return TransformerXLSalience.load(path) if manifest.get("encoder") == encoder else CentralitySalience()


class TransformerXLSalience:
    """The trained salience as the service uses it: the mean of what some networks say. Documents of a table are read
    one after the other, each afresh; how near they are to a query is compared over all of them.

    A share of the untrained salience is added: what few documents could teach, an opening can correct, or what the
    reader says of a query where there is one.
    """

    def __init__(self, networks: Sequence[SalienceNetwork], *, name: str) -> None:
        self._networks = [network.eval() for network in networks]
        self._untrained = CentralitySalience()
        self.name = name

    @classmethod
    def load(cls, path: Path | None = None) -> "TransformerXLSalience":
        """Loads `salience.json` and the weights that it names from a folder; without one, those that ship.

        Raises WeightsMissing, WeightsCorrupt and UnsupportedModel.
        """
        manifest, data = load_weights(path or WEIGHTS, "salience")
        if manifest.get("architecture") != "transformer-xl-salience":
            raise UnsupportedModel(f"architecture {manifest.get('architecture')!r}, expected 'transformer-xl-salience'")
        with torch.device("meta"):
            shape = SalienceShape(**manifest["shape"])
            networks = [SalienceNetwork(shape) for _ in manifest.get("recipes", [{}])]
        together = nn.ModuleList(networks)
        state = {name: tensor.float() for name, tensor in load(data).items()}
        try:
            together.load_state_dict(state, assign=True)
        except RuntimeError as error:
            raise UnsupportedModel("the salience weights are of another Lectern: its features are others") from error
        together.requires_grad_(False)
        return cls(networks, name=f"{manifest['name']}@{manifest['sha256'][:12]}")

    def score(self, table: SentenceTable, query: Query | None = None, *, turn: Turn = at_once) -> Floats:
        """Log-odds [N] of the sentences, comparable within a document and, about, between documents."""
        scores = np.zeros(len(table), dtype=np.float32)
        asked = asked_features(table, query)  # over all documents: a query is about one of them more than about others
        _, starts = np.unique(table.document, return_index=True)
        for start, end in pairwise([*sorted(starts.tolist()), len(table)]):
            rows = slice(start, end)
            part = table.part(start, end)
            scores[rows] = self._score_document(part, asked[rows], query, turn)
            if query is None:
                scores[rows] += np.float32(UNTRAINED) * self._untrained.score(part)
        if query is not None:
            scores += np.float32(UNTRAINED) * said_by_reader(query)
        return scores

    def _score_document(self, table: SentenceTable, asked: Floats, query: Query | None, turn: Turn) -> Floats:
        features = np.concatenate([static_features(table), asked], axis=1)
        direction = torch.zeros(1, table.vectors.shape[1])
        if query is not None:
            direction = torch.from_numpy(np.asarray(query.vector, dtype=np.float32))[None]
        vectors, known = torch.from_numpy(table.vectors)[None], torch.from_numpy(features)[None]
        logits = [
            read_all(network, vectors, known, direction, turn=lambda step: turn(partial(_infer, step)))[0]
            for network in self._networks
        ]
        scores: Floats = torch.stack(logits).mean(0).numpy()
        return scores


def _infer(step: Callable[[], Any]) -> Any:
    with torch.inference_mode():  # of the thread that carries the step out
        return step()
