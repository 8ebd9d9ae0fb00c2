"""JSON Lines: rows of a dialogue as its turns, rows of texts as paragraphs, any other rows as their fields.

A row with a title begins a section. Nothing of a row is left out, except beside what somebody says: there the fields
that are not read are named in a warning. A line that is no JSON object fails alone.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from retriever.errors import LimitExceeded, NoText, UnsupportedFormat
from retriever.parsing.limits import Limits
from retriever.parsing.outline import sections_of
from retriever.parsing.transcript import Said, written
from retriever.types import ParsedDocument

MEDIA_TYPE = "application/jsonl"

_SPEAKERS = ("speaker", "role", "author", "from", "user", "sender", "participant")
_CONTENTS = ("content", "text", "message", "utterance", "value", "body", "said")
_TITLES = ("title", "heading", "headline", "name", "subject")
_LISTS = ("turns", "messages", "dialogue", "dialog", "conversation", "conversations", "utterances", "transcript")
_DEEPEST = 20  # levels of a row that are read as fields; what is deeper is shown as JSON
_LONGEST_NAME = 200
_NAMED = 10  # lines that a warning lists

Row = Mapping[str, Any]


def parse_json_lines(text: str, *, limits: Limits) -> ParsedDocument:
    """The document of a decoded JSON Lines file. Raises UnsupportedFormat, NoText, LimitExceeded."""
    rows: list[Row] = []
    bad: list[int] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            row = _row(line)
            bad.append(number) if row is None else rows.append(row)
    if len(bad) > len(rows):
        raise UnsupportedFormat("the file claims to be JSON Lines, but most lines are no JSON objects")
    left: set[str] = set()
    said, turns, headings = written(_parts(rows, left, limits), limits=limits)
    if not said.strip():
        raise NoText("the rows hold no text")
    warnings = [f"no JSON object on {_listed(bad)}"] if bad else []
    warnings += [f"of the turns these fields were not read: {', '.join(sorted(left)[:_NAMED])}"] if left else []
    return ParsedDocument(
        text=said,
        media_type=MEDIA_TYPE,
        title=None,
        sections=sections_of(said, headings),
        turns=tuple(turns),
        warnings=tuple(warnings),
    )


def _row(line: str) -> Row | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    except RecursionError as error:
        raise LimitExceeded("a row nests too deeply") from error
    return row if isinstance(row, dict) else None


def _listed(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:_NAMED]))
    return f"line {shown}" if len(numbers) == 1 else f"lines {shown}" + (" ..." if len(numbers) > _NAMED else "")


def _parts(rows: Sequence[Row], left: set[str], limits: Limits) -> Iterator[Said]:
    """What the rows say. `left` gets the fields that were not read."""
    speaks = sum(_turn(row) is not None for row in rows)
    for row in rows:
        turn = _turn(row) if 2 * speaks > len(rows) else None
        if turn is not None:
            left.update(_unread(row))
            yield turn
            continue
        inner = next((row[key] for key in _LISTS if _is_dialogue(row.get(key))), None)
        if inner is not None:
            yield from _conversation(row, inner, left, limits)
        else:
            yield from _record(row, limits)


def _turn(row: Row) -> Said | None:
    """What a row says where it names who says it; None where it doesn't."""
    speaker = next((row[key] for key in _SPEAKERS if _is_words(row.get(key))), None)
    if speaker is None and type(row.get("speaker")) is int:  # under other names a number is a key of a table
        speaker = str(row["speaker"])
    content = next((row[key] for key in _CONTENTS if _is_words(row.get(key))), None)
    if speaker is None or content is None or any(_is_words(row.get(key)) for key in _TITLES):
        return None  # an article has an author too, and a title
    name = " ".join(speaker.split())
    return Said(text=_lines(content), speaker=name) if len(name) <= 100 else None


def _unread(turn: Row) -> Iterator[str]:
    """The fields of a turn that say something and are neither who speaks nor what is said."""
    read = [next((key for key in names if _is_words(turn.get(key))), None) for names in (_SPEAKERS, _CONTENTS)]
    for key, value in turn.items():
        numbered = read[0] is None and key == "speaker"
        if key not in read and not numbered and value not in (None, "", [], {}):
            yield str(key)


def _lines(text: str) -> str:
    return text.strip().replace("\r\n", "\n").replace("\r", "\n")


def _is_words(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_dialogue(value: object) -> bool:
    if not isinstance(value, list):
        return False
    turns = [row for row in value if isinstance(row, dict) and _turn(row) is not None]
    return len(turns) > 0 and 2 * len(turns) > len(value)


def _conversation(row: Row, turns: Sequence[Any], left: set[str], limits: Limits) -> Iterator[Said]:
    """A row that is a whole dialogue: its other fields first, then its turns and what stands between them."""
    yield from _record({key: value for key, value in row.items() if value is not turns}, limits)
    for each in turns:
        turn = _turn(each) if isinstance(each, dict) else None
        if turn is not None:
            left.update(_unread(each))
            yield turn
        else:
            unsaid = each if isinstance(each, dict) else {_CONTENTS[0]: each}
            # A title in there is no heading: the turns after it would be its section.
            yield from (replace(part, level=0) for part in _record(unsaid, limits))


def _record(row: Row, limits: Limits) -> Iterator[Said]:
    """A row of anything: its title as a heading, its text as a paragraph, its other fields a line each."""
    title = next((key for key in _TITLES if _is_words(row.get(key)) and len(row[key]) <= 200), None)
    body = next((key for key in _CONTENTS if _is_words(row.get(key))), None)
    if title is not None and body is not None:
        yield Said(text=" ".join(row[title].split()), level=1)
    else:
        title = None
    if body is not None:
        yield Said(text=_lines(row[body]))
    fields: list[str] = []
    length = 0
    for line in (line for key in row if key not in (title, body) for line in _fields(key[:_LONGEST_NAME], row[key], 1)):
        fields.append(line)
        length += len(line)
        if (
            length > limits.characters
        ):  # names are repeated for each field inside: a row can be far longer than its JSON
            raise LimitExceeded(f"a row has more than {limits.characters:,} characters of text")
    if fields:
        yield Said(text="\n".join(fields))


def _fields(name: str, value: object, depth: int) -> Iterator[str]:
    """`name: value` lines; the names of what is inside other fields are joined by dots. Empty values are left out."""
    if isinstance(value, dict) and depth < _DEEPEST:
        for key, inner in value.items():
            yield from _fields(f"{name}.{key}"[:_LONGEST_NAME], inner, depth + 1)
    elif isinstance(value, list) and depth < _DEEPEST and any(isinstance(inner, (dict, list)) for inner in value):
        for number, inner in enumerate(value, start=1):
            yield from _fields(f"{name}.{number}", inner, depth + 1)
    elif isinstance(value, list) and depth < _DEEPEST:
        if value:
            yield f"{name}: {', '.join(_shown(inner) for inner in value)}"
    elif value is not None and value != "" and value != {}:
        yield f"{name}: {_shown(value)}"


def _shown(value: object) -> str:
    return _lines(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
