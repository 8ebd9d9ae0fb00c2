"""Builds the readable text of a file that has markup: blocks apart, inline markup without a trace."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from retriever.errors import LimitExceeded
from retriever.parsing.limits import Limits
from retriever.parsing.normalization import normalize
from retriever.parsing.outline import Heading

# What HTML collapses, and the no-break space, which readers take for a space and searches must too.
_SPACES = re.compile("[ \t\n\r\f\xa0]+")
CELL = " | "
LONGEST_REPEATED = 100  # characters of a cell that are read in each row that it reaches


@dataclass
class Spans:
    """The cells of a table that reach down into the rows under them: their text is read in each of these rows.

    So every row reads as a whole, as it does on the page. A cell's long text is read once.
    """

    cells: dict[int, tuple[int, str]] = field(default_factory=dict)  # column -> rows that it still reaches, its text
    column: int = 0

    def row(self) -> None:
        """A row begins."""
        self.column = 0

    def above(self) -> Iterator[str]:
        """The texts of the cells that reach into this row before its next own cell."""
        while self.column in self.cells:
            left, text = self.cells.pop(self.column)
            if left > 1:
                self.cells[self.column] = (left - 1, text)
            yield text
            self.column += 1

    def cell(self, text: str, *, columns: int, rows: int) -> None:
        """A cell of this row ends: it is so many columns wide, and reaches that many rows further down."""
        if rows > 0:
            self.cells[self.column] = (rows, text if len(text) <= LONGEST_REPEATED else "")
        self.column += max(1, columns)


class TextWriter:
    """Collects text and breaks; a break takes effect with the next text, so none stands at either end.

    Two breaks in a row are the larger one: `line` for list items, table rows and <br>, `block` for paragraphs.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._parts: list[str] = []
        self._length = 0
        self._break = ""  # "", " ", "\n" or "\n\n": what comes before the next text
        self._held = False  # right after a list marker: breaks wait for the item's text
        self._inline = 0  # inside table cells: breaks are spaces
        self._headings: list[Heading] = []
        self._heading: tuple[int, int] | None = None  # the open heading's level and its first part's number
        self._heading_start = 0

    @property
    def length(self) -> int:
        """The characters written so far, a pending break left out."""
        return self._length

    def text(self, text: str) -> None:
        """Inline text: white space collapses, also across calls; nothing is put between two calls."""
        collapsed = _SPACES.sub(" ", text).replace("\xad", "")
        if not collapsed:
            return
        if collapsed[0] == " ":
            if self._length and not self._break and not self._held:
                self._break = " "
            collapsed = collapsed[1:]
            if not collapsed:
                return
        trailing = collapsed[-1] == " "
        self._put(collapsed[:-1] if trailing else collapsed)
        if trailing:
            self._break = " "

    def verbatim(self, text: str) -> None:
        """Preformatted text: every space and line end stays."""
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        if self._inline:
            self.text(text)
        elif text:
            kept = text.rstrip("\n")
            if kept:
                self._put(kept)
            ends = "\n" * (len(text) - len(kept))
            self._break = max(self._break if not kept else "", self._break + ends, key=len) if self._length else ""

    def line(self) -> None:
        """What follows stands on a new line."""
        self._separate("\n")

    def block(self) -> None:
        """What follows stands after a blank line."""
        self._separate("\n\n")

    def marker(self, marker: str) -> None:
        """A list item's marker, on a new line; the item's text follows it directly."""
        self.line()
        self._put(marker)
        self._held = True

    def cell(self) -> None:
        """The separator between two table cells."""
        if self._break == " ":
            self._break = ""
        self._put(CELL)
        self._held = True

    def mark(self) -> int:
        """Where the text stands now, for `since`."""
        return len(self._parts)

    def since(self, mark: int) -> str:
        """The text written after a mark, without the white space around it."""
        return "".join(self._parts[mark:]).strip()

    def open_inline(self) -> None:
        """From here breaks are spaces, as in a table cell."""
        self._inline += 1

    def close_inline(self) -> None:
        """Ends what `open_inline` began."""
        self._inline -= 1
        if self._break == " " and not self._inline:
            self._break = ""

    def open_heading(self, level: int) -> None:
        """What follows is a heading, up to `close_heading`."""
        self.block()
        self._heading = (level, len(self._parts))
        self._heading_start = -1

    def close_heading(self) -> None:
        """Ends the heading."""
        if self._heading is not None and self._heading_start >= 0:
            level, first = self._heading
            title = "".join(self._parts[first:]).strip()
            self._headings.append(Heading(start=self._heading_start, end=self._length, level=level, title=title))
        self._heading = None
        self.block()

    def finish(self) -> tuple[str, list[Heading]]:
        """The text and the headings in it."""
        return normalize("".join(self._parts)), self._headings

    def _separate(self, separator: str) -> None:
        if self._held:
            return
        if self._inline:
            separator = " "
        if self._length and len(separator) >= len(self._break) and self._break != "\n\n":
            self._break = separator if separator != " " or not self._break else self._break

    def _put(self, text: str) -> None:
        self._held = False
        if self._break:
            self._append(self._break)
            self._break = ""
        if self._heading is not None and self._heading_start < 0:
            self._heading_start = self._length
        self._append(text)

    def _append(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)
        if self._length > self._limits.characters:
            raise LimitExceeded(f"the document has more than {self._limits.characters:,} characters of text")
