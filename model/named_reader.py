"""Any question-answering checkpoint of Longformer's or BERT's family as the reader, when a setting names one."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from model.checkpoints import Checkpoint, load_checkpoint
from model.decoding import Decoded, cut, decode_blocks, read_closer, reading_of
from model.errors import UnsupportedModel
from model.layers import fastest_dtype
from model.reader import LONGEST_PASSAGE, OVERLAP, LongformerReader
from model.span_networks import span_network_of
from model.text_pairs import PairTokenizer
from model.types import Reading
from model.whole import LONGEST_DOCUMENT


class CheckpointReader:
    """Reads with a checkpoint of others; satisfies the service's Reader protocol.

    Nothing is known of how often it is right, so `confidence` is the share that an answer has in the checkpoint's own
    softmax over all passages and null. Without a `target_error` it answers where the best answer is likelier than null.
    """

    def __init__(self, checkpoint: Checkpoint, *, dtype: torch.dtype | None = None) -> None:
        """Without a type, in the fastest one of this CPU. Raises UnsupportedModel where the checkpoint does not fit."""
        self._tokenizer = PairTokenizer(checkpoint.tokenizer)
        self._network = span_network_of(checkpoint, self._tokenizer.template, self._tokenizer.line_end)
        if isinstance(self._network, nn.Module):
            self._network.eval().to(dtype or fastest_dtype()).requires_grad_(False)
        self.name = checkpoint.name

    def read(
        self, question: str, passages: Sequence[str], *, target_error: float | None = None, answers: int = 5
    ) -> Reading:
        """The best distinct answers to `question` in `passages`, at most `answers` of them."""
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
        """The best distinct answers in a whole text, in stretches as long as the checkpoint's positions allow."""
        decoded, relevance = self.decode(question, [text], longest=LONGEST_DOCUMENT)
        return self._reading(decoded, relevance, target_error=target_error, answers=answers)

    def _reading(
        self, decoded: Decoded, relevance: tuple[float, ...], *, target_error: float | None, answers: int
    ) -> Reading:
        return reading_of(
            decoded,
            relevance,
            confidence=lambda candidate: min(1.0, candidate.probability),
            least=decoded.null if target_error is None else 1.0 - target_error,
            answers=answers,
        )

    def decode(
        self, question: str, passages: Sequence[str], *, longest: int = LONGEST_PASSAGE
    ) -> tuple[Decoded, tuple[float, ...]]:
        """Answers and one relevance logit a passage; empty passages are never answered from.

        A passage of more than `longest` pieces, or than there is room for, is read in stretches that overlap.

        Raises UnsupportedModel where the checkpoint's positions have no room beside the question.
        """
        asked = self._tokenizer.question(question)
        longest = min(longest, self._network.room(len(asked)))
        if longest < 1:
            raise UnsupportedModel(f"a question of {len(asked)} pieces leaves no room for a passage")
        overlap = min(OVERLAP, longest // 4)
        pieces = self._tokenizer.pieces(passages)
        blocks = [
            (index, block)
            for index, passage in enumerate(pieces)
            for block in cut(passage, longest=longest, overlap=overlap)
            if any(start < end for start, end in block.offsets)
        ]
        if not blocks:
            return Decoded(candidates=(), null=1.0), tuple(-math.inf for _ in passages)
        with torch.inference_mode():
            logits = self._network.logits(asked, [block for _, block in blocks])
            return decode_blocks(logits, blocks, texts=passages)


def load_reader(name: str | None) -> LongformerReader | CheckpointReader:
    """The reader of a setting: a folder with a manifest of ours, any other folder or hub's name a checkpoint of others.

    None is the reader that ships. Raises WeightsMissing, WeightsCorrupt and UnsupportedModel.
    """
    if name is None:
        return LongformerReader.load()
    if (Path(name) / "reader.json").is_file():
        return LongformerReader.load(Path(name))
    return CheckpointReader(load_checkpoint(name))
