"""A retrieval set whose documents are passages in order, ingested as the service does it.

It is that of app/retriever_mining.py with `group`, the document of each passage. The service cuts the documents into
passages of its own: one of these is relevant where it shares half of the shorter of the two with a relevant one.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.evaluation.target import TENANT, BulkUpload, LecternTarget

if TYPE_CHECKING:
    from app.wiring import Lectern

HALF = 0.5
LONGEST = 2_000  # characters of a query, as the API takes them
Span = tuple[int, int, int]  # document, start, end


@dataclass(frozen=True, kw_only=True)
class GroupedSet:
    """Documents by number; each question with the spans that answer it, and whether it is held out."""

    documents: Mapping[int, str]
    questions: Sequence[tuple[str, tuple[Span, ...], bool]]

    @classmethod
    def read(cls, path: Path) -> "GroupedSet":
        """The set of a file."""
        return cls.of(json.loads(path.read_text(encoding="utf-8")))

    @classmethod
    def of(cls, columns: Mapping[str, Sequence[Any]]) -> "GroupedSet":
        """The set of such columns. A blank line stands between the passages of a document."""
        documents: dict[int, str] = {}
        spans: list[Span] = []
        for group, text in zip(columns["group"], columns["passages"], strict=True):
            before = f"{documents[group]}\n\n" if group in documents else ""
            documents[group] = before + text
            spans.append((group, len(before), len(before) + len(text)))
        rows = zip(columns["queries"], columns["positive"], columns["held"], strict=True)
        asked = [(query, tuple(spans[place] for place in positive), held) for query, positive, held in rows if positive]
        return cls(documents=documents, questions=asked)

    def held_out(self) -> "GroupedSet":
        """The questions that are held out, and the documents that they are asked of alone."""
        asked = [row for row in self.questions if row[2]]
        groups = {group for _, spans, _ in asked for group, _, _ in spans}
        documents = {group: text for group, text in self.documents.items() if group in groups}
        return GroupedSet(documents=documents, questions=asked)


@dataclass(frozen=True, kw_only=True)
class AskedOf:
    """A question, the keys of the passages that answer it, and whether it is held out."""

    text: str
    relevant: frozenset[int]
    held: bool


def ingested(lectern: "Lectern", data: GroupedSet, *, collection: str) -> Iterator[AskedOf]:
    """The questions of a set whose documents are put into the collection first."""
    uploads = [BulkUpload(key=str(group), text=text) for group, text in data.documents.items()]
    key_of = LecternTarget(lectern).upload_all(uploads, collection=collection, progress=lambda _: None)
    passages: dict[int, list[tuple[int, int, int]]] = {}
    found = lectern.store.visible_passages(TENANT, list(key_of), encoder=lectern.encoder.version)
    for passage, _ in found:
        place = (passage.start, passage.end, passage.key)
        passages.setdefault(int(key_of[str(passage.document_id)]), []).append(place)
    for query, spans, held in data.questions:
        relevant = frozenset(
            key for group, start, end in spans for a, b, key in passages[group] if _same(start, end, a, b)
        )
        yield AskedOf(text=query[:LONGEST], relevant=relevant, held=held)


def _same(start: int, end: int, a: int, b: int) -> bool:
    return min(end, b) - max(start, a) >= HALF * min(end - start, b - a)
