"""Fits a low-rank map on query vectors to pairs of vectors: seconds on a CPU, since no text is encoded for it.

N queries, P passages, W width, R rank
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from model.realm import QueryAdapter, contrastive_loss, inner_products
from model.training.adam import Adam

Vectors = NDArray[np.float32]

BATCH = 128
TEMPERATURE = 0.05
LEARNING_RATE = 1e-3
CHECK = 10  # steps between two looks at whether to stop


def fit_query_map(
    queries: Vectors,
    passages: Vectors,
    positive: NDArray[np.int64],
    *,
    steps: int,
    rank: int = 16,
    seed: int = 0,
    report: Callable[[int], bool] = lambda step: True,
) -> tuple[Vectors, Vectors]:
    """The map's `down` [R, W] and `up` [W, R] after contrastive training with in-batch negatives.

    `queries` [N, W] and `passages` [P, W] are unit vectors; query i is answered by passage `positive[i]`. `report` is
    told the step now and then; where it says false, training ends there. It may raise.
    """
    if not len(queries):
        raise ValueError("no queries to fit a map to")
    generator = torch.Generator().manual_seed(seed)
    adapter = QueryAdapter(queries.shape[1], rank=rank)
    torch.nn.init.normal_(adapter.down.weight, std=queries.shape[1] ** -0.5, generator=generator)
    weights = list(adapter.parameters())
    adam = Adam(weights)
    for step in range(steps):
        if step % CHECK == 0 and not report(step):
            break
        rows = torch.randint(len(queries), (min(BATCH, len(queries)),), generator=generator).numpy()
        gold = positive[rows]
        scores = inner_products(adapter(torch.from_numpy(queries[rows])), torch.from_numpy(passages[gold]))
        same = torch.from_numpy(gold[:, None] == gold[None, :])
        loss = contrastive_loss(scores, same, temperature=TEMPERATURE)
        adam.step(torch.autograd.grad(loss, weights), rate=LEARNING_RATE * (1 - step / steps))
    return tuple(layer.weight.detach().numpy().copy() for layer in (adapter.down, adapter.up))  # type: ignore[return-value]
