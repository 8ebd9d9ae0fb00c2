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

_LONGEST_OPENING = 300  # characters of a line that are looked at: minified code has all of a program on one
_HASH_COMMENTS = frozenset(["text/x-python", "text/x-ruby", "text/x-shellscript", "text/x-php"])
_PROTOTYPED = frozenset(["text/x-c", "text/x-c++"])

_COMMENT = re.compile(r"\s*(?:#|//|/\*|\*|--|%|;;)")
_COMMENT_WITHOUT_HASH = re.compile(r"\s*(?://|/\*|\*|--|%|;;)")
_DECORATOR = re.compile(r"\s*(?:@|#\[)")
_OPENS = re.compile(r"[:{]\s*(?:(?:#|//).*)?$|;\s*$|=>\s*$|\)\s*$")
_DOCSTRING = re.compile(r"""\s*(?:[rRuU]?)(\"\"\"|''')""")
_ENDS_SENTENCE = re.compile(r"[.!?](?=\s|$)|\n\s*\n")
_LICENCE = re.compile(
    r"(?i)licen[cs]e|copyright|SPDX|all rights reserved|permission is hereby|redistribution and use|without warrant"
)
_PRAGMA = re.compile(  # a line that is said to a tool
    r"#!|\s*(?:#|//|/\*+)\s*(?:-\*-|@flow\b|@ts-|\+build\b|<reference\b|frozen_string_literal\b|noqa\b|NOLINT|eslint|"
    r"prettier-|clang-format\b|(?:coding|encoding|ruff|flake8|pylint|mypy|pyright|isort|fmt|type|typed|vim?|rubocop|"
    r"jshint|jslint|tslint|go|shellcheck|cspell)(?:[:=]|\s+\w+=))"
)
# What else stands above the first words of a file, where # begins no comment. An include does not: what is said below
# it is about what comes next.
_DIRECTIVE = re.compile(r"""\s*(?:#\s*(?!include|import)[a-z]|<\?php\b|["']use \w+["'])""")
_SCOPE = r"\b(?:class|struct|interface|enum|record|trait|impl|mod|module|namespace|companion\s+object|object)\b"
_OPENS_SCOPE = re.compile(_SCOPE)
_PROTOTYPE = re.compile(  # at the margin: a type, a name, what it takes; or a comment, in which nothing is one
    r"/\*(?s:.*?)(?:\*/|\Z)"
    r"|^(?=[A-Za-z_])(?!return\b|else\b)[\w *&:<>,]{0,200}?[ *&](?P<name>\w+) ?\([^;{}\"]{0,1000};",
    re.MULTILINE,
)
_MACRO = re.compile(r"\s*#\s*define\b")
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
    media_type = source.document.media_type
    comment = _COMMENT if media_type in _HASH_COMMENTS else _COMMENT_WITHOUT_HASH
    found: list[Definition] = []
    before = 0
    for number, piece in _pieces(source, comment):
        shown = _signature(text, piece, comment) if piece.path else _module(text, piece, comment)
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
        found.append(Definition(line=line, path=piece.path, size=piece.end - piece.start))
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


def _pieces(source: SourceText, comment: re.Pattern[str]) -> Iterator[tuple[int, Section]]:
    """The number of each section with what is shown of it apart: lines that open classes, and prototypes of C."""
    text, sections = source.document.text, source.document.sections
    defined = {section.path[-1] for section in sections if section.path}
    for number, section in enumerate(sections):
        if section.path:
            yield from ((number, piece) for piece in _opened(text, section, comment))
        elif source.document.media_type in _PROTOTYPED:
            yield from ((number, piece) for piece in _declared(text, section, comment, defined))
        else:
            yield number, section


def _opened(text: str, section: Section, comment: re.Pattern[str]) -> Iterator[Section]:
    """The lines that only open what a definition is first in, each as a section of its own, then the definition's."""
    start, path = section.start, section.path
    for first, last in _rows(text[section.start : section.end]):
        row = text[section.start + first : section.start + min(last, first + _LONGEST_OPENING)]
        if not row.strip():
            continue
        name = None if len(path) == 1 or comment.match(row) else _scope_named(row, path)
        if name is None or name not in path[:-1]:
            break
        path = path[path.index(name) + 1 :]
        yield Section(path=section.path[: -len(path)], start=start, end=section.start + last)
        start = section.start + last
    yield Section(path=section.path, start=start, end=section.end)


def _scope_named(row: str, path: tuple[str, ...]) -> str | None:
    """Which name of a path a line is the class or module of; None for a line that has the innermost definition."""
    if _OPENS_SCOPE.search(row) is None:
        return None
    if "singleton class" in path[:-1] and re.match(r"\s*class\s*<<", row):
        return "singleton class"
    innermost, names = re.escape(path[-1]), "|".join(map(re.escape, path))
    found = re.match(rf"(?!.*(?<!\w){innermost}\s*\().*?(?={_SCOPE}).*?(?<!\w)({names})(?!\w|\s*[*&])", row)
    return found.group(1) if found else None


def _declared(text: str, section: Section, comment: re.Pattern[str], defined: set[str]) -> Iterator[Section]:
    """What stands between definitions of C up to its first prototype, then each with the comment right above it.

    A prototype of what the file defines is passed over: it would be shown twice.
    """
    found: list[Section] = []
    at = section.start
    for match in _PROTOTYPE.finditer(text, section.start, section.end):
        if match["name"] is None:
            continue
        start = _comment_start(text, at, match.start(), comment)
        at = max(match.end(), text.find("\n", match.end()) + 1)
        if match["name"] not in defined:
            found.append(Section(path=(match["name"],), start=start, end=match.end()))
    yield Section(path=(), start=section.start, end=found[0].start if found else section.end)
    yield from found


def _module(text: str, section: Section, comment: re.Pattern[str]) -> tuple[int, int] | None:
    """What a file says of itself at its top: a docstring, or else a comment. Elsewhere between definitions: nothing."""
    if section.start != 0:
        return None
    body = text[: section.end]
    said: int | None = None
    below = 0
    for first, last in _rows(body):
        row = body[first:last]
        if first < below or not row.strip() or _PRAGMA.match(row):
            continue
        if _DOCSTRING.match(row):
            said = first
            break
        if comment.match(row):
            below = _comment_end(body, first, comment)
            if said is None and not _LICENCE.search(body, first, min(below, first + LONGEST_WORDS)):
                said = first
        elif not _DIRECTIVE.match(row):
            break
    return None if said is None else _trimmed(text, said, _end_of_words(body, said, comment))


def _signature(text: str, section: Section, comment: re.Pattern[str]) -> tuple[int, int] | None:
    """From the first comment about a definition, or its first line, to the end of its signature or docstring."""
    body = text[section.start : section.end]
    rows = [row for row in _rows(body) if body[row[0] : row[1]].strip()]
    comments = 0
    while comments < len(rows) and comment.match(body[rows[comments][0] : rows[comments][1]]):
        comments += 1
    at = comments
    while at < len(rows) and _DECORATOR.match(body[rows[at][0] : rows[at][1]]):
        at += 1
    if at == len(rows) or (at + 1 == len(rows) and _MACRO.match(body, rows[at][0])):
        return None  # a header may have hundreds of macros of a line: its functions would be lost among them
    candidates = range(at, min(at + LONGEST_SIGNATURE, len(rows)))
    last = next((row for row in candidates if _OPENS.search(body[rows[row][0] : rows[row][1]])), at)
    start, end = rows[at][0], rows[last][1]
    if last + 1 < len(rows) and _DOCSTRING.match(body[rows[last + 1][0] : rows[last + 1][1]]):
        end = _end_of_words(body, rows[last + 1][0], comment)
    elif comments and rows[comments - 1][1] - rows[0][0] <= LONGEST_WORDS:
        start = rows[0][0]
    return _trimmed(text, section.start + start, section.start + end)


def _end_of_words(body: str, start: int, comment: re.Pattern[str]) -> int:
    """Where the first sentence of a docstring or comment that begins at `start` ends, its quotes included."""
    quote = _DOCSTRING.match(body, start)
    if quote is None:
        end = start
        for first, last in _rows(body[start:]):
            if not comment.match(body[start + first : start + last]):
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


def _comment_start(text: str, least: int, start: int, comment: re.Pattern[str]) -> int:
    """Where the comment begins that ends right above the line which begins at `start`; `start` itself for none."""
    while start > least:
        above = max(least, text.rfind("\n", least, start - 1) + 1)
        if not comment.match(text, above, start - 1):
            break
        start = above
    return start


def _comment_end(body: str, start: int, comment: re.Pattern[str]) -> int:
    """Where the comment ends whose first line begins at `start`: with its `*/`, or with the last line that is one."""
    if body.startswith("/*", start):
        closing = body.find("*/", start)
        return len(body) if closing < 0 else closing + len("*/")
    end = at = start
    while at < len(body):
        last = body.find("\n", at)
        last = len(body) if last < 0 else last
        if not comment.match(body, at, last):
            break
        end, at = last, last + 1
    return end


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
