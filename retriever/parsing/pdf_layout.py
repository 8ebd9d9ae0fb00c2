"""Lines of a PDF page -> paragraphs.

A PDF knows where glyphs are and nothing of paragraphs. A line goes on with the next one unless what separates them
says otherwise: a gap wider than the document's line spacing, another size of type, an indent after a full stop, a line
that ends early, a list marker.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from retriever.parsing.outline import Heading

_USUAL_SPACING = 1.2  # of lines, in font sizes: the default of most writers
_FEWEST_REPEATS = 3
_GAP = 1.6  # type sizes between two base lines: more than between the lines of a text
_EDGE_ROWS = 3  # at the head and the foot of a page that may be furniture
_HEADING_SIZE = 1.12  # times the text's: the smallest step that writers' styles take is from 12 to 14
_LONGEST_HEADING = 160
_MOST_HEADINGS = 0.2  # of the characters
_ITEM = re.compile(r"(?:[-*•‣◦▪●○–—·]|\(?(?:\d{1,2}|[a-z]|[ivx]{1,4})[.)])\s")
_LEADERS = re.compile(r"(?:\s?\.){4}")  # of a table of contents
_ENDS = re.compile(r"""[.!?:;。！？：；]["'”’)\]」』）]*$""")
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_ROMAN = re.compile(r"(?:xc|xl|l?x{0,3})(?:ix|iv|v?i{0,3})")
_DIGITS = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}
_NUMBER = re.compile(r"\W*(?:(?:page|p|seite|第)\W*)?(?:\d+|[ivxlc]+)\s*(?:(?:of|von|/)\s*\d+|页)?\W*", re.IGNORECASE)
_Key = tuple[str, int, int | None]
_BROKEN_WORD = re.compile(r"([^\W\d_]+(?:-[^\W\d_]+)*)-$")


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a page: its text, where it begins and ends, its base line and its type size.

    Positions are in points, upwards from the page's foot. `hyphenated` where it ended with a hyphen that `text` leaves
    out. `cells` is more than 1 for a row of a table.
    """

    text: str
    left: float
    right: float
    y: float
    size: float
    hyphenated: bool
    cells: int = 1


@dataclass(frozen=True, kw_only=True)
class Spot:
    """Where a line stands in the text, its top on the page and its type size."""

    start: int
    end: int
    top: float
    size: float


class Words:
    """The words of a document, to tell a hyphen that belongs to a word from one that only a line's end called for."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._words = {word.casefold() for text in texts for word in _WORD.findall(text)}

    def keeps_hyphen(self, first: str, second: str) -> bool:
        """Whether `first-second` is written so elsewhere in the document, and `firstsecond` is not."""
        first, second = first.casefold(), second.casefold()
        return f"{first}-{second}" in self._words and first + second not in self._words


def headings_by_size(text: str, pages: Sequence[Sequence[Spot]]) -> list[Heading]:
    """Headings of a PDF that has no bookmarks: short lines in larger type than the text, a level for each size.

    None where such lines are too many to be headings, as in slides.
    """
    spots = [spot for page in pages for spot in page]
    weights: Counter[float] = Counter()
    for spot in spots:
        weights[_rounded(spot.size)] += spot.end - spot.start
    body = max(weights, key=lambda size: weights[size], default=0.0)
    large: list[Spot] = []
    for spot in spots:
        line = text[spot.start : spot.end]
        if _rounded(spot.size) < _HEADING_SIZE * body or not any(map(str.isalpha, line)) or _LEADERS.search(line):
            continue
        above = large[-1] if large else None
        if above is not None and above.size == spot.size and not text[above.end : spot.start].strip():
            large[-1] = replace(above, end=spot.end)  # a heading of two lines
        else:
            large.append(spot)
    found = [spot for spot in large if spot.end - spot.start <= _LONGEST_HEADING]
    if sum(spot.end - spot.start for spot in large) > _MOST_HEADINGS * sum(weights.values()):
        return []
    sizes = sorted({_rounded(spot.size) for spot in found}, reverse=True)
    return [
        Heading(
            start=spot.start,
            end=spot.end,
            level=sizes.index(_rounded(spot.size)) + 1,
            title=text[spot.start : spot.end],
        )
        for spot in found
    ]


def _rounded(size: float) -> float:
    return round(size * 2) / 2


def without_furniture(pages: Sequence[Sequence[Line]]) -> list[list[Line]]:
    """The pages without running heads and feet and page numbers.

    Only the outermost lines of a page are looked at, from the edge inwards up to the first that is none, and only what
    at least three pages show at the same height goes: the same words, or words with a number that grows by one a page.
    Of words that repeat, one stays: the first head, where a title may be, and the last foot, where no sentence goes on.
    A page's only line goes for its number where it is nothing else.
    """
    seen: dict[_Key, list[int]] = {}
    for number, lines in enumerate(pages):
        for line in {id(line): line for rows in _edges(lines) for row in _outer(rows) for line in row}.values():
            for key in _furniture_keys(line, number):
                seen.setdefault(key, []).append(number)
    repeated = {key: numbers for key, numbers in seen.items() if len(set(numbers)) >= _FEWEST_REPEATS}
    kept: list[list[Line]] = []
    for number, lines in enumerate(pages):
        gone: set[int] = set()
        for rows, staying in zip(_edges(lines), (0, -1), strict=True):
            for line, keys in _furniture(rows, number, repeated):
                counted = any(key[2] is not None for key in keys) and (len(rows) > 1 or _NUMBER.fullmatch(line.text))
                same = [repeated[key] for key in keys if key[2] is None]
                if counted or any(numbers[staying] != number for numbers in same):
                    gone.add(id(line))
        kept.append([line for line in lines if id(line) not in gone])
    return kept


def _furniture(
    rows: Sequence[Sequence[Line]], number: int, repeated: Mapping[_Key, Sequence[int]]
) -> list[tuple[Line, list[_Key]]]:
    """The lines of an edge of a page that other pages have too, with what they share.

    What is more than the outermost row ends with a gap, as the text's own lines do not.
    """
    found: list[tuple[Line, list[_Key]]] = []
    apart = 0
    for place, row in enumerate(_outer(rows)):
        keys = [[key for key in _furniture_keys(line, number) if key in repeated] for line in row]
        if not all(keys):
            break
        found.extend(zip(row, keys, strict=True))
        following = rows[place + 1] if place + 1 < len(rows) else None
        if place == 0 or following is None or abs(row[0].y - following[0].y) > _GAP * row[0].size:
            apart = len(found)
    return found[:apart]


def _edges(lines: Sequence[Line]) -> tuple[list[list[Line]], list[list[Line]]]:
    """The rows of a page from the head down and from the foot up, whatever order they were written in."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: -line.y):
        if rows and rows[-1][0].y - line.y < 0.5 * line.size:
            rows[-1].append(line)
        else:
            rows.append([line])
    return rows, rows[::-1] if len(rows) > 1 else []


def _outer(rows: Sequence[Sequence[Line]]) -> Sequence[Sequence[Line]]:
    """Those that may be furniture: at most half of them, so that a page of two lines keeps one."""
    return rows[: max(1, min(_EDGE_ROWS, len(rows) // 2))]


def _furniture_keys(line: Line, number: int) -> list[_Key]:
    """What a line would share with its likes on other pages: words and height, and a page number less the page."""
    height = round(line.y)
    keys: list[_Key] = [(line.text, height, None)]
    if (roman := _roman(line.text.strip("-–— .").lower())) > 0:
        keys.append(("#", height, roman - number))
    for match in re.finditer(r"\d{1,4}", line.text):
        masked = f"{line.text[: match.start()]}#{line.text[match.end() :]}"
        keys.append((masked, height, int(match.group()) - number))
    return keys


def _roman(numeral: str) -> int:
    """The value of a small Roman numeral, of a page before the first chapter; 0 of anything else."""
    match = _ROMAN.fullmatch(numeral)
    if match is None or not numeral:
        return 0
    values = [_DIGITS[letter] for letter in numeral]
    return sum(-value if value < max(values[place:]) else value for place, value in enumerate(values))


def spacing_of(pages: Iterable[Sequence[Line]]) -> float:
    """The document's line spacing in font sizes: the most common one."""
    ratios: Counter[float] = Counter()
    for lines in pages:
        for above, below in pairwise(lines):
            ratio = (above.y - below.y) / below.size
            if 0.8 < ratio < 3 and abs(above.size - below.size) < 0.05 * below.size:
                ratios[round(ratio, 1)] += 1
    return max(ratios, key=lambda ratio: (ratios[ratio], -ratio), default=_USUAL_SPACING)


def page_text(lines: Sequence[Line], *, spacing: float, words: Words) -> tuple[str, list[Spot]]:
    """The text of a page: paragraphs apart by a blank line, list items by a newline; and where each line is."""
    parts: list[str] = []
    spots: list[Spot] = []
    length = 0
    for number, line in enumerate(lines):
        text = line.text
        if number:
            above = lines[number - 1]
            joint = _joint(lines, number, spacing)
            if joint == " ":
                cut, joint = _rejoined(above, text, words)
                if cut:
                    parts[-1] = parts[-1][:-cut]
                    length -= cut
            elif above.hyphenated:
                joint = "-" + joint
            parts.append(joint)
            length += len(joint)
        spots.append(Spot(start=length, end=length + len(text), top=line.y + line.size, size=line.size))
        parts.append(text)
        length += len(text)
    return "".join(parts), spots


def _rejoined(above: Line, text: str, words: Words) -> tuple[int, str]:
    """How a line and the next of its paragraph are joined: characters to take off its end, and what to put between."""
    match = _BROKEN_WORD.search(above.text + "-" if above.hyphenated else above.text)
    following = _WORD.match(text)
    if match is None:
        return 0, "-" if above.hyphenated else " "
    if following is None or not text[0].islower():
        return 0, "-" if above.hyphenated else ""
    hyphen = words.keeps_hyphen(match.group(1), following.group())
    if above.hyphenated:
        return 0, "-" if hyphen else ""
    return (0, "") if hyphen else (1, "")


def _joint(lines: Sequence[Line], number: int, spacing: float) -> str:
    """What stands between two lines: a space inside a paragraph, else one newline or two."""
    above, line = lines[number - 1], lines[number]
    size = max(above.size, line.size)
    gap = above.y - line.y
    ended = bool(_ENDS.search(above.text))
    goes_on = line.text[0].islower() and not ended
    if line.cells > 1 or above.cells > 1:
        return "\n" if line.cells > 1 and above.cells > 1 and 0 <= gap < 4 * size else "\n\n"
    if abs(gap) < 0.3 * size:
        return " "  # one line, in two pieces
    if gap < 0:  # to the head of another column
        return " " if goes_on else "\n\n"
    if abs(above.size - line.size) > 0.08 * size or gap > 1.3 * spacing * size:
        return "\n\n"
    if _ITEM.match(line.text):
        return "\n"
    if goes_on:
        return " "
    column = [other.right for other in lines if abs(other.left - line.left) < 3 * size]
    width = max(column) - min(above.left, line.left)
    short = above.right < max(column) - 0.15 * width
    indented = 0.8 * size < line.left - above.left < 6 * size
    if ended and (short or indented):
        return "\n\n"
    if above.right < max(column) - 0.4 * width and not above.text.endswith((",", "-")):
        return "\n"
    return " "
