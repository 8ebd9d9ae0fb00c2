"""The trained salience: what it is told, what it makes of it, and how it is trained."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.errors import UnsupportedModel, WeightsCorrupt, WeightsMissing
from model.salience import SalienceNetwork, SalienceShape, TransformerXLSalience, load_salience, read_all
from model.sentence_table import ASKED, STATIC, Query, SentenceTable, asked_features, static_features
from model.training import salience as recipes
from model.training.manifests import write_weights
from model.training.salience import Recipe, _batches, salience_loss, target_of, train
from model.training.salience_examples import Example, read_examples, write_examples
from tests.model.killed import killed_after

SHAPE = SalienceShape(dimension=16, width=16, layers=2, heads=2, inner=32, segment=4, memory=4)


def unit(count: int, *, seed: int, dimension: int = 16) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, dimension))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def table(vectors: np.ndarray, *, documents: Sequence[int] = (), speakers: Sequence[int] = ()) -> SentenceTable:
    count = len(vectors)
    words = np.arange(count) % 30 + 5
    document = np.array(documents or [0] * count, dtype=np.int64)
    before = np.zeros(count, dtype=np.int64)
    for number in np.unique(document):
        mine = document == number
        before[mine] = np.cumsum(words[mine]) - words[mine]
    return SentenceTable(
        vectors=vectors,
        words=words,
        words_before=before,
        document=document,
        section=document * 100 + np.arange(count) // 7,
        speaker=np.array(speakers or [-1] * count, dtype=np.int64),
        turn_words=words * 2,
        first=np.arange(count) % 3 == 0,
        asks=np.arange(count) % 5 == 0,
        counts=np.arange(count) % 4 == 0,
        kind=np.zeros(count, dtype=np.int64),
        central=np.zeros(count, dtype=np.float32),
    )


def about(vector: np.ndarray, count: int) -> Query:
    """A query that no sentence shares a word with, of which nothing was read."""
    nothing = np.zeros(count, dtype=np.float32)
    return Query(vector=vector.astype(np.float32), overlap=nothing, near=nothing, relevance=nothing, answer=nothing)


def network(seed: int = 0) -> SalienceNetwork:
    torch.manual_seed(seed)
    made = SalienceNetwork(SHAPE)
    for bias in (made.reader.layers[0].content_bias, made.reader.layers[0].position_bias):
        torch.nn.init.normal_(bias)
    return made


@pytest.mark.parametrize("speakers", [[], [0, 1] * 20])
@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_features_are_finite_whatever_the_document(count: int, speakers: list[int]) -> None:
    made = table(unit(count, seed=0), speakers=speakers[:count])
    query = about(unit(1, seed=1)[0], count)
    assert static_features(made).shape == (count, STATIC)
    for asked in (asked_features(made, query), asked_features(made, None)):
        assert asked.shape == (count, ASKED)
        assert np.isfinite(asked).all()
    assert np.isfinite(static_features(made)).all()
    assert np.abs(static_features(made)).max(initial=0.0) < 8


def test_features_tell_who_began_a_dialogue_and_who_answers_for_the_first_time() -> None:
    made = replace(table(unit(6, seed=0), speakers=[3, 3, 5, 5, 3, 5]), first=np.array([1, 0, 1, 0, 1, 1], dtype=bool))
    features = static_features(made)
    blocks, inner = np.exp(-np.array([0, 0, 1, 1, 2, 3.0])), np.exp(-np.array([0, 1, 0, 1, 0, 0.0]))
    np.testing.assert_allclose(features[:, 25], blocks, atol=1e-6)
    np.testing.assert_allclose(features[:, 27], inner, atol=1e-6)
    assert features[:, 28].tolist() == [1, 1, 1, 1, 0, 0]
    assert features[:, 29].tolist() == [0, 0, 1, 1, 0, 1]
    assert features[:, 30].tolist() == [0, 0, 1, 1, 0, 0]
    assert set(features[:, 31].tolist()) == {0.5}
    prose = static_features(table(unit(6, seed=0)))
    assert not prose[:, 28:32].any()


def test_one_document_is_scored_the_same_alone_and_behind_another() -> None:
    vectors = unit(30, seed=2)
    model = TransformerXLSalience([network()], name="x")
    both = model.score(table(vectors, documents=[0] * 13 + [1] * 17))
    first = table(vectors[:13])
    np.testing.assert_allclose(both[:13], model.score(first), atol=1e-5)
    assert np.std(both) > 0.01


def test_what_was_read_before_changes_what_comes_after_and_not_the_reverse() -> None:
    vectors = torch.from_numpy(unit(12, seed=3)).float()[None]
    features, query = torch.zeros(1, 12, STATIC + ASKED), torch.zeros(1, 16)
    model = network()
    whole = read_all(model, vectors, features, query)
    changed = vectors.clone()
    changed[0, 1] = -changed[0, 1]
    again = read_all(model, changed, features, query)
    assert not torch.allclose(again[0, 4:8], whole[0, 4:8]), "the second segment remembers the first"
    changed = vectors.clone()
    changed[0, 9] = -changed[0, 9]
    assert torch.allclose(read_all(model, changed, features, query)[0, :8], whole[0, :8])


def test_a_query_changes_the_scores() -> None:
    made = table(unit(10, seed=4))
    model = TransformerXLSalience([network()], name="x")
    query = about(made.vectors[3], 10)
    assert not np.allclose(model.score(made, query), model.score(made))


def test_several_networks_say_what_they_say_on_the_mean(tmp_path: Path) -> None:
    made = table(unit(30, seed=2))
    alone = [TransformerXLSalience([network(seed)], name="x").score(made) for seed in (0, 1)]
    assert not np.allclose(*alone, atol=0.05)
    write_weights(tmp_path, "salience", states(network(0), network(1)), manifest(networks=2))
    np.testing.assert_allclose(TransformerXLSalience.load(tmp_path).score(made), np.mean(alone, axis=0), atol=0.05)


def states(*networks: SalienceNetwork) -> dict[str, torch.Tensor]:
    return {
        f"{number}.{name}": tensor.bfloat16()
        for number, one in enumerate(networks)
        for name, tensor in one.state_dict().items()
    }


def manifest(*, networks: int) -> dict[str, object]:
    shape = {field: getattr(SHAPE, field) for field in SHAPE.__dataclass_fields__}
    made = {"name": "s", "architecture": "transformer-xl-salience", "file": "s.safetensors", "shape": shape}
    return {**made, "encoder": "e@1", "recipes": [{}] * networks}


def test_weights_that_were_trained_on_other_features_are_refused_by_name(tmp_path: Path) -> None:
    state = states(network())
    state["0.shortcut.weight"] = state["0.shortcut.weight"][:, :-1].clone()
    write_weights(tmp_path, "salience", state, manifest(networks=1))
    with pytest.raises(UnsupportedModel, match="another Lectern"):
        TransformerXLSalience.load(tmp_path)


def test_weights_are_loaded_only_when_they_are_those_of_the_manifest(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match=r"salience\.json"):
        TransformerXLSalience.load(tmp_path)
    write_weights(tmp_path, "salience", states(network()), manifest(networks=1))
    loaded = TransformerXLSalience.load(tmp_path)
    made = table(unit(9, seed=5))
    expected = TransformerXLSalience([network()], name="x").score(made)
    np.testing.assert_allclose(loaded.score(made), expected, atol=0.05)
    assert loaded.name.startswith("s@")
    assert load_salience("e@1", tmp_path).name == loaded.name
    assert load_salience("e@2", tmp_path).name == "centrality", "vectors of another encoder mean something else"
    (tmp_path / "s.safetensors").write_bytes(b"other")
    with pytest.raises(WeightsCorrupt, match="SHA-256"):
        TransformerXLSalience.load(tmp_path)


def example(number: int, count: int, *, dimension: int = 16) -> Example:
    """A document whose one salient sentence is the one that looks like the query."""
    vectors = unit(count, seed=number, dimension=dimension)
    wanted = number % count
    oracle = np.zeros(count, dtype=np.float32)
    oracle[wanted] = 1.0
    return Example(
        id=str(number),
        document=10 * number + 1,
        vectors=vectors,
        features=np.zeros((count, STATIC + ASKED), dtype=np.float16),
        query=vectors[wanted].astype(np.float32),
        oracle=oracle,
        alone=oracle * 0.5,
    )


def test_examples_come_back_from_their_file_as_they_were(tmp_path: Path) -> None:
    examples = [example(1, 5), example(2, 3), replace(example(1, 5), id="1b", query=np.ones(16, dtype=np.float32))]
    write_examples(tmp_path / "e.safetensors", examples)
    for one, other in zip(read_examples(tmp_path / "e.safetensors"), examples, strict=True):
        assert (one.id, one.document) == (other.id, other.document)
        for name in ("vectors", "features", "query", "oracle", "alone"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_the_target_sums_to_one_and_the_loss_is_least_at_the_target() -> None:
    target = target_of(example(3, 6), oracle=0.5, sharpness=6.0)
    assert float(target.sum()) == pytest.approx(1.0)
    mask = torch.ones(1, 6, dtype=torch.bool)
    least = salience_loss(target.log()[None], target[None], mask)
    assert float(least) == pytest.approx(float(-(target * target.log()).sum()), rel=1e-4)
    padded = salience_loss(
        torch.cat([target.log(), torch.full((2,), 9.0)])[None],
        torch.cat([target, torch.zeros(2)])[None],
        torch.tensor([[True] * 6 + [False] * 2]),
    )
    assert float(padded) == pytest.approx(float(least), rel=1e-4)


def test_without_an_oracle_sentences_count_by_themselves_alone() -> None:
    one = replace(
        example(3, 4), oracle=np.zeros(4, dtype=np.float32), alone=np.array([0.2, 0, 0.1, 0.2], dtype=np.float32)
    )
    target = target_of(one, oracle=0.5, sharpness=6.0)
    torch.testing.assert_close(target, torch.tensor([6.0, 0.0, 3.0, 6.0]).softmax(0))


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    monkeypatch.setattr(recipes, "SalienceShape", lambda: SHAPE)
    write_examples(tmp_path / "a.safetensors", [example(number, 6 + number % 5) for number in range(60)])
    return Recipe(
        examples=(tmp_path / "a.safetensors",),
        out=tmp_path / "run",
        epochs=6,
        fewest=60,
        batch_sentences=60,
        learning_rate=5e-3,
        averaging=0.9,
        dropout=0.1,
        save_every=5,
    )


def test_short_documents_do_not_fill_a_step_without_end(recipe: Recipe) -> None:
    sets = [[example(number, 2) for number in range(60)], [example(number, 40) for number in range(100, 104)]]
    batches = list(_batches(sets, replace(recipe, batch_documents=8, fewest=0), seed=0))
    assert sum(map(len, batches)) == 64
    assert max(map(len, batches)) == 8
    assert {len(batch) for batch in batches if len(batch[0].alone) == 40} == {1}


def test_training_learns_what_a_query_asks_for(recipe: Recipe) -> None:
    learnt = train(replace(recipe, epochs=20)).eval()
    right = 0
    for number in range(100, 130):
        made = example(number, 8)
        vectors = torch.from_numpy(made.vectors).float()[None]
        logits = read_all(learnt, vectors, torch.zeros(1, 8, STATIC + ASKED), torch.from_numpy(made.query)[None])
        right += int(logits.argmax()) == int(made.oracle.argmax())
    assert right >= 27


def test_a_set_that_counts_by_itself_takes_nothing_from_its_oracle(recipe: Recipe) -> None:
    quick = replace(recipe, epochs=1)
    with_oracle = train(quick).state_dict()
    without = train(replace(quick, by_themselves=("a",), out=recipe.out / "without")).state_dict()
    same = train(replace(quick, oracle=0.0, out=recipe.out / "same")).state_dict()
    assert not torch.equal(with_oracle["logit.weight"], without["logit.weight"])
    assert torch.equal(without["logit.weight"], same["logit.weight"])


def test_a_run_that_is_killed_and_resumed_ends_with_the_same_weights(recipe: Recipe, tmp_path: Path) -> None:
    whole = train(recipe).state_dict()
    again = replace(recipe, out=tmp_path / "again")
    with killed_after(12):
        train(again)
    for name, tensor in train(again).state_dict().items():
        torch.testing.assert_close(tensor, whole[name], rtol=0, atol=0)
