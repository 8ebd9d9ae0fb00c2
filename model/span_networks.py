"""Question-answering checkpoints as networks: a question and passages in, one table of logits out.

P pairs, L length, N passages, C pieces of the longest passage, W width
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from model.checkpoints import Checkpoint
from model.encoder import Transformer
from model.errors import UnsupportedModel
from model.layers import Shape
from model.longformer import Longformer
from model.network import Logits, Pieces, document_layout
from model.pretrained import longformer_of, transformer_of
from model.text_pairs import Template

BATCH_PIECES = 4_096  # padded pieces of pairs at once: what activations of large models take stays bounded


class SpanNetwork(Protocol):
    """What a reader of checkpoints needs of its network."""

    def room(self, asked: int) -> int:
        """The longest passage, in pieces, that is read beside a question of so many."""

    def logits(self, question: Sequence[int], passages: Sequence[Pieces]) -> Logits:
        """Scores [1, N, C] of a question and passages, all without special tokens, none longer than `room`."""


class PairNetwork(nn.Module):
    """BERT's family: full attention over each passage and the question, as a pair of its own."""

    def __init__(self, transformer: Transformer, shape: Shape, span: nn.Linear, template: Template) -> None:
        super().__init__()
        self.transformer = transformer
        self.span = span
        self._shape = shape
        self._template = template

    def room(self, asked: int) -> int:
        """What the table of positions leaves beside the question and the special tokens."""
        return self._shape.positions - self._template.size - asked

    def logits(self, question: Sequence[int], passages: Sequence[Pieces]) -> Logits:
        """One softmax will be over all passages; null's scores are those of the passage that is least for null.

        Where some passage answers, the others say null rightly: so a null for all counts no more than its weakest.
        """
        first = [*self._template.before, *question, *self._template.between]
        longest = max(len(passage.ids) for passage in passages)
        rows = max(1, BATCH_PIECES // (len(first) + longest + len(self._template.after)))
        scores = torch.cat(
            [self._scores(first, passages[at : at + rows], longest) for at in range(0, len(passages), rows)]
        )
        spans = scores[:, len(first) :]
        null = scores[:, 0]
        least = null[null.sum(-1).argmin()]
        return _logits(spans, passages, null=null, shared_null=least)

    def _scores(self, first: Sequence[int], passages: Sequence[Pieces], longest: int) -> Tensor:
        """fp32 start and end scores [P, L, 2]."""
        after = self._template.after
        tokens = torch.zeros(len(passages), len(first) + longest + len(after), dtype=torch.long)
        mask = torch.zeros_like(tokens, dtype=torch.bool)
        segments = torch.zeros_like(tokens)
        most = self._shape.segments - 1
        for row, passage in enumerate(passages):
            ids = [*first, *passage.ids, *after]
            tokens[row, : len(ids)] = torch.tensor(ids)
            mask[row, : len(ids)] = True
            segments[row, : len(first)] = min(self._template.segments[0], most)
            segments[row, len(first) : len(ids)] = min(self._template.segments[1], most)
        scores: Tensor = self.span(self.transformer(tokens, mask, segments)).float()
        return scores


class SequenceNetwork(nn.Module):
    """Longformer: passages one after the other, a line each, in as few sequences as hold them.

    The question is global, from the first special token to its last piece, as Hugging Face's does it.
    """

    def __init__(
        self,
        longformer: Longformer,
        span: nn.Linear,
        *,
        reach: Sequence[int],
        template: Template,
        line_end: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.longformer = longformer
        self.span = span
        self._reach = tuple(reach)
        self._template = template
        self._line_end = line_end

    def room(self, asked: int) -> int:
        """What the table of positions leaves beside the question and the special tokens."""
        return self.longformer.shape.positions - self._template.size - asked

    def logits(self, question: Sequence[int], passages: Sequence[Pieces]) -> Logits:
        """One softmax will be over all passages; null's scores are those of the sequence that is least for null."""
        longest = max(len(passage.ids) for passage in passages)
        spans, nulls = [], []
        for some in self._sequences(passages, self.room(len(question))):
            null, scores = self._scores(question, [passage.ids for passage in some])
            nulls.append(null.expand(len(some), -1))
            spans += [nn.functional.pad(part, (0, 0, 0, longest - len(part))) for part in scores]
        null = torch.cat(nulls)
        return _logits(torch.stack(spans), passages, null=null, shared_null=null[null.sum(-1).argmin()])

    def _sequences(self, passages: Sequence[Pieces], room: int) -> list[list[Pieces]]:
        sequences: list[list[Pieces]] = []
        left = 0
        for passage in passages:
            needed = len(self._line_end) + len(passage.ids)
            if needed > left:
                sequences.append([])
                left, needed = room, len(passage.ids)
            sequences[-1].append(passage)
            left -= needed
        return sequences

    def _scores(self, question: Sequence[int], passages: Sequence[Sequence[int]]) -> tuple[Tensor, list[Tensor]]:
        """fp32 scores of null [2], and of each passage's pieces [C, 2]."""
        rest = list(self._template.between)
        places: list[tuple[int, int]] = []
        for passage in passages:
            rest += self._line_end if places else ()
            places.append((len(rest), len(rest) + len(passage)))
            rest += passage
        rest += self._template.after
        layout = document_layout([([*self._template.before, *question], rest)], reach=self._reach)
        asked, blocks = self.longformer(layout)
        scores = self.span(blocks.flatten(1, 2)[0]).float()
        return self.span(asked[0, 0]).float(), [scores[start:end] for start, end in places]


def span_network_of(checkpoint: Checkpoint, template: Template, line_end: tuple[int, ...]) -> SpanNetwork:
    """The network of a question-answering checkpoint, in the type of its tensors. Raises UnsupportedModel."""
    if checkpoint.config.get("model_type") == "longformer":
        pretrained = longformer_of(checkpoint.config, checkpoint.state)
        span = _span_head(pretrained.heads, pretrained.longformer.shape.width)
        return SequenceNetwork(
            pretrained.longformer, span, reach=pretrained.reach, template=template, line_end=line_end
        )
    transformer, shape, heads = transformer_of(checkpoint.config, checkpoint.state)
    return PairNetwork(transformer, shape, _span_head(heads, shape.width), template)


def _span_head(heads: Mapping[str, Tensor], width: int) -> nn.Linear:
    if "span.weight" not in heads or "span.bias" not in heads:
        raise UnsupportedModel("the checkpoint has no qa_outputs: it was not trained to answer questions")
    if heads["span.weight"].shape != (2, width):
        raise UnsupportedModel(f"qa_outputs is {tuple(heads['span.weight'].shape)}, expected {(2, width)}")
    span = nn.Linear(width, 2, device="meta")
    span.load_state_dict({"weight": heads["span.weight"], "bias": heads["span.bias"]}, assign=True)
    return span


def _logits(spans: Tensor, passages: Sequence[Pieces], *, null: Tensor, shared_null: Tensor) -> Logits:
    """Scores [N, C or more, 2] as logits, -inf where a passage has no piece, or one of white space alone.

    Relevance is each passage's log odds of any span, start and end apart, against null [N, 2] where it was read.
    """
    inside = torch.zeros(len(passages), max(len(passage.ids) for passage in passages), dtype=torch.bool)
    for row, passage in enumerate(passages):
        inside[row, : len(passage.ids)] = torch.tensor([start < end for start, end in passage.offsets])
    scores = spans[:, : inside.shape[1]].masked_fill(~inside[..., None], float("-inf"))
    return Logits(
        start=scores[None, ..., 0],
        end=scores[None, ..., 1],
        null_start=shared_null[None, 0],
        null_end=shared_null[None, 1],
        relevance=(scores.logsumexp(1) - null).sum(-1)[None],
    )
