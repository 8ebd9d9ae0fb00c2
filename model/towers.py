"""The retriever's two towers, in torch: one transformer for queries and passages, and what queries alone pass through.

B texts, L length, W width
"""

import copy
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from model.encoder import TOP_LAYERS, Transformer, embed, load_tokenizer, load_transformer, pad
from model.realm import QueryAdapter

Trained = Literal["adapter", "top", "all"]
"""What training changes: the map on query vectors alone, the transformer's upper layers, or all of it but its words."""

TOWERS = "towers.safetensors"


class Towers(nn.Module):
    """Unit vectors of queries and passages. `null` is the learned score of the null document.

    With `frozen`, a transformer of its own, passages keep its vectors whatever is learnt: query-side training. Without,
    both sides share `transformer`, and vectors that an index holds grow stale.
    """

    def __init__(
        self,
        transformer: Transformer,
        adapter: QueryAdapter,
        tokenizer: Tokenizer,
        *,
        frozen: Transformer | None = None,
    ) -> None:
        super().__init__()
        self.transformer = transformer
        self.frozen = None if frozen is None else frozen.requires_grad_(False)
        self.adapter = adapter
        self.null = nn.Parameter(torch.zeros(()))
        self._tokenizer = tokenizer

    def train_only(self, trained: Trained) -> "Towers":
        """Freeze what is not to be trained; the word embeddings always are: the reader shares them."""
        self.transformer.requires_grad_(trained == "all")
        if trained == "top":
            for block in self.transformer.blocks[-TOP_LAYERS:]:
                block.requires_grad_(True)
        self.transformer.embeddings.word.requires_grad_(False)
        self.adapter.requires_grad_(trained == "adapter")
        return self

    def queries(self, texts: Sequence[str]) -> Tensor:
        """Vectors [B, W] of queries, through the adapter."""
        adapted: Tensor = self.adapter(embed(self.transformer, *self._padded(texts)))
        return adapted

    def passages(self, texts: Sequence[str]) -> Tensor:
        """Vectors [B, W] of passages, with gradients where they are learnt."""
        return embed(self.frozen or self.transformer, *self._padded(texts))

    def _padded(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        device = self.null.device
        tokens, mask = pad([encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))])
        return tokens.to(device), mask.to(device)

    def count(self, texts: Sequence[str]) -> int:
        """Word pieces of these texts, with [CLS] and [SEP]."""
        return sum(len(encoding) for encoding in self._tokenizer.encode_batch_fast(list(texts)))


def starting_towers(*, mode: str, trained: Trained, rank: int, init: Path | None) -> Towers:
    """MiniLM with an adapter that changes nothing yet, or what an earlier step left in `init`."""
    transformer = load_transformer()
    frozen = copy.deepcopy(transformer) if mode == "query" else None
    width = transformer.embeddings.word.embedding_dim
    towers = Towers(transformer, QueryAdapter(width, rank=rank), load_tokenizer(), frozen=frozen)
    if init is not None:
        load_towers(towers, init)
    return towers.train_only(trained)


def save_towers(towers: Towers, folder: Path) -> None:
    """Write what training may have changed; the word embeddings and a frozen side are MiniLM's own."""
    state = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in towers.state_dict().items()
        if not name.startswith("frozen.") and not name.startswith("transformer.embeddings.word.")
    }
    save_file(state, folder / TOWERS)


def name_of(folder: Path | None) -> str:
    """What tells towers from all others: MiniLM, or the hash of what `save_towers` wrote."""
    return "MiniLM" if folder is None else hashlib.sha256((folder / TOWERS).read_bytes()).hexdigest()


def load_towers(towers: Towers, folder: Path) -> None:
    """Read what `save_towers` wrote. Raises ValueError where it does not fit."""
    missing, unexpected = towers.load_state_dict(load_file(folder / TOWERS), strict=False)
    lost = [name for name in missing if not name.startswith(("frozen.", "transformer.embeddings.word."))]
    if lost or unexpected:
        raise ValueError(f"'{folder}' does not fit: missing {lost}, unexpected {unexpected}")
