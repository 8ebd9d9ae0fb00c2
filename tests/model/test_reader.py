import hashlib
import json
import math
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from model.decoding import Candidate, Decoded, agreed, decode, normalized
from model.encoder import load_tokenizer
from model.errors import UnsupportedModel, WeightsCorrupt, WeightsMissing
from model.layers import Shape
from model.network import Logits, Pieces, ReaderNetwork, pieces_of
from model.reader import LONGEST_PASSAGE, Calibration, LongformerReader
from model.types import Reading, ReadSpan

TINY = Shape(width=16, layers=2, heads=2, inner=32)
EVEN = Calibration(bias=0.0, odds=1.0, relevance=0.0, share=0.0, margin=0.0, threshold=0.5)


@pytest.fixture(scope="module")
def reader() -> LongformerReader:
    torch.manual_seed(0)
    return LongformerReader(ReaderNetwork(TINY, own_global=False), load_tokenizer(), name="tiny", calibration=EVEN)


def logits_of(start: list[list[float]], end: list[list[float]], *, null: float = 0.0) -> Logits:
    return Logits(
        start=torch.tensor([start]),
        end=torch.tensor([end]),
        null_start=torch.tensor([null]),
        null_end=torch.tensor([null]),
        relevance=torch.zeros(1, len(start)),
    )


def words(text: str) -> Pieces:
    offsets, at = [], 0
    for word in text.split():
        begin = text.index(word, at)
        at = begin + len(word)
        offsets.append((begin, at))
    return Pieces(ids=list(range(len(offsets))), offsets=offsets)


def test_the_probabilities_of_one_string_at_several_places_add_up() -> None:
    texts = ["in Rome now", "at ROME, then"]
    low = -9.0
    logits = logits_of([[low, 1.0, low], [low, 1.5, low]], [[low, 1.0, low], [low, 1.5, low]], null=2.0)
    decoded = decode(logits, 0, passages=[words(text) for text in texts], texts=texts)
    best = decoded.candidates[0]
    assert (best.passage, texts[1][best.start : best.end]) == (1, "ROME,")
    total = 4 * math.exp(low) + math.exp(1.0) + math.exp(1.5) + math.exp(2.0)
    assert best.probability == pytest.approx((math.exp(2.0) + math.exp(3.0)) / total**2, rel=1e-4)
    assert decoded.null == pytest.approx(math.exp(4.0) / total**2, rel=1e-4)


def test_probabilities_of_all_spans_and_null_never_exceed_one(reader: LongformerReader) -> None:
    decoded, _ = reader.decode("Who wrote it?", ["Ann wrote it.", "Bob read it, and Cy burnt it."])
    assert decoded.null + sum(candidate.probability for candidate in decoded.candidates) <= 1.0 + 1e-6


def test_a_span_never_ends_before_it_starts_nor_crosses_a_passage(reader: LongformerReader) -> None:
    passages = ["One two three four five six.", "七八九十。", "👩‍🚀 flew to São Paulo — twice."]
    for question in ("Which number?", "Where?", "谁？"):
        reading = reader.read(question, passages, answers=20)
        assert reading.spans
        for span in reading.spans:
            assert 0 <= span.start < span.end <= len(passages[span.passage])


def test_offsets_are_code_points_also_behind_emoji_and_accents() -> None:
    text = "👩‍🚀 e\u0301te\u0301 Ünal 東京 end"
    (pieces,) = pieces_of(load_tokenizer(), [text])
    covered = [text[start:end] for start, end in pieces.offsets]
    assert covered[-1] == "end"
    assert "東" in covered
    assert "Ünal" in "".join(covered)


def test_the_order_of_passages_does_not_change_the_answer(reader: LongformerReader) -> None:
    passages = ["The mill stands in Leith.", "Its owner was Ada Crane.", "It burnt in 1903 and was rebuilt."]
    one, relevance = reader.decode("Who owned the mill?", passages)
    other, turned = reader.decode("Who owned the mill?", passages[::-1])
    assert [(2 - c.passage, c.start, c.end) for c in one.candidates[:5]] == [
        (c.passage, c.start, c.end) for c in other.candidates[:5]
    ]
    assert turned[::-1] == pytest.approx(relevance, abs=1e-5)


def test_the_end_of_a_passage_longer_than_a_block_is_read_too(reader: LongformerReader) -> None:
    filler = "word " * (3 * LONGEST_PASSAGE)
    decoded, relevance = reader.decode("Who?", [filler + "Zenobia"])
    assert len(relevance) == 1
    assert all(candidate.passage == 0 for candidate in decoded.candidates)
    starts = reader.read("Who?", [filler + "Zenobia"], answers=64).spans
    assert max(span.end for span in starts) > len(filler) - 5 * LONGEST_PASSAGE


def test_nothing_to_read_is_not_answerable(reader: LongformerReader) -> None:
    for passages in ([], ["", "   "]):
        reading = reader.read("Who?", passages)
        assert reading.spans == ()
        assert not reading.answerable
        assert len(reading.relevance) == len(passages)


def test_target_error_decides_what_is_answerable(reader: LongformerReader) -> None:
    passages = ["Ann wrote it."]
    confidence = reader.read("Who wrote it?", passages).confidence
    assert reader.read("Who wrote it?", passages, target_error=1.0 - confidence + 1e-6).answerable
    assert not reader.read("Who wrote it?", passages, target_error=1.0 - confidence - 1e-6).answerable


SEVERAL = ["Rome fell to Ann.", "Bob took Oslo."]
ROME, OSLO = (
    Candidate(passage=0, start=0, end=4, probability=0.4),
    Candidate(passage=1, start=9, end=13, probability=0.35),
)


def reading(*candidates: Candidate, null: float) -> Reading:
    """The reading of SEVERAL with these answers."""
    spans = tuple(ReadSpan(**asdict(it), confidence=0.5) for it in candidates)
    return Reading(spans=spans, answerable=True, confidence=0.5, relevance=(0.0, 0.0), null=null)


def alone(probability: float, *, null: float) -> Decoded:
    """The first four characters of a text, at so much."""
    return Decoded(candidates=(Candidate(passage=0, start=0, end=4, probability=probability),), null=null)


def test_an_answer_that_the_text_around_it_bears_out_overtakes_one_that_it_does_not() -> None:
    first = reading(ROME, OSLO, null=0.2)
    after = agreed(first, SEVERAL, {"Oslo, which Bob took": alone(0.7, null=0.2)})
    assert [(it.passage, it.start, it.end) for it in after.candidates] == [(1, 9, 13), (0, 0, 4)]
    after = agreed(first, SEVERAL, {"rome! fell": alone(0.7, null=0.2)})
    assert [it.passage for it in after.candidates] == [0, 1], "strings are told apart as in a first reading"
    assert after.candidates[0].probability > 0.7, "what every reading says is surer than what one says"


def test_a_second_look_adds_no_answer_and_loses_none() -> None:
    first = reading(ROME, OSLO, null=0.2)
    after = agreed(first, SEVERAL, {"Lima": alone(0.9, null=0.05)})
    assert {(it.passage, it.start, it.end) for it in after.candidates} == {(0, 0, 4), (1, 9, 13)}
    shares = [it.probability / (1 - after.null) for it in after.candidates]
    assert sum(shares) == pytest.approx(0.75 / 0.8), "they have what they had together"
    assert agreed(first, SEVERAL, {"-": Decoded(candidates=(), null=1.0)}).null == pytest.approx(0.2)


def test_what_speaks_against_any_answer_is_the_mean_of_its_log_odds() -> None:
    first = reading(ROME, null=0.5)
    assert agreed(first, SEVERAL, {"Rome": alone(0.2, null=0.8)}).null == pytest.approx(2 / 3)
    certain = agreed(first, SEVERAL, {"Rome": alone(1.0, null=0.0)})
    assert 0 < certain.null < 1e-4
    assert certain.candidates[0].probability <= 1


def test_what_is_read_again_decides_by_the_same_rules(reader: LongformerReader) -> None:
    passages = ["Ann wrote it in 1903.", "Bob read it in Rome, and Cy burnt it."]
    first = reader.read("Who wrote it?", passages, answers=20)
    after = reader.read_again("Who wrote it?", first, passages, passages[:1] * 2, answers=2)
    assert len(after.spans) == 2
    assert after.relevance == first.relevance
    assert after == reader.read_again("Who wrote it?", first, passages, passages[:1], answers=2), "a text counts once"
    assert not reader.read_again("Who wrote it?", first, passages, passages, target_error=0.0).answerable
    assert reader.read_again("Who wrote it?", first, passages, passages, target_error=1.0).answerable


@pytest.mark.parametrize(
    ("one", "other"), [("The Rhine.", "rhine"), ("an  apple", "Apple"), ("U.S.", "us"), ("«东京»", "«东京»")]
)
def test_strings_that_differ_in_case_articles_or_punctuation_are_one_answer(one: str, other: str) -> None:
    assert normalized(one) == normalized(other)


def test_an_answer_of_punctuation_alone_is_still_told_apart() -> None:
    assert normalized("?") != normalized("!")


def write_weights(folder: Path, **changes: object) -> None:
    torch.manual_seed(0)
    network = ReaderNetwork(Shape(), own_global=False)
    state = {name: x.bfloat16() for name, x in network.state_dict().items() if "embeddings.word" not in name}
    data = save(state)
    (folder / "reader.safetensors").write_bytes(data)
    manifest = {
        "name": "tiny",
        "architecture": "longformer-reader",
        "file": "reader.safetensors",
        "sha256": hashlib.sha256(data).hexdigest(),
        "shape": asdict(Shape()),
        "own_global": False,
        "calibration": asdict(EVEN),
    }
    (folder / "reader.json").write_text(json.dumps(manifest | changes))


def test_weights_are_loaded_only_when_their_checksum_is_the_manifests(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="no reader at"):
        LongformerReader.load(tmp_path)
    write_weights(tmp_path)
    loaded = LongformerReader.load(tmp_path)
    assert loaded.name.startswith("tiny@")
    assert loaded.read("Who?", ["Ann wrote it."]).spans
    data = bytearray((tmp_path / "reader.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "reader.safetensors").write_bytes(data)
    with pytest.raises(WeightsCorrupt, match="SHA-256"):
        LongformerReader.load(tmp_path)


def test_another_architecture_is_refused_by_name(tmp_path: Path) -> None:
    write_weights(tmp_path, architecture="crystal-ball")
    with pytest.raises(UnsupportedModel, match="crystal-ball"):
        LongformerReader.load(tmp_path)
