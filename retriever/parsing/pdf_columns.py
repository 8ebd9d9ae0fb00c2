"""Pieces of lines on a PDF page -> lines in reading order.

PDFium gives text in the order in which it was written to the page, and takes what stands side by side for one line. A
page that was written column by column needs nothing; one that was written line by line across its columns is put in
order here: what stands on both sides of a gap that runs down the page is text in columns where it is long, and a table,
a row a line, where it is short.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

from retriever.parsing.pdf_layout import Line
from retriever.parsing.writer import CELL

_FEWEST_ROWS = 3  # that have a gap at one place before it parts columns
_COLUMN = 18  # characters that a line in a column of text has on average; a cell of a table has fewer
_ALIGNED = 0.7  # of the rows in a block with a gap have it where the columns part
_DEEPEST = 4  # columns are looked for inside columns, up to this many times

Row = list[Line]


def in_reading_order(pieces: Sequence[Line]) -> list[Line]:
    """The lines of a page, columns one after the other; `cells` of a table's rows tells how many it was made of."""
    return list(_ordered(_rows(pieces), 0))


def _rows(pieces: Sequence[Line]) -> list[Row]:
    """Pieces that follow each other on one base line, from left to right."""
    rows: list[Row] = []
    for piece in pieces:
        last = rows[-1][-1] if rows else None
        if (
            last is not None
            and abs(last.y - piece.y) < 0.5 * max(last.size, piece.size)
            and piece.left >= last.right - 1
        ):
            rows[-1].append(piece)
        else:
            rows.append([piece])
    return rows


def _ordered(rows: Sequence[Row], depth: int) -> Iterator[Line]:
    gutter = _gutter(rows) if depth < _DEEPEST else None
    if gutter is None:
        yield from _written(rows)
        return
    for band, parted in _bands(rows, gutter):
        pieces = [piece for row in band for piece in row]
        sides = [[piece for piece in pieces if (piece.left < gutter) is left] for left in (True, False)]
        if parted and all(_is_text(side) for side in sides):
            for side in sides:
                yield from _ordered(_rows(side), depth + 1)
        else:
            yield from _written(band)


def _gutter(rows: Sequence[Row]) -> float | None:
    """Where most of the gaps between pieces of a row are; None where too few rows have one there."""
    gaps = [(left.right, right.left) for row in rows for left, right in pairwise(row)]
    if len(gaps) < _FEWEST_ROWS:
        return None
    # The place that most gaps have in common is right before the first of them ends.
    places = sorted({end for _, end in gaps})
    counts = [sum(start < place <= end for start, end in gaps) for place in places]
    best = max(counts)
    if best < max(_FEWEST_ROWS, _ALIGNED * sum(len(row) > 1 for row in rows)):
        return None
    place = places[counts.index(best)]
    return (max(start for start, end in gaps if start < place <= end) + place) / 2


def _bands(rows: Sequence[Row], gutter: float) -> Iterator[tuple[list[Row], bool]]:
    """Rows that follow each other and leave the gutter free, and those between, which run over it."""
    band: list[Row] = []
    parted = False
    for row in rows:
        free = not any(piece.left < gutter < piece.right for piece in row)
        if band and free != parted:
            yield band, parted
            band = []
        band.append(row)
        parted = free
    if band:
        yield band, parted


def _is_text(side: Sequence[Line]) -> bool:
    return len(side) >= _FEWEST_ROWS and sum(len(piece.text) for piece in side) >= _COLUMN * len(side)


def _written(rows: Sequence[Row]) -> Iterator[Line]:
    """Rows as lines: those of a table with their cells apart, the pieces of any other joined by a space."""
    for number, row in enumerate(rows):
        beside = [rows[other] for other in (number - 1, number + 1) if 0 <= other < len(rows)]
        cells = len(row) if any(_same_table(row, other) for other in beside) else 1
        yield _joined(row, cells)


def _same_table(row: Row, other: Row) -> bool:
    """Whether two rows have cells, and the gaps of the one with fewer are where the other has some too."""
    fewer, more = sorted((row, other), key=len)
    if len(fewer) < 2 or abs(row[0].y - other[0].y) > 4 * max(row[0].size, other[0].size):
        return False
    gaps = [(left.right, right.left) for left, right in pairwise(more)]
    return all(any(left.right < end and start < right.left for start, end in gaps) for left, right in pairwise(fewer))


def _joined(row: Row, cells: int) -> Line:
    if len(row) == 1:
        return row[0]
    middle = sum(len(piece.text) for piece in row) / 2
    ends = accumulate(len(piece.text) for piece in row)
    return replace(
        row[-1],
        text=(CELL if cells > 1 else " ").join(piece.text for piece in row),
        left=row[0].left,
        size=next(piece.size for piece, end in zip(row, ends, strict=True) if end >= middle),
        cells=cells,
    )
