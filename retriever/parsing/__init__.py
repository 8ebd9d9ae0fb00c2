"""Parsing: bytes -> ParsedDocument.

**The stored text**, which every citation counts in, is settled here, once:

- Plain text and Markdown: the decoded text itself, one code point for one. A byte order mark is dropped, NUL and lone
  surrogates (which no database and no UTF-8 can hold) become U+FFFD, and nothing else changes: CRLF stays, nothing is
  composed or trimmed. So an offset into it is an offset into what the user sent.
- HTML, DOCX, PDF: a readable text made of the file. Blocks (paragraphs, headings) are separated by a blank line, list
  items and table rows by a newline, table cells by " | "; inline markup neither joins nor splits words; line ends are
  "\\n"; scripts, styles and navigation are left out.

Sections tile the text; pages are ranges of it. Parsing is a pure function of its input.
"""

import re
from dataclasses import replace

from retriever.errors import LimitExceeded, NoText
from retriever.parsing.decoding import decode
from retriever.parsing.dialogue import with_turns
from retriever.parsing.docx import parse_docx
from retriever.parsing.formats import format_of
from retriever.parsing.html import parse_html
from retriever.parsing.limits import Limits
from retriever.parsing.markdown import MEDIA_TYPE as MARKDOWN
from retriever.parsing.markdown import parse_markdown
from retriever.parsing.normalization import normalize
from retriever.parsing.pdf import parse_pdf
from retriever.parsing.plain import parse_plain
from retriever.types import ParsedDocument

__all__ = ["Limits", "normalize", "parse", "parse_text"]

_CHARSET = re.compile(r"""charset\s*=\s*["']?([\w:.-]{2,40})""", re.IGNORECASE)


def parse(
    data: bytes, *, filename: str | None = None, media_type: str | None = None, limits: Limits = Limits()
) -> ParsedDocument:
    """The document that these bytes hold.

    `filename` and `media_type` are what the sender claims; content that contradicts them is refused. Raises
    UnsupportedFormat, UnreadableFile, NoText, LimitExceeded.
    """
    if not data.strip():
        raise NoText("the file is empty")
    kind = format_of(data, filename=filename, media_type=media_type)
    match = _CHARSET.search(media_type or "")
    charset = match.group(1) if match else None
    if kind == "pdf":
        return with_turns(parse_pdf(data, limits=limits))
    if kind == "docx":
        return with_turns(parse_docx(data, limits=limits))
    if kind == "html":
        return with_turns(parse_html(data, limits=limits, charset=charset))
    text, warnings = decode(data, declared=charset)
    if len(text) > limits.characters:
        raise LimitExceeded(f"the text has more than {limits.characters:,} characters")
    document = parse_text(text, media_type=MARKDOWN if kind == "markdown" else "text/plain")
    return replace(document, warnings=warnings)


def parse_text(text: str, *, media_type: str = "text/plain") -> ParsedDocument:
    """The document of a text that was sent as text, plain or Markdown. Raises NoText where it is white space only."""
    text = normalize(text)
    if not text.strip():
        raise NoText("the text is empty")
    plain = media_type.split(";")[0].strip().lower() != MARKDOWN
    return with_turns(parse_plain(text) if plain else parse_markdown(text))
