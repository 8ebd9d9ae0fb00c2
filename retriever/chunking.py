"""Sentences, or lines of code -> passages: what is indexed, retrieved and read."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Protocol

from retriever.types import ParsedDocument
from retriever.units import units

# The longest passage, as a multiple of `size`: room to end at a paragraph's end.
STRETCH = 1.25
# What an end costs, on the scale of ((word pieces - size) / size) ** 2. At 0.5 a paragraph of one and a half `size` is
# halved rather than cut at `size` with the rest joined to the next paragraph. A heading is only ever last in a section.
# A turn of a dialogue and a block of lines of code are paragraphs too.
_INSIDE_PARAGRAPH = 0.5
_AFTER_HEADING = 2.0
# Sentences whose word pieces are counted in one call.
_BATCH = 4096
_LONGEST_HEADING = 100
# Characters of a sentence or a piece of one. A word without end is one word piece to a tokenizer that does not know it,
# however long, and a passage is sent whole with each hit.
_LONGEST_PIECE = 4_000
_NO_HEADING = re.compile(r"""[.!?。！？;；,，、]["'”’»」』)\]）】]*$|^\s*[-*+•‣|>\d(]|\s\|\s""")


class WordPieceCounter(Protocol):
    """Counts the word pieces of each text, without special tokens."""

    def __call__(self, texts: Sequence[str], /) -> list[int]: ...  # noqa: D102


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """A passage to be: a range of the text inside one section, and the page that it begins on."""

    start: int
    end: int
    section: tuple[str, ...]
    page: int | None


@dataclass(frozen=True, kw_only=True)
class _Unit:
    """A sentence, or a piece of one, with its word pieces and what it costs to end a passage after it."""

    start: int
    end: int
    pieces: int
    cost: float


def split(document: ParsedDocument, *, count: WordPieceCounter, size: int = 130, overlap: int = 20) -> list[Chunk]:
    """The passages of a document, in order: whole sentences of about `size` word pieces of one section each.

    Together they cover everything but white space, and none has more than 1.25 times `size` word pieces. A passage ends
    at the end of a paragraph where the sizes allow it; where it has to end inside one, the next passage repeats its
    last sentence if that has at most `overlap` word pieces. In a dialogue a turn is what a paragraph is in prose; in
    code a line is a sentence, and lines between blank ones are a paragraph.
    """
    if size < 8 or not 0 <= overlap < size:
        raise ValueError(f"size must be at least 8 and overlap less than it: {size=}, {overlap=}")
    text = document.text
    ranges: list[tuple[int, int, float]] = []
    bounds = [0]
    for section in document.sections:
        ranges.extend(_sentences(document, section.start, section.end))
        bounds.append(len(ranges))
    pieces = _counted([text[start:end] for start, end, _ in ranges], count)
    longest = int(size * STRETCH)
    page_starts = [page.start for page in document.pages]
    chunks: list[Chunk] = []
    for section, first, last in zip(document.sections, bounds, bounds[1:], strict=False):
        units: list[_Unit] = []
        for (start, end, cost), number in zip(ranges[first:last], pieces[first:last], strict=True):
            units.extend(_bounded(text, _Unit(start=start, end=end, pieces=number, cost=cost), count, longest))
        for start, end in _grouped(units, size=size, overlap=overlap, longest=longest):
            page = bisect_right(page_starts, start) - 1
            number_of_page = document.pages[page].number if page >= 0 else None
            chunks.append(Chunk(start=start, end=end, section=section.path, page=number_of_page))
    return chunks


def _sentences(document: ParsedDocument, start: int, end: int) -> Iterator[tuple[int, int, float]]:
    """The sentences of a section, each with what it costs to end a passage after it."""
    text = document.text
    for unit in units(document, start, end):
        cost = 0.0 if unit.closes else _INSIDE_PARAGRAPH
        if unit.closes and document.kind == "prose" and unit.end - unit.block <= _LONGEST_HEADING:
            cost = 0.0 if _NO_HEADING.search(text[unit.block : unit.end]) else _AFTER_HEADING
        yield unit.start, unit.end, cost


def _counted(texts: Sequence[str], count: WordPieceCounter) -> list[int]:
    numbers: list[int] = []
    for at in range(0, len(texts), _BATCH):
        numbers.extend(count(texts[at : at + _BATCH]))
    return numbers


def _bounded(text: str, unit: _Unit, count: WordPieceCounter, longest: int) -> Iterator[_Unit]:
    """The unit, or the parts it has to be cut into so that none has more than `longest` word pieces."""
    if (unit.pieces <= longest and unit.end - unit.start <= _LONGEST_PIECE) or unit.end - unit.start < 2:
        yield unit
        return
    parts = list(_halves(text, unit.start, unit.end))
    numbers = count([text[start:end] for start, end in parts])
    for (start, end), number in zip(parts, numbers, strict=True):
        cost = unit.cost if end == unit.end else _INSIDE_PARAGRAPH
        yield from _bounded(text, _Unit(start=start, end=end, pieces=number, cost=cost), count, longest)


def _halves(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Two parts without white space at their ends, cut at the white space nearest the middle, if any."""
    middle = (start + end) // 2
    quarter = (end - start) // 4
    spaces = [at for at in range(middle - quarter, middle + quarter) if text[at].isspace()]
    cut = min(spaces, key=lambda at: abs(at - middle), default=middle)
    left, right = text[start:cut].rstrip(), text[cut:end].lstrip()
    yield start, start + len(left)
    yield end - len(right), end


def _grouped(units: Sequence[_Unit], *, size: int, overlap: int, longest: int) -> Iterator[tuple[int, int]]:
    """Divides units among passages so that the summed cost of sizes and ends is least; ties go to the longer last one.

    best[j] is the least cost of dividing units[:j]; a passage of units[i:j] may begin one unit earlier, as overlap.
    """
    best = [0.0] + [inf] * len(units)
    begin = [0] * (len(units) + 1)
    extra = [0] + [
        unit.pieces if unit.cost and unit.pieces <= overlap else 0 for unit in units[:-1]
    ]  # word pieces that a passage which begins at units[i] repeats
    for j in range(1, len(units) + 1):
        total = 0
        end_cost = units[j - 1].cost if j < len(units) else 0.0
        for i in range(j - 1, -1, -1):
            total += units[i].pieces
            if total > longest and i < j - 1:
                break
            pieces = total + extra[i]
            if pieces > longest:
                if i < j - 1:
                    continue
                pieces = total  # one long sentence: no room for another one before it
            cost = best[i] + end_cost + ((pieces - size) / size) ** 2
            if cost < best[j]:
                best[j], begin[j] = cost, i
    ends = []
    j = len(units)
    while j:
        ends.append(j)
        j = begin[j]
    for j in reversed(ends):
        i = begin[j]
        overlaps = extra[i] and (j - i > 1 or units[i].pieces + extra[i] <= longest)
        first = i - 1 if overlaps else i
        yield units[first].start, units[j - 1].end
