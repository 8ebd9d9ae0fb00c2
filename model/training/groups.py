"""Mined groups as files, and batches of them: one question, the passages that a retriever returned, and its answers.

A line of a group file:
    {"id": str, "question": str, "passages": [str], "answers": [[passage, start, end], ...], "relevant": [passage, ...]}
with code-point positions, end exclusive. No answers: none of the passages answers the question.
"""

import json
import random
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from model.longformer import Layout
from model.network import Group, Pieces, layout_of, pieces_of, question_ids

BUCKET = 50  # batches that are cut from groups sorted together


@dataclass(frozen=True, kw_only=True)
class MinedGroup:
    """One line of a group file."""

    id: str
    question: str
    passages: list[str]
    answers: list[tuple[int, int, int]]
    relevant: list[int]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Groups as tensors. `spans` rows are (group, passage, first token, last token); `relevant` [B, N] is 0 or 1."""

    layout: Layout
    spans: Tensor
    relevant: Tensor
    pieces: int

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device."""
        return replace(
            self,
            layout=layout_to(self.layout, device),
            spans=self.spans.to(device),
            relevant=self.relevant.to(device),
        )


def layout_to(layout: Layout, device: torch.device) -> Layout:
    """The same layout on a device."""
    names = [field.name for field in fields(Layout) if field.name != "reach"]
    return replace(layout, **{name: getattr(layout, name).to(device) for name in names})


def read_groups(path: Path) -> list[MinedGroup]:
    """All groups of a file. Raises ValueError with the line's number where one is malformed."""
    groups = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
                groups.append(MinedGroup(**{**row, "answers": [(p, s, e) for p, s, e in row["answers"]]}))
            except (TypeError, KeyError, ValueError) as error:
                raise ValueError(f"{path}, line {number}: not a group: {error}") from error
    return groups


def batches(
    groups: Sequence[MinedGroup], tokenizer: Tokenizer, *, pieces: int, seed: int, skip: int = 0
) -> Iterator[Batch]:
    """One pass over all groups in an order that `seed` alone decides, in batches of about `pieces` word pieces.

    The first `skip` batches are left out without being tokenized, so that a resumed run goes on where it was.
    """
    for number, chosen in enumerate(_cut(groups, pieces=pieces, seed=seed)):
        if number >= skip:
            yield collate(chosen, tokenizer)


def count_batches(groups: Sequence[MinedGroup], *, pieces: int, seed: int) -> int:
    """How many batches `batches` makes of the same arguments."""
    return sum(1 for _ in _cut(groups, pieces=pieces, seed=seed))


def collate(groups: Sequence[MinedGroup], tokenizer: Tokenizer) -> Batch:
    """A batch of groups; an answer whose characters no word pieces cover is left out."""
    tokenized = [
        Group(question=question_ids(tokenizer, group.question), passages=pieces_of(tokenizer, group.passages))
        for group in groups
    ]
    layout = layout_of(tokenized)
    relevant = torch.zeros(layout.blocks.shape[:2])
    spans = []
    for row, (group, inputs) in enumerate(zip(groups, tokenized, strict=True)):
        relevant[row, group.relevant] = 1.0
        for passage, start, end in group.answers:
            covered = tokens_of(inputs.passages[passage], start, end)
            if covered is not None:
                spans.append((row, passage, *covered))
    return Batch(
        layout=layout,
        spans=torch.tensor(spans, dtype=torch.long).view(-1, 4),
        relevant=relevant,
        pieces=int(layout.mask.sum() + layout.question_mask.sum()),
    )


def tokens_of(pieces: Pieces, start: int, end: int) -> tuple[int, int] | None:
    """First and last token of the characters [start, end)."""
    first = bisect_right([stop for _, stop in pieces.offsets], start)
    last = bisect_left([begin for begin, _ in pieces.offsets], end) - 1
    return (first, last) if first <= last and first < len(pieces.ids) else None


def _cut(groups: Sequence[MinedGroup], *, pieces: int, seed: int) -> Iterator[list[MinedGroup]]:
    """The groups in batches of like shape, shuffled; a batch has one shape, since padding is what attention pays for.

    Groups are shuffled, sorted by passages and length within stretches of BUCKET batches, cut, and shuffled again.
    """
    chance = random.Random(seed)  # noqa: S311 - an order, not a secret
    sizes = [_estimate(group) for group in groups]
    order = list(range(len(groups)))
    chance.shuffle(order)
    stretch: list[int] = []
    size = 0
    for index in order:
        stretch.append(index)
        size += sizes[index]
        if size >= BUCKET * pieces:
            yield from _batches_of(groups, stretch, sizes, pieces=pieces, chance=chance)
            stretch, size = [], 0
    if stretch:
        yield from _batches_of(groups, stretch, sizes, pieces=pieces, chance=chance)


def _batches_of(
    groups: Sequence[MinedGroup], stretch: list[int], sizes: Sequence[int], *, pieces: int, chance: random.Random
) -> Iterator[list[MinedGroup]]:
    stretch.sort(key=lambda index: (len(groups[index].passages), max(map(len, groups[index].passages)), index))
    cut: list[list[MinedGroup]] = [[]]
    size = 0
    for index in stretch:
        if cut[-1] and size + sizes[index] > pieces:
            cut.append([])
            size = 0
        cut[-1].append(groups[index])
        size += sizes[index]
    chance.shuffle(cut)
    yield from cut


def _estimate(group: MinedGroup) -> int:
    return (len(group.question) + sum(map(len, group.passages))) // 4  # a word piece is 4-5 characters with its space
