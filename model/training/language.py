"""Trains the small language model on texts: `python -m model.training.language --help`.

Texts are laid end to end in as many streams as a batch has rows, and each stream is read in segments with its memory
carried on. Resumable at any step, deterministic by seed, as model/training/reader.py is.

B batch, L length of a segment, T tokens of a stream
"""

import argparse
import json
import logging
import random
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor

from model.encoder import load_tokenizer, word_embeddings
from model.language_model import LanguageModel, segments_of
from model.layers import fastest_dtype
from model.network import SEP
from model.training.manifests import commit, write_weights
from model.training.progress import Progress, plot_curve, warm_up_then_linear
from model.transformer_xl import Memory, XLShape

SHAPE = XLShape(width=256, layers=4, heads=4, inner=1_024)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides the weights; it is written into the manifest beside them."""

    texts: Path  # a folder of .txt files
    out: Path
    epochs: int = 2
    rows: int = 16
    segment: int = 128
    memory: int = 256
    learning_rate: float = 8e-4
    warmup: float = 0.05
    weight_decay: float = 0.02
    clip: float = 0.5
    dropout: float = 0.1
    seed: int = 0
    save_every: int = 100


class _Carried:
    """The memory that the next segment starts from, kept with every checkpoint."""

    def __init__(self) -> None:
        self.memory: Memory = ()

    def state_dict(self) -> dict[str, Tensor]:
        return {str(layer): kept for layer, kept in enumerate(self.memory)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.memory = tuple(state[str(layer)] for layer in range(len(state)))


def train(recipe: Recipe) -> LanguageModel:
    """Runs the recipe, going on from the last checkpoint in `recipe.out` where there is one."""
    set_seed(recipe.seed)
    native = torch.cuda.is_available() or fastest_dtype() is torch.bfloat16
    accelerator = Accelerator(mixed_precision="bf16" if native else "no")
    texts = _tokenized(recipe.texts)
    count = _streams(texts, recipe, epoch=0).shape[1]
    each = -(-(count - 1) // recipe.segment)
    network = LanguageModel(SHAPE, word_embeddings())
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = warm_up_then_linear(each * recipe.epochs, recipe.warmup)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)
    network, optimizer, scheduler = accelerator.prepare(network, optimizer, scheduler)
    carried = _Carried()
    accelerator.register_for_checkpointing(carried)
    progress = Progress(recipe.out, total=each * recipe.epochs)
    if progress.step:
        progress.load(accelerator)
    for step, (inputs, targets) in _steps(texts, recipe, done=progress.step, each=each):
        if (step - 1) % each == 0:
            carried.memory = ()  # an epoch lays the texts anew
        with accelerator.autocast():
            nats, memory = network(
                inputs.to(accelerator.device),
                targets.to(accelerator.device),
                tuple(kept.to(accelerator.device) for kept in carried.memory),
                memory_length=recipe.memory,
                dropout=recipe.dropout,
            )
        carried.memory = memory
        loss = nats.mean()
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(network.parameters(), recipe.clip)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        progress.record(step, pieces=targets.numel(), nats=float(loss.detach()))
        if step % recipe.save_every == 0 or step == each * recipe.epochs:
            progress.save(accelerator)
    plot_curve(progress, recipe.out / "curve.png")
    trained: LanguageModel = accelerator.unwrap_model(network)
    return trained


def _tokenized(folder: Path) -> list[list[int]]:
    """Each text as word pieces with [SEP] behind it. Raises ValueError for a folder without texts."""
    paths = sorted(folder.glob("*.txt"))
    if not paths:
        raise ValueError(f"no .txt files in '{folder}'")
    tokenizer = load_tokenizer()
    texts = [path.read_text(encoding="utf-8") for path in paths]
    return [[*encoding.ids, SEP] for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]


def _streams(texts: Sequence[Sequence[int]], recipe: Recipe, *, epoch: int) -> Tensor:
    """All texts in an order of this epoch's, cut into streams: [B, T]."""
    order = list(range(len(texts)))
    random.Random(recipe.seed + epoch).shuffle(order)  # noqa: S311 - an order, not a secret
    laid = [token for place in order for token in texts[place]]
    length = len(laid) // recipe.rows
    return torch.tensor(laid[: length * recipe.rows]).view(recipe.rows, length)


def _steps(
    texts: Sequence[Sequence[int]], recipe: Recipe, *, done: int, each: int
) -> Iterator[tuple[int, tuple[Tensor, Tensor]]]:
    """The segments of all epochs, numbered from 1, without those that are done."""
    for epoch in range(recipe.epochs):
        before = epoch * each
        if done < before + each:
            parts = segments_of(_streams(texts, recipe, epoch=epoch), recipe.segment)
            for step, part in enumerate(parts, start=before + 1):
                if step > done:
                    yield step, part


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: an option for each field of the recipe, and where the weights go."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("accelerate").setLevel(logging.WARNING)  # it tells of every file of a checkpoint
    parser = argparse.ArgumentParser(description=__doc__)
    for field in fields(Recipe):
        required = field.default is MISSING
        kind: Any = field.type
        default = None if required else field.default
        parser.add_argument("--" + field.name.replace("_", "-"), type=kind, required=required, default=default)
    parser.add_argument("--weights", type=Path, default=None, help="folder to write language.safetensors into")
    parser.add_argument("--data", action="append", default=[], metavar="NAME=LICENCE", help="what it was trained on")
    options = vars(parser.parse_args(arguments))
    weights, data = options.pop("weights"), options.pop("data")
    recipe = Recipe(**options)
    network = train(recipe)
    state = {name: tensor.detach().cpu().bfloat16().contiguous() for name, tensor in network.state_dict().items()}
    manifest = {
        "name": "lectern-language",
        "architecture": "transformer-xl-language",
        "file": "language.safetensors",
        "shape": asdict(SHAPE),
        "recipe": json.loads(json.dumps(asdict(recipe), default=str)),
        "commit": commit(),
        "data": dict(pair.split("=", 1) for pair in data),
    }
    write_weights(weights or recipe.out, "language", state, manifest)


if __name__ == "__main__":
    main()
