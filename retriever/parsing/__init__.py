"""Parsing: bytes -> ParsedDocument.

**The stored text**, which every citation counts in, is settled here, once:

- Plain text, Markdown and source code: the decoded text itself, one code point for one. A byte order mark is dropped,
  NUL and lone surrogates (which no database and no UTF-8 can hold) become U+FFFD, and nothing else changes: CRLF stays,
  nothing is composed or trimmed. So an offset into it is an offset into what the user sent.
- HTML, DOCX, PDF, EPUB: a readable text made of the file. Blocks (paragraphs, headings) are separated by a blank line,
  list items and table rows by a newline, table cells by " | "; inline markup neither joins nor splits words; line ends
  are "\\n"; scripts, styles and navigation are left out.
- WebVTT, SRT and JSON Lines: a readable text made of the records, `Speaker: what they say` for each turn.

Sections tile the text; pages and turns are ranges of it. Parsing is a pure function of its input.
"""

import re
from dataclasses import replace

from retriever.errors import LimitExceeded, NoText
from retriever.parsing.captions import parse_captions
from retriever.parsing.code import parse_code
from retriever.parsing.decoding import decode
from retriever.parsing.dialogue import with_turns
from retriever.parsing.docx import parse_docx
from retriever.parsing.epub import parse_epub
from retriever.parsing.formats import Format, format_of
from retriever.parsing.html import parse_html
from retriever.parsing.jsonlines import parse_json_lines
from retriever.parsing.languages import Language, language_of
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
    if kind in ("pdf", "docx", "epub", "html"):
        return with_turns(_read(kind, data, limits=limits, charset=charset))
    text, warnings = decode(data, declared=charset)
    if len(text) > limits.characters:
        raise LimitExceeded(f"the text has more than {limits.characters:,} characters")
    document = _read_text(
        kind, text, limits=limits, language=language_of(data, filename=filename, media_type=media_type)
    )
    return replace(document, warnings=warnings + document.warnings)


def _read(kind: Format, data: bytes, *, limits: Limits, charset: str | None) -> ParsedDocument:
    """A document that is more than text."""
    if kind == "pdf":
        return parse_pdf(data, limits=limits)
    if kind == "docx":
        return parse_docx(data, limits=limits)
    if kind == "epub":
        return parse_epub(data, limits=limits)
    return parse_html(data, limits=limits, charset=charset)


def _read_text(kind: Format, text: str, *, limits: Limits, language: Language | None) -> ParsedDocument:
    """A document that is text: kept as it is, except where it is made of records."""
    if kind in ("vtt", "srt"):
        return parse_captions(normalize(text), kind=kind, limits=limits)
    if kind == "jsonl":
        return parse_json_lines(normalize(text), limits=limits)
    if kind == "code" and language is not None and text.strip():
        return parse_code(normalize(text), language)
    return parse_text(text, media_type=MARKDOWN if kind == "markdown" else "text/plain", limits=limits)


def parse_text(text: str, *, media_type: str = "text/plain", limits: Limits = Limits()) -> ParsedDocument:
    """The document of a text that was sent as text, plain or Markdown.

    Raises NoText where it is white space only, LimitExceeded.
    """
    if len(text) > limits.characters:
        raise LimitExceeded(f"the text has more than {limits.characters:,} characters")
    text = normalize(text)
    if not text.strip():
        raise NoText("the text is empty")
    plain = media_type.split(";")[0].strip().lower() != MARKDOWN
    return with_turns(parse_plain(text) if plain else parse_markdown(text))
