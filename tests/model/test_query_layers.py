"""The layers that questions alone go through: learned through the mix, left beside the encoder, and read back."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.encoder import TOP_LAYERS, MiniLMEncoder
from model.errors import WeightsCorrupt
from model.query_layers import load_query_layers
from model.towers import save_towers, starting_towers
from model.training import export_query_layers
from model.training.query_layers import Bank, Question, Recipe, interpolated, read_bank, recalls, train, upper_layers
from tests.model.killed import killed_after
from tests.model.test_retriever_training import TOWNS, WORDS, towers_of


def write_set(folder: Path) -> Path:
    """A word asks for a town; BM25 prefers the next town's passage to the right one."""
    folder.mkdir(parents=True)
    corpus = [{"key": 10 + at, "text": f"the market of {town}"} for at, town in enumerate(TOWNS)]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in corpus))
    rows = [
        {"query": f"{word} tree", "positive": [10 + at], "sparse": [[10 + (at + 1) % 8, 1.0], [10 + at, 0.8]]}
        for at, word in enumerate(WORDS)
    ]
    for name in ("train", "validation"):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    one, other = write_set(tmp_path / "one"), write_set(tmp_path / "other")
    return Recipe(sets=(one, other), out=tmp_path / "run", steps=120, batch=4, learning_rate=0.03, save_every=20)


def test_questions_learn_to_find_what_their_words_do_not_and_passages_keep_their_vectors(recipe: Recipe) -> None:
    towers = towers_of(trained="top")
    passages = towers.passages(["the market of oslo"]).detach()
    below = towers.transformer.blocks[0].query.weight.detach().clone()
    found = train(recipe, towers)
    for name in ("one", "other"):
        assert found["before"][name][0] < 0.3
        assert found["after"][name][0] > 0.8
    torch.testing.assert_close(towers.passages(["the market of oslo"]), passages, rtol=0, atol=0)
    assert torch.equal(towers.transformer.blocks[0].query.weight, below)
    assert json.loads((recipe.out / "measures.json").read_text()) == found


def test_where_the_labels_say_nothing_questions_learn_what_the_reader_found(recipe: Recipe) -> None:
    for folder in recipe.sets:
        rows = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
        for row in rows:
            row["read"] = [[10 + at, 8.0 if [10 + at] == row["positive"] else 0.0] for at in range(8)]
            row["positive"] = [10 + at for at in range(8)]
        (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = train(recipe, towers_of(trained="top"))
    assert min(found["after"][name][0] for name in ("one", "other")) > 0.8
    deaf = train(replace(recipe, reader=0.0, out=recipe.out / "deaf"), towers_of(trained="top"))
    assert max(deaf["after"][name][0] for name in ("one", "other")) < 0.3


def test_what_the_reader_read_is_among_the_questions_that_are_taken(recipe: Recipe) -> None:
    path = recipe.sets[0] / "train.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[5]["read"] = [[10, 1.0], [11, 0.0]]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = read_bank(recipe.sets[0], towers_of(trained="top"), most=2, seed=0).questions
    assert len(asked) == 2
    assert [(one.text, one.relevance) for one in asked if one.read] == [(rows[5]["query"], [1.0, 0.0])]


def test_a_killed_run_goes_on_to_the_same_weights_with_the_vectors_that_were_made(recipe: Recipe) -> None:
    recipe = replace(recipe, steps=10, save_every=2)
    whole = towers_of(trained="top")
    train(recipe, whole)
    asked: list[int] = []
    again = replace(recipe, out=recipe.out / "again")
    resumed = towers_of(trained="top")
    resumed.passages = lambda texts: asked.append(len(texts))  # type: ignore[assignment, return-value]
    with killed_after(5):
        train(again, towers_of(trained="top"))
    train(again, resumed)
    assert asked == []
    for name, tensor in upper_layers(whole).items():
        torch.testing.assert_close(upper_layers(resumed)[name], tensor, rtol=0, atol=0)


def test_vectors_of_other_passages_are_refused(recipe: Recipe) -> None:
    np.save(recipe.sets[0] / "vectors.npy", np.zeros((3, 16), dtype=np.float16))
    with pytest.raises(ValueError, match="delete it"):
        train(recipe, towers_of(trained="top"))


def test_what_is_not_known_of_bm25_counts_as_less_than_the_least_that_is() -> None:
    bank = Bank(vectors=torch.eye(4), questions=[], held=[])
    known = Question(text="", positive=[3], known=torch.tensor([2, 1]), shares=torch.tensor([1.0, 0.5]))
    nothing = Question(text="", positive=[0, 3], known=torch.zeros(0, dtype=torch.long), shares=torch.zeros(0))
    torch.testing.assert_close(
        bank.shares([known, nothing]), torch.tensor([[0.35, 0.5, 1.0, 0.35], [0.0, 0.0, 0.0, 0.0]])
    )
    assert bank.answering([known, nothing]).tolist() == [[False, False, False, True], [True, False, False, True]]


def test_the_measures_are_of_the_mix_with_bm25() -> None:
    towers = towers_of(trained="top")
    vectors = towers.passages(TOWNS).detach()
    sure = [
        Question(text="nothing", positive=[at], known=torch.tensor([at]), shares=torch.tensor([1.0]))
        for at in range(len(TOWNS))
    ]
    assert recalls(towers, Bank(vectors=vectors, questions=[], held=sure)) == [1.0, 1.0]
    assert recalls(towers, Bank(vectors=vectors, questions=[], held=[])) == []


def test_a_share_of_the_way_lies_between() -> None:
    mixed = interpolated({"a": torch.tensor([0.0, 2.0])}, {"a": torch.tensor([1.0, 4.0])}, 0.75)
    torch.testing.assert_close(mixed["a"], torch.tensor([0.75, 3.5]))


def test_what_is_exported_answers_for_this_encoder_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real_encoder: MiniLMEncoder
) -> None:
    monkeypatch.setattr(export_query_layers, "commit", lambda: "c0ffee")
    moved = starting_towers(mode="query", trained="top", rank=1, init=None)
    with torch.no_grad():
        for block in moved.transformer.blocks[-TOP_LAYERS:]:
            block.query.weight.mul_(1.5)
    save_towers(moved, tmp_path)
    (tmp_path / "recipe.json").write_text('{"steps": 1}')
    (tmp_path / "measures.json").write_text("{}")
    options = ["--run", str(tmp_path), "--share", "0.5", "--out", str(tmp_path / "out"), "--data", "SQuAD=CC BY-SA 4.0"]
    export_query_layers.main(options)
    found = load_query_layers(real_encoder.version, tmp_path / "out")
    assert found is not None
    layers, name = found
    own = dict(real_encoder._transformer.blocks[-TOP_LAYERS:].state_dict())
    for key, layer in layers.items():
        expected = own[key].float().numpy() * (1.25 if key.endswith("query.weight") else 1.0)
        np.testing.assert_allclose(layer.astype(np.float32), expected, atol=2e-3, rtol=5e-3)
    assert name.startswith("lectern-retriever@")
    assert load_query_layers("other@1", tmp_path / "out") is None
    (tmp_path / "out" / "retriever.safetensors").write_bytes(b"torn")
    with pytest.raises(WeightsCorrupt):
        load_query_layers(real_encoder.version, tmp_path / "out")
