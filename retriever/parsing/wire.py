"""What goes between the service and the processes that parse: frames of two lengths, a JSON head and raw bytes.

A parser may have been taken over by what it read, so nothing here can carry code, lengths are looked at before anything
is read, and a document is made only of values that hold what `retriever.types` says of them.
"""

import json
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

from retriever import errors
from retriever.parsing.limits import Limits
from retriever.types import Page, ParsedDocument, Section, Turn

T = TypeVar("T")

OUT_OF_MEMORY = 77  # the exit status of a parser that could not get more memory
LENGTHS = struct.Struct("!QQ")  # of the head and of the body, in bytes
MAX_HEAD = 24_000_000  # bytes of what goes with a text: some 400,000 sections or turns, 300 MB once they are objects
_MOST_BYTES = 4  # of one character in UTF-8
_LONGEST = 1_000  # characters of a name, a title or a message
_DEEPEST = 1_000  # titles of a section's path
_MOST_WARNINGS = 100

# The refusals that a parser may tell; whatever else it raises is a defect.
REFUSALS: Mapping[str, type[errors.ParsingError]] = {
    kind.__name__: kind
    for kind in (errors.UnsupportedFormat, errors.UnreadableFile, errors.NoText, errors.LimitExceeded)
}


class BrokenReply(Exception):
    """A parser has sent what no parser of ours sends."""


@dataclass(frozen=True, kw_only=True)
class Defect:
    """An error that a parser never should have raised: its kind, and the places that it passed, innermost last."""

    kind: str
    places: tuple[str, ...]


def framed(head: Mapping[str, Any], body: bytes = b"") -> list[bytes]:
    """A frame in parts: lengths and head, body."""
    told = json.dumps(head, separators=(",", ":")).encode("ascii")
    return [LENGTHS.pack(len(told), len(body)) + told, body]


def sizes(lengths: bytes, *, limits: Limits) -> tuple[int, int]:
    """The lengths of a reply's head and body. Raises BrokenReply for what no document within the limits needs."""
    head, body = LENGTHS.unpack(lengths)
    if head > MAX_HEAD or body > _MOST_BYTES * limits.characters:
        raise BrokenReply(f"{head} and {body} bytes are announced")
    return head, body


def document_head(document: ParsedDocument) -> dict[str, Any]:
    """All of a document but its text."""
    return {
        "media_type": document.media_type,
        "title": None if document.title is None else document.title[:_LONGEST],
        "sections": [[each.path, each.start, each.end] for each in document.sections],
        "pages": [[each.number, each.start, each.end] for each in document.pages],
        "turns": [[each.speaker, each.start, each.end] for each in document.turns],
        "warnings": [each[:_LONGEST] for each in document.warnings[:_MOST_WARNINGS]],
    }


def outcome(head: bytes, body: bytes, *, limits: Limits) -> ParsedDocument | errors.ParsingError | Defect:
    """What a parser's reply says. Raises BrokenReply where it says nothing that a parser of ours would."""
    try:
        told = json.loads(head)
        if "refusal" in told:
            return REFUSALS[told["refusal"]](_text(told["message"]))
        if "defect" in told:
            return Defect(kind=_text(told["defect"]), places=tuple(_text(each) for each in told["at"][-20:]))
        return _document(told, body.decode("utf-8"), limits=limits)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise BrokenReply(type(error).__name__) from error


def _document(told: Mapping[str, Any], text: str, *, limits: Limits) -> ParsedDocument:
    if len(text) > limits.characters or "\0" in text:
        raise ValueError("not a text within the limits")
    sections = tuple(
        Section(path=_path(path), start=start, end=end) for path, start, end in _ranges(told["sections"], text)
    )
    if any(one.end != other.start for one, other in pairwise(sections)):
        raise ValueError("sections do not tile the text")
    if not sections or sections[0].start != 0 or sections[-1].end != len(text):
        raise ValueError("sections do not cover the text")
    return ParsedDocument(
        text=text,
        media_type=_text(told["media_type"]),
        title=None if told["title"] is None else _text(told["title"]),
        sections=sections,
        pages=_made(told["pages"], text, lambda number, s, e: Page(number=_whole(number), start=s, end=e)),
        turns=_made(told["turns"], text, lambda speaker, s, e: Turn(speaker=_text(speaker), start=s, end=e)),
        warnings=tuple(_text(each) for each in told["warnings"]),
    )


def _made(rows: Any, text: str, make: Callable[[Any, int, int], T]) -> tuple[T, ...]:
    return tuple(make(*row) for row in _ranges(rows, text))


def _ranges(rows: Any, text: str) -> Iterable[tuple[Any, int, int]]:
    """Rows of something with a start and an end, in order and without overlap."""
    last = 0
    for named, start, end in rows:
        if not last <= _whole(start) <= _whole(end) <= len(text):
            raise ValueError("ranges are out of order")
        last = end
        yield named, start, end


def _path(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > _DEEPEST:
        raise TypeError("not a path of titles")
    return tuple(_text(each) for each in value)


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("not a whole number")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST:
        raise TypeError("not a short text")
    value.encode("utf-8")  # no lone surrogates
    return value


def parts_of(document: ParsedDocument) -> Sequence[bytes]:
    """A document as a frame."""
    return framed(document_head(document), document.text.encode("utf-8"))
