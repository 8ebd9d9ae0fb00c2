import random
import warnings
from typing import Any

import pytest
import torch

from model.errors import UnsupportedModel
from model.network import document_layout
from model.pretrained import longformer_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the library's own, at its import
    from transformers import LongformerConfig, LongformerForQuestionAnswering, LongformerModel


def config(**changes: Any) -> LongformerConfig:
    settings: dict[str, Any] = {
        "vocab_size": 99,
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "attention_window": [4, 8, 16],
        "max_position_embeddings": 130,
        "type_vocab_size": 1,
        "pad_token_id": 1,
        "layer_norm_eps": 1e-5,
    }
    return LongformerConfig(**{**settings, **changes})


def vectors(
    theirs: LongformerModel, settings: LongformerConfig, rows: list[tuple[list[int], list[int]]]
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Of each row, its global tokens and those after them: our vectors [length, W] and theirs, from padded batches."""
    ours = longformer_of(settings.to_dict(), theirs.state_dict())
    longest = max(len(first) + len(rest) for first, rest in rows)
    ids = torch.ones(len(rows), longest, dtype=torch.long)
    real, seen = torch.zeros_like(ids), torch.zeros_like(ids)
    for row, (first, rest) in enumerate(rows):
        ids[row, : len(first) + len(rest)] = torch.tensor([*first, *rest])
        real[row, : len(first) + len(rest)] = 1
        seen[row, : len(first)] = 1
    with torch.inference_mode():
        expected = theirs(ids, attention_mask=real, global_attention_mask=seen).last_hidden_state
        question, blocks = ours.longformer.eval()(document_layout(rows, reach=ours.reach))
    flat = blocks.flatten(1, 2)
    together = [
        torch.cat([question[row, : len(first)], flat[row, : len(rest)]]) for row, (first, rest) in enumerate(rows)
    ]
    return together, [expected[row, : len(first) + len(rest)] for row, (first, rest) in enumerate(rows)]


def random_model(settings: LongformerConfig) -> LongformerModel:
    torch.manual_seed(0)
    model = LongformerModel(settings, add_pooling_layer=False).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # their own start has global projections that hardly differ
    return model


def tokens(count: int, vocabulary: int = 99) -> list[int]:
    return torch.randint(2, vocabulary, (count,)).tolist()


@pytest.mark.parametrize("asked", [0, 1, 5])
@pytest.mark.parametrize("length", [3, 24, 61, 100])
def test_a_longformer_of_hugging_face_gives_equal_vectors_through_our_attention(asked: int, length: int) -> None:
    settings = config()
    ours, expected = vectors(random_model(settings), settings, [(tokens(asked), tokens(length))])
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_vectors_are_equal_where_every_token_is_global() -> None:
    settings = config()
    ours, expected = vectors(random_model(settings), settings, [(tokens(29), [])])
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_vectors_are_equal_in_a_padded_batch_of_odd_lengths() -> None:
    settings = config()
    rows = [(tokens(3), tokens(41)), (tokens(7), tokens(90)), (tokens(1), tokens(2))]
    ours, expected = vectors(random_model(settings), settings, rows)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("seed", range(8))
def test_vectors_are_equal_for_random_small_configurations(seed: int) -> None:
    dice = random.Random(seed)
    layers, heads = dice.randint(1, 4), dice.choice([1, 2, 4, 8])
    settings = config(
        num_hidden_layers=layers,
        num_attention_heads=heads,
        hidden_size=heads * dice.choice([4, 8]),
        intermediate_size=dice.randint(8, 64),
        attention_window=[dice.choice([4, 8, 16, 32]) for _ in range(layers)],
    )
    rows = [(tokens(dice.randint(1, 9)), tokens(dice.randint(1, 110))) for _ in range(dice.randint(1, 3))]
    ours, expected = vectors(random_model(settings), settings, rows)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_vectors_are_equal_in_the_shape_of_the_base_checkpoint() -> None:
    settings = LongformerConfig(
        vocab_size=1000,
        num_hidden_layers=2,
        attention_window=[512, 512],
        max_position_embeddings=4098,
        type_vocab_size=1,
        pad_token_id=1,
    )
    torch.manual_seed(0)
    model = LongformerModel(settings, add_pooling_layer=False).eval()
    ours, expected = vectors(model, settings, [(tokens(14, 1000), tokens(1301, 1000))])
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_a_question_answering_checkpoint_keeps_its_head_apart() -> None:
    theirs = LongformerForQuestionAnswering(config())
    ours = longformer_of(config().to_dict(), theirs.state_dict())
    assert set(ours.heads) == {"span.weight", "span.bias"}
    assert ours.reach == (2, 4, 8)


def test_what_does_not_fit_is_refused_with_the_reason() -> None:
    state = LongformerModel(config(), add_pooling_layer=False).state_dict()
    with pytest.raises(UnsupportedModel, match="bert"):
        longformer_of({**config().to_dict(), "model_type": "bert"}, state)
    with pytest.raises(UnsupportedModel, match="attention_window"):
        longformer_of({**config().to_dict(), "attention_window": [4, 8]}, state)
    with pytest.raises(UnsupportedModel, match="does not fit"):
        longformer_of({**config().to_dict(), "num_hidden_layers": 2, "attention_window": [4, 8]}, state)
