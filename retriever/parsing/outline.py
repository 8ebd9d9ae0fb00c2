"""Headings -> sections that tile the text."""

from collections.abc import Sequence
from dataclasses import dataclass

from retriever.types import Section

# Titles are shown in citations and stored with every passage; no heading that a person wrote is longer.
_LONGEST_TITLE = 200


@dataclass(frozen=True, kw_only=True)
class Heading:
    """A heading: where its line or lines stand in the text, its depth (1 is outermost) and its title."""

    start: int
    end: int
    level: int
    title: str


def sections_of(text: str, headings: Sequence[Heading]) -> tuple[Section, ...]:
    """The sections that these headings, in order, divide the text into; one without a path where there are none.

    A heading with nothing under it but a deeper heading makes no section of its own: it opens the deeper one's, so that
    "BOOK ONE", "CHAPTER I" is one section with a path of two. White space before the first heading belongs to it.
    """
    if not text:
        return ()
    sections: list[Section] = []
    stack: list[tuple[int, str]] = []
    start, path = 0, tuple[str, ...]()
    level, body = 0, 0  # of the section that is open: its heading's level, where the text under its heading begins
    for heading in headings:
        title = " ".join(heading.title.split())[:_LONGEST_TITLE]
        if not title:
            continue
        empty = not text[body : heading.start].strip()
        while stack and stack[-1][0] >= heading.level:
            stack.pop()
        stack.append((heading.level, title))
        if not (empty and heading.level > level) and heading.start > start:
            sections.append(Section(path=path, start=start, end=heading.start))
            start = heading.start
        path = tuple(title for _, title in stack)
        level, body = heading.level, heading.end
    sections.append(Section(path=path, start=start, end=len(text)))
    return tuple(sections)
