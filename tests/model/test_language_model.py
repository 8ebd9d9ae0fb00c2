from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model.language_model import LanguageModel, load_language_model, read_likelihood, segments_of
from model.training import language as recipes
from model.training.language import Recipe, train
from model.transformer_xl import XLShape
from tests.model.killed import killed_after

SHAPE = XLShape(width=16, layers=2, heads=2, inner=32)


def model() -> LanguageModel:
    torch.manual_seed(0)
    made = LanguageModel(SHAPE, torch.randn(50, 8))
    for layer in made.reader.layers:
        torch.nn.init.normal_(layer.position_bias)
    return made.eval()


def test_segments_hold_every_token_but_the_first_once_as_a_target() -> None:
    tokens = torch.arange(11)[None]
    parts = list(segments_of(tokens, 4))
    assert torch.cat([inputs for inputs, _ in parts], dim=1).tolist() == [list(range(10))]
    assert torch.cat([targets for _, targets in parts], dim=1).tolist() == [list(range(1, 11))]


def test_a_likelihood_in_segments_with_enough_memory_is_that_of_one_pass() -> None:
    tokens = torch.randint(0, 50, (1, 23))
    network = model()
    with torch.inference_mode():
        nats, _ = network(tokens[:, :-1], tokens[:, 1:], memory_length=0)
    whole = float(nats.sum())
    found = read_likelihood(network, tokens[0].tolist(), segment=5, memory_length=23)
    assert found.nats == pytest.approx(whole, rel=1e-5)
    assert found.tokens == 22
    forgetful = read_likelihood(network, tokens[0].tolist(), segment=5, memory_length=0)
    assert forgetful.nats != pytest.approx(whole, rel=1e-4)


def test_what_comes_later_changes_nothing_before_it() -> None:
    tokens = torch.randint(0, 50, (1, 9))
    later = tokens.clone()
    later[0, 6] = (later[0, 6] + 1) % 50
    targets = torch.randint(0, 50, (1, 9))
    with torch.inference_mode():
        one, _ = model()(tokens, targets, memory_length=0)
        other, _ = model()(later, targets, memory_length=0)
    torch.testing.assert_close(one[:, :6], other[:, :6])
    assert not torch.allclose(one[:, 6:], other[:, 6:])


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    monkeypatch.setattr(recipes, "SHAPE", SHAPE)
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.txt").write_text("The mill stands in Leith and grinds the corn of the town. " * 12)
    return Recipe(
        texts=folder, out=tmp_path / "run", epochs=2, rows=4, segment=16, memory=16, learning_rate=1e-2, save_every=4
    )


def test_training_goes_on_after_a_kill_with_the_memory_that_it_had(recipe: Recipe, tmp_path: Path) -> None:
    whole = train(recipe).state_dict()
    again = replace(recipe, out=tmp_path / "again")
    with killed_after(6):
        train(again)
    for name, tensor in train(again).state_dict().items():
        torch.testing.assert_close(tensor, whole[name], rtol=0, atol=0)
    assert "embeddings" not in whole


def test_what_was_written_is_gone_on_from_with_another_memory(recipe: Recipe, tmp_path: Path) -> None:
    options = ["--texts", str(recipe.texts), "--epochs", "1", "--rows", "4", "--segment", "16", "--save-every", "4"]
    recipes.main([*options, "--out", str(recipe.out), "--learning-rate", "0.01", "--data", "Mills=CC0"])
    written = load_language_model(recipe.out).state_dict()
    again = replace(recipe, out=tmp_path / "again", init=recipe.out, memory=32, learning_rate=0.0, epochs=1)
    for name, tensor in train(again).state_dict().items():
        torch.testing.assert_close(tensor, written[name], rtol=0, atol=0)
    assert '"Mills": "CC0"' in (recipe.out / "language.json").read_text()


def test_a_folder_without_texts_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no \.txt files"):
        train(replace(recipe, texts=tmp_path / "empty"))


def test_the_chances_of_all_next_word_pieces_add_up_to_one() -> None:
    network, tokens = model(), torch.randint(0, 50, (1, 3))
    with torch.inference_mode():
        total = sum((-network(tokens, torch.full((1, 3), target), memory_length=0)[0]).exp() for target in range(50))
    torch.testing.assert_close(total, torch.ones(1, 3))
