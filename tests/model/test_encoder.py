import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import model.encoder
from model.encoder import MiniLMEncoder, embed, load_tokenizer, load_transformer, minilm_folder, pad
from model.errors import WeightsCorrupt, WeightsMissing
from model.named_encoder import NamedEncoder, load_encoder

TEXTS = ["The mill stands in Leith.", "水车在利斯。", "x " * 400, "", "Résumé — naïve 👩‍🚀!"]


@pytest.fixture(scope="module")
def named() -> NamedEncoder:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's own, at its import
        return NamedEncoder(str(minilm_folder()))


@pytest.fixture(scope="module")
def exact_encoder() -> MiniLMEncoder:
    """In fp32, whatever this CPU is fastest in."""
    return MiniLMEncoder.load(dtype=torch.float32)


def test_vectors_equal_those_of_sentence_transformers(exact_encoder: MiniLMEncoder, named: NamedEncoder) -> None:
    np.testing.assert_allclose(exact_encoder.encode_passages(TEXTS), named.encode_passages(TEXTS), atol=2e-6)
    np.testing.assert_allclose(exact_encoder.encode_queries(TEXTS), named.encode_queries(TEXTS), atol=2e-6)
    assert exact_encoder.count_word_pieces(TEXTS) == named.count_word_pieces(TEXTS)
    assert exact_encoder.dimension == named.dimension == 384
    assert exact_encoder.longest == named.longest


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_the_fastest_type_turns_a_vector_by_less_than_a_degree(
    dtype: torch.dtype | None, exact_encoder: MiniLMEncoder
) -> None:
    cosines = (MiniLMEncoder.load(dtype=dtype).encode_passages(TEXTS) * exact_encoder.encode_passages(TEXTS)).sum(1)
    assert cosines.min() > math.cos(math.radians(1))


def test_a_text_has_the_same_vector_alone_and_among_others(exact_encoder: MiniLMEncoder) -> None:
    among = exact_encoder.encode_passages(TEXTS)
    for text, row in zip(TEXTS, among, strict=True):
        np.testing.assert_allclose(exact_encoder.encode_passages([text])[0], row, atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(among, axis=1), 1.0, atol=1e-6)
    assert exact_encoder.encode_passages([]).shape == (0, 384)


def test_texts_without_their_padding_have_the_vectors_that_they_have_with_it() -> None:
    transformer, tokenizer = load_transformer(), load_tokenizer()
    as_long = ["The mill stands.", "The barge sank.", "The lock leaks."]
    tokens, mask = pad([encoding.ids for encoding in tokenizer.encode_batch([*as_long, *TEXTS])])
    padded = embed(transformer, tokens, mask).detach()
    with torch.inference_mode():
        packed = embed(transformer, tokens, mask)
    torch.testing.assert_close(packed, padded, atol=1e-6, rtol=0)


def test_texts_of_any_lengths_are_multiplied_in_few_numbers_of_rows() -> None:
    transformer, tokenizer = load_transformer(), load_tokenizer()
    encoder = MiniLMEncoder(transformer, tokenizer, name="counted", dimension=384)
    rows: set[int] = set()
    for block in transformer.blocks:
        for part in (block.query, block.output, block.up, block.down):
            part.register_forward_pre_hook(lambda _, x: rows.add(x[0].numel() // x[0].shape[-1]))
    for words in range(1, 120):
        encoder.encode_passages(["tide " * words, "lock " * (2 * words), "mill " * (words % 9)])
    assert max(rows) > 300
    assert all(count % (16 if count <= 128 else 128) == 0 for count in rows), "kernels are kept for each number of rows"


def test_what_is_past_the_longest_length_is_cut_and_nothing_before_it(real_encoder: MiniLMEncoder) -> None:
    fits = "word " * real_encoder.longest
    vectors = real_encoder.encode_passages([fits, fits + "zebra", fits[:-5] + "zebra"])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=2e-6)
    assert not np.allclose(vectors[0], vectors[2], atol=1e-4)


def test_other_weights_than_the_pinned_ones_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model.encoder, "minilm_folder", lambda: tmp_path)
    with pytest.raises(WeightsMissing, match="reinstall"):
        MiniLMEncoder.load()
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(WeightsCorrupt, match="SHA-256"):
        MiniLMEncoder.load()


def test_a_folder_without_a_model_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="no encoder"):
        load_encoder(str(tmp_path))


def test_no_name_is_the_packaged_minilm_and_a_name_is_told_apart(named: NamedEncoder) -> None:
    assert load_encoder(None).version == "all-MiniLM-L6-v2@53aa51172d14"
    assert named.version.startswith("model@")
