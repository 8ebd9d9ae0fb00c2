"""Trains an encoder's upper layers on pairs of texts, inside the service: minutes on a CPU.

What goes into the trained layers never changes, so it is computed once a text and used in every epoch. Both sides go
through the same layers, with in-batch negatives.

B pairs of a batch, L length, W width
"""

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from model.encoder import TOP_LAYERS, Transformer, pad, pool
from model.layers import fastest_dtype
from model.realm import contrastive_loss, inner_products
from model.training.adam import Adam
from model.types import Layers, Pairs

BATCH = 24
EPOCHS = 4  # at most
TEMPERATURE = 0.05
LEARNING_RATE = 5e-5
TEXTS_AT_ONCE = 8
MOST_PIECES = 2**18  # word pieces whose activations are kept: 200 MB of bf16 at a width of 384


def train_top_layers(
    transformer: Transformer, tokenizer: Tokenizer, pairs: Pairs, *, report: Callable[[int], bool]
) -> tuple[Layers, int]:
    """The last TOP_LAYERS blocks after training, as the state of a ModuleList of them, and how many pairs were used.

    `report` is asked before each step, and each time some texts were read, with how many steps were made; where it
    says false, training ends there. It may raise. Of more texts than MOST_PIECES hold, only the first pairs are used.
    """
    blocks = copy.deepcopy(transformer.blocks[-TOP_LAYERS:]).float().requires_grad_(True)
    asked, read = _activations(transformer, tokenizer, pairs, report)
    used = len(asked)
    weights = list(blocks.parameters())
    adam = Adam(weights)
    generator = torch.Generator().manual_seed(0)
    steps = EPOCHS * max(1, used // BATCH)
    for step in range(steps if used > 1 else 0):
        if step % max(1, used // BATCH) == 0:
            order = torch.randperm(used, generator=generator).tolist()
        if not report(step):
            break
        first = step % max(1, used // BATCH) * BATCH
        rows = order[first : first + BATCH]
        gold = [pairs.positive[row] for row in rows]
        same = torch.tensor(gold)[:, None] == torch.tensor(gold)[None, :]
        inputs = [*(asked[row] for row in rows), *(read[one] for one in gold)]
        gradients = _gradients(transformer, blocks, weights, inputs, same)
        adam.step(gradients, rate=LEARNING_RATE * (1 - step / steps))
    return {name: _half(tensor) for name, tensor in blocks.state_dict().items()}, used


def _gradients(
    transformer: Transformer, blocks: nn.ModuleList, weights: Sequence[Tensor], inputs: Sequence[Tensor], same: Tensor
) -> list[Tensor]:
    """The gradients of the loss of B questions and the B passages after them; `same` [B, B] says which answer which.

    The vectors first, then a few texts at a time with what the loss wants of their vectors (Gao et al. 2021, gradient
    caching): a fifth more time, and 140 MB instead of 400.
    """
    chunks = [inputs[first : first + TEXTS_AT_ONCE] for first in range(0, len(inputs), TEXTS_AT_ONCE)]
    with torch.no_grad():
        vectors = torch.cat([_vectors(transformer, blocks, chunk) for chunk in chunks])
    vectors.requires_grad_(True)
    scores = inner_products(vectors[: len(same)], vectors[len(same) :])
    loss = contrastive_loss(scores, same, temperature=TEMPERATURE)
    (wanted,) = torch.autograd.grad(loss, [vectors])
    total = [torch.zeros_like(weight) for weight in weights]
    for first, chunk in zip(range(0, len(inputs), TEXTS_AT_ONCE), chunks, strict=True):
        pull = wanted[first : first + TEXTS_AT_ONCE]
        parts = torch.autograd.grad(_vectors(transformer, blocks, chunk), weights, pull)
        for whole, part in zip(total, parts, strict=True):
            whole += part
    return total


def _activations(
    transformer: Transformer, tokenizer: Tokenizer, pairs: Pairs, report: Callable[[int], bool]
) -> tuple[list[Tensor], dict[int, Tensor]]:
    """What goes into the trained layers, [L, W]: of each question used, and of their passages by place."""
    asked: list[Tensor] = []
    read: dict[int, Tensor] = {}
    # One piece of memory: many small ones between the large ones of the encoder would keep those from being given back.
    room = torch.empty(MOST_PIECES, transformer.embeddings.word.embedding_dim, dtype=torch.bfloat16)
    for first in range(0, len(pairs.questions), TEXTS_AT_ONCE):
        if not report(0):
            break
        part = slice(first, first + TEXTS_AT_ONCE)
        new = sorted(set(pairs.positive[part]) - read.keys())
        below = _below(transformer, tokenizer, [*pairs.questions[part], *(pairs.passages[one] for one in new)])
        if sum(map(len, below)) > len(room):
            break
        kept = []
        for row in below:
            kept.append(room[: len(row)].copy_(row))
            room = room[len(row) :]
        asked += kept[: len(kept) - len(new)]
        read |= dict(zip(new, kept[len(kept) - len(new) :], strict=True))
    return asked, read


@torch.no_grad()  # inference mode's tensors could not be used where gradients are wanted
def _below(transformer: Transformer, tokenizer: Tokenizer, texts: Sequence[str]) -> list[Tensor]:
    tokens, mask = pad([encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts))])
    x = transformer.through(transformer.blocks[:-TOP_LAYERS], transformer.embedded(tokens), mask)
    return [row[: int(there.sum())] for row, there in zip(x, mask, strict=True)]


def _vectors(transformer: Transformer, blocks: nn.ModuleList, inputs: Sequence[Tensor]) -> Tensor:
    """Unit vectors [B, W] with gradients, of what goes into the trained layers."""
    lengths = torch.tensor([len(each) for each in inputs])
    x = pad_sequence(list(inputs), batch_first=True).float()
    mask = torch.arange(x.shape[1])[None, :] < lengths[:, None]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=fastest_dtype() is torch.bfloat16):
        hidden = transformer.through(blocks, x, mask)
    return pool(hidden, mask)


def _half(tensor: Tensor) -> NDArray[np.float16]:
    array: NDArray[np.float16] = tensor.detach().to(torch.float16).numpy()
    return array
