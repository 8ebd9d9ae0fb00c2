"""Trains the layers that questions alone go through: `python -m model.training.query_layers --help`.

Passages keep the encoder's vectors, so no index is made anew. The upper layers of the question's side learn to find
what the words do not: with all passages of a set as candidates, and their share of BM25 in the score,

    score(z) = sharpness * (cosine(q, z) + sparse * bm25(q, z) / (the question's largest bm25))

maximizing the chance of the passages that answer. Where the reader has read the best passages of a question, the shares
that its relevance gives to them are learned beside that. A set is a folder of `app/retriever_mining.py --step mixed`;
a batch is of one set. What ships lies between these layers and the encoder's own: `interpolated`.
"""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from model.encoder import TOP_LAYERS
from model.realm import distillation_loss, inner_products
from model.towers import Towers, save_towers, starting_towers
from model.training.bank import passage_vectors
from model.training.loop import Loop, Measured
from model.training.pairs import POOLED, read_corpus, shuffled
from model.training.recipes import given_recipe, leave_measured

VECTORS = "vectors.npy"  # beside a set's passages, in half precision
FLOOR = 0.7  # of the least share that is known of a question: what all others count as
WEIGHT = 0.4  # of BM25 in the mix that is measured
SORTED = 8  # batches whose questions are put in order of length together: less padding


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides the weights; it is written into the folder beside them."""

    sets: tuple[Path, ...]
    out: Path
    steps: int = 500
    batch: int = 128
    most: int = 30_000  # questions of a set, by chance
    sharpness: float = 15.0
    sparse: float = 0.6
    reader: float = 1.0  # weight of what the reader says
    learning_rate: float = 1e-4
    seed: int = 0
    save_every: int = 100


class Question(NamedTuple):
    """A question, the places of the passages that answer it, and of those that share words with it, and how much."""

    text: str
    positive: Sequence[int]
    known: Tensor  # places [K], best first
    shares: Tensor  # of the largest BM25 [K], in 0..1
    read: Sequence[int] = ()  # places of passages that the reader has read
    relevance: Sequence[float] = ()  # its logit for each of them


@dataclass(frozen=True, kw_only=True)
class Bank:
    """One set: the vectors of its passages [P, W], its questions to learn from, and those held out."""

    vectors: Tensor
    questions: Sequence[Question]
    held: Sequence[Question]

    def shares(self, questions: Sequence[Question]) -> Tensor:
        """Of each passage [B, P]."""
        found = torch.zeros(len(questions), len(self.vectors))
        for row, question in enumerate(questions):
            if len(question.known) < len(self.vectors):
                found[row] = FLOOR * (question.shares[-1] if len(question.shares) else 0.0)
            found[row, question.known] = question.shares
        return found.to(self.vectors.device)

    def answering(self, questions: Sequence[Question]) -> Tensor:
        """Which passages [B, P] answer each of these questions."""
        found = torch.zeros(len(questions), len(self.vectors), dtype=torch.bool)
        for row, question in enumerate(questions):
            found[row, list(question.positive)] = True
        return found.to(self.vectors.device)


def read_bank(folder: Path, towers: Towers, *, most: int, seed: int) -> Bank:
    """A set with the frozen side's vectors, which are made once and kept in it; of its questions a random `most`.

    What the reader has read is among them first.
    """
    corpus = read_corpus(folder / "corpus.jsonl")
    place = {key: row for row, key in enumerate(corpus)}

    def questions(name: str) -> list[Question]:
        with (folder / f"{name}.jsonl").open(encoding="utf-8") as lines:
            return [question_of(json.loads(line), place) for line in lines]

    asked = questions("train")
    random.Random(f"{seed} {folder.name}").shuffle(asked)  # noqa: S311 - an order, not a secret
    asked.sort(key=lambda one: not one.read)
    asked = asked[:most]
    random.Random(f"{seed} {folder.name} order").shuffle(asked)  # noqa: S311
    kept = folder / VECTORS
    if not kept.exists():
        np.save(kept, passage_vectors(towers, list(corpus.values())).half().cpu().numpy())
    vectors = torch.from_numpy(np.load(kept, allow_pickle=False)).float()
    if len(vectors) != len(corpus):
        raise ValueError(f"'{kept}' is of other passages: delete it")
    return Bank(vectors=vectors.to(towers.null.device), questions=asked, held=questions("validation"))


def question_of(row: Mapping[str, Any], place: Mapping[int, int]) -> Question:
    """A row of a mixed set, with the passages' places in the bank."""
    return Question(
        text=row["query"],
        positive=[place[key] for key in row["positive"]],
        known=torch.tensor([place[key] for key, _ in row["sparse"]], dtype=torch.long),
        shares=torch.tensor([share for _, share in row["sparse"]]),
        read=[place[key] for key, _ in row.get("read", ())],
        relevance=[logit for _, logit in row.get("read", ())],
    )


def train(recipe: Recipe, towers: Towers | None = None) -> dict[str, dict[str, list[float]]]:
    """Runs the recipe, going on from the last checkpoint; what was learnt is left in `recipe.out`.

    Returns recall@1 and @5 of the mix on each set's held-out questions, before and after, between 0 and 1. `towers`
    stands in for MiniLM's.
    """
    towers = towers or starting_towers(mode="query", trained="top", rank=1, init=None)
    banks = [read_bank(folder, towers, most=recipe.most, seed=recipe.seed) for folder in recipe.sets]
    named = list(zip((folder.name for folder in recipe.sets), banks, strict=True))
    before = {name: recalls(towers, bank) for name, bank in named}
    loop: Loop[Towers, tuple[Bank, list[Question]]] = Loop(
        module=towers,
        total=recipe.steps,
        out=recipe.out,
        learning_rate=recipe.learning_rate,
        seed=recipe.seed,
        save_every=recipe.save_every,
    )
    towers = loop.run(
        lambda done: _batches(banks, recipe, skip=done), lambda trained, _, batch: _measured(trained, *batch, recipe)
    )
    found = {"before": before, "after": {name: recalls(towers, bank) for name, bank in named}}
    save_towers(towers, recipe.out)
    (recipe.out / "measures.json").write_text(json.dumps(found, indent=1))
    return found


def recalls(towers: Towers, bank: Bank) -> list[float]:
    """Recall@1 and @5 of the mix with BM25, over at most so many passages as answer."""
    hits: list[Tensor] = []
    with torch.no_grad():
        for at in range(0, len(bank.held), POOLED):
            some = bank.held[at : at + POOLED]
            best = mixed_scores(towers, bank, some).topk(min(5, len(bank.vectors))).indices
            right = bank.answering(some)
            found = right.gather(1, best).float()
            of = right.sum(1).clamp(max=5)
            hits.append(torch.stack([found[:, 0], found.sum(1) / of]))
    return [float(value) for value in torch.cat(hits, dim=1).mean(1)] if hits else []


def mixed_scores(towers: Towers, bank: Bank, questions: Sequence[Question]) -> Tensor:
    """The mix of BM25 and cosine [B, P] that is measured."""
    cosines = inner_products(towers.queries([one.text for one in questions]), bank.vectors)
    return WEIGHT * bank.shares(questions) + (1 - WEIGHT) * cosines


def interpolated(own: Mapping[str, Tensor], learned: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Weights between an encoder's own and what was learned from them (Wortsman et al. 2022).

    What is learned on some kinds of texts costs less on others so, and keeps most of its gain.
    """
    return {name: (1 - share) * own[name] + share * learned[name] for name in own}


def upper_layers(towers: Towers) -> dict[str, Tensor]:
    """The state of the question side's last TOP_LAYERS blocks, as a ModuleList of them has it."""
    return {name: x.detach() for name, x in towers.transformer.blocks[-TOP_LAYERS:].state_dict().items()}


def _batches(banks: Sequence[Bank], recipe: Recipe, *, skip: int) -> Iterator[tuple[Bank, list[Question]]]:
    """Endless batches, each of one set and of questions of like length; the first `skip` are left out."""
    blocks = [
        (bank, bank.questions[at : at + SORTED * recipe.batch])
        for bank in banks
        for at in range(0, len(bank.questions), SORTED * recipe.batch)
    ]
    number = 0
    for (place,) in shuffled(len(blocks), size=1, seed=recipe.seed):
        bank, some = blocks[place]
        ordered = sorted(some, key=lambda one: len(one.text))
        for at in range(0, len(ordered), recipe.batch):
            if number >= skip:
                yield bank, ordered[at : at + recipe.batch]
            number += 1


def _measured(towers: Towers, bank: Bank, questions: list[Question], recipe: Recipe) -> Measured:
    texts = [one.text for one in questions]
    cosines = inner_products(towers.queries(texts), bank.vectors)
    scores = recipe.sharpness * (cosines + recipe.sparse * bank.shares(questions))
    right = scores.masked_fill(~bank.answering(questions), float("-inf"))
    found = (scores.logsumexp(-1) - right.logsumexp(-1)).mean()
    told = _told(scores, questions)
    return Measured(
        loss=found + recipe.reader * told,
        pieces=towers.count(texts),
        shown={"loss": float(found.detach()), "reader": float(told.detach())},
    )


def _told(scores: Tensor, questions: Sequence[Question]) -> Tensor:
    """How far the scores [B, P] are from what the reader said, over the passages that it read of each question."""
    asked = [(row, one) for row, one in enumerate(questions) if one.read]
    if not asked:
        return scores.new_zeros(())
    rows, places, relevance = (
        [row for row, _ in asked],
        pad_sequence([torch.tensor(one.read) for _, one in asked], batch_first=True),
        pad_sequence([torch.tensor(one.relevance) for _, one in asked], batch_first=True),
    )
    mask = torch.arange(places.shape[1])[None, :] < torch.tensor([[len(one.read)] for _, one in asked])
    own = scores[rows].gather(1, places.to(scores.device))
    return distillation_loss(own, relevance.to(scores.device), mask=mask.to(scores.device), temperature=1.0)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: an option for each field of the recipe."""
    recipe = given_recipe(Recipe, arguments, description=__doc__)
    leave_measured(recipe.out, recipe, train(recipe))


if __name__ == "__main__":
    main()
