"""The nouns of the way through, each made in one place.

bytes -> ParsedDocument (parsing) -> Document (store) -> Passage (chunking) -> Hit (hybrid)

Every position is a code-point offset into the stored text, end exclusive.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Mode = Literal["hybrid", "sparse", "dense"]
DocumentStatus = Literal["pending", "indexed", "failed"]
Kind = Literal["prose", "dialogue", "code"]
CODE_TYPES = "text/x-"  # how the media types of source code begin, and no other's


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading with the text under it up to the next heading; sections tile the text in order, without gaps.

    `path` holds the titles from the outermost heading to this one; it is empty for text before any heading.
    The heading itself is inside its section: `start` is where the heading's line begins.
    """

    path: tuple[str, ...]
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page of the original as a range of the text; `number` counts from 1. Pages are in order, never overlap."""

    number: int
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What one speaker says without a break, with the label that names them. Turns are in order, never overlap.

    What stands outside every turn, such as a title or a list of those present, nobody says.
    """

    speaker: str
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class ParsedDocument:
    """What a parser makes of bytes. `text` is what every citation of the document counts in."""

    text: str
    media_type: str
    title: str | None
    sections: tuple[Section, ...]
    pages: tuple[Page, ...] = ()
    warnings: tuple[str, ...] = ()
    turns: tuple[Turn, ...] = ()

    @property
    def kind(self) -> Kind:
        """What the text is to be read as: turns by speakers, source code by lines, or else sentences."""
        if self.turns:
            return "dialogue"
        return "code" if self.media_type.startswith(CODE_TYPES) else "prose"


@dataclass(frozen=True, kw_only=True)
class Document:
    """A document as the store knows it. `version` is `sha256:` of the visible text, None before one is whole."""

    tenant: str
    id: str
    collection: str
    title: str
    version: str | None
    status: DocumentStatus
    media_type: str
    characters: int
    pages: int
    passages: int
    created_at: str
    updated_at: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A slice of one version of one document: `document.text[start:end] == text`, always.

    `key` is the store's number for it, the id that both indexes use; `id` is what the API shows.
    `document_id` is None for a passage of an inline text.
    """

    key: int
    id: str
    document_id: str | None
    version: str
    ordinal: int
    start: int
    end: int
    text: str
    section: tuple[str, ...] = ()
    page: int | None = None


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A passage that a search found. `score` is the mix; `ranks` counts from 1 in each list that held it.

    `retriever` names the encoder, and what was learned for the collection, that the search went by.
    """

    passage: Passage
    title: str
    score: float
    ranks: Mapping[str, int] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    retriever: str | None = None
