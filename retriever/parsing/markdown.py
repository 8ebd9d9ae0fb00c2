"""Markdown: the stored text is the source itself; headings come from CommonMark's line numbers."""

import re
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token

from retriever.parsing.outline import Heading, sections_of
from retriever.types import ParsedDocument

MEDIA_TYPE = "text/markdown"

_LINE_END = re.compile(r"\r\n?|\n")  # CommonMark's line ends, the ones that the parser counts by
_FRONT_MATTER = re.compile(r"\A---[ \t]*(?:\r\n?|\n)(.*?)(?:\r\n?|\n)(?:---|\.\.\.)[ \t]*(?=\r|\n|\Z)", re.DOTALL)
_FRONT_TITLE = re.compile(r"""^title:[ \t]*["']?(.+?)["']?[ \t]*\r?$""", re.MULTILINE | re.IGNORECASE)


def parse_markdown(text: str) -> ParsedDocument:
    """A document of a normalized Markdown text."""
    front = _FRONT_MATTER.match(text)
    front_title = _FRONT_TITLE.search(front.group(1)) if front else None
    headings = _headings(text, skip=front.end() if front else 0)
    titles = [front_title.group(1)] if front_title else []
    titles += [heading.title for heading in sorted(headings, key=lambda heading: heading.level)]
    return ParsedDocument(
        text=text, media_type=MEDIA_TYPE, title=next(iter(titles), None), sections=sections_of(text, headings)
    )


def _headings(text: str, *, skip: int) -> list[Heading]:
    body = text[skip:]
    starts = [skip, *(skip + match.end() for match in _LINE_END.finditer(body)), len(text)]
    parser = MarkdownIt("commonmark")
    inline = MarkdownIt("commonmark")
    parser.core.ruler.enableOnly(["normalize", "block"])  # headings need no inline parse of everything else
    tokens = parser.parse(body)
    headings = []
    for token, content in pairwise(tokens):
        if token.type == "heading_open" and token.level == 0 and token.map:
            first, last = token.map
            title = "".join(_plain(child) for child in inline.parseInline(content.content))
            headings.append(Heading(start=starts[first], end=starts[last], level=int(token.tag[1:]), title=title))
    return headings


def _plain(token: Token) -> str:
    """The words of an inline token, without its markup."""
    if token.children:
        return "".join(_plain(child) for child in token.children)
    return " " if token.type in ("softbreak", "hardbreak") else "" if token.type == "html_inline" else token.content
