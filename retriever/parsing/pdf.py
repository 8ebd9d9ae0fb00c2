"""PDF: text, pages, bookmarks and metadata through PDFium; what it makes of the lines is in pdf_layout.py."""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pypdfium2
import pypdfium2.raw as pdfium

from retriever.errors import LimitExceeded, NoText, UnreadableFile
from retriever.parsing.limits import Limits
from retriever.parsing.normalization import normalize
from retriever.parsing.outline import Heading, sections_of
from retriever.parsing.pdf_columns import in_reading_order
from retriever.parsing.pdf_layout import Line, Spot, Words, headings_by_size, page_text, spacing_of, without_furniture
from retriever.parsing.plain import find_headings
from retriever.types import Page, ParsedDocument

MEDIA_TYPE = "application/pdf"

# PDFium keeps global state: no two calls at once in a process. Held for a page at a time, so that a long document
# does not keep a short one waiting.
_PDFIUM = threading.Lock()
_LINE_ENDS = frozenset([0x0A, 0x0D])
# How PDFium reports a hyphen at a line's end, which it takes for one that only the line's end called for. It stands
# for the line's end too.
_HYPHENS = frozenset([0x02, 0xFFFE])
_SOFT_HYPHEN = "\xad"
_SPACE = 0x20
_WIDEST_GAP = 1.2  # of type sizes: between two words of a justified line
_MOST_BOOKMARKS = 10_000


@dataclass(frozen=True, kw_only=True)
class _Bookmark:
    page: int
    level: int
    title: str
    top: float | None


def parse_pdf(data: bytes, *, limits: Limits) -> ParsedDocument:
    """The document of a PDF file. Raises UnreadableFile, NoText, LimitExceeded.

    A page that cannot be read, or has no text, is an empty range and a warning.
    """
    with _opened(data) as document:
        with _PDFIUM:
            count = len(document)
            title = _title(document)
            bookmarks = _bookmarks(document, count)
        if count > limits.pages:
            raise LimitExceeded(f"the PDF has {count:,} pages; the limit is {limits.pages:,}")
        pages: list[list[Line]] = []
        broken: list[int] = []
        characters = 0
        for index in range(count):
            lines = _lines(document, index)
            if lines is None:
                broken.append(index + 1)
            pages.append(lines or [])
            characters += sum(len(line.text) for line in pages[-1])
            if characters > limits.characters:
                raise LimitExceeded(f"the PDF has more than {limits.characters:,} characters of text")
    pages = without_furniture(pages)
    if not any(pages):
        raise _nothing(count, broken)
    return _assembled(pages, bookmarks, title=title, broken=broken)


def _assembled(
    pages: list[list[Line]], bookmarks: list[_Bookmark], *, title: str | None, broken: list[int]
) -> ParsedDocument:
    """Joins the pages' texts. Sections are the bookmarks', else by the headings' type size, else as in plain text."""
    empty = [number for number, lines in enumerate(pages, start=1) if not lines and number not in broken]
    spacing = spacing_of(pages)
    words = Words(line.text for lines in pages for line in lines)
    parts: list[str] = []
    ranges: list[Page] = []
    spots: list[list[Spot]] = []
    length = 0
    for number, lines in enumerate(pages, start=1):
        text, marks = page_text(lines, spacing=spacing, words=words)
        if text and length:
            # A paragraph that goes on over the page's end is one newline apart, which ends no sentence.
            goes_on = text[0].islower() and parts[-1][-1] not in ".!?:;。！？"
            parts.append("\n" if goes_on else "\n\n")
            length += len(parts[-1])
        ranges.append(Page(number=number, start=length, end=length + len(text)))
        spots.append([replace(mark, start=length + mark.start, end=length + mark.end) for mark in marks])
        if text:
            parts.append(text)
            length += len(text)
    text = normalize("".join(parts))
    large = headings_by_size(text, spots)
    headings = _headings(text, bookmarks, ranges, spots) or large or find_headings(text)
    warnings = [f"no text on {_listed(empty)}"] if empty else []
    warnings += [f"could not read {_listed(broken)}"] if broken else []
    return ParsedDocument(
        text=text,
        media_type=MEDIA_TYPE,
        title=title or _largest(large, on=next(page for page in ranges if page.start < page.end)),
        sections=sections_of(text, headings),
        pages=tuple(ranges),
        warnings=tuple(warnings),
    )


def _largest(headings: list[Heading], *, on: Page) -> str | None:
    """The title that a first page shows: its line in the largest type. A bookmark would name the first chapter."""
    shown = [heading for heading in headings if heading.start < on.end]
    return min(shown, key=lambda heading: (heading.level, heading.start)).title if shown else None


@contextmanager
def _opened(data: bytes) -> Iterator[pypdfium2.PdfDocument]:
    try:
        with _PDFIUM:
            document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower() or "security" in str(error).lower():
            raise UnreadableFile("the PDF is encrypted: remove its password first") from error
        raise UnreadableFile("the PDF is broken or cut short") from error
    try:
        yield document
    finally:
        with _PDFIUM:
            document.close()


def _nothing(count: int, broken: list[int]) -> NoText | UnreadableFile:
    if count == 0 or len(broken) == count:
        return UnreadableFile("no page of the PDF can be read")
    pages = "the only page" if count == 1 else f"any of the {count:,} pages (1-{count})"
    return NoText(f"no text on {pages}: it may be scanned, and needs text recognition first")


def _listed(numbers: list[int]) -> str:
    """`page 3`, or `pages 3-5, 9`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    named = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
    return f"page {named}" if len(numbers) == 1 else f"pages {named}"


def _title(document: pypdfium2.PdfDocument) -> str | None:
    title = " ".join(normalize(document.get_metadata_value("Title")).split()).removeprefix("Microsoft Word - ")
    return None if not title or title.lower() in ("untitled", "title") else title[:300]


def _bookmarks(document: pypdfium2.PdfDocument, count: int) -> list[_Bookmark]:
    found = []
    for number, bookmark in enumerate(document.get_toc(max_depth=8)):
        if number >= _MOST_BOOKMARKS:
            break
        destination = bookmark.get_dest()
        page = destination.get_index() if destination is not None else None
        if destination is None or page is None or not 0 <= page < count:
            continue
        mode, position = destination.get_view()
        top = None
        if mode == pdfium.PDFDEST_VIEW_XYZ and len(position) > 1:
            top = position[1]
        elif mode in (pdfium.PDFDEST_VIEW_FITH, pdfium.PDFDEST_VIEW_FITBH) and position:
            top = position[0]
        found.append(_Bookmark(page=page, level=bookmark.level + 1, title=normalize(bookmark.get_title()), top=top))
    return found


def _headings(text: str, bookmarks: list[_Bookmark], pages: list[Page], spots: list[list[Spot]]) -> list[Heading]:
    """The bookmarks as headings: at their title's line, else at the line they point to, else at the page's start."""
    headings: list[Heading] = []
    for bookmark in bookmarks:
        page = pages[bookmark.page]
        wanted = _letters(bookmark.title)
        if not wanted:
            continue
        after = headings[-1].end if headings else 0
        spot = _titled(text, wanted, spots[bookmark.page], after) or _pointed(bookmark.top, spots[bookmark.page])
        start, end = (spot.start, spot.end) if spot else (page.start, page.start)
        start = max(start, headings[-1].start if headings else 0)
        headings.append(Heading(start=start, end=max(start, end), level=bookmark.level, title=bookmark.title))
    return headings


def _titled(text: str, wanted: str, spots: list[Spot], after: int) -> Spot | None:
    """The line that the title begins, or begins with, allowing for a number that only one of them has."""
    for spot in spots:
        line = _letters(text[spot.start : spot.end])
        if spot.start >= after and len(line) >= 3 and (line.startswith(wanted) or wanted.startswith(line)):
            return spot
    for spot in spots:
        if spot.start >= after and _letters(text[spot.start : spot.end]).endswith(wanted):
            return spot
    return None


def _pointed(top: float | None, spots: list[Spot]) -> Spot | None:
    return None if top is None else next((spot for spot in spots if spot.top <= top + 1), None)


def _letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


def _lines(document: pypdfium2.PdfDocument, index: int) -> list[Line] | None:
    """The lines of a page, in reading order as PDFium sees it; None where the page cannot be read."""
    with _PDFIUM:
        try:
            page = document[index]
        except pypdfium2.PdfiumError:
            return None
        try:
            text_page = page.get_textpage()
            try:
                return in_reading_order(list(_pieces_of(text_page.raw)))
            finally:
                text_page.close()
        except pypdfium2.PdfiumError:
            return None
        finally:
            page.close()


def _pieces_of(raw: "ctypes._Pointer[ctypes.c_int]") -> Iterator[Line]:
    """Splits a text page's characters into lines, and these where a wide gap parts them.

    Characters' places are asked for at the ends of pieces only, and beside each space that PDFium put in for a gap.
    """
    units: list[int] = []
    places: list[int] = []
    for place in range(pdfium.FPDFText_CountChars(raw)):
        unit = pdfium.FPDFText_GetUnicode(raw, place)
        if unit == _SPACE and places and pdfium.FPDFText_IsGenerated(raw, place) == 1 and _parts(raw, place):
            ended, hyphenated = True, False
        else:
            hyphenated = unit in _HYPHENS
            ended = hyphenated or unit in _LINE_ENDS
        if not ended:
            units.append(unit)
            places.append(place)
        elif units:
            if (line := _line(raw, units, places, hyphenated=hyphenated)) is not None:
                yield line
            units, places = [], []
    if units and (line := _line(raw, units, places, hyphenated=False)) is not None:
        yield line


def _parts(raw: "ctypes._Pointer[ctypes.c_int]", place: int) -> bool:
    """Whether the gap that a generated space stands for is wider than any between two words."""
    (left, y), (right, y_after) = _origin(raw, place - 1), _origin(raw, place + 1)
    size = _size(raw, place - 1)
    return right - left > (_WIDEST_GAP + 0.6) * size and abs(y - y_after) < 0.5 * size


def _line(
    raw: "ctypes._Pointer[ctypes.c_int]", units: list[int], places: list[int], *, hyphenated: bool
) -> Line | None:
    # Above U+FFFF PDFium gives UTF-16 halves on some systems: decoding them together makes one character of two.
    packed = b"".join(chr(unit).encode("utf-16-le", errors="surrogatepass") for unit in units if unit < 0x110000)
    text = packed.decode("utf-16-le", errors="replace").replace("\0", " ")
    hyphenated = hyphenated or text.rstrip().endswith(_SOFT_HYPHEN)
    text = " ".join(text.replace(_SOFT_HYPHEN, "").split())
    if not text:
        return None
    inked = [place for place, unit in zip(places, units, strict=True) if unit not in (0x20, 0xA0)]
    left, y = _origin(raw, inked[0])
    right, _ = _origin(raw, inked[-1])
    size = _size(raw, inked[len(inked) // 2])
    return Line(text=text, left=left, right=right + size / 2, y=y, size=size, hyphenated=hyphenated)


def _size(raw: "ctypes._Pointer[ctypes.c_int]", place: int) -> float:
    """The type size of a character, in points."""
    return float(pdfium.FPDFText_GetFontSize(raw, place)) * _scale(raw, place) or 1.0


def _origin(raw: "ctypes._Pointer[ctypes.c_int]", place: int) -> tuple[float, float]:
    x, y = ctypes.c_double(), ctypes.c_double()
    pdfium.FPDFText_GetCharOrigin(raw, place, x, y)
    return x.value, y.value


def _scale(raw: "ctypes._Pointer[ctypes.c_int]", place: int) -> float:
    """How much the page's matrix enlarges the font: some writers set everything in size 1 and scale it."""
    matrix = pdfium.FS_MATRIX()
    if not pdfium.FPDFText_GetMatrix(raw, place, matrix):
        return 1.0
    return float((matrix.c**2 + matrix.d**2) ** 0.5) or 1.0
