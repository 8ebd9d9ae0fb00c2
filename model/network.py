"""The reader's network: a Longformer with a head for spans and one for relevance, and how text becomes its input.

B batch, G global tokens, N passages, C tokens a passage, W width
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from model.layers import Shape
from model.longformer import Layout, Longformer

MAX_QUESTION_PIECES = 64
WORDS = "longformer.embeddings.word.weight"  # taken from the encoder's package, not kept in the reader's file
CLS, SEP = 101, 102  # all-MiniLM-L6-v2's vocabulary is BERT's


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """A text as word pieces: `ids[i]` stands for `text[offsets[i][0]:offsets[i][1]]`, in code points."""

    ids: list[int]
    offsets: list[tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class Group:
    """One question with the passages that are read together; `passages` without [SEP]."""

    question: list[int]
    passages: Sequence[Pieces]


@dataclass(frozen=True, kw_only=True)
class Logits:
    """fp32 scores. `start`, `end` [B, N, C] are -inf where no span may begin or end; `relevance` is [B, N].

    `null_start`, `null_end` [B] are those of [CLS], the answer that none of the passages answers.
    """

    start: Tensor
    end: Tensor
    null_start: Tensor
    null_end: Tensor
    relevance: Tensor

    def log_probabilities(self) -> tuple[Tensor, Tensor, Tensor]:
        """Start and end log-probabilities [B, N, C] of one softmax over all passages and null, and null's own [B].

        Source: Clark and Gardner 2018, "Simple and Effective Multi-Paragraph Reading Comprehension", section 3.2.
        """
        start_total = torch.logaddexp(self.start.flatten(1).logsumexp(-1), self.null_start)
        end_total = torch.logaddexp(self.end.flatten(1).logsumexp(-1), self.null_end)
        null = self.null_start - start_total + self.null_end - end_total
        return self.start - start_total[:, None, None], self.end - end_total[:, None, None], null

    @classmethod
    def joined(cls, parts: Sequence["Logits"]) -> "Logits":
        """Scores of one question from several sequences, [1, N, C] each, with the null that is least for null.

        Where some sequence answers, the others say null rightly.
        """
        longest = max(part.start.shape[2] for part in parts)
        weakest = min(parts, key=lambda part: float(part.null_start + part.null_end))

        def padded(x: Tensor) -> Tensor:
            return nn.functional.pad(x, (0, longest - x.shape[2]), value=float("-inf"))

        return cls(
            start=torch.cat([padded(part.start) for part in parts], dim=1),
            end=torch.cat([padded(part.end) for part in parts], dim=1),
            null_start=weakest.null_start,
            null_end=weakest.null_end,
            relevance=torch.cat([part.relevance for part in parts], dim=1),
        )


class ReaderNetwork(nn.Module):
    """Where an answer starts and ends, and whether a passage is to the point."""

    def __init__(self, shape: Shape, *, own_global: bool) -> None:
        super().__init__()
        self.longformer = Longformer(shape, own_global=own_global)
        self.span = nn.Linear(shape.width, 2)
        self.relevance = nn.Linear(shape.width, 1)

    def forward(self, layout: Layout, *, dropout: float = 0.0) -> Logits:
        """Scores of a batch. A passage's relevance is read off its last token, which is [SEP]."""
        question, blocks = self.longformer(layout, dropout=dropout)
        spans = self.span(blocks).float()
        null = self.span(question[:, 0]).float()
        last = (layout.mask.sum(-1) - 1).clamp(min=0)
        ends = blocks.gather(2, last[..., None, None].expand(-1, -1, 1, blocks.shape[-1]))[:, :, 0]
        inside = layout.mask & (torch.arange(layout.mask.shape[2], device=last.device) < last[..., None])
        return Logits(
            start=spans[..., 0].masked_fill(~inside, float("-inf")),
            end=spans[..., 1].masked_fill(~inside, float("-inf")),
            null_start=null[:, 0],
            null_end=null[:, 1],
            relevance=self.relevance(ends).float()[..., 0],
        )


def question_ids(tokenizer: Tokenizer, question: str) -> list[int]:
    """[CLS] question [SEP], the question cut at MAX_QUESTION_PIECES."""
    ids: list[int] = tokenizer.encode(question, add_special_tokens=False).ids
    return [CLS, *ids[:MAX_QUESTION_PIECES], SEP]


def pieces_of(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Pieces]:
    """Each text as word pieces."""
    encodings = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    return [Pieces(ids=encoding.ids, offsets=encoding.offsets) for encoding in encodings]


def layout_of(groups: Sequence[Group]) -> Layout:
    """Groups as padded tensors. Positions of every passage continue the question's, as in BERT's pairs."""
    longest_question = max(len(group.question) for group in groups)
    most = max(len(group.passages) for group in groups)
    longest = 1 + max(len(passage.ids) for group in groups for passage in group.passages)
    question = torch.zeros(len(groups), longest_question, dtype=torch.long)
    blocks = torch.zeros(len(groups), most, longest, dtype=torch.long)
    question_mask = torch.zeros_like(question, dtype=torch.bool)
    mask = torch.zeros_like(blocks, dtype=torch.bool)
    positions = torch.zeros_like(blocks)
    for row, group in enumerate(groups):
        asked = len(group.question)
        question[row, :asked] = torch.tensor(group.question)
        question_mask[row, :asked] = True
        for column, passage in enumerate(group.passages):
            length = len(passage.ids) + 1
            blocks[row, column, :length] = torch.tensor([*passage.ids, SEP])
            mask[row, column, :length] = True
            positions[row, column, :length] = torch.arange(asked, asked + length)
    return Layout(question=question, question_mask=question_mask, blocks=blocks, mask=mask, positions=positions)


def document_layout(texts: Sequence[tuple[Sequence[int], Sequence[int]]], *, reach: Sequence[int]) -> Layout:
    """Texts read whole, each as its global tokens and those after them: blocks as long as the widest `reach`.

    `reach` has one number a layer. Positions go on from the global tokens through the text. The caller puts in every
    special token.
    """
    length = max(reach)
    most = max(len(first) for first, _ in texts)
    count = max(1, *(-(-len(rest) // length) for _, rest in texts))
    question, question_mask = _padded([first for first, _ in texts], most)
    blocks, mask = _padded([rest for _, rest in texts], count * length)
    asked = torch.tensor([len(first) for first, _ in texts])
    positions = (asked[:, None] + torch.arange(count * length)) * mask
    return Layout(
        question=question,
        question_mask=question_mask,
        blocks=blocks.view(-1, count, length),
        mask=mask.view(-1, count, length),
        positions=positions.view(-1, count, length),
        reach=tuple(reach),
    )


def _padded(rows: Sequence[Sequence[int]], length: int) -> tuple[Tensor, Tensor]:
    """Rows of ids as one tensor [B, length], zero where there is none, and its mask."""
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    mask = torch.zeros(len(rows), length, dtype=torch.bool)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row, dtype=torch.long)
        mask[number, : len(row)] = True
    return ids, mask
