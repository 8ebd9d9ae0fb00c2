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


@pytest.mark.parametrize("asked", [1, 5])
@pytest.mark.parametrize("length", [3, 24, 61, 100])
def test_a_longformer_of_hugging_face_gives_equal_vectors_through_our_attention(asked: int, length: int) -> None:
    torch.manual_seed(length)
    theirs = LongformerModel(config(), add_pooling_layer=False).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # their own start has global projections that hardly differ
    ours = longformer_of(config().to_dict(), theirs.state_dict())
    ids = torch.randint(2, 99, (1, asked + length))
    seen = torch.zeros_like(ids)
    seen[:, :asked] = 1
    with torch.inference_mode():
        expected = theirs(ids, global_attention_mask=seen).last_hidden_state[0]
        layout = document_layout(ids[0, :asked].tolist(), ids[0, asked:].tolist(), reach=ours.reach)
        question, blocks = ours.longformer.eval()(layout)
    torch.testing.assert_close(question[0], expected[:asked], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(blocks.flatten(1, 2)[0, :length], expected[asked:], rtol=1e-4, atol=1e-4)


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
