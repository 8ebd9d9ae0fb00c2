"""A small causal language model over word pieces on the Transformer-XL blocks: how far a longer memory helps.

It measures the extension of the context window, and answers nothing. Its input is the encoder's word embeddings, which
stay as they are and are not shipped again.

B batch, L length of a segment, V vocabulary, W width, E width of the embeddings
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load
from torch import Tensor, nn

from model.encoder import word_embeddings
from model.errors import UnsupportedModel
from model.transformer_xl import Memory, TransformerXL, XLShape
from model.weights_files import WEIGHTS, load_weights

EMBEDDINGS = "embeddings"  # a buffer: not learnt, not shipped


class LanguageModel(nn.Module):
    """How probable each next word piece is. The input `embeddings` [V, E] are kept as they are.

    Its softmax is adaptive (Grave et al. 2017): rare word pieces have a narrower part of it. The vocabulary is in about
    the order of frequency from its two-thousandth word piece on, so its ids need no order of their own.
    """

    def __init__(self, shape: XLShape, embeddings: Tensor) -> None:
        super().__init__()
        vocabulary = len(embeddings)
        self.reader = TransformerXL(shape, causal=True)
        self.enter = nn.Linear(embeddings.shape[1], shape.width)
        self.norm = nn.LayerNorm(shape.width)
        cutoffs = [vocabulary // 4, vocabulary // 2]
        self.softmax = nn.AdaptiveLogSoftmaxWithLoss(shape.width, vocabulary, cutoffs=cutoffs, div_value=4.0)
        self.register_buffer(EMBEDDINGS, embeddings, persistent=False)

    def forward(
        self,
        tokens: Tensor,
        targets: Tensor,
        memory: Memory = (),
        *,
        memory_length: int,
        same_length: bool = False,
        dropout: float = 0.0,
    ) -> tuple[Tensor, Memory]:
        """Tokens [B, L] -> -log p [B, L] of the targets [B, L], which follow each, and the next segment's memory."""
        embeddings = self.get_buffer(EMBEDDINGS)
        x = F.dropout(self.enter(F.embedding(tokens, embeddings) * embeddings.shape[1] ** 0.5), dropout)
        hidden, memory = self.reader(x, memory, memory_length=memory_length, same_length=same_length, dropout=dropout)
        hidden = F.dropout(self.norm(hidden), dropout)
        with torch.autocast(hidden.device.type, enabled=False):  # logits and softmax in fp32
            found = self.softmax(hidden.flatten(0, 1).float(), targets.flatten())
        return -found.output.view_as(targets), memory


def load_language_model(path: Path | None = None) -> LanguageModel:
    """Loads `language.json` and the weights that it names; without a folder, those that ship.

    Raises WeightsMissing, WeightsCorrupt and UnsupportedModel.
    """
    manifest, data = load_weights(path or WEIGHTS, "language")
    if manifest.get("architecture") != "transformer-xl-language":
        raise UnsupportedModel(f"architecture {manifest.get('architecture')!r}, expected 'transformer-xl-language'")
    network = LanguageModel(XLShape(**manifest["shape"]), word_embeddings())
    network.load_state_dict({name: tensor.float() for name, tensor in load(data).items()})
    return network.eval().requires_grad_(False)


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """How well a text was foreseen: the sum of -log p (nats) of its `tokens`, every token but the first."""

    nats: float
    tokens: int


def read_likelihood(network: LanguageModel, tokens: Sequence[int], *, segment: int, memory_length: int) -> Likelihood:
    """Reads one text in segments, each with a memory of `memory_length` positions before it."""
    nats, count = 0.0, 0
    memory: Memory = ()
    with torch.inference_mode():
        for inputs, targets in segments_of(torch.tensor([list(tokens)]), segment):
            lost, memory = network(inputs, targets, memory, memory_length=memory_length)
            nats += float(lost.sum())
            count += targets.shape[1]
    return Likelihood(nats=nats, tokens=count)


def segments_of(tokens: Tensor, segment: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Tokens [B, T] -> (inputs, targets) [B, L] of each segment in order; targets are the inputs one later."""
    for at in range(0, tokens.shape[1] - 1, segment):
        end = min(at + segment, tokens.shape[1] - 1)
        yield tokens[:, at:end], tokens[:, at + 1 : end + 1]
