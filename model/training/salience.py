"""Trains the salience model on mined examples: `python -m model.training.salience --help`.

Resumable at any step, deterministic by seed, as model/training/reader.py is: run the same command again after a kill.

B batch, N sentences, D dimension of a vector, F features
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate.utils import set_seed
from safetensors.torch import save_file
from torch import Tensor

from model.salience import SalienceNetwork, SalienceShape, read_all
from model.training.loop import Loop, Measured, device_of
from model.training.recipes import given_recipe, write_recipe
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
    batch_documents: int = 24  # without it, 400 short dialogues would be one step
    learning_rate: float = 6e-4
    warmup: float = 0.06
    weight_decay: float = 0.05
    clip: float = 1.0
    dropout: float = 0.15
    oracle: float = 0.5  # the share of the target that the greedy oracle's sentences have
    by_themselves: tuple[str, ...] = ("tweetsumm",)  # names of sets whose sentences count by themselves alone
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
    if not chosen.any():
        return spread
    return oracle * chosen / chosen.sum() + (1 - oracle) * spread


def salience_loss(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Mean cross-entropy of the targets [B, N] and a softmax of the logits [B, N] over the real sentences."""
    chances = logits.float().masked_fill(~mask, float("-inf")).log_softmax(-1)
    return -(targets * chances.masked_fill(~mask, 0.0)).sum(-1).mean()


def train(recipe: Recipe) -> SalienceNetwork:
    """Runs the recipe, going on from the last checkpoint in `recipe.out` where there is one.

    What comes back are the averaged weights.
    """
    sets = [_learned_from(path, recipe) for path in recipe.examples]
    plan = [batch for epoch in range(recipe.epochs) for batch in _batches(sets, recipe, seed=recipe.seed + epoch)]
    set_seed(recipe.seed)
    loop: Loop[SalienceNetwork, list[Example]] = Loop(
        module=SalienceNetwork(SalienceShape()),
        total=len(plan),
        out=recipe.out,
        learning_rate=recipe.learning_rate,
        warmup=recipe.warmup,
        weight_decay=recipe.weight_decay,
        clip=recipe.clip,
        averaging=recipe.averaging,
        seed=recipe.seed,
        save_every=recipe.save_every,
    )

    def measure(network: SalienceNetwork, _: int, batch: list[Example]) -> Measured:
        vectors, features, query, targets, mask = (part.to(device_of(network)) for part in _collate(batch, recipe))
        logits = read_all(network, vectors, features, query, dropout=recipe.dropout)
        loss = salience_loss(logits, targets, mask)
        return Measured(loss=loss, pieces=int(mask.sum()), shown={"salience": float(loss.detach())})

    return loop.run(lambda done: iter(plan[done:]), measure)


def _learned_from(path: Path, recipe: Recipe) -> list[Example]:
    examples = [example for example in read_examples(path) if not is_held_out(example.document)]
    if path.stem in recipe.by_themselves:
        return [replace(example, oracle=np.zeros_like(example.oracle)) for example in examples]
    return examples


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
        size = len(batches[-1]) + 1
        if batches[-1] and (longest * size > recipe.batch_sentences or size > recipe.batch_documents):
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
    recipe = given_recipe(Recipe, arguments, description=__doc__)
    network = train(recipe)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_file(weights, recipe.out / "salience.safetensors")
    write_recipe(recipe.out, recipe)


if __name__ == "__main__":
    main()
