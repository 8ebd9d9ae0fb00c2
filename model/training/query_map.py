"""Fits a low-rank map on query vectors to pairs of vectors: seconds on a CPU, since no text is encoded for it.

N queries, P passages, W width, R rank
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.realm import QueryAdapter, contrastive_loss, inner_products

Vectors = NDArray[np.float32]

BATCH = 128
TEMPERATURE = 0.05
LEARNING_RATE = 1e-3
BETAS, DECAY = (0.9, 0.999), 0.01
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
    moments = [(torch.zeros_like(weight), torch.zeros_like(weight)) for weight in weights]
    for step in range(steps):
        if step % CHECK == 0 and not report(step):
            break
        rows = torch.randint(len(queries), (min(BATCH, len(queries)),), generator=generator).numpy()
        gold = positive[rows]
        scores = inner_products(adapter(torch.from_numpy(queries[rows])), torch.from_numpy(passages[gold]))
        same = torch.from_numpy(gold[:, None] == gold[None, :])
        loss = contrastive_loss(scores, same, temperature=TEMPERATURE)
        gradients = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            for weight, gradient, moment in zip(weights, gradients, moments, strict=True):
                _adam(weight, gradient, moment, step=step + 1, rate=LEARNING_RATE * (1 - step / steps))
    return tuple(layer.weight.detach().numpy().copy() for layer in (adapter.down, adapter.up))  # type: ignore[return-value]


def _adam(weight: Tensor, gradient: Tensor, moments: tuple[Tensor, Tensor], *, step: int, rate: float) -> None:
    """One step of AdamW in place (Loshchilov and Hutter 2019, algorithm 2).

    torch.optim's would import the compiler: 8 s and 100 MB in a service that never compiles anything.
    """
    first, second = moments
    first.lerp_(gradient, 1 - BETAS[0])
    second.lerp_(gradient * gradient, 1 - BETAS[1])
    scale = (second / (1 - BETAS[1] ** step)).sqrt_().add_(1e-8)
    weight.mul_(1 - rate * DECAY).sub_(rate * first / (1 - BETAS[0] ** step) / scale)
