"""Builds the readable text of a file that has markup: blocks apart, inline markup without a trace."""

import re

from retriever.errors import LimitExceeded
from retriever.parsing.limits import Limits
from retriever.parsing.normalization import normalize
from retriever.parsing.outline import Heading

# What HTML collapses, and the no-break space, which readers take for a space and searches must too.
_SPACES = re.compile("[ \t\n\r\f\xa0]+")
CELL = " | "


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
