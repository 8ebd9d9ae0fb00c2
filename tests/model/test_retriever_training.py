import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model.encoder import Transformer, load_tokenizer, load_transformer
from model.layers import Shape
from model.realm import QueryAdapter
from model.towers import Towers, Trained, load_towers, save_towers, starting_towers
from model.training.pairs import Pair, candidates, measures, read_pairs, shuffled
from model.training.retriever import Recipe, train
from tests.model.killed import killed_after

TINY = Shape(width=16, layers=3, heads=2, inner=16, positions=128)
WORDS = ["oak", "elm", "ash", "fir", "yew", "bay", "fig", "box"]
TOWNS = ["leith", "oslo", "kyiv", "turin", "lagos", "lima", "perth", "osaka"]


def towers_of(*, full: bool = False, trained: Trained = "adapter") -> Towers:
    torch.manual_seed(5)
    transformer = Transformer(TINY)
    frozen = None if full else Transformer(TINY)
    if frozen is not None:
        frozen.load_state_dict(transformer.state_dict())
    return Towers(transformer, QueryAdapter(16, rank=16), load_tokenizer(), frozen=frozen).train_only(trained)


def write_pairs(path: Path, *, relevance: bool = False) -> Path:
    """A word asks for a town, whose passage shares nothing with it; the next town is its hard negative."""
    passages = [f"the market of {town}" for town in TOWNS]
    rows = [
        {"id": word, "query": f"{word} tree", "passages": [passages[at], passages[at - 1]], "positive": [0]}
        for at, word in enumerate(WORDS)
    ]
    if relevance:
        rows = [{**row, "relevance": [-4.0, 4.0]} for row in rows]  # the reader disagrees: it prefers the other
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    pairs = write_pairs(tmp_path / "pairs.jsonl")
    return Recipe(
        pairs=pairs, validation=pairs, out=tmp_path / "run", steps=80, batch=8, learning_rate=0.05, save_every=20
    )


def test_contrastive_training_learns_which_passage_answers_and_leaves_the_passages_vectors_alone(
    recipe: Recipe,
) -> None:
    towers = towers_of()
    before = towers.passages(["the market of oslo"]).detach()
    found = train(recipe, towers)
    assert found["before"]["recall_at_1"] < 0.5
    assert found["after"]["recall_at_1"] == 1.0
    torch.testing.assert_close(towers.passages(["the market of oslo"]), before, rtol=0, atol=0)
    assert json.loads((recipe.out / "measures.json").read_text()) == found
    assert (recipe.out / "curve.png").stat().st_size > 0


def test_with_all_passages_as_negatives_only_queries_are_encoded_in_a_step(recipe: Recipe) -> None:
    towers = towers_of()
    asked: list[int] = []
    encode = towers.passages
    towers.passages = lambda texts: asked.append(len(texts)) or encode(texts)  # type: ignore[assignment, func-returns-value]
    found = train(replace(recipe, negatives="all", batch=3, steps=120), towers)
    assert found["after"]["recall_at_1"] == 1.0
    assert asked == [len(TOWNS)] * 3  # measured before, the bank, measured after: never in a step


def test_all_negatives_are_refused_where_passages_change_or_where_there_are_none(recipe: Recipe) -> None:
    with pytest.raises(ValueError, match="passages change"):
        train(replace(recipe, negatives="all", mode="full"), towers_of(full=True, trained="all"))
    pairs = write_pairs(recipe.out.parent / "r.jsonl", relevance=True)
    with pytest.raises(ValueError, match="no negatives"):
        train(replace(recipe, negatives="all", step="distillation", pairs=pairs), towers_of())


@pytest.mark.parametrize("trained", ["top", "all"])
def test_full_training_moves_both_sides(recipe: Recipe, trained: Trained) -> None:
    towers = towers_of(full=True, trained=trained)
    before = towers.passages(["the market of oslo"]).detach()
    lowest = towers.transformer.blocks[0].query.weight.detach().clone()
    words = towers.transformer.embeddings.word.weight.detach().clone()
    found = train(replace(recipe, learning_rate=0.01, mode="full", steps=100), towers)
    assert found["after"]["recall_at_1"] > found["before"]["recall_at_1"]
    assert not torch.equal(towers.passages(["the market of oslo"]), before)
    assert torch.equal(towers.transformer.blocks[0].query.weight, lowest) is (trained == "top")
    assert torch.equal(towers.transformer.embeddings.word.weight, words)


def test_distillation_follows_the_reader_where_it_disagrees_with_the_pairs(recipe: Recipe, tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "relevance.jsonl", relevance=True)
    towers = towers_of()
    train(replace(recipe, pairs=pairs, step="distillation"), towers)
    rows = read_pairs(pairs)
    with torch.no_grad():
        for pair in rows:
            right, other = (towers.queries([pair.query]) @ towers.passages(pair.passages).T)[0]
            assert other > right


def test_distillation_without_the_readers_relevance_is_refused(recipe: Recipe) -> None:
    with pytest.raises(ValueError, match="relevance of every passage"):
        train(replace(recipe, step="distillation"), towers_of())


def test_a_run_that_is_killed_and_resumed_ends_with_the_same_weights(recipe: Recipe) -> None:
    recipe = replace(recipe, steps=10, save_every=2, batch=3)
    whole = towers_of()
    train(recipe, whole)
    again = replace(recipe, out=recipe.out / "again")
    with killed_after(5):
        train(again, towers_of())
    resumed = towers_of()
    train(again, resumed)
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], tensor, rtol=0, atol=0)


def test_a_step_goes_on_from_the_towers_that_an_earlier_one_left(tmp_path: Path) -> None:
    first = towers_of(full=True, trained="all")
    torch.nn.init.normal_(first.adapter.up.weight)
    save_towers(first, tmp_path)
    later = towers_of()
    load_towers(later, tmp_path)
    assert torch.equal(later.adapter.up.weight, first.adapter.up.weight)
    torch.testing.assert_close(later.queries(["oak tree"]), first.queries(["oak tree"]))
    wide = Towers(Transformer(TINY), QueryAdapter(16, rank=2), load_tokenizer())
    with pytest.raises(RuntimeError, match="size mismatch"):
        load_towers(wide, tmp_path)


def test_what_starts_is_minilm_as_it_ships(real_encoder) -> None:  # type: ignore[no-untyped-def]
    towers = starting_towers(mode="query", trained="adapter", rank=4, init=None)
    texts = ["How long may a boat stay?", "at most three nights"]
    for found in (towers.queries(texts), towers.passages(texts)):
        torch.testing.assert_close(
            found.detach(), torch.from_numpy(real_encoder.encode_passages(texts)), atol=2e-2, rtol=0
        )
    assert sum(p.numel() for p in towers.parameters() if p.requires_grad) == 2 * 4 * 384 + 1
    assert load_transformer().embeddings.word.weight.dtype == torch.float32


def test_a_passage_of_another_query_that_answers_too_is_no_negative() -> None:
    pairs = [
        Pair(id="1", query="a", passages=("x", "y"), positive=(0,)),
        Pair(id="2", query="b", passages=("y", "x"), positive=(0, 1)),
    ]
    texts, positive = candidates(pairs)
    assert texts == ["x", "y"]
    assert positive.tolist() == [[True, False], [True, True]]


def test_batches_go_over_everything_once_a_pass_and_can_begin_anywhere() -> None:
    stream = shuffled(5, size=2, seed=1)
    first = [next(stream) for _ in range(6)]
    assert sorted(first[0] + first[1] + first[2]) == [0, 1, 2, 3, 4]
    assert first[:3] != first[3:]
    later = shuffled(5, size=2, seed=1, skip=4)
    assert [next(later), next(later)] == first[4:]


@pytest.mark.parametrize(
    "row",
    [
        '{"id": "x"}',
        '{"id": "1", "query": "q", "passages": ["a"], "positive": [1]}',
        '{"id": "1", "query": "q", "passages": ["a"], "positive": [0], "relevance": [1, 2]}',
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, row: str) -> None:
    path = write_pairs(tmp_path / "pairs.jsonl")
    path.write_text(path.read_text() + row + "\n")
    with pytest.raises(ValueError, match="line 9"):
        read_pairs(path)


def test_the_measures_count_ranks_among_all_passages() -> None:
    towers = towers_of(full=True)
    same = [Pair(id=town, query=town, passages=(town,), positive=(0,)) for town in TOWNS]
    assert measures(towers, same) == {"recall_at_1": 1.0, "recall_at_5": 1.0, "mrr": 1.0}
    wrong = [Pair(id=town, query=town, passages=(town, TOWNS[at - 1]), positive=(1,)) for at, town in enumerate(TOWNS)]
    assert measures(towers, wrong)["recall_at_1"] == 0.0
