"""The loop that all recipes share: one module, numbered batches, resumable at any step.

Deterministic by seed as long as the batches are: run the same command again after a kill.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, cast

import torch
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from model.training.progress import Progress, new_accelerator, plot_curve, warm_up_then_linear

Batch = TypeVar("Batch")
Module = TypeVar("Module", bound=nn.Module)


class Carried(Protocol):
    """What goes on from step to step beside the weights, kept with every checkpoint: tensors alone."""

    def state_dict(self) -> dict[str, Tensor]:
        """All of it."""

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Takes up what `state_dict` gave."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One step's loss with its graph, what it read (word pieces, sentences), and what the log shows of it."""

    loss: Tensor
    pieces: int
    shown: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Loop(Generic[Module, Batch]):
    """What is trained, how far, and where it is kept. `rates`: factors of the learning rate by how names begin.

    With `averaging` what comes back is a running mean of the weights over about 1 / (1 - averaging) steps.
    """

    module: Module
    total: int
    out: Path
    learning_rate: float
    rates: Mapping[str, float] | None = None
    warmup: float = 0.06
    weight_decay: float = 0.01
    clip: float = 1.0
    averaging: float | None = None
    carried: Carried | None = None
    seed: int = 0
    save_every: int = 100

    def run(
        self, batches: Callable[[int], Iterator[Batch]], measure: Callable[[Module, int, Batch], Measured]
    ) -> Module:
        """Train to the last step, from the last checkpoint where there is one; returns the trained module.

        `batches(done)` gives those after the first `done`; `measure(module, step, batch)` is called with gradients on.
        """
        set_seed(self.seed)
        accelerator = new_accelerator()
        optimizer = torch.optim.AdamW(self._groups(), fused=True)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, warm_up_then_linear(self.total, self.warmup))
        averaged = None if self.averaging is None else _averaged(self.module, self.averaging)
        module, optimizer, scheduler = accelerator.prepare(self.module, optimizer, scheduler)
        if averaged is not None:
            averaged.to(accelerator.device)
        for kept in (averaged, self.carried):
            if kept is not None:
                accelerator.register_for_checkpointing(kept)
        progress = Progress(self.out, total=self.total)
        if progress.step:
            progress.load(accelerator)
        left = islice(batches(progress.step), max(0, self.total - progress.step))
        for step, batch in enumerate(left, start=progress.step + 1):
            with accelerator.autocast():
                measured = measure(module, step, batch)
            accelerator.backward(measured.loss)
            accelerator.clip_grad_norm_(module.parameters(), self.clip)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            if averaged is not None:
                averaged.update_parameters(accelerator.unwrap_model(module))
            progress.record(step, pieces=measured.pieces, **measured.shown)
            if step % self.save_every == 0 or step == self.total:
                progress.save(accelerator)
        plot_curve(progress, self.out / "curve.png")
        return cast(Module, accelerator.unwrap_model(module) if averaged is None else averaged.module)

    def _groups(self) -> list[dict[str, Any]]:
        """Biases and norms are not decayed; each group has its own factor of the learning rate."""
        chosen: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in self.module.named_parameters():
            if parameter.requires_grad:
                factors = [factor for start, factor in (self.rates or {}).items() if name.startswith(start)]
                rate = self.learning_rate * (factors[0] if factors else 1.0)
                chosen.setdefault((rate, self.weight_decay if parameter.ndim > 1 else 0.0), []).append(parameter)
        return [{"params": found, "lr": rate, "weight_decay": decay} for (rate, decay), found in chosen.items()]


def device_of(module: nn.Module) -> torch.device:
    """Where a module's parameters are."""
    return next(module.parameters()).device


def _averaged(module: nn.Module, averaging: float) -> AveragedModel:
    mean = get_ema_multi_avg_fn(averaging)  # type: ignore[no-untyped-call]
    return AveragedModel(module, multi_avg_fn=mean)
