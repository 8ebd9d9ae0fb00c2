"""What the command line shows: answers and summaries with their places, and progress on a terminal."""

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from lectern import Answer, Citation, Hit, Search, Summary

_ESCAPES = re.compile("\x1b\\[[0-9]*m")
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tabs and line ends: a terminal would obey them
LONGEST_CONTEXT = 400  # characters of the sentence around a quote that are shown

Place = Callable[["Citation | Hit"], str]
COLOURS = {"bold": 1, "red": 31, "green": 32, "yellow": 33}
STATES = {"indexed": "green", "succeeded": "green", "failed": "red", "cancelled": "yellow"}


def say(text: str = "") -> None:
    """A line of the result, on standard output."""
    write(text + "\n")


def write(text: str) -> None:
    """Part of the result as it is, on standard output. What its encoding lacks becomes a question mark."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))


def write_text(text: str) -> None:
    """A document's own text on standard output: to a file or a pipe as it is, to a terminal without what it obeys."""
    write(_harmless(text) if sys.stdout.isatty() else text)


def note(text: str) -> None:
    """A line about the work, on standard error."""
    sys.stderr.write(f"lectern: {text}\n")


def fail(text: str) -> None:
    """Why the work cannot be done, on standard error."""
    sys.stderr.write(f"{styled('lectern:', 'red', sys.stderr)} {text}\n")


def styled(text: str, colour: str, stream: TextIO) -> str:
    """A text in a colour, or bold, where the stream is a terminal that shows it."""
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if colours(stream) else text


def state(status: str) -> str:
    """A document's or a job's state, in its colour."""
    return styled(status, STATES[status], sys.stdout) if status in STATES else status


def colours(stream: TextIO) -> bool:
    """Whether a stream is a terminal on which words may be emphasized."""
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def show_answer(reply: "Answer", *, place: Place) -> None:
    """The answer and where it stands, or that the documents do not say."""
    bold = colours(sys.stdout)
    if reply.answer is None:
        say(f"The documents do not say. ({_percent(reply.confidence)} sure)")
    else:
        say(f"{_bold(one_line(reply.answer), on=bold)}  ({_percent(reply.confidence)} sure)\n")
        for citation in reply.citations:
            say(f"  {place(citation)}: “{_context(citation, on=bold)}”")
    if reply.alternatives:
        say("\nOther possibilities:")
    for other in reply.alternatives:
        where = f"{place(other.citation)}: “{_context(other.citation, on=bold)}”"
        say(f"  {one_line(other.answer)}  ({_percent(other.confidence)})  {where}")


def show_summary(reply: "Summary", *, place: Place) -> None:
    """The summary, where its sentences stand, and how much was read for it."""
    say(_harmless(reply.summary))
    if not reply.sentences:
        return
    say("\nSources:")
    for number, sentence in enumerate(reply.sentences, start=1):
        say(f"  {number}. {place(sentence.citation)}: “{_shortened(one_line(sentence.text), 60)}”")
    coverage = reply.coverage
    say(f"\nRead {coverage.characters_read:,} of {coverage.characters_total:,} characters.")


def show_hits(reply: "Search", *, place: Place) -> None:
    """Passages, best first, with their places."""
    for number, hit in enumerate(reply.hits, start=1):
        say(f"{number}. {place(hit)}  (score {hit.score:.3f})\n   {_shortened(one_line(hit.text), LONGEST_CONTEXT)}\n")


def show_measures(measures: Mapping[str, Any]) -> None:
    """Measures a line each, those of several systems under the system's name."""
    for name, value in measures.items():
        if isinstance(value, Mapping):
            shown = "  ".join(f"{inner} {_number(number)}" for inner, number in value.items())
            say(f"{name:18} {shown}")
        else:
            say(f"{name:22} {_number(value)}")


def show_table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows under their names, in columns; nothing where there are none. The last column may be of any length."""
    table = [[styled(name, "bold", sys.stdout) for name in names], *rows]
    widths = [max(map(_width, column)) for column in zip(*table, strict=True)]
    for row in table if rows else ():
        cells = [cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)]
        say("  ".join(cells).rstrip())


def show_fields(fields: Mapping[str, str]) -> None:
    """A field a line, under their names."""
    width = max(map(len, fields))
    for name, value in fields.items():
        say(f"{name:{width}}  {value}".rstrip())


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int | None, str], None]]:
    """A bar on standard error while a terminal is there to see it; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield lambda done, total, unit: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),  # a file may be named `[x].txt`
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None, unit="")
        yield lambda done, total, unit: bar.update(task, completed=done, total=total, unit=unit)


def one_line(text: str) -> str:
    """A text with all white space made single blanks, and nothing in it that a terminal obeys."""
    return _harmless(" ".join(text.split()))


def _context(citation: "Citation", *, on: bool) -> str:
    """The sentence around a quote, shortened around it, with the quote emphasized."""
    context, quote = one_line(citation.context), one_line(citation.quote)
    at = max(0, context.find(quote))
    low = max(0, at - (LONGEST_CONTEXT - len(quote)) // 2) if len(context) > LONGEST_CONTEXT else 0
    high = max(at + len(quote), low + LONGEST_CONTEXT)
    before, after = context[low:at], context[at + len(quote) : high]
    return ("…" if low else "") + before + _bold(quote, on=on) + after + ("…" if high < len(context) else "")


def _bold(text: str, *, on: bool) -> str:
    return f"\x1b[1m{text}\x1b[0m" if on else text


def _harmless(text: str) -> str:
    return _CONTROLS.sub("\ufffd", text)


def _width(cell: str) -> int:
    """The columns that a cell takes on a terminal, as far as these words go."""
    return len(_ESCAPES.sub("", cell))


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def _percent(chance: float) -> str:
    return f"{100 * chance:.0f}%"


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)
