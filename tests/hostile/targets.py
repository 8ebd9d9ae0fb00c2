"""What is fuzzed, and what must hold whatever comes in: an error of ours or something that keeps its promises."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from app.bodies import parse_json, validated
from app.errors import Invalid, Malformed
from app.problems import problem_of
from app.schemas import (
    AdaptRequest,
    AskRequest,
    DocumentFields,
    DocumentPatch,
    DocumentUpload,
    SearchRequest,
    SummarizeRequest,
    VerifyRequest,
)
from retriever.chunking import split
from retriever.errors import ParsingError
from retriever.filters import check_filters, matches
from retriever.parsing import Limits, parse, parse_text
from retriever.parsing.wire import LENGTHS, BrokenReply, outcome, parts_of
from retriever.store.records import read_cursor
from retriever.types import ParsedDocument
from retriever.units import sentences_of

LIMITS = Limits(characters=200_000, expanded_bytes=5_000_000)
EXTENSIONS = ("txt", "md", "html", "pdf", "docx", "epub", "jsonl", "vtt", "srt", "py", "js", "c", "go", "rs", "sh", "")
REQUESTS = (
    AskRequest,
    SearchRequest,
    SummarizeRequest,
    VerifyRequest,
    DocumentUpload,
    DocumentFields,
    DocumentPatch,
    AdaptRequest,
)
PROBLEM = {"type", "title", "status", "detail", "code", "request_id", "errors"}

Target = Callable[[bytes], None]


def files(extension: str) -> Target:
    """Parsing of one format: a document that holds, also after its way between processes, or a refusal."""

    def target(data: bytes) -> None:
        if extension == "pdf" and b"/XObject" in data:
            return  # forms that draw each other take PDFium for ever; the corpus has them, and the caps end them
        try:
            document = parse(data, filename=f"a.{extension}", limits=LIMITS)
        except ParsingError:
            return
        lengths, text = parts_of(document)
        again = outcome(lengths[LENGTHS.size :], text, limits=LIMITS)
        assert isinstance(again, ParsedDocument)
        assert (again.text, again.sections, again.turns) == (document.text, document.sections, document.turns)
        cut(document)

    return target


def cut(document: ParsedDocument) -> None:
    """Sentences and passages of a document: in order, inside it, and nothing but white space left out."""
    chunks = split(document, count=lambda texts: [len(text.split()) for text in texts])
    rest = document.text
    for chunk in reversed(chunks):
        assert 0 <= chunk.start < chunk.end <= len(document.text)
        rest = rest[: chunk.start] + rest[chunk.end :] if chunk.end <= len(rest) else rest[: chunk.start]
    assert not rest.strip(), "a passage lacks"
    last = 0
    for sentence in sentences_of(document):
        assert last <= sentence.start < sentence.end <= len(document.text)
        last = sentence.end


def texts(data: bytes) -> None:
    """Texts that come as JSON, plain and Markdown."""
    text = data.decode("utf-8", "replace")
    for media_type in ("text/plain", "text/markdown"):
        try:
            cut(parse_text(text, media_type=media_type, limits=LIMITS))
        except ParsingError:
            return


def bodies(data: bytes) -> None:
    """Requests of every shape: taken, or refused with a problem that does not repeat them."""
    try:
        value = parse_json(data)
    except Malformed:
        return
    for model in REQUESTS:
        try:
            validated(model, value)
        except Invalid as error:
            problem = problem_of(error)
            assert set(problem) == PROBLEM
            assert problem["status"] == 422
            json.dumps(problem).encode()


def filters(data: bytes) -> None:
    """Filters: refused before anything is searched, or good for any metadata."""
    try:
        value = parse_json(data)
        pair: Mapping[str, Any] = value if isinstance(value, dict) else {"f": value}
        check_filters(pair)
    except (Malformed, ValueError):
        return
    for metadata in ({}, {"f": 1}, {"f": "a"}, {"f": [1, "a", None]}, {name: name for name in pair}):
        assert matches(metadata, pair) in (True, False)


def cursors(data: bytes) -> None:
    """Cursors: two texts, or ValueError."""
    try:
        found = read_cursor(data.decode("utf-8", "replace"))
    except ValueError:
        return
    assert all(isinstance(each, str) for each in found)


def replies(data: bytes) -> None:
    """What a parser that was taken over may send: a document that holds, a refusal, or BrokenReply."""
    head, _, body = data.partition(b"\n")
    try:
        found = outcome(head, body, limits=LIMITS)
    except BrokenReply:
        return
    if isinstance(found, ParsedDocument):
        assert found.sections[0].start == 0
        assert found.sections[-1].end == len(found.text)


TARGETS: dict[str, Target] = {
    **{f"parse .{extension}": files(extension) for extension in EXTENSIONS},
    "texts": texts,
    "bodies": bodies,
    "filters": filters,
    "cursors": cursors,
    "replies": replies,
}
