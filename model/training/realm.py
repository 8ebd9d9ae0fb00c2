"""The marginal-likelihood step: the retriever learns from what its reader can answer.

An example is a question with an answer string, or a sentence with a name, number or date masked (salient span masking,
for corpora without questions). Each step searches the index for the top k passages with the queries as they are now,
reads each passage alone, and follows the gradient of log p(y|x) (model/realm.py) into retriever and reader.

The passage that an example was made from answers it trivially. It is left out of what was retrieved, and kept at the
rate `keep_source`, so that a corpus which says everything once still teaches something.

Query-side training searches an index that stays true. In full training the passages' vectors are computed again for
the gradient, and the index that the search uses grows stale until a refresh, made by another process, takes its place.
"""

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn

from model.network import Group, Pieces, ReaderNetwork, layout_of, pieces_of, question_ids
from model.reader import LONGEST_PASSAGE
from model.realm import Marginal, guess_log_likelihood, marginal, retrieval_log_probabilities
from model.towers import Towers
from model.training.groups import layout_to, tokens_of
from model.training.loop import Loop, Measured
from model.training.losses import answer_log_likelihood
from model.training.pairs import shuffled

Vectors = NDArray[np.float32]
DRIFT_SAMPLE = 16  # passages whose vectors are compared with the index's


@dataclass(frozen=True, kw_only=True)
class Example:
    """A question or a masked sentence, its answer, and the key of the passage that it was made from."""

    id: str
    question: str
    answer: str
    source: int | None = None


class Index(Protocol):
    """What finds passages while training goes on; `step` is the step whose encoder made its vectors."""

    @property
    def step(self) -> int:
        """The step of the encoder that made what searches see."""

    def reload(self) -> bool:
        """Take up a newer version if there is one; whether there was."""

    def search(self, queries: Vectors, k: int) -> NDArray[np.int64]:
        """Keys [B, k] of the passages nearest to unit vectors [B, W], best first; -1 where there are no more."""

    def vectors(self, keys: NDArray[np.int64]) -> Vectors:
        """Vectors [..., W] of keys [...]; zeros for -1."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides the weights besides data and starting point."""

    out: Path
    steps: int = 1_000
    batch: int = 8
    k: int = 8
    temperature: float = 0.05
    keep_source: float = 0.25
    learning_rate: float = 1e-3  # of a query adapter
    reader_factor: float = 0.02  # of the reader's rate to that; 0 leaves the reader as it is
    refresh_every: int = 500
    seed: int = 0
    save_every: int = 100


class RealmModel(nn.Module):
    """Retriever and reader as one module, so that one optimizer and one checkpoint hold both."""

    def __init__(self, towers: Towers, reader: ReaderNetwork, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.towers = towers
        self.reader = reader
        self.tokenizer = tokenizer

    def forward(
        self, examples: Sequence[Example], passages: Sequence[Sequence[str]], vectors: Tensor | None, temperature: float
    ) -> Marginal:
        """The marginal likelihood of a batch; `vectors` [B, K, W] are the index's where passages are not learnt."""
        queries = self.towers.queries([example.question for example in examples])
        most = max(1, *map(len, passages))
        mask = torch.tensor([[place < len(row) for place in range(most)] for row in passages], device=queries.device)
        if vectors is None:
            vectors = self._encoded(passages, most)
        retrieval = retrieval_log_probabilities(
            queries, vectors.to(queries.device), self.towers.null, mask=mask, temperature=temperature
        )
        reading, guess = self._read(examples, passages, most)
        return marginal(retrieval, reading, guess)

    def _encoded(self, passages: Sequence[Sequence[str]], most: int) -> Tensor:
        texts = list(dict.fromkeys(text for row in passages for text in row)) or [""]
        place = {text: index for index, text in enumerate(texts)}
        rows = torch.tensor([[place[text] for text in row] + [0] * (most - len(row)) for row in passages])
        return self.towers.passages(texts)[rows]

    def _read(self, examples: Sequence[Example], passages: Sequence[Sequence[str]], most: int) -> tuple[Tensor, Tensor]:
        """log p(y|z,x) [B, K] and log p(y|null,x) [B]; every passage is read alone, up to LONGEST_PASSAGE pieces."""
        device = self.towers.null.device
        groups: list[Group] = []
        spans: list[tuple[int, int, int, int]] = []
        at: list[tuple[int, int]] = []
        lengths, places = torch.zeros(len(examples), most), torch.zeros(len(examples))
        for row, (example, texts) in enumerate(zip(examples, passages, strict=True)):
            asked = question_ids(self.tokenizer, example.question)
            for column, (text, whole) in enumerate(zip(texts, pieces_of(self.tokenizer, texts), strict=True)):
                pieces = Pieces(ids=whole.ids[:LONGEST_PASSAGE], offsets=whole.offsets[:LONGEST_PASSAGE])
                found = [(len(groups), 0, *place) for place in _places(example.answer, text, pieces)]
                spans.extend(found)
                lengths[row, column], places[row] = len(pieces.ids), places[row] + len(found)
                groups.append(Group(question=asked, passages=[pieces]))
                at.append((row, column))
        reading = torch.full((len(examples), most), float("-inf"), device=device)
        if groups:
            logits = self.reader(layout_to(layout_of(groups), device))
            likelihood, _ = answer_log_likelihood(logits, torch.tensor(spans, device=device).view(-1, 4).long())
            rows, columns = torch.tensor(at, device=device).unbind(-1)
            reading = reading.index_put((rows, columns), likelihood)
        return reading, guess_log_likelihood(lengths, places).to(device)


def train(
    recipe: Recipe,
    model: RealmModel,
    *,
    examples: Sequence[Example],
    corpus: Mapping[int, str],
    index: Index,
    refresh: Callable[[int], None] | None = None,
) -> None:
    """Runs the recipe from its last checkpoint, changing `model`.

    `refresh(step)` is called every `refresh_every` steps to have the passages embedded anew elsewhere; it must not wait
    for that. What it makes is searched as soon as `index.reload()` finds it.
    """
    model.reader.longformer.embeddings.word.requires_grad_(False)
    if recipe.reader_factor == 0:
        model.reader.requires_grad_(False)
    loop: Loop[RealmModel, list[Example]] = Loop(
        module=model,
        total=recipe.steps,
        out=recipe.out,
        learning_rate=recipe.learning_rate,
        rates={"reader.": recipe.reader_factor},
        seed=recipe.seed,
        save_every=recipe.save_every,
    )
    session = _Session(recipe, model.towers, corpus, index, refresh)

    def batches(done: int) -> Iterator[list[Example]]:
        for places in shuffled(len(examples), size=recipe.batch, seed=recipe.seed, skip=done):
            yield [examples[place] for place in places]

    loop.run(batches, session.measure)


class _Session:
    """What a step needs besides its examples."""

    def __init__(
        self,
        recipe: Recipe,
        towers: Towers,
        corpus: Mapping[int, str],
        index: Index,
        refresh: Callable[[int], None] | None,
    ) -> None:
        self._recipe, self._towers, self._corpus, self._index, self._refresh = recipe, towers, corpus, index, refresh
        self._fixed = towers.frozen is not None or not any(
            parameter.requires_grad for parameter in towers.transformer.parameters()
        )
        chance = random.Random(recipe.seed)  # noqa: S311 - a sample, not a secret
        self._sample = sorted(chance.sample(sorted(corpus), min(DRIFT_SAMPLE, len(corpus))))

    def measure(self, model: RealmModel, step: int, examples: list[Example]) -> Measured:
        self._index.reload()
        if not self._fixed and self._refresh is not None and step % self._recipe.refresh_every == 0:
            self._refresh(step)
        keys = self._retrieved(step, examples)
        passages = [[self._corpus[key] for key in row] for row in keys]
        found = model(examples, passages, self._vectors(keys) if self._fixed else None, self._recipe.temperature)
        shown = {
            "marginal": float(found.loss.detach()),
            "utility": float(found.utility.mean()),
            "null": float(found.prior[:, 0].mean()),
            "stale": 0.0 if self._fixed else float(step - self._index.step),
            "drift": 0.0 if self._fixed else self._drift(),
        }
        texts = [example.question for example in examples] + [text for row in passages for text in row]
        return Measured(loss=found.loss, pieces=self._towers.count(texts), shown=shown)

    def _retrieved(self, step: int, examples: Sequence[Example]) -> list[list[int]]:
        """Keys of the top k of each example, its source left out or kept by a coin."""
        with torch.no_grad():
            queries = self._towers.queries([example.question for example in examples]).cpu().numpy()
        rows = []
        for example, found in zip(examples, self._index.search(queries, self._recipe.k + 1), strict=True):
            coin = random.Random(f"{self._recipe.seed} {step} {example.id}").random()  # noqa: S311 - not a secret
            left_out = example.source if coin >= self._recipe.keep_source else None
            rows.append([int(key) for key in found if key >= 0 and key != left_out][: self._recipe.k])
        return rows

    def _vectors(self, keys: Sequence[Sequence[int]]) -> Tensor:
        most = max(1, *map(len, keys))
        padded = np.array([[*row, *[-1] * (most - len(row))] for row in keys], dtype=np.int64)
        return torch.from_numpy(self._index.vectors(padded))

    def _drift(self) -> float:
        """1 - mean cosine between the index's vectors of a sample and those of the encoder as it is now."""
        with torch.no_grad():
            now = self._towers.passages([self._corpus[key] for key in self._sample]).cpu().numpy()
        held = self._index.vectors(np.array(self._sample, dtype=np.int64))
        return float(1.0 - (now * held).sum(-1).mean())


def read_examples(path: Path) -> list[Example]:
    """Examples, a line each: {"id", "question", "answer", "source"}. Raises ValueError with the line's number."""
    examples = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                examples.append(Example(**json.loads(line)))
            except (TypeError, ValueError) as error:
                raise ValueError(f"{path}, line {number}: not an example: {error}") from error
    return examples


def _places(answer: str, text: str, pieces: Pieces) -> Iterator[tuple[int, int]]:
    """First and last token of every place where the answer stands as whole words."""
    start = text.find(answer) if answer else -1
    while start >= 0:
        end = start + len(answer)
        whole = not (text[start - 1 : start].isalnum() and start) and not text[end : end + 1].isalnum()
        covered = tokens_of(pieces, start, end) if whole else None
        if covered is not None:
            yield covered
        start = text.find(answer, start + 1)
