"""The loop that the retriever's recipes share: one module, numbered batches, resumable at any step.

Deterministic by seed as long as the batches are: run the same command again after a kill.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from accelerate.utils import set_seed
from torch import Tensor, nn

from model.training.progress import Progress, new_accelerator, warm_up_then_linear

Batch = TypeVar("Batch")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One step's loss with its graph, the texts' word pieces that it took, and what the log shows of it."""

    loss: Tensor
    pieces: int
    shown: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Loop(Generic[Batch]):
    """What is trained, how far, and where it is kept. `rates`: factors of the learning rate by how names begin."""

    module: nn.Module
    total: int
    out: Path
    learning_rate: float
    rates: Mapping[str, float] | None = None
    warmup: float = 0.06
    weight_decay: float = 0.01
    clip: float = 1.0
    seed: int = 0
    save_every: int = 100

    def run(self, batches: Callable[[int], Iterator[Batch]], measure: Callable[[int, Batch], Measured]) -> Progress:
        """Train to the last step, from the last checkpoint where there is one.

        `batches(done)` gives those after the first `done`; `measure(step, batch)` is called with gradients on.
        """
        set_seed(self.seed)
        accelerator = new_accelerator()
        optimizer = torch.optim.AdamW(self._groups())
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, warm_up_then_linear(self.total, self.warmup))
        module, optimizer, scheduler = accelerator.prepare(self.module, optimizer, scheduler)
        progress = Progress(self.out, total=self.total)
        if progress.step:
            progress.load(accelerator)
        left = islice(batches(progress.step), max(0, self.total - progress.step))
        for step, batch in enumerate(left, start=progress.step + 1):
            with accelerator.autocast():
                measured = measure(step, batch)
            accelerator.backward(measured.loss)
            accelerator.clip_grad_norm_(module.parameters(), self.clip)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            progress.record(step, pieces=measured.pieces, **measured.shown)
            if step % self.save_every == 0 or step == self.total:
                progress.save(accelerator)
        return progress

    def _groups(self) -> list[dict[str, Any]]:
        """Biases and norms are not decayed; each group has its own factor of the learning rate."""
        chosen: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in self.module.named_parameters():
            if parameter.requires_grad:
                factors = [factor for start, factor in (self.rates or {}).items() if name.startswith(start)]
                rate = self.learning_rate * (factors[0] if factors else 1.0)
                chosen.setdefault((rate, self.weight_decay if parameter.ndim > 1 else 0.0), []).append(parameter)
        return [{"params": found, "lr": rate, "weight_decay": decay} for (rate, decay), found in chosen.items()]
