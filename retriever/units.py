"""What a document is read in: sentences of prose, sentences inside the turns of a dialogue, lines of source code."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from retriever.sentences import Sentence, bounded, lines, paragraphs, sentences_of_paragraph
from retriever.types import ParsedDocument


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What is read as one: text[start:end] is not empty and has no white space at either end.

    `block` is where the paragraph, turn or block of lines begins that it is of; `closes` marks the last of a block.
    """

    start: int
    end: int
    block: int
    closes: bool


def sentences_of(document: ParsedDocument, *, start: int = 0, end: int | None = None) -> list[Sentence]:
    """The units of document.text[start:end] as sentences, in order and disjoint; everything between is white space."""
    end = len(document.text) if end is None else end
    if not 0 <= start <= end <= len(document.text):
        raise ValueError(f"no range of a text of {len(document.text)} characters: {start} to {end}")
    return [Sentence(start=unit.start, end=unit.end) for unit in units(document, start, end)]


def units(document: ParsedDocument, start: int, end: int) -> Iterator[Unit]:
    """The units of document.text[start:end], in order. None crosses a turn; in code each line is one."""
    text = document.text
    if document.kind == "code":
        for block in _blocks_of_lines(text, start, end):
            yield from _of_block([piece for first, last in block for piece in bounded(text, first, last)])
    elif document.kind == "dialogue":
        for first, last, spoken in _spoken(document, start, end):
            blocks = [_sentences(text, *paragraph) for paragraph in paragraphs(text, first, last)]
            for block in [list(chain.from_iterable(blocks))] if spoken else blocks:
                yield from _of_block(block)
    else:
        for paragraph in paragraphs(text, start, end):
            yield from _of_block(_sentences(text, *paragraph))


def _of_block(ranges: Sequence[tuple[int, int]]) -> Iterator[Unit]:
    for number, (first, last) in enumerate(ranges, start=1):
        yield Unit(start=first, end=last, block=ranges[0][0], closes=number == len(ranges))


def _sentences(text: str, first: int, last: int) -> list[tuple[int, int]]:
    return [(sentence.start, sentence.end) for sentence in sentences_of_paragraph(text, first, last)]


def _blocks_of_lines(text: str, start: int, end: int) -> Iterator[list[tuple[int, int]]]:
    """Lines between blank ones, each without the white space around it."""
    block: list[tuple[int, int]] = []
    for first, last in lines(text, start, end):
        if first < last:
            block.append((first, last))
        elif block:
            yield block
            block = []
    if block:
        yield block


def _spoken(document: ParsedDocument, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
    """The turns in a range, and the text between them: (start, end, whether somebody says it), tiling the range."""
    turns = document.turns
    at = start
    first_turn = max(0, bisect_right(turns, start, key=lambda one: one.start) - 1)
    for turn in islice(turns, first_turn, None):
        if turn.start >= end:
            break
        first, last = max(turn.start, start), min(turn.end, end)
        if first >= last:
            continue
        if at < first:
            yield at, first, False
        yield first, last, True
        at = last
    if at < end:
        yield at, end, False
