"""DOCX: the document's paragraphs, lists and tables as they read, with heading styles as sections.

Read from the XML itself rather than by python-docx, whose paragraphs leave out inserted (tracked) text, content
controls, text boxes and notes. Deleted text, field codes and hidden text are not read.
"""

import re
from dataclasses import dataclass, field

from lxml import etree

from retriever.errors import NoText, UnreadableFile, UnsupportedFormat
from retriever.parsing.limits import Limits
from retriever.parsing.outline import sections_of
from retriever.parsing.packages import Package
from retriever.parsing.writer import LONGEST_REPEATED, TextWriter
from retriever.types import ParsedDocument

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_STRICT = b"http://purl.oclc.org/ooxml/wordprocessingml/main"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_VAL = f"{_W}val"
_DOCUMENT = "word/document.xml"
_HEADING = re.compile(r"(?:heading|überschrift|titre|título|标题)\s*([1-9])", re.IGNORECASE)
# What stands in a paragraph and is not text of it.
_UNREAD = frozenset(
    f"{_W}{name}"
    for name in (
        *("del", "moveFrom", "delText", "instrText", "ruby", "footnotePr", "sectPr"),
        *("pPr", "rPr", "sdtPr", "sdtEndPr", "tblPr", "tblGrid", "trPr", "tcPr"),
    )
) | {f"{_MC}Fallback"}
_MARKS = {f"{_W}tab": " ", f"{_W}noBreakHyphen": "-", f"{_W}ptab": " "}


def parse_docx(data: bytes, *, limits: Limits) -> ParsedDocument:
    """The document of a DOCX file. Raises UnsupportedFormat, UnreadableFile, NoText, LimitExceeded."""
    with Package(data, limits=limits) as package:
        if _DOCUMENT not in package.names:
            raise UnsupportedFormat("the package is not a Word document")
        body = package.xml(_DOCUMENT).find(f"{_W}body")
        if body is None:
            strict = _STRICT in package.read(_DOCUMENT)
            reason = "is in Strict Open XML: save it as an ordinary .docx" if strict else "has no body"
            raise UnreadableFile(f"the document {reason}")
        levels, list_styles = _styles(package)
        walk = _Walk(writer=TextWriter(limits), styles=levels, list_styles=list_styles, numbers=_numbered(package))
        walk.over(body)
        for notes in ("footnotes", "endnotes"):
            if f"word/{notes}.xml" in package.names:
                walk.notes(package.xml(f"word/{notes}.xml"))
        title = _core_title(package)
    text, headings = walk.writer.finish()
    if not text.strip():
        raise NoText("the document has no text")
    return ParsedDocument(
        text=text,
        media_type=MEDIA_TYPE,
        title=title or walk.title or next((heading.title for heading in headings), None),
        sections=sections_of(text, headings),
    )


def _core_title(package: Package) -> str | None:
    if "docProps/core.xml" not in package.names:
        return None
    title = package.xml("docProps/core.xml").findtext("{http://purl.org/dc/elements/1.1/}title")
    return " ".join(title.split()) or None if title else None


def _styles(package: Package) -> tuple[dict[str, int], dict[str, str]]:
    """Style id -> heading level, 0 for the style of the document's title; and style id -> list, for list styles.

    Both are inherited from the style that one is based on.
    """
    levels: dict[str, int] = {}
    lists: dict[str, str] = {}
    parents: dict[str, str] = {}
    if "word/styles.xml" not in package.names:
        return levels, lists
    for style in package.xml("word/styles.xml").iter(f"{_W}style"):
        identifier = style.get(f"{_W}styleId", "")
        name = _value(style, "name") or ""
        outline = _outline_level(style)
        if name.lower() == "title":
            levels[identifier] = 0
        elif match := _HEADING.fullmatch(name):
            levels[identifier] = int(match.group(1))
        elif outline is not None:
            levels[identifier] = outline
        if number := _value(style, "pPr/numPr/numId"):
            lists[identifier] = number
        if parent := _value(style, "basedOn"):
            parents[identifier] = parent
    for identifier in parents:
        seen: list[str] = []
        at = identifier
        while at in parents and at not in levels and at not in seen:
            seen.append(at)
            at = parents[at]
        if levels.get(at):
            levels[identifier] = levels[at]
    return levels, lists


def _outline_level(element: etree._Element) -> int | None:
    """The heading level that a paragraph or style asks for itself; Word counts from 0, and 9 is body text."""
    level = _value(element, "pPr/outlineLvl")
    return int(level) + 1 if level is not None and level in "012345678" and level else None


def _numbered(package: Package) -> frozenset[tuple[str, str]]:
    """(numId, level) of the lists whose markers are numbers or letters rather than bullets."""
    if "word/numbering.xml" not in package.names:
        return frozenset()
    root = package.xml("word/numbering.xml")
    abstract: dict[str, list[str]] = {}
    for definition in root.iter(f"{_W}abstractNum"):
        abstract[definition.get(f"{_W}abstractNumId", "")] = [
            level.get(f"{_W}ilvl", "0")
            for level in definition.iter(f"{_W}lvl")
            if _value(level, "numFmt") not in (None, "bullet", "none")
        ]
    return frozenset(
        (number.get(f"{_W}numId", ""), level)
        for number in root.iter(f"{_W}num")
        for level in abstract.get(_value(number, "abstractNumId") or "", [])
    )


def _value(element: etree._Element, path: str) -> str | None:
    """The w:val of the element at a path of w: names, None where there is none."""
    found = element.find("/".join(f"{_W}{name}" for name in path.split("/")))
    return None if found is None else found.get(_VAL)


@dataclass
class _Walk:
    """Writes the body, element by element; libxml2 refuses XML nested deeper than Python can recurse here."""

    writer: TextWriter
    styles: dict[str, int]
    list_styles: dict[str, str]
    numbers: frozenset[tuple[str, str]]
    title: str | None = None
    counters: dict[tuple[str, int], int] = field(default_factory=dict)
    in_list: bool = False

    def over(self, parent: etree._Element) -> None:
        for element in parent:
            tag = element.tag
            if not isinstance(tag, str) or tag in _UNREAD:
                continue
            if tag == f"{_W}p":
                self.paragraph(element)
            elif tag == f"{_W}tbl":
                self.table(element)
            elif tag in (f"{_W}t", f"{_M}t"):
                self.writer.text(element.text or "")
            elif tag in _MARKS:
                self.writer.text(_MARKS[tag])
            elif tag in (f"{_W}br", f"{_W}cr"):
                self.writer.line()
            elif tag == f"{_W}r" and element.find(f"{_W}rPr/{_W}vanish") is not None:
                continue
            else:
                self.over(element)

    def paragraph(self, element: etree._Element) -> None:
        style = _value(element, "pPr/pStyle") or ""
        level = self.styles.get(style)
        if level is None:
            level = _outline_level(element)
        number, depth = self.listed(element, style)
        if level:
            self.writer.open_heading(level)
            self.over(element)
            self.writer.close_heading()
            self.in_list = False
        elif number not in (None, "0") and "".join(element.itertext(f"{_W}t")).strip():
            self.item(element, number or "", depth)
        else:
            self.writer.block()
            before = self.writer.length
            self.over(element)
            if level == 0 and self.title is None and self.writer.length > before:
                self.title = " ".join("".join(element.itertext(f"{_W}t")).split()) or None
            self.writer.block()
            self.in_list = False

    def listed(self, element: etree._Element, style: str) -> tuple[str | None, int]:
        """The list that a paragraph is an item of, by itself or by its style, and how deep in it."""
        number = _value(element, "pPr/numPr/numId") or self.list_styles.get(style)
        depth = _value(element, "pPr/numPr/ilvl") or "0"
        return number, int(depth) if depth.isdigit() else 0

    def item(self, element: etree._Element, number: str, level: int) -> None:
        self.writer.line() if self.in_list else self.writer.block()
        self.in_list = True
        marker = "- "
        if (number, str(level)) in self.numbers:
            count = self.counters[number, level] = self.counters.get((number, level), 0) + 1
            marker = f"{count}. "
        for deeper in [key for key in self.counters if key[0] == number and key[1] > level]:
            del self.counters[deeper]
        self.writer.marker("  " * min(level, 9) + marker)
        self.over(element)
        self.writer.line()

    def table(self, element: etree._Element) -> None:
        self.writer.block()
        self.in_list = False
        merged: dict[int, str] = {}
        for row in element.iter(f"{_W}tr"):
            if next(row.iterancestors(f"{_W}tbl")) is element:  # a table inside a cell is read with that cell
                self.writer.line()
                self.row(row, merged)
        self.writer.block()

    def row(self, element: etree._Element, merged: dict[int, str]) -> None:
        """A row of a table. `merged` has the text of each column whose cell reaches down from a row above."""
        column = 0
        cells = [cell for cell in element.iter(f"{_W}tc") if next(cell.iterancestors(f"{_W}tr")) is element]
        for place, cell in enumerate(cells):
            if place:
                self.writer.cell()
            reaches = cell.find(f"{_W}tcPr/{_W}vMerge")
            if reaches is not None and reaches.get(_VAL, "continue") == "continue":
                self.writer.text(merged.get(column, ""))
            else:
                self.writer.open_inline()
                mark = self.writer.mark()
                self.over(cell)
                self.writer.close_inline()
                text = self.writer.since(mark)
                merged[column] = text if reaches is not None and len(text) <= LONGEST_REPEATED else ""
            span = _value(cell, "tcPr/gridSpan") or ""
            column += int(span) if span.isascii() and span.isdigit() and len(span) < 4 else 1

    def notes(self, root: etree._Element) -> None:
        for note in root:
            if note.get(f"{_W}type") in (None, "normal"):
                self.writer.block()
                self.over(note)
                self.writer.block()
