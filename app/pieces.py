"""Hits -> pieces: what the reader gets as one passage each."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from retriever.chunking import WordPieceCounter
from retriever.types import Hit, ParsedDocument, Passage
from retriever.units import units

LONGEST_PIECE = 384  # word pieces that the reader takes as one block: a long paragraph, or three passages
SHORTEST_ALONE = 50  # and of a paragraph that says enough alone; a list's item or a table's row does not
REACH = 4_000  # characters on each side in which a paragraph's ends are looked for

Between = Callable[[Hit, int, int], str]
"""(hit, start, end) -> the text of the hit's document at these characters."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A hit, or hits of one document that overlap or follow each other, read as one.

    `text` is the document's text[start:end]; `hits` are best first.
    """

    hits: tuple[Hit, ...]
    start: int
    end: int
    text: str


def join_hits(hits: Sequence[Hit], *, count: WordPieceCounter, between: Between) -> list[Piece]:
    """Overlapping hits joined, so that nothing is read twice, and neighbours of one section, so that both are read in
    their context. In the order of each piece's best hit.

    A join that would be longer than LONGEST_PIECE word pieces is not made: of overlapping hits the later then begins
    where the earlier ends.
    """
    rank = {hit.passage.key: place for place, hit in enumerate(hits)}
    ordered = sorted(hits, key=lambda hit: (hit.passage.document_id or "", hit.passage.version, hit.passage.start))
    pieces: list[Piece] = []
    for hit in ordered:
        last = pieces[-1] if pieces else None
        if last is None or not _touch(last, hit.passage):
            pieces.append(_piece(hit, hit.passage.start))
        elif hit.passage.end <= last.end:
            pieces[-1] = _with_hit(last, hit, rank)
        else:
            gap = between(hit, last.end, hit.passage.start) if last.end < hit.passage.start else ""
            joined = last.text + gap + hit.passage.text[max(0, last.end - hit.passage.start) :]
            if count([joined])[0] <= LONGEST_PIECE:
                pieces[-1] = _with_hit(replace(last, end=hit.passage.end, text=joined), hit, rank)
            else:
                pieces.append(_piece(hit, max(last.end, hit.passage.start)))
    return sorted(pieces, key=lambda piece: rank[piece.hits[0].passage.key])


def held_by(piece: Piece, start: int, end: int) -> Hit:
    """The hit of a piece whose passage holds most of these characters of the document."""
    return max(piece.hits, key=lambda one: min(one.passage.end, end) - max(one.passage.start, start))


def around(document: ParsedDocument, piece: Piece, start: int, end: int, *, count: WordPieceCounter) -> list[str]:
    """What is to be read again of document.text[start:end], an answer in a piece: the passage it stands in, alone, and
    its paragraph, or paragraphs, turn or block of lines, where that has SHORTEST_ALONE to LONGEST_PIECE word pieces.
    """
    passage = held_by(piece, start, end).passage
    whole = passage.start <= start and end <= passage.end
    texts = [passage.text if whole else piece.text]
    first, last = _paragraphs(document, start, end)
    paragraph = document.text[first:last]
    if SHORTEST_ALONE <= count([paragraph])[0] <= LONGEST_PIECE:
        texts.append(paragraph)
    return texts


def _paragraphs(document: ParsedDocument, start: int, end: int) -> tuple[int, int]:
    """The paragraphs that a range touches, as far as they are within REACH and in its section."""
    place = max(0, bisect_right(document.sections, start, key=lambda section: section.start) - 1)
    section = document.sections[place]
    low, high = max(section.start, start - REACH), max(end, min(section.end, end + REACH))
    first, last = start, end
    for unit in units(document, low, high):
        if unit.start <= start:
            first = unit.block
        if unit.end >= end and unit.closes:
            last = unit.end
            break
    return min(first, start), max(last, end)


def _touch(piece: Piece, passage: Passage) -> bool:
    """Whether a passage overlaps a piece, or is the next one of the same section: then white space lies between."""
    last = max((hit.passage for hit in piece.hits), key=lambda one: (one.end, one.ordinal))
    if (last.document_id, last.version) != (passage.document_id, passage.version):
        return False
    return passage.start < piece.end or (passage.ordinal == last.ordinal + 1 and passage.section == last.section)


def _piece(hit: Hit, start: int) -> Piece:
    """A hit from `start` on; the white space there belongs to neither piece."""
    rest = hit.passage.text[start - hit.passage.start :]
    text = rest.lstrip()
    return Piece(hits=(hit,), start=start + len(rest) - len(text), end=hit.passage.end, text=text)


def _with_hit(piece: Piece, hit: Hit, rank: dict[int, int]) -> Piece:
    return replace(piece, hits=tuple(sorted((*piece.hits, hit), key=lambda one: rank[one.passage.key])))
