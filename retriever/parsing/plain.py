"""Plain text: the stored text is the decoded text itself."""

from retriever.parsing.outline import sections_of
from retriever.types import ParsedDocument


def parse_plain(text: str) -> ParsedDocument:
    """A document of a normalized plain text."""
    return ParsedDocument(text=text, media_type="text/plain", title=None, sections=sections_of(text, ()))
