"""HTML: what a reader of the page would read, with h1 to h6 as sections."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from retriever.errors import LimitExceeded, NoText
from retriever.parsing.decoding import decode
from retriever.parsing.limits import Limits
from retriever.parsing.outline import sections_of
from retriever.parsing.writer import Spans, TextWriter
from retriever.types import ParsedDocument

MEDIA_TYPE = "text/html"


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CHARSET = re.compile(
    rb"""(?:<meta[^>]{1,200}?charset\s*=\s*["']?\s*|<\?xml[^>]{1,100}?encoding\s*=\s*["'])([A-Za-z0-9_:.-]{2,40})""",
    re.IGNORECASE,
)
_HEAD = 4096  # the specification looks at 1,024 bytes for a charset; writers put comments before it
# Never read: machinery, controls and pictures.
_UNREAD = _names(
    "head script style noscript template svg canvas iframe object embed audio video map button input select "
    "textarea datalist dialog progress meter rt rp annotation annotation-xml"
)
# Around the text rather than in it; read after all where nothing else is there.
_AROUND = frozenset(["nav", "menu"])
_AROUND_ROLES = frozenset(["navigation", "search", "banner", "contentinfo", "menu", "menubar"])
_BLOCKS = _names(
    "address article aside blockquote body center dd details dialog dir div dl dt fieldset figcaption figure "
    "footer form header hgroup hr html legend main ol p search section summary table ul caption"
)
_LINES = frozenset(["dd", "dt", "caption", "figcaption", "legend"])
_LEVELS = {f"h{level}": level for level in range(1, 7)}
# A table with one of these lays out a page rather than holds data, unless it names its rows or columns.
_LAYOUT = "table, ul, ol, p + p"
_ALWAYS_LAYOUT = "h1, h2, h3, pre"
_DATA = "th, caption, thead"
_MOST_SPANNED = 1_000  # rows or columns that a cell may claim to reach
_VERBATIM = frozenset(["pre", "listing", "xmp", "plaintext"])
# A rough scan of the tags before the tree is built, which takes time quadratic in the depth.
_TAG = re.compile(r"<!--|<(/?)([a-zA-Z][^\s/>]*)")
_RAW_ENDS = {name: re.compile(f"</{name}", re.IGNORECASE) for name in ("script", "style")}
_XML = re.compile(r"\s*<\?xml\b|(?:\s*<!doctype[^>]*>)?\s*<html[^>]*\sxmlns\s*=", re.IGNORECASE)
_EMPTY = re.compile(r"""<([a-zA-Z][\w:.-]*)((?:\s+[^\s=<>"'/]+(?:\s*=\s*(?:"[^"<]*"|'[^'<]*'))?)*)\s*/>""")
_VOID = _names("area base br col embed hr img input link meta param source track wbr")
_NOT_NESTING = _names(
    "area base br col embed hr img input link meta source track wbr p li dt dd tr td th thead tbody tfoot option "
    "optgroup colgroup rt rp a html head body"
)


def parse_html(data: bytes, *, limits: Limits, charset: str | None = None) -> ParsedDocument:
    """The document of an HTML file. `charset` is what the sender's media type says. Raises NoText, LimitExceeded."""
    tree, warnings = _tree(data, limits=limits, charset=charset)
    root = tree.root
    if root is None:
        raise NoText("the page has no text")
    for around in (False, True):
        writer = TextWriter(limits)
        _Walk(writer=writer, read_around=around).over(root)
        text, headings = writer.finish()
        if text.strip():
            break
    else:
        raise NoText("the page has no text")
    title = tree.css_first("head > title")
    titles = [" ".join(title.text().split())] if title is not None else []
    titles += [heading.title for heading in sorted(headings, key=lambda heading: heading.level)]
    return ParsedDocument(
        text=text,
        media_type=MEDIA_TYPE,
        title=next((title for title in titles if title), None),
        sections=sections_of(text, headings),
        warnings=warnings,
    )


def read_page(data: bytes, *, writer: TextWriter, limits: Limits, anchors: frozenset[str]) -> dict[str, int]:
    """Write a page of a book; returns where those of its elements begin whose ids are in `anchors`.

    Raises LimitExceeded.
    """
    tree, _ = _tree(data, limits=limits)
    walk = _Walk(writer=writer, read_around=False, anchors=anchors)
    writer.block()
    if tree.root is not None:
        walk.over(tree.root)
    writer.block()
    return walk.places


def _tree(data: bytes, *, limits: Limits, charset: str | None = None) -> tuple[LexborHTMLParser, tuple[str, ...]]:
    """The tree of a page, and warnings about its encoding. Raises LimitExceeded."""
    source, warnings = decode(data, declared=charset or _declared(data))
    if len(source) > 4 * limits.characters:
        raise LimitExceeded(f"the page has more than {4 * limits.characters:,} characters of markup")
    if _XML.match(source):
        source = _EMPTY.sub(_closed, source)
    _refuse_deep(source, limits.depth)
    try:
        return LexborHTMLParser(source), warnings
    except SelectolaxError as error:  # it takes any markup: what it fails of is memory
        raise LimitExceeded("the page has more markup than fits into memory") from error


def _closed(match: re.Match[str]) -> str:
    """An XML tag without content as HTML has it: `<p/>` would stay open there, and `<script/>` swallow the page."""
    tag = match.group(1)
    return match.group() if tag.lower() in _VOID else f"<{tag}{match.group(2)}></{tag}>"


def _declared(data: bytes) -> str | None:
    match = _CHARSET.search(data[:_HEAD])
    return match.group(1).decode("ascii") if match else None


def _refuse_deep(source: str, limit: int) -> None:
    """Raises LimitExceeded where more elements are open at once than `limit`, by tags that must be closed."""
    open_now: Counter[str] = Counter()
    depth = 0
    for closing, tag in _tags(source):
        if tag in _NOT_NESTING:
            continue
        if not closing:
            open_now[tag] += 1
            depth += 1
            if depth > limit:
                raise LimitExceeded(f"elements nest deeper than {limit}")
        elif open_now[tag]:
            open_now[tag] -= 1
            depth -= 1


def _tags(source: str) -> Iterator[tuple[bool, str]]:
    """(whether it closes, name) of the tags outside comments, scripts and styles, in one pass over the source."""
    at = 0
    while (match := _TAG.search(source, at)) is not None:
        closing, tag = bool(match.group(1)), (match.group(2) or "").lower()
        end = source.find(">" if tag else "-->", match.end())
        if end < 0:
            return
        at = end + 1
        if tag:
            yield closing, tag
        if not closing and tag in _RAW_ENDS:
            raw = _RAW_ENDS[tag].search(source, at)
            if raw is None:
                return
            at = raw.start()


@dataclass
class _Walk:
    """One walk over the tree, by hand rather than by recursion: pages nest deeper than Python's stack."""

    writer: TextWriter
    read_around: bool
    lists: list[int | None] = field(default_factory=list)  # the next number of each open <ol>, None for a <ul>
    tables: list[Spans | None] = field(default_factory=list)  # of each open table that holds data; None for a layout
    first_cell: bool = True
    cells: list[tuple[int, int, int]] = field(default_factory=list)  # of each open cell: mark, columns, rows
    pre: int = 0
    anchors: frozenset[str] = frozenset()
    places: dict[str, int] = field(default_factory=dict)  # where the elements with these ids begin

    def over(self, root: LexborNode) -> None:
        node = root
        depth = 0
        while True:
            child = node.child if self.opens(node) else None
            if child is not None:
                depth += 1
                node = child
                continue
            while True:
                if depth == 0:
                    return
                following = node.next
                if following is not None:
                    node = following
                    break
                parent = node.parent
                assert parent is not None  # noqa: S101 - depth counts the way up
                node = parent
                depth -= 1
                self.closes(node.tag or "")

    def opens(self, node: LexborNode) -> bool:
        """Writes what comes before a node's children; False where they are not to be read."""
        tag = node.tag or ""
        if tag == "-text":
            text = node.text_content or ""
            self.writer.verbatim(text) if self.pre else self.writer.text(text)
            return False
        if self.anchors and tag[:1] not in "-!_":
            attributes = node.attributes
            anchor = attributes.get("id") or (attributes.get("name") if tag == "a" else None) or ""
            if anchor in self.anchors:
                self.places.setdefault(anchor, self.writer.length)
        if tag in _UNREAD or tag[:1] in "-!_" or self._is_hidden(node) or self._is_around(node, tag):
            return False
        if tag == "br":
            self.writer.line()
        elif tag == "hr":
            self.writer.block()
        elif node.child is not None:
            self._open_element(node, tag)
        elif tag in ("td", "th") and self._spans:
            self._open_cell(node)
            self._close_cell()
        return True

    def _open_element(self, node: LexborNode, tag: str) -> None:
        writer = self.writer
        if tag in _LEVELS:
            writer.open_heading(_LEVELS[tag])
        elif tag == "li":
            writer.marker("  " * max(0, len(self.lists) - 1) + self._bullet(node))
        elif tag in ("ul", "ol"):
            self._separate_list()
            self.lists.append(_number(node, "start", 1) if tag == "ol" else None)
        elif tag == "table":
            self.tables.append(Spans() if _holds_data(node) else None)
            writer.block()
        elif tag == "tr":
            writer.line() if self._spans else writer.block()
            self.first_cell = True
            if self._spans:
                self._spans.row()
        elif tag in ("td", "th") and self._spans:
            self._open_cell(node)
        elif tag == "q":
            writer.text("“")
        elif tag in _BLOCKS or tag in ("td", "th"):
            writer.line() if tag in _LINES else writer.block()
        if tag in _VERBATIM:
            self.pre += 1

    def closes(self, tag: str) -> None:
        """Writes what comes after an element's children."""
        writer = self.writer
        if tag in _VERBATIM:
            self.pre -= 1
        if tag in _LEVELS:
            writer.close_heading()
        elif tag in ("ul", "ol"):
            self.lists.pop()
            self._separate_list()
        elif tag == "table":
            self.tables.pop()
            writer.block()
        elif tag in ("td", "th") and self._spans:
            self._close_cell()
        elif tag == "q":
            writer.text("”")
        elif tag == "tr" and self._spans:
            for text in self._spans.above():
                self._separate_cell()
                writer.text(text)
            writer.line()
        elif tag in _BLOCKS or tag in ("li", "tr", "td", "th"):
            writer.line() if tag in _LINES or tag in ("li", "tr") else writer.block()

    @property
    def _spans(self) -> Spans | None:
        return self.tables[-1] if self.tables else None

    def _open_cell(self, node: LexborNode) -> None:
        assert self._spans is not None  # noqa: S101 - for the type checker
        for text in self._spans.above():
            self._separate_cell()
            self.writer.text(text)
        self._separate_cell()
        self.writer.open_inline()
        spans = node.attributes  # most cells have none
        columns, rows = (
            min(_MOST_SPANNED, _number(node, name, 1)) if name in spans else 1 for name in ("colspan", "rowspan")
        )
        self.cells.append((self.writer.mark(), columns, rows - 1))

    def _close_cell(self) -> None:
        assert self._spans is not None  # noqa: S101 - for the type checker
        mark, columns, rows = self.cells.pop()
        self.writer.close_inline()
        self._spans.cell(self.writer.since(mark), columns=columns, rows=rows)

    def _separate_cell(self) -> None:
        if not self.first_cell:
            self.writer.cell()
        self.first_cell = False

    def _separate_list(self) -> None:
        self.writer.line() if self.lists else self.writer.block()

    def _bullet(self, node: LexborNode) -> str:
        if not self.lists or self.lists[-1] is None:
            return "- "
        number = _number(node, "value", self.lists[-1])
        self.lists[-1] = number + 1
        return f"{number}. "

    def _is_around(self, node: LexborNode, tag: str) -> bool:
        if self.read_around:
            return False
        if tag == "footer":  # of the page; an article's or a quotation's footer names its source
            return (node.parent is not None) and node.parent.tag in ("body", "div") and not _inside_article(node)
        return tag in _AROUND or (node.attributes.get("role") or "").lower() in _AROUND_ROLES

    def _is_hidden(self, node: LexborNode) -> bool:
        attributes = node.attributes
        if not attributes:
            return False
        if "pagebreak" in (attributes.get("epub:type") or "") or attributes.get("role") == "doc-pagebreak":
            return True
        style = (attributes.get("style") or "").replace(" ", "").lower()
        return "hidden" in attributes or attributes.get("aria-hidden") == "true" or "display:none" in style


def _holds_data(table: LexborNode) -> bool:
    """Whether the rows of a table are to be read as rows."""

    def has(selector: str) -> bool:
        return any(found.mem_id != table.mem_id for found in table.css(selector))

    return not has(_ALWAYS_LAYOUT) and (has(_DATA) or not has(_LAYOUT))


def _inside_article(node: LexborNode) -> bool:
    parent = node.parent
    while parent is not None:
        if parent.tag in ("article", "main", "blockquote"):
            return True
        parent = parent.parent
    return False


def _number(node: LexborNode, attribute: str, default: int) -> int:
    value = (node.attributes.get(attribute) or "").strip()
    return int(value) if re.fullmatch(r"-?\d{1,6}", value, re.ASCII) else default
