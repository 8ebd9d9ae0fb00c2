import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.encoder import Transformer, load_tokenizer
from model.layers import Shape
from model.network import Group, ReaderNetwork, layout_of, pieces_of, question_ids
from model.realm import (
    QueryAdapter,
    contrastive_loss,
    distillation_loss,
    guess_log_likelihood,
    marginal,
    retrieval_log_probabilities,
)
from model.towers import Towers
from model.training.realm import Example, RealmModel, Recipe, train
from tests.model.killed import killed_after

TINY = Shape(width=16, layers=1, heads=2, inner=16, positions=128)
TEMPERATURE = 0.5


def brute_force(
    query: Sequence[float], passages: Sequence[Sequence[float]], null: float, reading: Sequence[float], guess: float
) -> float:
    """p(y|x) of one question by the definition: a sum over passages and null of p(y|z,x) p(z|x)."""
    scores = [sum(a * b for a, b in zip(query, passage, strict=True)) for passage in passages]
    weights = [np.exp(score / TEMPERATURE) for score in [null, *scores]]
    answered = [guess, *reading]
    return float(sum(weight / sum(weights) * chance for weight, chance in zip(weights, answered, strict=True)))


@pytest.fixture
def toy() -> dict[str, Tensor]:
    """Two questions, three passages of the first and two of the second; one passage lacks the answer."""
    torch.manual_seed(0)
    return {
        "queries": torch.randn(2, 4, dtype=torch.double),
        "passages": torch.randn(2, 3, 4, dtype=torch.double),
        "null": torch.tensor(0.3, dtype=torch.double),
        "reading": torch.tensor([[0.5, 0.0, 0.2], [0.9, 0.1, 0.0]], dtype=torch.double),
        "guess": torch.tensor([0.01, 0.02], dtype=torch.double),
        "mask": torch.tensor([[True, True, True], [True, True, False]]),
    }


def likelihood(toy: dict[str, Tensor]) -> Tensor:
    retrieval = retrieval_log_probabilities(
        toy["queries"], toy["passages"], toy["null"], mask=toy["mask"], temperature=TEMPERATURE
    )
    return marginal(retrieval, toy["reading"].log(), toy["guess"].log()).log_likelihood


def by_hand(toy: dict[str, Tensor]) -> list[float]:
    return [
        brute_force(
            toy["queries"][row].tolist(),
            toy["passages"][row, :count].tolist(),
            float(toy["null"]),
            toy["reading"][row, :count].tolist(),
            float(toy["guess"][row]),
        )
        for row, count in ((0, 3), (1, 2))
    ]


def test_the_marginal_likelihood_is_the_brute_force_sum_over_passages_and_null(toy: dict[str, Tensor]) -> None:
    torch.testing.assert_close(likelihood(toy).exp(), torch.tensor(by_hand(toy), dtype=torch.double))


@pytest.mark.parametrize("name", ["queries", "passages", "null", "reading"])
def test_its_gradient_is_that_of_the_brute_force_sum(toy: dict[str, Tensor], name: str) -> None:
    """Retriever, null document and reader alike, by finite differences of the definition."""
    toy[name].requires_grad_(True)
    likelihood(toy).sum().backward()
    gradient = toy[name].grad
    assert gradient is not None
    toy[name].requires_grad_(False)
    step = 1e-6
    for place in np.ndindex(*toy[name].shape):
        if name == "reading" and toy[name][place] == 0:
            continue  # a passage that does not hold the answer stays out of the reader's graph
        held = toy[name][place].item()
        sides = []
        for moved in (held + step, held - step):
            toy[name][place] = moved
            sides.append(sum(np.log(by_hand(toy))))
        toy[name][place] = held
        assert gradient[place].item() == pytest.approx((sides[0] - sides[1]) / (2 * step), abs=1e-6)


def test_passages_that_cannot_contribute_leave_the_gradient_a_number(toy: dict[str, Tensor]) -> None:
    queries = toy["queries"].requires_grad_(True)
    toy["reading"] = torch.zeros_like(toy["reading"])
    found = likelihood(toy)
    assert torch.isfinite(found).all()
    found.sum().backward()
    assert queries.grad is not None
    assert torch.isfinite(queries.grad).all()


def test_utility_is_what_retrieval_adds_to_the_null_document_and_the_posterior_says_which_passage_did() -> None:
    retrieval = torch.tensor([[0.2, 0.5, 0.3]]).log()
    found = marginal(retrieval, torch.tensor([[0.8, 0.0]]).log(), torch.tensor([0.1]).log())
    assert found.utility.item() == pytest.approx(np.log((0.2 * 0.1 + 0.5 * 0.8) / 0.1), abs=1e-6)
    torch.testing.assert_close(found.posterior, torch.tensor([[0.02, 0.40, 0.0]]) / 0.42)


def test_the_null_documents_guess_is_one_of_all_spans_counted_one_by_one() -> None:
    lengths, longest = [7, 3, 0], 4
    spans = sum(min(longest, length - first) for length in lengths for first in range(length))
    chance = guess_log_likelihood(torch.tensor([lengths, lengths]), torch.tensor([2, 0]), longest=longest).exp()
    torch.testing.assert_close(chance, torch.tensor([2 / spans, 1 / spans]))


def test_contrastive_and_distillation_losses_are_their_definitions() -> None:
    scores = torch.tensor([[1.0, 0.5, -0.2], [0.3, 0.9, 0.1]], requires_grad=True)
    positive = torch.tensor([[True, False, True], [False, True, False]])
    shares = (scores / TEMPERATURE).softmax(-1)
    wanted = -((shares[0, 0] + shares[0, 2]).log() + shares[1, 1].log()) / 2
    torch.testing.assert_close(contrastive_loss(scores, positive, temperature=TEMPERATURE), wanted)

    relevance, mask = (
        torch.tensor([[2.0, 0.0, 9.0], [0.5, 0.1, -1.0]]),
        torch.tensor([[True, True, False], [True] * 3]),
    )
    rows = []
    for row, count in ((0, 2), (1, 3)):
        teacher = relevance[row, :count].softmax(-1)
        rows.append((teacher * (teacher / (scores[row, :count] / TEMPERATURE).softmax(-1)).log()).sum())
    found = distillation_loss(scores, relevance, mask=mask, temperature=TEMPERATURE)
    torch.testing.assert_close(found, sum(rows) / 2)
    found.backward()
    assert scores.grad is not None
    assert torch.isfinite(scores.grad).all()
    assert scores.grad[0, 2] == 0


def test_an_adapter_begins_as_the_identity() -> None:
    queries = torch.nn.functional.normalize(torch.randn(3, 16), dim=-1)
    torch.testing.assert_close(QueryAdapter(16, rank=2)(queries), queries)


NAMES = ["oak", "elm", "ash", "fir"]
TOWNS = ["leith", "oslo", "kyiv", "turin"]
CORPUS = {key: f"the {name} mill is in {town}" for key, (name, town) in enumerate(zip(NAMES, TOWNS, strict=True))}
# Every passage holds a town, so that only retrieval can tell which of them answers.
EXAMPLES = [
    Example(id=name, question=f"{name} mill", answer=town, source=None) for name, town in zip(NAMES, TOWNS, strict=True)
]


class FixedIndex:
    """Vectors made once, searched exactly."""

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self.held = vectors
        self.step = 0
        self.asked = 0

    def reload(self) -> bool:
        return False

    def search(self, queries: NDArray[np.float32], k: int) -> NDArray[np.int64]:
        self.asked += 1
        found = np.argsort(-(queries @ self.held.T), axis=1)[:, :k].astype(np.int64)
        return np.pad(found, ((0, 0), (0, k - found.shape[1])), constant_values=-1)

    def vectors(self, keys: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.where((keys >= 0)[..., None], self.held[keys], 0).astype(np.float32)


class LastWordReader(ReaderNetwork):
    """Reads the last word of any passage as the answer, with probability near 1: retrieval alone decides."""

    def forward(self, layout, *, dropout: float = 0.0):  # type: ignore[no-untyped-def]
        logits = super().forward(layout, dropout=dropout)
        last = layout.mask.sum(-1) - 2
        bonus = torch.zeros_like(logits.start).scatter(2, last[..., None], 12.0)
        return replace(logits, start=logits.start + bonus, end=logits.end + bonus)


def model_of(*, full: bool = False, positions: int = TINY.positions) -> RealmModel:
    torch.manual_seed(3)
    transformer = Transformer(TINY)
    frozen = None if full else Transformer(TINY)
    if frozen is not None:
        frozen.load_state_dict(transformer.state_dict())
    towers = Towers(transformer, QueryAdapter(16, rank=8), load_tokenizer(), frozen=frozen)
    towers.train_only("all" if full else "adapter")
    return RealmModel(towers, LastWordReader(replace(TINY, positions=positions), own_global=False), load_tokenizer())


def index_of(model: RealmModel) -> FixedIndex:
    with torch.no_grad():
        return FixedIndex(model.towers.passages(list(CORPUS.values())).numpy())


def first_found(model: RealmModel, index: FixedIndex) -> list[int]:
    with torch.no_grad():
        queries = model.towers.queries([example.question for example in EXAMPLES]).numpy()
    return [int(row[0]) for row in index.search(queries, 1)]


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return Recipe(
        out=tmp_path / "run",
        steps=60,
        batch=4,
        k=4,
        temperature=0.1,
        learning_rate=0.03,
        reader_factor=0.0,
        save_every=20,
    )


def curve(recipe: Recipe) -> list[dict[str, float]]:
    points: list[dict[str, float]] = json.loads((recipe.out / "progress.json").read_text())["curve"]
    return points


def test_training_learns_to_retrieve_where_retrieval_decides_the_answer(recipe: Recipe) -> None:
    """Nothing says which passage is right: only that its answer is."""
    model = model_of()
    index = index_of(model)
    assert first_found(model, index) != [0, 1, 2, 3]
    train(recipe, model, examples=EXAMPLES, corpus=CORPUS, index=index)
    assert first_found(model, index) == [0, 1, 2, 3]
    points = curve(recipe)
    assert points[-1]["utility"] > points[0]["utility"] > 0
    assert points[-1]["null"] < points[0]["null"]
    assert points[-1]["stale"] == points[-1]["drift"] == 0  # query-side: the passages' vectors stay true


def test_gradients_reach_retriever_null_document_and_reader(recipe: Recipe) -> None:
    model = model_of(full=True)
    passages = [list(CORPUS.values()) for _ in EXAMPLES]
    model(EXAMPLES, passages, None, 0.1).loss.backward()
    assert model.towers.null.grad is not None
    assert model.towers.null.grad != 0
    for weight in (model.towers.transformer.blocks[0].query.weight, model.reader.span.weight):
        assert weight.grad is not None
        assert weight.grad.abs().sum() > 0


def from_the_definition(model: RealmModel, example: Example, texts: list[str], temperature: float) -> Tensor:
    """log p(y|x) of one example, a passage, a place and a word piece at a time, from the definition."""
    query = model.towers.queries([example.question])[0]
    scores = [model.towers.null.squeeze(), *(query @ model.towers.passages([text])[0] for text in texts)]
    weights = [(score / temperature).exp() for score in scores]
    whole = torch.stack(weights).sum()
    total, lengths, stands = torch.tensor(0.0), [], 0
    for weight, text in zip(weights[1:], texts, strict=True):
        (pieces,) = pieces_of(model.tokenizer, [text])
        asked = question_ids(model.tokenizer, example.question)
        logits = model.reader(layout_of([Group(question=asked, passages=[pieces])]))
        starts, ends = (
            torch.cat([scores[0, 0], null]).exp()
            for scores, null in ((logits.start, logits.null_start), (logits.end, logits.null_end))
        )
        likelihood = torch.tensor(0.0)
        for match in re.finditer(rf"\b{re.escape(example.answer)}\b", text):
            first = next(at for at, (start, _) in enumerate(pieces.offsets) if start == match.start())
            last = next(at for at, (_, end) in enumerate(pieces.offsets) if end == match.end())
            likelihood = likelihood + starts[first] / starts.sum() * ends[last] / ends.sum()
            stands += 1
        lengths.append(len(pieces.ids))
        total = total + weight / whole * likelihood
    spans = sum(1 for length in lengths for first in range(length) for last in range(first, min(length, first + 30)))
    return (total + weights[0] / whole * max(1, stands) / spans).log()


def test_the_model_is_the_brute_force_sum_over_passages_places_and_the_null_document_with_its_gradient() -> None:
    model = model_of(full=True)
    model.reader = ReaderNetwork(TINY, own_global=False)  # one that is sure of nothing: every place counts
    examples = [*EXAMPLES[:2], Example(id="none", question="which sea", answer="baltic")]
    passages = [
        ["the oak mill of leith is in leith, not in oldleith", "the elm mill is in oslo", "leith is a port"],
        ["oslo has the elm mill"],
        ["no sea is here", "nor here"],
    ]
    found = model(examples, passages, None, 0.1).log_likelihood
    wanted = torch.stack(
        [from_the_definition(model, example, texts, 0.1) for example, texts in zip(examples, passages, strict=True)]
    )
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    ours, theirs = (torch.autograd.grad(each.sum(), learned, allow_unused=True) for each in (found, wanted))
    for one, other in zip(ours, theirs, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            torch.testing.assert_close(one, other, atol=2e-4, rtol=2e-3)


def test_of_a_passage_that_is_longer_than_the_readers_positions_the_beginning_is_read() -> None:
    model = model_of(positions=512)
    example = Example(id="0", question="Who wrote it?", answer="Ann")
    vectors = torch.zeros(1, 1, 16)
    filler = " it went on and on" * 200
    near, beyond = (model([example], [[text]], vectors, 0.1) for text in (f"Ann{filler}", f"{filler} Ann"))
    assert near.loss.isfinite()
    assert beyond.loss > near.loss, "what was not read answers nothing"


def test_the_source_is_left_out_at_the_documented_rate(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of()
    index = index_of(model)
    examples = [replace(example, source=key) for key, example in enumerate(EXAMPLES)]
    held: list[bool] = []
    real = RealmModel.forward

    def noted(self, batch, passages, vectors, temperature):  # type: ignore[no-untyped-def]
        held.extend(CORPUS[example.source] in row for example, row in zip(batch, passages, strict=True))
        return real(self, batch, passages, vectors, temperature)

    monkeypatch.setattr(RealmModel, "forward", noted)
    train(replace(recipe, keep_source=0.25, learning_rate=0.0), model, examples=examples, corpus=CORPUS, index=index)
    assert len(held) == 240
    assert 0.15 < sum(held) / len(held) < 0.35
    held.clear()
    train(
        replace(recipe, keep_source=0.0, out=recipe.out / "never"), model, examples=examples, corpus=CORPUS, index=index
    )
    assert not any(held)


def test_a_run_that_is_killed_and_resumed_ends_with_the_same_weights(recipe: Recipe) -> None:
    recipe = replace(recipe, steps=12, save_every=3, reader_factor=0.1)
    whole = model_of()
    index = index_of(whole)
    train(recipe, whole, examples=EXAMPLES, corpus=CORPUS, index=index)
    again = replace(recipe, out=recipe.out / "again")
    with killed_after(7):
        train(again, model_of(), examples=EXAMPLES, corpus=CORPUS, index=index)
    resumed = model_of()
    train(again, resumed, examples=EXAMPLES, corpus=CORPUS, index=index)
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], tensor, rtol=0, atol=0)


def test_full_training_says_how_stale_its_index_is_and_takes_up_a_newer_one(recipe: Recipe) -> None:
    model = model_of(full=True)

    class Refreshed(FixedIndex):
        waiting: tuple[int, NDArray[np.float32]] | None = None

        def reload(self) -> bool:
            if self.waiting is None:
                return False
            self.step, self.held = self.waiting
            self.waiting = None
            return True

    index = Refreshed(index_of(model).held)

    def refresh(step: int) -> None:
        with torch.no_grad():
            index.waiting = (step, model.towers.passages(list(CORPUS.values())).numpy())

    recipe = replace(recipe, steps=12, refresh_every=5, save_every=1, learning_rate=1e-2)
    train(recipe, model, examples=EXAMPLES, corpus=CORPUS, index=index, refresh=refresh)
    points = curve(recipe)
    assert [point["stale"] for point in points] == [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2]
    assert points[4]["drift"] > points[0]["drift"]
    assert points[4]["drift"] > points[5]["drift"] >= 0
