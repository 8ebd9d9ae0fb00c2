"""Trains the retriever on pairs: `python -m model.training.retriever --help`.

One step of the way at a time, each from the last one's `towers.safetensors`, and each measured on held-out pairs:

    inverse cloze   contrastive, pairs of a sentence and its passage
    contrastive     in-batch and hard negatives; again with negatives that were mined by what the first pass made
    distillation    the reader's relevance of each passage
    marginal        model/training/realm.py

Query-side training is the default: passages keep their vectors, so that no index has to be made anew.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch

from model.realm import contrastive_loss, distillation_loss, inner_products
from model.towers import Towers, Trained, save_towers, starting_towers
from model.training.bank import Bank
from model.training.loop import Loop, Measured
from model.training.pairs import Pair, candidates, measures, read_pairs, shuffled
from model.training.recipes import given_recipe, leave_measured


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides the weights; it is written into the folder beside them."""

    pairs: Path
    validation: Path
    out: Path
    init: Path | None = None  # the folder of an earlier step; None: MiniLM as it ships
    step: Literal["contrastive", "distillation"] = "contrastive"
    mode: Literal["query", "full"] = "query"
    negatives: Literal["batch", "all"] = "batch"  # all: every passage of the file; query-side alone
    trained: Trained = "adapter"
    steps: int = 1_000
    batch: int = 32
    rank: int = 16
    temperature: float = 0.05
    learning_rate: float = 1e-3  # of an adapter; 2e-5 for a transformer
    seed: int = 0
    save_every: int = 100


def train(recipe: Recipe, towers: Towers | None = None) -> dict[str, dict[str, float]]:
    """Runs the recipe, going on from the last checkpoint; measures on the validation pairs before and after.

    `towers` stands in for those that the recipe names. What was learnt is left in `recipe.out`.
    """
    pairs, held = read_pairs(recipe.pairs), read_pairs(recipe.validation)
    if recipe.step == "distillation" and not all(pair.relevance for pair in pairs):
        raise ValueError(f"'{recipe.pairs}': distillation needs the reader's relevance of every passage")
    if recipe.step == "distillation" and recipe.negatives == "all":
        raise ValueError("distillation is about the passages of each pair: it has no negatives")
    towers = towers or starting_towers(mode=recipe.mode, trained=recipe.trained, rank=recipe.rank, init=recipe.init)
    before = measures(towers, held)
    loop: Loop[Towers, list[Pair]] = Loop(
        module=towers,
        total=recipe.steps,
        out=recipe.out,
        learning_rate=recipe.learning_rate,
        seed=recipe.seed,
        save_every=recipe.save_every,
    )

    def batches(done: int) -> Iterator[list[Pair]]:
        for places in shuffled(len(pairs), size=recipe.batch, seed=recipe.seed, skip=done):
            yield [pairs[place] for place in places]

    loss = _distilled if recipe.step == "distillation" else _contrasted
    if recipe.negatives == "all":
        loss = partial(_contrasted_with_all, Bank(towers, pairs))
    towers = loop.run(batches, lambda trained, _, batch: loss(trained, batch, recipe.temperature))
    found = {"before": before, "after": measures(towers, held)}
    save_towers(towers, recipe.out)
    (recipe.out / "measures.json").write_text(json.dumps(found, indent=1))
    return found


def _contrasted(towers: Towers, pairs: list[Pair], temperature: float) -> Measured:
    texts, positive = candidates(pairs)
    queries = [pair.query for pair in pairs]
    scores = inner_products(towers.queries(queries), towers.passages(texts))
    loss = contrastive_loss(scores, positive.to(scores.device), temperature=temperature)
    return Measured(loss=loss, pieces=towers.count([*queries, *texts]), shown={"contrastive": float(loss.detach())})


def _contrasted_with_all(bank: Bank, towers: Towers, pairs: list[Pair], temperature: float) -> Measured:
    queries = [pair.query for pair in pairs]
    scores = inner_products(towers.queries(queries), bank.vectors)
    loss = contrastive_loss(scores, bank.positive(pairs), temperature=temperature)
    return Measured(loss=loss, pieces=towers.count(queries), shown={"contrastive": float(loss.detach())})


def _distilled(towers: Towers, pairs: list[Pair], temperature: float) -> Measured:
    texts, _ = candidates(pairs)
    place = {text: index for index, text in enumerate(texts)}
    most = max(len(pair.passages) for pair in pairs)
    rows = torch.zeros(len(pairs), most, dtype=torch.long)
    mask = torch.zeros(len(pairs), most, dtype=torch.bool)
    relevance = torch.zeros(len(pairs), most)
    for row, pair in enumerate(pairs):
        count = len(pair.passages)
        rows[row, :count] = torch.tensor([place[text] for text in pair.passages])
        mask[row, :count] = True
        relevance[row, :count] = torch.tensor(pair.relevance)
    queries = [pair.query for pair in pairs]
    scores = inner_products(towers.queries(queries), towers.passages(texts))
    own = scores.gather(1, rows.to(scores.device))
    loss = distillation_loss(own, relevance.to(scores.device), mask=mask.to(scores.device), temperature=temperature)
    return Measured(loss=loss, pieces=towers.count([*queries, *texts]), shown={"distillation": float(loss.detach())})


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: an option for each field of the recipe."""
    recipe = given_recipe(Recipe, arguments, description=__doc__)
    leave_measured(recipe.out, recipe, train(recipe))


if __name__ == "__main__":
    main()
