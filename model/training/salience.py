"""Trains the salience model on mined examples: `python -m model.training.salience --help`.

Resumable at any step, deterministic by seed, as model/training/reader.py is: run the same command again after a kill.

B batch, N sentences, D dimension of a vector, F features
"""

import argparse
import json
import logging
import random
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import set_seed
from safetensors.torch import save_file
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from model.layers import fastest_dtype
from model.salience import SalienceNetwork, SalienceShape, read_all
from model.training.progress import Progress, plot_curve, warm_up_then_linear
from model.training.salience_examples import Example, read_examples

HELD_OUT = 10  # one document in so many is for validation


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides the weights; it is written into the manifest beside them."""

    examples: tuple[Path, ...]
    out: Path
    epochs: int = 8
    most: int = 1_200  # examples of one set that an epoch takes, drawn anew for each
    fewest: int = 250  # a smaller set is repeated up to so many
    batch_sentences: int = 6_000
    learning_rate: float = 6e-4
    warmup: float = 0.06
    weight_decay: float = 0.05
    clip: float = 1.0
    dropout: float = 0.15
    oracle: float = 0.5  # the share of the target that the greedy oracle's sentences have
    sharpness: float = 6.0  # of the rest, which goes to sentences by what they have of the references themselves
    averaging: float = 0.998
    seed: int = 0
    save_every: int = 200


def is_held_out(document: int) -> bool:
    """Whether a document is for validation: its text alone decides."""
    return document % HELD_OUT == 0


def target_of(example: Example, *, oracle: float, sharpness: float) -> Tensor:
    """How a summary's sentences are spread over a document: [N], summing to 1."""
    alone = torch.from_numpy(example.alone)
    spread = (sharpness * alone / alone.max().clamp(min=1e-6)).softmax(0)
    chosen = torch.from_numpy(example.oracle)
    return oracle * chosen / chosen.sum().clamp(min=1.0) + (1 - oracle) * spread


def salience_loss(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Mean cross-entropy of the targets [B, N] and a softmax of the logits [B, N] over the real sentences."""
    chances = logits.float().masked_fill(~mask, float("-inf")).log_softmax(-1)
    return -(targets * chances.masked_fill(~mask, 0.0)).sum(-1).mean()


def train(recipe: Recipe) -> SalienceNetwork:
    """Runs the recipe, going on from the last checkpoint in `recipe.out` where there is one."""
    set_seed(recipe.seed)
    native = torch.cuda.is_available() or fastest_dtype() is torch.bfloat16
    accelerator = Accelerator(mixed_precision="bf16" if native else "no")
    sets = [[it for it in read_examples(path) if not is_held_out(it.document)] for path in recipe.examples]
    plan = [batch for epoch in range(recipe.epochs) for batch in _batches(sets, recipe, seed=recipe.seed + epoch)]
    network = SalienceNetwork(SalienceShape())
    averaging = get_ema_multi_avg_fn(recipe.averaging)  # type: ignore[no-untyped-call]
    averaged = AveragedModel(network, multi_avg_fn=averaging)
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = warm_up_then_linear(len(plan), recipe.warmup)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)
    network, optimizer, scheduler = accelerator.prepare(network, optimizer, scheduler)
    averaged.to(accelerator.device)
    accelerator.register_for_checkpointing(averaged)
    progress = Progress(recipe.out, total=len(plan))
    if progress.step:
        progress.load(accelerator)
    for step, batch in enumerate(plan[progress.step :], start=progress.step + 1):
        vectors, features, query, targets, mask = (part.to(accelerator.device) for part in _collate(batch, recipe))
        with accelerator.autocast():
            logits = read_all(network, vectors, features, query, dropout=recipe.dropout)
        loss = salience_loss(logits, targets, mask)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(network.parameters(), recipe.clip)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        averaged.update_parameters(accelerator.unwrap_model(network))
        progress.record(step, pieces=int(mask.sum()), salience=float(loss.detach()))
        if step % recipe.save_every == 0 or step == len(plan):
            progress.save(accelerator)
    plot_curve(progress, recipe.out / "curve.png")
    return cast(SalienceNetwork, averaged.module)


def _batches(sets: Sequence[Sequence[Example]], recipe: Recipe, *, seed: int) -> Iterator[list[Example]]:
    """An epoch: a share of every set, in batches of documents of like length, shuffled."""
    chance = random.Random(seed)  # noqa: S311 - an order, not a secret
    drawn: list[Example] = []
    for examples in sets:
        wanted = min(recipe.most, max(recipe.fewest, len(examples)))
        repeated = list(examples) * -(-wanted // max(1, len(examples)))
        drawn += chance.sample(repeated, min(wanted, len(repeated)))
    chance.shuffle(drawn)
    drawn.sort(key=lambda example: len(example.alone) // 16)  # stable: among like lengths the order stays random
    batches: list[list[Example]] = [[]]
    for example in drawn:
        longest = max([len(example.alone), *(len(other.alone) for other in batches[-1])])
        if batches[-1] and longest * (len(batches[-1]) + 1) > recipe.batch_sentences:
            batches.append([])
        batches[-1].append(example)
    chance.shuffle(batches)
    yield from batches


def _collate(batch: Sequence[Example], recipe: Recipe) -> tuple[Tensor, ...]:
    """Vectors [B, N, D], features [B, N, F], queries [B, D], targets [B, N] and mask [B, N]."""
    longest = max(len(example.alone) for example in batch)

    def padded(parts: Sequence[Tensor]) -> Tensor:
        return torch.stack([F.pad(part, [0, 0] * (part.ndim - 1) + [0, longest - len(part)]) for part in parts])

    return (
        padded([torch.from_numpy(example.vectors.astype(np.float32)) for example in batch]),
        padded([torch.from_numpy(example.features.astype(np.float32)) for example in batch]),
        torch.stack([torch.from_numpy(example.query) for example in batch]),
        padded([target_of(example, oracle=recipe.oracle, sharpness=recipe.sharpness) for example in batch]),
        padded([torch.ones(len(example.alone), dtype=torch.bool) for example in batch]),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: an option for each field of the recipe."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("accelerate").setLevel(logging.WARNING)  # it tells of every file of a checkpoint
    parser = argparse.ArgumentParser(description=__doc__)
    for field in fields(Recipe):
        name, required = "--" + field.name.replace("_", "-"), field.default is MISSING
        kind: Any = Path if field.name == "examples" else field.type
        more = {"nargs": "+"} if field.name == "examples" else {}
        parser.add_argument(name, type=kind, required=required, default=None if required else field.default, **more)
    options = vars(parser.parse_args(arguments))
    recipe = Recipe(**{**options, "examples": tuple(options["examples"])})
    network = train(recipe)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_file(weights, recipe.out / "salience.safetensors")
    (recipe.out / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1, default=str))


if __name__ == "__main__":
    main()
