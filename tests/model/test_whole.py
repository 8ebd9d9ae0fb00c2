import pytest
import torch

from model.encoder import load_tokenizer
from model.layers import Shape
from model.network import Group, ReaderNetwork, layout_of, pieces_of, question_ids
from model.reader import Calibration, LongformerReader
from model.whole import document_logits, for_documents

TINY = Shape(width=16, layers=2, heads=2, inner=32, positions=450)
SHORT = Shape(width=16, layers=2, heads=2, inner=32, positions=60)
EVEN = Calibration(bias=0.0, odds=1.0, relevance=0.0, share=0.0, margin=0.0, threshold=0.5)
QUESTION = "Who owned the mill?"


@pytest.fixture
def network() -> ReaderNetwork:
    return random_network(TINY)


def random_network(shape: Shape) -> ReaderNetwork:
    torch.manual_seed(0)
    network = ReaderNetwork(shape, own_global=False).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network


@pytest.mark.parametrize("own_global", [False, True])
def test_a_document_that_one_window_spans_is_read_as_a_passage_of_it_is(
    network: ReaderNetwork, own_global: bool
) -> None:
    tokenizer = load_tokenizer()
    (pieces,) = pieces_of(tokenizer, ["The mill stands in Leith. Its owner was Ada Crane. It burnt in 1903."])
    question = question_ids(tokenizer, QUESTION)
    converted = for_documents(network, positions=1000, own_global=own_global)
    with torch.inference_mode():
        expected = network(layout_of([Group(question=question, passages=[pieces])]))
        found = document_logits(converted, question, pieces, reach=40)
    length = len(pieces.ids)
    torch.testing.assert_close(found.start, expected.start[..., :length], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.end, expected.end[..., :length], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.null_start, expected.null_start, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.relevance, expected.relevance, rtol=1e-4, atol=1e-4)


def test_positions_begin_again_after_each_stretch_and_no_mark_between_is_an_answer() -> None:
    network, tokenizer = random_network(SHORT), load_tokenizer()
    (pieces,) = pieces_of(tokenizer, ["mill weir " * 60])  # more than its table has positions
    question = question_ids(tokenizer, QUESTION)
    with torch.inference_mode():
        found = document_logits(network, question, pieces, reach=4, stretch=20)
    assert found.start.shape == found.end.shape == (1, 1, 120)
    middle = found.start[0, 0, 40:100].view(3, 20)  # whose tokens, positions and neighbours are the same
    torch.testing.assert_close(middle[0, 8:12], middle[1, 8:12], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(middle[0, 8:10], middle[0, 10:12])


def test_the_table_of_positions_is_tiled_and_all_else_is_shared(network: ReaderNetwork) -> None:
    converted = for_documents(network, positions=1000, own_global=True)
    table, tiled = (one.longformer.embeddings.position.weight for one in (network, converted))
    assert tiled.shape == (1000, 16)
    assert torch.equal(tiled[450:900], table)
    assert torch.equal(tiled[900:], table[:100])
    assert converted.span.weight.data_ptr() == network.span.weight.data_ptr()
    state = converted.state_dict()
    assert torch.equal(state["longformer.blocks.1.key_global.bias"], state["longformer.blocks.1.key.bias"])


def test_a_document_longer_than_its_window_and_table_is_read_to_its_end(network: ReaderNetwork) -> None:
    reader = LongformerReader(network, load_tokenizer(), name="tiny", calibration=EVEN)
    text = "the weir 東京 " * 500 + "Zenobia."
    reading = reader.read_document(QUESTION, text, answers=64)
    assert len(reading.relevance) == 1
    assert all(0 <= span.start < span.end <= len(text) and span.passage == 0 for span in reading.spans)
    changed = reader.read_document(QUESTION, text.replace("Zenobia", "Ada Crane"), answers=64)
    assert changed.relevance != reading.relevance, "the question sees the end"


def test_an_empty_document_is_not_answerable(network: ReaderNetwork) -> None:
    reader = LongformerReader(network, load_tokenizer(), name="tiny", calibration=EVEN)
    assert reader.read_document(QUESTION, " \n").spans == ()


def test_what_is_longer_than_one_sequence_is_read_in_several(
    network: ReaderNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.reader.LONGEST_DOCUMENT", 200)
    reader = LongformerReader(network, load_tokenizer(), name="tiny", calibration=EVEN)
    text = "the weir " * 400 + "Zenobia."
    reading = reader.read_document(QUESTION, text, answers=64)
    assert max(span.end for span in reading.spans) > len(text) // 2
    total = sum(span.probability for span in reading.spans)
    assert total <= 1.0 + 1e-5
