"""AdamW for training inside the service: torch.optim's would import the compiler, 8 s and 100 MB for nothing."""

from collections.abc import Sequence

import torch
from torch import Tensor

BETAS, DECAY = (0.9, 0.999), 0.01


class Adam:
    """Steps of AdamW on these weights, in place (Loshchilov and Hutter 2019, algorithm 2)."""

    def __init__(self, weights: Sequence[Tensor]) -> None:
        self._weights = list(weights)
        self._moments = [(torch.zeros_like(weight), torch.zeros_like(weight)) for weight in self._weights]
        self._steps = 0

    def step(self, gradients: Sequence[Tensor], *, rate: float) -> None:
        """Move the weights against the gradients of a loss, one for each, at this learning rate."""
        self._steps += 1
        with torch.no_grad():
            for weight, gradient, (first, second) in zip(self._weights, gradients, self._moments, strict=True):
                first.lerp_(gradient, 1 - BETAS[0])
                second.lerp_(gradient * gradient, 1 - BETAS[1])
                scale = (second / (1 - BETAS[1] ** self._steps)).sqrt_().add_(1e-8)
                weight.mul_(1 - rate * DECAY).sub_(rate * first / (1 - BETAS[0] ** self._steps) / scale)
