"""The reader that ships: weights and manifest to answers with calibrated confidence."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load
from tokenizers import Tokenizer

from model.decoding import FLOOR, Candidate, Decoded, cut, decode_blocks, read_closer, reading_of
from model.encoder import load_tokenizer, word_embeddings
from model.errors import UnsupportedModel
from model.layers import Shape, fastest_dtype
from model.network import WORDS, Group, Logits, ReaderNetwork, layout_of, pieces_of, question_ids
from model.types import Reading
from model.weights_files import WEIGHTS, load_weights
from model.whole import LONGEST_DOCUMENT, document_logits

LONGEST_PASSAGE = 384  # word pieces read as one block; a longer passage becomes several that overlap
OVERLAP = 64


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How scores become the chance of being right: a logistic regression fitted on validation data.

    `threshold` is the least confidence at which the service answers by default: best F1 on that data.
    """

    bias: float
    odds: float
    relevance: float
    share: float
    margin: float
    threshold: float

    def confidence(self, candidate: Candidate, decoded: Decoded, *, relevance: float) -> float:
        """The calibrated chance that this one of the decoded candidates is right."""
        features = features_of(candidate, decoded, relevance=relevance)
        weights = (self.odds, self.relevance, self.share, self.margin)
        score = self.bias + sum(weight * feature for weight, feature in zip(weights, features, strict=True))
        return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, score))))


def features_of(candidate: Candidate, decoded: Decoded, *, relevance: float) -> tuple[float, float, float, float]:
    """What the calibration looks at: its log odds against null, its passage's relevance logit, its log probability.

    And its margin, the log odds against the likeliest other answer.
    """
    rival = next((other for other in decoded.candidates if other != candidate), None)
    mine, null, other = (
        math.log(max(probability, FLOOR))
        for probability in (candidate.probability, decoded.null, rival.probability if rival else 0.0)
    )
    return mine - null, relevance, mine, mine - other


class LongformerReader:
    """Reads all passages of a question in one sequence; satisfies the service's Reader protocol."""

    def __init__(self, network: ReaderNetwork, tokenizer: Tokenizer, *, name: str, calibration: Calibration) -> None:
        self._network = network.eval()
        self._tokenizer = tokenizer
        self.name = name
        self.calibration = calibration

    @classmethod
    def load(cls, path: Path | None = None) -> "LongformerReader":
        """Loads `reader.json` and the weights that it names from a folder; without one, those that ship.

        Raises WeightsMissing, WeightsCorrupt and UnsupportedModel.
        """
        manifest, data = load_weights(path or WEIGHTS, "reader")
        network = build_network(manifest)
        network.load_state_dict({WORDS: word_embeddings(), **load(data)}, assign=True)
        network.to(fastest_dtype()).requires_grad_(False)
        name = f"{manifest['name']}@{manifest['sha256'][:12]}"
        return cls(network, load_tokenizer(), name=name, calibration=Calibration(**manifest["calibration"]))

    def read(
        self, question: str, passages: Sequence[str], *, target_error: float | None = None, answers: int = 5
    ) -> Reading:
        """The best distinct answers to `question` in `passages`, at most `answers` of them.

        `target_error` is the chance of a wrong answer above which the reading is not answerable; None stands for the
        shipped threshold.
        """
        return self._reading(*self.decode(question, passages), target_error=target_error, answers=answers)

    def read_again(
        self,
        question: str,
        reading: Reading,
        passages: Sequence[str],
        closer: Sequence[str],
        *,
        target_error: float | None = None,
        answers: int = 5,
    ) -> Reading:
        """A reading of passages after each `closer` text, which holds its likeliest answer, was read alone too."""
        decoded = read_closer(reading, passages, closer, decode=lambda text: self.decode(question, [text])[0])
        return self._reading(decoded, reading.relevance, target_error=target_error, answers=answers)

    def read_document(
        self, question: str, text: str, *, target_error: float | None = None, answers: int = 5
    ) -> Reading:
        """The best distinct answers to `question` in a whole text, read in one sequence with a sliding window.

        A text of more than LONGEST_DOCUMENT word pieces is read in several, which overlap, under one softmax.
        `confidence` is by the calibration of passages.
        """
        (pieces,) = pieces_of(self._tokenizer, [text])
        blocks = [(0, some) for some in cut(pieces, longest=LONGEST_DOCUMENT, overlap=OVERLAP)]
        if not blocks:
            return Reading(spans=(), answerable=False, confidence=0.0, relevance=(-math.inf,), null=1.0)
        asked = question_ids(self._tokenizer, question)
        with torch.inference_mode():
            logits = Logits.joined([document_logits(self._network, asked, some) for _, some in blocks])
            decoded, relevance = decode_blocks(logits, blocks, texts=[text])
        return self._reading(decoded, relevance, target_error=target_error, answers=answers)

    def _reading(
        self, decoded: Decoded, relevance: tuple[float, ...], *, target_error: float | None, answers: int
    ) -> Reading:
        return reading_of(
            decoded,
            relevance,
            confidence=lambda candidate: self.calibration.confidence(
                candidate, decoded, relevance=relevance[candidate.passage]
            ),
            least=self.calibration.threshold if target_error is None else 1.0 - target_error,
            answers=answers,
        )

    def decode(self, question: str, passages: Sequence[str]) -> tuple[Decoded, tuple[float, ...]]:
        """Uncalibrated answers and one relevance logit a passage; empty passages are never answered from."""
        pieces = pieces_of(self._tokenizer, passages)
        blocks = [
            (index, block)
            for index, passage in enumerate(pieces)
            for block in cut(passage, longest=LONGEST_PASSAGE, overlap=OVERLAP)
        ]
        if not blocks:
            return Decoded(candidates=(), null=1.0), tuple(-math.inf for _ in passages)
        group = Group(question=question_ids(self._tokenizer, question), passages=[block for _, block in blocks])
        with torch.inference_mode():
            logits = self._network(layout_of([group]))
            return decode_blocks(logits, blocks, texts=passages)


def build_network(manifest: Mapping[str, Any]) -> ReaderNetwork:
    """An empty network, on the meta device, of the shape that a manifest describes. Raises UnsupportedModel."""
    if manifest.get("architecture") != "longformer-reader":
        raise UnsupportedModel(f"architecture {manifest.get('architecture')!r}, expected 'longformer-reader'")
    with torch.device("meta"):
        return ReaderNetwork(Shape(**manifest["shape"]), own_global=manifest["own_global"])
