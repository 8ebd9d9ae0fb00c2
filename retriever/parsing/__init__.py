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

from retriever.errors import LimitExceeded, NoText
from retriever.parsing.decoding import decode
from retriever.parsing.limits import Limits
from retriever.parsing.normalization import normalize
from retriever.parsing.plain import parse_plain
from retriever.types import ParsedDocument

__all__ = ["Limits", "normalize", "parse", "parse_text"]


def parse(
    data: bytes, *, filename: str | None = None, media_type: str | None = None, limits: Limits = Limits()
) -> ParsedDocument:
    """The document that these bytes hold.

    `filename` and `media_type` are what the sender claims; content that contradicts them is refused. Raises
    UnsupportedFormat, UnreadableFile, NoText, LimitExceeded.
    """
    text, _ = decode(data)
    return parse_text(text)


def parse_text(text: str, *, media_type: str = "text/plain") -> ParsedDocument:
    """The document of a text that was sent as text. Raises NoText where it holds only white space."""
    text = normalize(text)
    if not text.strip():
        raise NoText("the text is empty")
    return parse_plain(text)
