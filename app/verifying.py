"""Citations against the current versions of their documents: which hold, which moved, which are gone or never were."""

from collections.abc import Iterable
from dataclasses import dataclass

from app.schemas import CitedQuote, Verified, VerifyReply, VerifyRequest, VerifyStatus
from retriever.alignment import Alignment
from retriever.errors import NotFound
from retriever.store import Store


@dataclass(frozen=True, kw_only=True)
class _Version:
    """A version of a document with its text."""

    version: str
    text: str


class Verifying:
    """Verifies citations. Texts are compared only where a quote alone does not tell what became of it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def verify(self, tenant: str, request: VerifyRequest) -> VerifyReply:
        """What became of each citation, in their order. An unknown document has no text: its citations are gone."""
        groups: dict[tuple[str, str], list[int]] = {}
        for place, citation in enumerate(request.citations):
            groups.setdefault((citation.document_id, citation.version), []).append(place)
        results: dict[int, Verified] = {}
        for (document_id, version), places in sorted(groups.items()):
            found = self._of_version(tenant, document_id, version, [request.citations[place] for place in places])
            results.update(zip(places, found, strict=True))
        return VerifyReply(results=[results[place] for place in range(len(results))])

    def _of_version(
        self, tenant: str, document_id: str, version: str, citations: Iterable[CitedQuote]
    ) -> list[Verified]:
        current = self._text(tenant, document_id, None)
        if current is None:
            return [_result("gone", None) for _ in citations]
        if version == current.version:
            return [_same(current, citation) for citation in citations]
        cited = self._text(tenant, document_id, version)
        if cited is not None:
            comparison = _Comparison(cited, current)
            return [comparison.of(citation) for citation in citations]
        if self._store.had_version(tenant, document_id, version):
            return [_without_old_text(current, citation) for citation in citations]
        return [_result("false", current) for _ in citations]

    def _text(self, tenant: str, document_id: str, version: str | None) -> _Version | None:
        try:
            text, _, _, found = self._store.text(tenant, document_id, version=version)
        except NotFound:
            return None
        return _Version(version=found, text=text)


class _Comparison:
    """The cited version of a document and the current one, aligned when a citation first needs it."""

    def __init__(self, cited: _Version, current: _Version) -> None:
        self._cited, self._current = cited, current
        self._alignment: Alignment | None = None

    def of(self, citation: CitedQuote) -> Verified:
        """What became of a citation of the cited version."""
        old, new, quote = self._cited.text, self._current.text, citation.quote
        if not _stands(old, citation):
            return _result("false", self._current)
        place = new.find(quote)
        if place < 0:
            return _result("gone", self._current)
        if new.find(quote, place + 1) < 0 and old.find(quote, old.find(quote) + 1) < 0:
            return _placed(citation, self._current, place)  # one then, one now: no other can be meant
        if self._alignment is None:
            self._alignment = Alignment(old, new)
        found = self._alignment.place(citation.start, citation.end)
        return _result("gone", self._current) if found is None else _placed(citation, self._current, found)


def _same(current: _Version, citation: CitedQuote) -> Verified:
    if _stands(current.text, citation):
        return _placed(citation, current, citation.start)
    return _result("false", current)


def _without_old_text(current: _Version, citation: CitedQuote) -> Verified:
    """A version that was, and whose text is no longer kept: only a quote that stands once can be placed."""
    if _stands(current.text, citation):
        return _placed(citation, current, citation.start)
    place = current.text.find(citation.quote)
    if place < 0 or current.text.find(citation.quote, place + 1) >= 0:
        return _result("gone", current)
    return _placed(citation, current, place)


def _stands(text: str, citation: CitedQuote) -> bool:
    return citation.end - citation.start == len(citation.quote) and text.startswith(citation.quote, citation.start)


def _placed(citation: CitedQuote, current: _Version, place: int) -> Verified:
    status: VerifyStatus = "holds" if place == citation.start else "moved"
    return Verified(status=status, version=current.version, start=place, end=place + len(citation.quote))


def _result(status: VerifyStatus, current: _Version | None) -> Verified:
    return Verified(status=status, version=None if current is None else current.version, start=None, end=None)
