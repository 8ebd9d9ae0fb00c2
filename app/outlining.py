"""Source code in a summary: its modules and definitions, each by its signature and the first words said about it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from app.lines import Line
from app.prose import count_words, one_line
from app.sources import SourceText
from model.sentence_table import Floats, Query, dot, standard
from retriever.types import Section

LONGEST_SIGNATURE = 12  # lines
LONGEST_WORDS = 400  # characters of what is said about a definition

_COMMENT = re.compile(r"\s*(?:#|//|/\*|\*|--|%|;;)")
_DECORATOR = re.compile(r"\s*(?:@|#\[)")
_OPENS = re.compile(r"[:{]\s*(?:(?:#|//).*)?$|;\s*$|=>\s*$|\)\s*$")
_DOCSTRING = re.compile(r"""\s*(?:[rRuU]?)(\"\"\"|''')""")
_ENDS_SENTENCE = re.compile(r"[.!?](?=\s|$)|\n\s*\n")
_LICENCE = re.compile(r"(?i)licen[cs]e|copyright|SPDX|all rights reserved")
_LETTER = re.compile(r"\w")


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A definition's place in the outline: `line` is what is shown of it, `name` its path, `size` its characters."""

    line: Line
    path: tuple[str, ...]
    size: int


def definitions_of(place: int, source: SourceText) -> list[Definition]:
    """The file's own words about itself, then each definition by its signature with what is said right there."""
    text = source.document.text
    found: list[Definition] = []
    before = 0
    for number, section in enumerate(source.document.sections):
        shown = _module(text, section) if not section.path else _signature(text, section)
        if shown is None:
            continue
        start, end = shown
        words = count_words(text[start:end])
        line = Line(
            source=place,
            start=start,
            end=end,
            text=one_line(text[start:end]),
            words=words,
            words_before=before,
            section=number,
            first=True,
            speaker=None,
            turn_words=0,
        )
        found.append(Definition(line=line, path=section.path, size=section.end - section.start))
        before += words
    return found


def score_definitions(definitions: Sequence[Definition], vectors: Floats, query: Query | None) -> Floats:
    """Log-odds [N]: a module's own words first, then what is public, documented, at the top and large."""
    public = np.array([all(not part.startswith("_") or part == "__init__" for part in it.path) for it in definitions])
    scores = 1.5 * public + 0.3 * standard(np.log1p([it.size for it in definitions]).astype(np.float32))
    scores += np.array([2.0 if not it.path else 1.0 if len(it.path) == 1 else 0.0 for it in definitions])
    scores += np.array([0.7 if _is_told(it.line.text) else 0.0 for it in definitions])
    if query is not None:
        scores = scores + 1.7 * standard(dot(vectors, query.vector)) + 1.5 * standard(query.overlap)
        scores = scores + 2.0 * query.relevance + 8.0 * query.answer
    shown: Floats = (scores - scores.mean()).astype(np.float32) if len(definitions) else np.zeros(0, dtype=np.float32)
    return shown


def _is_told(text: str) -> bool:
    return '"""' in text or "'''" in text or _COMMENT.match(text) is not None


def _module(text: str, section: Section) -> tuple[int, int] | None:
    """What a file says of itself at its top: a docstring or a comment. Elsewhere between definitions: nothing."""
    body = text[section.start : section.end]
    if section.start != 0 or not body.strip():
        return None
    rows = list(_rows(body))
    rows = rows[1:] if rows and body.startswith("#!") else rows
    said = [row for row in rows if body[row[0] : row[1]].strip()]
    if not said:
        return None
    first = body[said[0][0] : said[0][1]]
    if _LICENCE.search(body[: said[0][0] + LONGEST_WORDS].split("\n\n")[0]):
        return None
    if not _DOCSTRING.match(first) and not _COMMENT.match(first):
        return None
    return _trimmed(text, section.start + said[0][0], section.start + _end_of_words(body, said[0][0]))


def _signature(text: str, section: Section) -> tuple[int, int] | None:
    """From the first comment about a definition, or its first line, to the end of its signature or docstring."""
    body = text[section.start : section.end]
    rows = [row for row in _rows(body) if body[row[0] : row[1]].strip()]
    comments = 0
    while comments < len(rows) and _COMMENT.match(body[rows[comments][0] : rows[comments][1]]):
        comments += 1
    at = comments
    while at < len(rows) and _DECORATOR.match(body[rows[at][0] : rows[at][1]]):
        at += 1
    if at == len(rows):
        return None
    candidates = range(at, min(at + LONGEST_SIGNATURE, len(rows)))
    last = next((row for row in candidates if _OPENS.search(body[rows[row][0] : rows[row][1]])), at)
    start, end = rows[at][0], rows[last][1]
    if last + 1 < len(rows) and _DOCSTRING.match(body[rows[last + 1][0] : rows[last + 1][1]]):
        end = _end_of_words(body, rows[last + 1][0])
    elif comments and rows[comments - 1][1] - rows[0][0] <= LONGEST_WORDS:
        start = rows[0][0]
    return _trimmed(text, section.start + start, section.start + end)


def _end_of_words(body: str, start: int) -> int:
    """Where the first sentence of a docstring or comment that begins at `start` ends, its quotes included."""
    quote = _DOCSTRING.match(body, start)
    if quote is None:
        end = start
        for first, last in _rows(body[start:]):
            if not _COMMENT.match(body[start + first : start + last]):
                break
            end = start + last
            if _ENDS_SENTENCE.search(body, start, end):
                break
        return min(end, start + LONGEST_WORDS)
    closing = body.find(quote.group(1), quote.end())
    closing = len(body) if closing < 0 else closing
    sentence = _ENDS_SENTENCE.search(body, quote.end(), closing)
    if sentence is not None and body[sentence.end() : closing].strip():
        return min(sentence.end(), start + LONGEST_WORDS)
    return min(closing + 3, len(body), start + LONGEST_WORDS)


def _rows(text: str) -> Iterator[tuple[int, int]]:
    at = 0
    for row in text.split("\n"):
        yield at, at + len(row)
        at += len(row) + 1


def _trimmed(text: str, start: int, end: int) -> tuple[int, int] | None:
    piece = text[start:end]
    if not _LETTER.search(piece):
        return None
    start += len(piece) - len(piece.lstrip())
    return start, start + len(piece.strip())
