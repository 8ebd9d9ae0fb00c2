"""Where a citation or a hit stands, for people: file or title, then page, line or section, and who says it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from app.terminal import one_line

if TYPE_CHECKING:
    from lectern import Citation, Client, Hit
    from retriever.store import Store
    from retriever.types import ParsedDocument

MADE_OF_MARKUP = ("text/html", "text/vtt")  # their text's lines are not the file's


def place(cited: "Citation | Hit", name: str, document: "ParsedDocument") -> str:
    """A page where there are pages, a line of a text file, else a section; in a dialogue with who says it."""
    from app.citations import speaker_at

    line = document.text.count("\n", 0, cited.start) + 1 if has_lines(document.media_type) else None
    return told(cited, name, line=line, speaker=speaker_at(document, cited.start))


def has_lines(media_type: str) -> bool:
    """Whether the lines of the text are those of the file."""
    return media_type.startswith("text/") and media_type not in MADE_OF_MARKUP


def told(cited: "Citation | Hit", name: str, *, line: int | None, speaker: str | None) -> str:
    """A place in words, on one line."""
    if cited.page is not None:
        name = f"{name}, page {cited.page}"
    elif line is not None:
        name = f"{name}, line {line}"
    elif cited.section:
        name = f"{name}, {cited.section}"
    return one_line(f"{name}, {speaker}" if speaker else name)


class StorePlaces:
    """Places in the documents of a store; `names` are those of files that were named, by their documents' ids."""

    def __init__(self, store: "Store", names: Mapping[str, str]) -> None:
        self._store, self._names = store, names

    def __call__(self, cited: "Citation | Hit") -> str:
        """The place of what was cited of a stored document."""
        from app.cli.support import TENANT

        document, parsed = self._store.parsed(TENANT, str(cited.document_id), version=cited.version)
        return place(cited, self._names.get(document.id, document.title), parsed)


class ServicePlaces:
    """Places in the documents of a running service, whose texts it is asked for where lines are to be counted."""

    def __init__(self, client: "Client", names: Mapping[str, str]) -> None:
        self._client, self._names = client, names
        self._media_types: dict[str, str] = {}
        self._beginnings: dict[tuple[str, str], str] = {}  # of texts, by document and version: none is fetched twice

    def __call__(self, cited: "Citation | Hit") -> str:
        """The place of what was cited of a stored document."""
        known = str(cited.document_id)
        if known not in self._media_types:
            self._media_types[known] = self._client.documents.get(known).media_type
        line = None
        if cited.page is None and has_lines(self._media_types[known]):
            line = self._beginning(known, cited).count("\n", 0, cited.start) + 1
        name = self._names.get(known, cited.title or known)
        return told(cited, name, line=line, speaker=getattr(cited, "speaker", None))

    def _beginning(self, document_id: str, cited: "Citation | Hit") -> str:
        """The text, as far as what was cited at least."""
        known = self._beginnings.get((document_id, cited.version), "")
        if len(known) < cited.start:
            more = self._client.documents.text(document_id, start=len(known), end=cited.start, version=cited.version)
            known = self._beginnings[document_id, cited.version] = known + more.text
        return known
