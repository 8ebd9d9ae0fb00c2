"""A span of a document -> a citation: quote, sentence around it, page, section, speaker. Checked before it leaves."""

from bisect import bisect_right

from app.errors import CitationBroken
from app.schemas import Citation
from app.sources import SourceText
from retriever.store import Store
from retriever.types import ParsedDocument
from retriever.units import sentences_of

CONTEXT_REACH = 2_000  # characters looked at on each side for the sentence around a quote


def cite(
    source: SourceText,
    start: int,
    end: int,
    *,
    quote: str,
    passage_id: str | None,
    score: float,
    within: tuple[int, int] | None = None,
) -> Citation:
    """The citation of `source.document.text[start:end]`, which must be `quote`. Raises CitationBroken.

    `within` is a range of whole sentences that holds the quote, such as its passage: the context is looked for there.
    """
    document = source.document
    text = document.text
    if not 0 <= start < end <= len(text) or text[start:end] != quote:
        raise CitationBroken(f"characters {start} to {end} are not what was to be quoted")
    first, last = _context(document, start, end, within)
    return Citation(
        document_id=source.document_id,
        title=source.title,
        version=source.version,
        start=start,
        end=end,
        quote=quote,
        context=text[first:last],
        page=page_at(document, start),
        section=section_at(document, start),
        speaker=speaker_at(document, start),
        passage_id=passage_id,
        score=round(score, 6),
    )


def page_at(document: ParsedDocument, position: int) -> int | None:
    """The number of the page that a character stands on; None where the format has no pages."""
    place = bisect_right(document.pages, position, key=lambda page: page.start) - 1
    return document.pages[place].number if place >= 0 else None


def section_at(document: ParsedDocument, position: int) -> str | None:
    """The title of the innermost section that a character stands in; None before any heading."""
    place = bisect_right(document.sections, position, key=lambda section: section.start) - 1
    return section_title(document.sections[place].path) if place >= 0 else None


def speaker_at(document: ParsedDocument, position: int) -> str | None:
    """Who says the character at a position of a dialogue; None where nobody does."""
    place = bisect_right(document.turns, position, key=lambda turn: turn.start) - 1
    return document.turns[place].speaker if place >= 0 and position < document.turns[place].end else None


def section_title(path: tuple[str, ...]) -> str | None:
    """What the API shows of a section's path: its innermost title."""
    return path[-1] if path else None


def _context(document: ParsedDocument, start: int, end: int, within: tuple[int, int] | None) -> tuple[int, int]:
    """The sentences that the quote stands in: from the beginning of the first to the end of the last."""
    low, high = within or (max(0, start - CONTEXT_REACH), min(len(document.text), end + CONTEXT_REACH))
    touched = [s for s in sentences_of(document, start=low, end=high) if s.start < end and start < s.end]
    return (min(start, touched[0].start), max(end, touched[-1].end)) if touched else (start, end)


class Library:
    """The texts that one reply cites, each read from the store once, at the version that was read."""

    def __init__(self, store: Store, tenant: str) -> None:
        self._store = store
        self._tenant = tenant
        self._texts: dict[tuple[str, str], SourceText] = {}

    def text(self, document_id: str, version: str, title: str) -> SourceText:
        """A version of a document. Raises NotFound where it was deleted since the search."""
        if (document_id, version) not in self._texts:
            _, document = self._store.parsed(self._tenant, document_id, version=version)
            source = SourceText(document_id=document_id, title=title, version=version, document=document)
            self._texts[document_id, version] = source
        return self._texts[document_id, version]
