"""EPUB: the chapters in reading order, each read as the web page that it is, with the book's own contents as sections.

Read with our own package and page readers: ebooklib, the one maintained library, is under the AGPL, expands a zip
without limits, and leaves the text to its caller.
"""

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from urllib.parse import unquote

from lxml import etree

from retriever.errors import NoText, UnreadableFile
from retriever.parsing.html import read_page
from retriever.parsing.limits import Limits
from retriever.parsing.outline import Heading, sections_of
from retriever.parsing.packages import Package
from retriever.parsing.writer import TextWriter
from retriever.types import ParsedDocument

MEDIA_TYPE = "application/epub+zip"

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_PAGES = frozenset(["application/xhtml+xml", "text/html", "application/x-dtbook+xml"])
_NCX = "application/x-dtbncx+xml"
_TYPE = "{http://www.idpf.org/2007/ops}type"
# Fonts are obfuscated by these in books that anyone may read; any other algorithm is a lock.
_FONT_ALGORITHMS = frozenset(["http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"])
_INK = re.compile(r"\S")
_LONGEST_TITLE = 200
_DEEPEST = 12  # levels of a table of contents
_MOST_ENTRIES = 10_000


@dataclass(frozen=True, kw_only=True)
class _Item:
    """A file of the book as its manifest lists it; `path` is its name in the zip."""

    path: str
    media_type: str
    properties: str


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """A line of the table of contents: where it points to, how deep it stands."""

    path: str
    anchor: str
    level: int
    title: str


def parse_epub(data: bytes, *, limits: Limits) -> ParsedDocument:
    """The document of an EPUB file. Raises UnreadableFile, NoText, LimitExceeded.

    A chapter whose file is missing is a warning.
    """
    with Package(data, limits=limits) as package:
        root = _package_path(package)
        opf = package.xml(root, doctype=True)
        items = _manifest(opf, posixpath.dirname(root))
        locked = _locked(package)
        spine = [items[name] for ref in _each(opf, "spine/itemref") if (name := ref.get("idref", "")) in items]
        warnings: list[str] = []
        try:
            entries = list(islice(_contents(package, opf, items), _MOST_ENTRIES))
        except UnreadableFile:
            entries = []
            warnings.append("the book's table of contents is broken: its sections are by its headings")
        writer = TextWriter(limits)
        starts: dict[tuple[str, str], int] = {}
        wanted: dict[str, set[str]] = {}
        for entry in entries:
            wanted.setdefault(entry.path, set()).add(entry.anchor)
        missing = 0
        for item in spine:
            if item.media_type not in _PAGES:
                continue
            if item.path in locked:
                raise UnreadableFile("the book is encrypted (DRM): it cannot be read")
            if item.path not in package.names:
                missing += 1
                continue
            anchors = frozenset(wanted.get(item.path, ())) - {""}
            starts.setdefault((item.path, ""), writer.length)
            for anchor, at in read_page(package.read(item.path), writer=writer, limits=limits, anchors=anchors).items():
                starts.setdefault((item.path, anchor), at)
        title = _title(opf)
    text, own = writer.finish()
    if not text.strip():
        raise NoText("the book has no text")
    warnings += [f"the book lacks {missing} of its chapters' files"] if missing else []
    headings = _headings(text, entries, starts)
    return ParsedDocument(
        text=text,
        media_type=MEDIA_TYPE,
        title=title or next((heading.title for heading in own), None),
        sections=sections_of(text, headings if len(headings) > 1 else own),
        warnings=tuple(warnings),
    )


def _each(element: etree._Element, path: str) -> list[etree._Element]:
    """The elements at a path of local names, in whatever namespace they are."""
    found = [element]
    for name in path.split("/"):
        found = [child for parent in found for child in parent.iterfind("{*}" + name)]
    return found


def _package_path(package: Package) -> str:
    if _CONTAINER not in package.names:
        raise UnreadableFile("the package is not an EPUB: it lacks META-INF/container.xml")
    for root in package.xml(_CONTAINER, doctype=True).iter("{*}rootfile"):
        path = unquote(root.get("full-path", ""))
        if path in package.names:
            return path
    raise UnreadableFile("the book's package document is missing")


def _manifest(opf: etree._Element, folder: str) -> dict[str, _Item]:
    """Id -> item, for what lies in the zip itself."""
    return {
        item.get("id", ""): _Item(
            path=_joined(folder, item.get("href", ""))[0],
            media_type=item.get("media-type", "").lower(),
            properties=item.get("properties", ""),
        )
        for item in _each(opf, "manifest/item")
    }


def _joined(folder: str, reference: str) -> tuple[str, str]:
    """(name in the zip, anchor) of a reference that stands in a file of that folder."""
    path, _, anchor = reference.partition("#")
    return posixpath.normpath(posixpath.join(folder, unquote(path))), unquote(anchor)


def _title(opf: etree._Element) -> str | None:
    for title in opf.iterfind("{*}metadata/{http://purl.org/dc/elements/1.1/}title"):
        if words := " ".join("".join(title.itertext()).split()):
            return words
    return None


def _locked(package: Package) -> frozenset[str]:
    """The files that are encrypted by more than what hides fonts."""
    if _ENCRYPTION not in package.names:
        return frozenset()
    found = []
    for data in package.xml(_ENCRYPTION, doctype=True).iter("{*}EncryptedData"):
        methods = {method.get("Algorithm", "") for method in data.iterfind("{*}EncryptionMethod")}
        if not methods <= _FONT_ALGORITHMS:
            found += [unquote(each.get("URI", "")) for each in data.iter("{*}CipherReference")]
    return frozenset(found)


def _contents(package: Package, opf: etree._Element, items: dict[str, _Item]) -> Iterator[_Entry]:
    """The entries of the table of contents: EPUB 3's navigation document, else EPUB 2's NCX; none without them."""
    nav = next((item for item in items.values() if "nav" in item.properties.split()), None)
    if nav is not None and nav.path in package.names:
        root = package.xml(nav.path, doctype=True)
        for element in root.iter("{http://www.w3.org/1999/xhtml}nav"):
            if "toc" in element.get(_TYPE, "").split() and (top := element.find("{*}ol")) is not None:
                yield from _from_list(top, posixpath.dirname(nav.path), 1)
                return
    spine = _each(opf, "spine")
    named = items.get(spine[0].get("toc", "")) if spine else None
    ncx = named or next((item for item in items.values() if item.media_type == _NCX), None)
    if ncx is not None and ncx.path in package.names:
        for points in _each(package.xml(ncx.path, doctype=True), "navMap"):
            yield from _from_points(points, posixpath.dirname(ncx.path), 1)


def _from_list(parent: etree._Element, folder: str, level: int) -> Iterator[_Entry]:
    for item in parent.iterfind("{*}li"):
        link = next(iter(item.iterfind("{*}a")), None)
        title = " ".join("".join((link if link is not None else item).itertext()).split())
        if link is not None and title:
            path, anchor = _joined(folder, link.get("href", ""))
            yield _Entry(path=path, anchor=anchor, level=level, title=title[:_LONGEST_TITLE])
        for inner in item.iterfind("{*}ol"):
            if level < _DEEPEST:
                yield from _from_list(inner, folder, level + 1)


def _from_points(parent: etree._Element, folder: str, level: int) -> Iterator[_Entry]:
    for point in parent.iterfind("{*}navPoint"):
        label = point.find("{*}navLabel")
        content = point.find("{*}content")
        title = " ".join("".join(label.itertext()).split()) if label is not None else ""
        if content is not None and title:
            path, anchor = _joined(folder, content.get("src", ""))
            yield _Entry(path=path, anchor=anchor, level=level, title=title[:_LONGEST_TITLE])
        if level < _DEEPEST:
            yield from _from_points(point, folder, level + 1)


def _headings(text: str, entries: list[_Entry], starts: dict[tuple[str, str], int]) -> list[Heading]:
    """The entries that point into the text, in its order; a heading takes in the lines that repeat its title."""
    found: list[Heading] = []
    for entry in entries:
        at = starts.get((entry.path, entry.anchor), starts.get((entry.path, "")))
        if at is None:
            continue
        if (begins := _INK.search(text, at)) is not None:
            start, title = begins.start(), entry.title
            found.append(Heading(start=start, end=_title_end(text, start, title), level=entry.level, title=title))
    return sorted(found, key=lambda heading: heading.start)


def _title_end(text: str, start: int, title: str) -> int:
    """Where the lines end that hold nothing but the title's words."""
    wanted = re.sub(r"\W", "", title.casefold())
    end = start
    for match in re.finditer(r"[^\n]*\n*", text[start : start + 4 * len(title) + 40]):
        seen = re.sub(r"\W", "", text[start : start + match.end()].casefold())
        if not seen or not wanted.startswith(seen):
            break
        end = start + match.end()
    return end
