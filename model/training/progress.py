"""Where a training run stands: its checkpoints, its curve and a log line now and then."""

import json
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import Accelerator

from model.layers import fastest_dtype

logger = logging.getLogger(__name__)


def new_accelerator() -> Accelerator:
    """An accelerator that multiplies in bf16 where the hardware does; all runs of a process have one precision."""
    bf16 = torch.cuda.is_available() or fastest_dtype() is torch.bfloat16
    return Accelerator(mixed_precision="bf16" if bf16 else "no")


class Progress:
    """The step that a run has reached. A kill at any moment leaves the last whole checkpoint in place."""

    def __init__(self, out: Path, *, total: int) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self._out, self._total = out, total
        self._state = out / "progress.json"
        self._pending: list[dict[str, float]] = []
        self._since = time.monotonic()
        self.step = 0
        self.curve: list[dict[str, float]] = []
        if self._state.is_file():
            saved = json.loads(self._state.read_text())
            self.step, self.curve = saved["step"], saved["curve"]

    @property
    def checkpoint(self) -> Path:
        """The folder of the checkpoint of the current step."""
        return self._out / f"checkpoint-{self.step}"

    def load(self, accelerator: Accelerator) -> None:
        """Loads the checkpoint of the current step. Raises UnpicklingError for one that holds more than numbers.

        accelerate restricts all of its files so, except those of registered objects: of them ours are tensors alone.
        """
        for registered in sorted(self.checkpoint.glob("custom_checkpoint_*.pkl")):
            torch.load(registered, map_location="cpu", weights_only=True)
        accelerator.load_state(str(self.checkpoint))

    def record(self, step: int, *, pieces: int, **losses: float) -> None:
        """Notes one step of training: how many word pieces it read, and its losses."""
        self.step = step
        self._pending.append({"pieces": float(pieces), **losses})

    def save(self, accelerator: Accelerator) -> None:
        """Writes a checkpoint and the curve, logs a line, and then removes the checkpoint before."""
        if self._pending:
            self._log()
        accelerator.save_state(str(self.checkpoint))
        fresh = self._state.with_suffix(".new")
        fresh.write_text(json.dumps({"step": self.step, "curve": self.curve}))
        fresh.replace(self._state)
        for old in self._out.glob("checkpoint-*"):
            if old != self.checkpoint:
                shutil.rmtree(old)

    def _log(self) -> None:
        elapsed = time.monotonic() - self._since
        count = len(self._pending)
        names = [name for name in self._pending[0] if name != "pieces"]
        point = {name: sum(row[name] for row in self._pending) / count for name in names}
        speed = sum(row["pieces"] for row in self._pending) / elapsed
        left = (self._total - self.step) * elapsed / count
        self.curve.append({"step": float(self.step), "pieces_per_second": speed, **point})
        losses = " ".join(f"{name} {value:.4f}" for name, value in point.items())
        logger.info("step %d/%d %s %.0f pieces/s %.0f min left", self.step, self._total, losses, speed, left / 60)
        self._pending.clear()
        self._since = time.monotonic()


def plot_curve(progress: Progress, path: Path) -> None:
    """Draws every recorded loss over the steps into a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5))
    axes = figure.add_subplot(xlabel="step", ylabel="loss")
    steps = [point["step"] for point in progress.curve]
    for name in progress.curve[0] if progress.curve else ():
        if name not in ("step", "pieces_per_second"):
            axes.plot(steps, [point[name] for point in progress.curve], label=name)
    axes.legend()
    figure.savefig(path, dpi=120)


def warm_up_then_linear(total: int, share: float) -> Callable[[int], float]:
    """The factor of the learning rate after so many of `total` steps: up over a `share` of them, then down to zero."""
    warm = max(1, round(total * share))

    def factor(step: int) -> float:
        return min((step + 1) / warm, max(0.0, (total - step) / max(1, total - warm)))

    return factor
