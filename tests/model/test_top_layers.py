import copy

import numpy as np
import pytest
import torch

from model.encoder import MiniLMEncoder
from model.errors import WeightsCorrupt
from model.realm import contrastive_loss
from model.training import top_layers
from model.types import Pairs

THINGS = ["wharf", "cellar", "barn", "mill", "tower", "chapel", "forge", "dairy"]
CALLED = ["blue", "green", "red", "white", "black", "grey", "brown", "pink"]  # by nothing but training, what is meant
TOWNS = ["Ashham", "Elmton", "Oakby", "Firwick", "Yewford", "Ashley"]


def pairs(towns: list[str]) -> Pairs:
    passages = [f"{town} has a {thing}." for town in towns for thing in THINGS]
    questions = [f"{town} {colour}" for town in towns for colour in CALLED]
    return Pairs(questions=questions, passages=passages, positive=list(range(len(passages))))


def right(encoder: MiniLMEncoder, of: Pairs) -> float:
    scores = encoder.encode_queries(of.questions) @ encoder.encode_passages(of.passages).T
    return float((scores.argmax(1) == np.array(of.positive)).mean())


@pytest.fixture(scope="module")
def learned(real_encoder: MiniLMEncoder) -> tuple[MiniLMEncoder, list[int]]:
    """The encoder once it has learned what the colours stand for in three towns, and the steps that were told."""
    steps: list[int] = []

    def report(step: int) -> bool:
        steps.append(step)
        return True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(top_layers, "EPOCHS", 30)
        patch.setattr(top_layers, "LEARNING_RATE", 2e-4)
        layers, used = real_encoder.learn(pairs(TOWNS[:3]), report=report)
    assert used == 24
    return real_encoder.with_layers(layers, version="learned"), steps


def test_the_upper_layers_learn_what_words_mean_here_also_for_texts_that_were_not_seen(
    real_encoder: MiniLMEncoder, learned: tuple[MiniLMEncoder, list[int]]
) -> None:
    encoder, steps = learned
    held = pairs(TOWNS[3:])
    assert right(real_encoder, held) < 0.4
    assert right(encoder, held) > right(real_encoder, held) + 0.3
    assert encoder.version == "learned"
    assert steps[-1] == 29


def test_the_encoder_that_was_trained_from_stays_as_it_is_and_shares_all_but_the_trained_layers(
    real_encoder: MiniLMEncoder, learned: tuple[MiniLMEncoder, list[int]]
) -> None:
    ours, theirs = dict(real_encoder._transformer.named_parameters()), dict(learned[0]._transformer.named_parameters())
    other = {name.split(".")[1] for name in ours if theirs[name] is not ours[name]}
    assert other == {"4", "5"}
    fresh = MiniLMEncoder.load().encode_passages(["The mill stands in Leith."])
    np.testing.assert_array_equal(real_encoder.encode_passages(["The mill stands in Leith."]), fresh)
    assert not any(parameter.requires_grad for parameter in ours.values())


def test_training_ends_where_it_is_told_to_and_may_change_nothing(real_encoder: MiniLMEncoder) -> None:
    layers, used = real_encoder.learn(pairs(TOWNS[:1]), report=lambda _: False)
    assert used == 0
    again = real_encoder.with_layers(layers, version="same")
    before, after = (encoder.encode_passages(["The mill stands in Leith."]) for encoder in (real_encoder, again))
    np.testing.assert_allclose(before, after, atol=2e-3)  # the layers went through half precision


def test_of_more_text_than_is_kept_the_first_pairs_are_used(
    real_encoder: MiniLMEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(top_layers, "MOST_PIECES", 150)
    monkeypatch.setattr(top_layers, "EPOCHS", 1)
    _, used = real_encoder.learn(pairs(TOWNS), report=lambda _: True)
    assert used == 8  # 24 have more than 150 word pieces


def test_what_goes_into_the_trained_layers_is_what_the_whole_encoder_computes_there(
    real_encoder: MiniLMEncoder,
) -> None:
    transformer = real_encoder._transformer
    texts = ["The mill stands in Leith.", "A barn."]
    below = top_layers._below(transformer, real_encoder._tokenizer, texts)
    blocks = copy.deepcopy(transformer.blocks[-top_layers.TOP_LAYERS :]).float()
    with torch.no_grad():
        vectors = top_layers._vectors(transformer, blocks, below)
    assert (vectors.numpy() * real_encoder.encode_passages(texts)).sum(1).min() > 0.999


def test_gradients_of_a_few_texts_at_a_time_are_those_of_all_at_once(
    real_encoder: MiniLMEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    transformer, of = real_encoder._transformer, pairs(TOWNS[:2])
    blocks = copy.deepcopy(transformer.blocks[-top_layers.TOP_LAYERS :]).float().requires_grad_(True)
    weights = list(blocks.parameters())
    inputs = top_layers._below(transformer, real_encoder._tokenizer, [*of.questions[:12], *of.passages[:12]])
    same = torch.eye(12, dtype=torch.bool)
    monkeypatch.setattr(top_layers, "fastest_dtype", lambda: torch.float32)
    questions, passages = top_layers._vectors(transformer, blocks, inputs).split(12)
    loss = contrastive_loss(questions @ passages.T, same, temperature=top_layers.TEMPERATURE)
    expected = torch.autograd.grad(loss, weights)
    found = top_layers._gradients(transformer, blocks, weights, inputs, same)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_layers_that_do_not_fit_are_refused(real_encoder: MiniLMEncoder) -> None:
    layers, _ = real_encoder.learn(pairs(TOWNS[:1]), report=lambda _: False)
    name, layer = next(iter(layers.items()))
    for wrong in ({}, {name: layer}, {**layers, name: layer[:3]}, {**layers, "0.more": layer}):
        with pytest.raises(WeightsCorrupt, match="do not fit"):
            real_encoder.with_layers(wrong, version="wrong")
    with pytest.raises(ValueError, match="0 questions"):
        Pairs(questions=[], passages=["text"], positive=[])
