import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from model.checkpoints import load_checkpoint
from model.encoder import minilm_folder
from model.errors import UnsupportedModel, WeightsCorrupt, WeightsMissing
from model.named_reader import CheckpointReader, load_reader
from model.span_networks import PairNetwork, SequenceNetwork, span_network_of
from model.text_pairs import PairTokenizer
from tests.fakes import HashingEncoder

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the library's own, at its import
    import transformers

QUESTION = "Who owned the mill at Leith?"
PASSAGES = [
    "The mill stands in Leith, above the weir.",
    "Its owner was Ada Crane — 東京 and São Paulo  bought\tflour of her 👩‍🚀 crew.",
    "It burnt in 1903 and was rebuilt.",
]
SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("Bert", {**SIZES, "vocab_size": 30522, "max_position_embeddings": 80}),
    "electra": ("Electra", {**SIZES, "vocab_size": 30522, "max_position_embeddings": 80, "embedding_size": 32}),
    "distilbert": (
        "DistilBert",
        {"dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 48, "vocab_size": 30522, "max_position_embeddings": 80},
    ),
    "roberta": ("Roberta", {**SIZES, "vocab_size": 400, "max_position_embeddings": 82, "type_vocab_size": 1}),
    "longformer": (
        "Longformer",
        {
            **SIZES,
            "vocab_size": 400,
            "max_position_embeddings": 162,
            "type_vocab_size": 1,
            "attention_window": [4, 8, 16],
        },
    ),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small random checkpoint of each family, as its own library saves it, with a tokenizer of its kind."""
    root = tmp_path_factory.mktemp("checkpoints")
    byte_level = root / "byte-level"
    byte_level.mkdir()
    train_byte_level().model.save(str(byte_level))
    found = {}
    for family, (prefix, settings) in FAMILIES.items():
        folder = found[family] = root / family
        torch.manual_seed(len(family))
        config = getattr(transformers, f"{prefix}Config")(**settings)
        network = getattr(transformers, f"{prefix}ForQuestionAnswering")(config).eval()
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.2)  # their own start hardly tells one place from another
        network.save_pretrained(folder)
        if family in ("roberta", "longformer"):
            for file in ("vocab.json", "merges.txt"):
                (folder / file).write_bytes((byte_level / file).read_bytes())
        else:
            (folder / "tokenizer.json").write_bytes((minilm_folder() / "tokenizer.json").read_bytes())
    return found


def train_byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=380,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([QUESTION, *PASSAGES] * 3, trainer)
    return tokenizer


def theirs(folder: Path, family: str, passages: list[str]) -> tuple[list[list[int]], Tensor, Tensor]:
    """Their own tokenizer's pairs, and their own model's start and end logits [P, L]."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.pad_token or "[PAD]"
    pairs = tokenizer([QUESTION] * len(passages), passages, padding=True, return_tensors="pt")
    network = getattr(transformers, f"{FAMILIES[family][0]}ForQuestionAnswering").from_pretrained(folder).eval()
    if family == "distilbert":
        pairs.pop("token_type_ids", None)
    with torch.inference_mode():
        scores = network(**pairs)
    return pairs["input_ids"].tolist(), scores.start_logits, scores.end_logits


@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_gives_the_logits_that_its_own_library_gives(family: str, folders: dict[str, Path]) -> None:
    passages = PASSAGES[1:2] if family == "longformer" else PASSAGES
    ids, start, end = theirs(folders[family], family, passages)
    checkpoint = load_checkpoint(str(folders[family]))
    pairs = PairTokenizer(checkpoint.tokenizer)
    network = span_network_of(checkpoint, pairs.template, pairs.line_end)
    assert isinstance(network, PairNetwork | SequenceNetwork)
    network.eval()
    question, pieces = pairs.question(QUESTION), pairs.pieces(passages)
    with torch.inference_mode():
        logits = network.logits(question, pieces)
    skipped = len(pairs.template.before) + len(question) + len(pairs.template.between)
    for row, passage in enumerate(pieces):
        length = len(passage.ids)
        assert ids[row][skipped : skipped + length] == passage.ids
        written = torch.tensor([first < last for first, last in passage.offsets])
        for ours, expected in ((logits.start, start), (logits.end, end)):
            wanted = expected[row, skipped : skipped + length].masked_fill(~written, float("-inf"))
            torch.testing.assert_close(ours[0, row, :length], wanted, rtol=1e-4, atol=1e-4)
    least = (start[:, 0] + end[:, 0]).argmin()
    torch.testing.assert_close(logits.null_start[0], start[least, 0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits.null_end[0], end[least, 0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_it_reads_a_folder_and_answers_with_spans_of_the_passages(family: str, folders: dict[str, Path]) -> None:
    reader = load_reader(str(folders[family]))
    assert isinstance(reader, CheckpointReader)
    assert reader.name.startswith(f"{family}@")
    reading = reader.read(QUESTION, [*PASSAGES, "", "  \n "], answers=50)
    assert len(reading.relevance) == 5
    assert reading.relevance[3:] == (float("-inf"), float("-inf"))
    assert reading.spans
    for span in reading.spans:
        quote = PASSAGES[span.passage][span.start : span.end]
        assert quote == quote.strip() != ""
        assert span.confidence == span.probability <= 1.0
    assert reader.read(QUESTION, ["", " "]).spans == ()


@pytest.mark.parametrize("family", FAMILIES)
def test_passages_longer_than_its_positions_are_read_to_their_end(family: str, folders: dict[str, Path]) -> None:
    reader = CheckpointReader(load_checkpoint(str(folders[family])), dtype=torch.float32)
    long = "the weir " * 150 + "Zenobia"
    decoded, relevance = reader.decode(QUESTION, [PASSAGES[0], long])
    assert len(relevance) == 2
    ends = [found.end for found in reader.read(QUESTION, [long], answers=64).spans]
    assert max(ends) > len(long) - 400
    whole = reader.read_document(QUESTION, long, answers=64)
    assert max(span.end for span in whole.spans) > len(long) - 400
    total = decoded.null + sum(found.probability for found in decoded.candidates)
    assert total <= 1.0 + 1e-5


def test_without_a_target_it_answers_where_the_best_answer_is_likelier_than_none(folders: dict[str, Path]) -> None:
    reader = CheckpointReader(load_checkpoint(str(folders["bert"])), dtype=torch.float32)
    decoded, _ = reader.decode(QUESTION, PASSAGES)
    reading = reader.read(QUESTION, PASSAGES)
    assert reading.answerable == (decoded.candidates[0].probability >= decoded.null)
    assert reader.read(QUESTION, PASSAGES, target_error=1.0).answerable
    assert not reader.read(QUESTION, PASSAGES, target_error=0.0).answerable


def test_one_softmax_is_over_all_passages_and_the_weakest_null(folders: dict[str, Path]) -> None:
    ids, start, end = theirs(folders["bert"], "bert", PASSAGES)
    decoded, _ = CheckpointReader(load_checkpoint(str(folders["bert"])), dtype=torch.float32).decode(QUESTION, PASSAGES)
    null = (start[:, 0] + end[:, 0]).min()
    least = (start[:, 0] + end[:, 0]).argmin()
    total = torch.tensor(0.0)
    for scores in (start, end):
        spans = [scores[row, ids[row].index(102) + 1 : len(it) - it[::-1].index(102) - 1] for row, it in enumerate(ids)]
        total += torch.cat([scores[least, :1], *spans]).logsumexp(0)
    assert decoded.null == pytest.approx(float((null - total).exp()), rel=1e-3)


def test_the_order_of_passages_does_not_change_what_a_bert_answers(folders: dict[str, Path]) -> None:
    reader = CheckpointReader(load_checkpoint(str(folders["bert"])), dtype=torch.float32)
    one, _ = reader.decode(QUESTION, PASSAGES)
    other, _ = reader.decode(QUESTION, PASSAGES[::-1])
    assert [(it.passage, it.start, it.end) for it in one.candidates[:5]] == [
        (2 - it.passage, it.start, it.end) for it in other.candidates[:5]
    ]


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_offsets_are_code_points_without_the_space_before_a_word(family: str, folders: dict[str, Path]) -> None:
    pairs = PairTokenizer(load_checkpoint(str(folders[family])).tokenizer)
    text = "  Ada 👩‍🚀 e\u0301te\u0301 — 東京\n\n and  São\tPaulo "
    (pieces,) = pairs.pieces([text])
    covered = [text[start:end] for start, end in pieces.offsets]
    assert all(part == part.strip() for part in covered)
    assert "".join(text[a:b] for a, b in sorted(set(pieces.offsets))).replace(" ", "").startswith("Ada👩")
    reached = {place for start, end in pieces.offsets for place in range(start, end)}
    assert {place for place, character in enumerate(text) if character.isalnum()} <= reached


def run(code: str, **environment: str) -> str:
    """Standard output of a Python of its own, in which no socket can be connected."""
    guard = (
        "import socket\ndef no(*a, **k): raise AssertionError('a connection was made')\nsocket.socket.connect = no\n"
    )
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", guard + code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


SHOW = """
import sys
from model.named_reader import load_reader
def show(name):
    reader = load_reader(name)
    print(reader.name, len(reader.read("Who?", ["Ada Crane owned it."]).spans) > 0)
    print(*[name for name in ("transformers", "huggingface_hub") if name in sys.modules])
"""


def test_a_folder_makes_no_connection_and_imports_no_library_of_the_hub(folders: dict[str, Path]) -> None:
    calls = f"show({str(folders['bert'])!r})\nshow({str(folders['roberta'])!r})"  # which has no tokenizer.json
    shown, imported, vocabulary = run(SHOW + calls).split("\n")[:3]
    assert shown.startswith("bert@")
    assert shown.endswith(" True")
    assert imported == ""
    assert vocabulary.startswith("roberta@")


def test_a_hub_s_name_is_looked_up_in_the_hub_s_own_cache(folders: dict[str, Path], tmp_path: Path) -> None:
    kept = tmp_path / "hub" / "models--lectern--tiny-squad"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text("0" * 40)
    shutil.copytree(folders["bert"], kept / "snapshots" / ("0" * 40))
    missing = """
from model.errors import WeightsMissing
try:
    load_reader("lectern/unknown")
except WeightsMissing as error:
    print(error)
"""
    offline = {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    shown, _, refused = run(SHOW + "show('lectern/tiny-squad')" + missing, **offline).split("\n")[:3]
    assert shown.startswith("tiny-squad@")
    assert refused.startswith("no checkpoint 'lectern/unknown'")


def test_weights_in_several_files_are_one_checkpoint(folders: dict[str, Path], tmp_path: Path) -> None:
    whole = CheckpointReader(load_checkpoint(str(folders["bert"])), dtype=torch.float32)
    folder = changed(folders["bert"], tmp_path / "parts")
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(state)
    parts = {"one.safetensors": names[::2], "two.safetensors": names[1::2]}
    for file, some in parts.items():
        save_file({name: state[name] for name in some}, folder / file)
    index = {"weight_map": {name: file for file, some in parts.items() for name in some}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    again = CheckpointReader(load_checkpoint(str(folder)), dtype=torch.float32)
    assert again.decode(QUESTION, PASSAGES) == whole.decode(QUESTION, PASSAGES)
    assert again.name.split("@")[1] != whole.name.split("@")[1]


def changed(folder: Path, copy: Path, **config: object) -> Path:
    shutil.copytree(folder, copy)
    settings = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**settings, **config}))
    return copy


def test_what_cannot_be_a_reader_is_refused_with_the_reason(folders: dict[str, Path], tmp_path: Path) -> None:
    def refused(copy: Path, error: type[Exception], why: str) -> None:
        with pytest.raises(error, match=why):
            load_reader(str(copy))

    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", WeightsMissing, r"expected config\.json")
    pickled = changed(folders["bert"], tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    refused(pickled, WeightsMissing, "no safetensors")
    cut_off = changed(folders["bert"], tmp_path / "cut")
    (cut_off / "model.safetensors").write_bytes((cut_off / "model.safetensors").read_bytes()[:-9])
    refused(cut_off, WeightsCorrupt, "cannot be read")
    refused(changed(folders["bert"], tmp_path / "t5", model_type="t5"), UnsupportedModel, "'t5', expected one of")
    relu = changed(folders["bert"], tmp_path / "relu", hidden_act="relu")
    refused(relu, UnsupportedModel, "hidden_act 'relu', expected 'gelu'")
    relative = changed(folders["bert"], tmp_path / "relative", position_embedding_type="relative_key")
    refused(relative, UnsupportedModel, "position_embedding_type")
    headless = changed(folders["bert"], tmp_path / "headless")
    state = load_file(headless / "model.safetensors")
    save_file({name: x for name, x in state.items() if "qa_outputs" not in name}, headless / "model.safetensors")
    refused(headless, UnsupportedModel, "not trained to answer questions")
    untokenized = changed(folders["bert"], tmp_path / "untokenized")
    (untokenized / "tokenizer.json").write_text("{}")
    refused(untokenized, WeightsCorrupt, "is no tokenizer")


def test_the_service_names_the_reader_of_its_setting_in_every_reply(folders: dict[str, Path], tmp_path: Path) -> None:
    from fastapi.testclient import TestClient

    from app.main import create_app
    from app.settings import load_settings
    from app.wiring import build

    settings = load_settings({"LECTERN_DATA_DIR": str(tmp_path), "LECTERN_READER": str(folders["longformer"])})
    app = create_app(settings, make=lambda given: build(given, encoder=HashingEncoder()))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        name = client.get("/readyz").json()["models"]["reader"]
        reply = client.post("/ask", json={"question": QUESTION, "text": PASSAGES[1], "target_error": 1}).json()
    assert name.startswith("longformer@")
    assert reply["model"]["reader"] == name
    (cited,) = reply["citations"][:1]
    assert PASSAGES[1][cited["start"] : cited["end"]] == cited["quote"] == reply["answer"]
