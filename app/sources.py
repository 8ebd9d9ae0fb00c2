"""What a request is about, resolved in one place: an inline text, named documents, or a collection."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from app.errors import Invalid
from app.schemas import SourceRequest, plain_filters
from retriever.errors import Conflict, NotFound
from retriever.filters import check_filters
from retriever.parsing import parse_text
from retriever.store import Store, version_of
from retriever.types import ParsedDocument

DEFAULT_COLLECTION = "default"
SMALL_TEXT = 50_000  # characters

TextParser = Callable[[str], ParsedDocument]


@dataclass(frozen=True, kw_only=True)
class InlineSource:
    """A text that came with the request; nothing of it is stored."""

    document: ParsedDocument
    version: str


@dataclass(frozen=True, kw_only=True)
class StoredSource:
    """Stored documents: a collection, or the documents with these ids; `documents` None: all of the collection.

    Where the request had filters, `documents` are the ids that pass them.
    """

    collection: str | None
    documents: tuple[str, ...] | None


Source = InlineSource | StoredSource


@dataclass(frozen=True, kw_only=True)
class SourceText:
    """One document of a source with its whole text; `document_id` and `title` are None for an inline text."""

    document_id: str | None
    title: str | None
    version: str
    document: ParsedDocument


class LargeTexts(Protocol):
    """Parses texts in other processes; `retriever.parsing.pool.Parsers` is one."""

    def parse_text(self, text: str, *, media_type: str = "text/plain") -> ParsedDocument:
        """The document of a text. Raises parsing errors, ParserFailed, ParsersClosed."""


def inline_parser(parsers: LargeTexts) -> TextParser:
    """A parser of texts that come with requests: small ones are parsed here, at once, and large ones elsewhere.

    A small one takes milliseconds whatever it is made of, and should not wait behind files that take minutes.
    """

    def parsed(text: str) -> ParsedDocument:
        return parse_text(text) if len(text) <= SMALL_TEXT else parsers.parse_text(text)

    return parsed


def resolve(store: Store, tenant: str, request: SourceRequest, *, parse: TextParser = parse_text) -> Source:
    """The source of a request, an inline text read by `parse`.

    Raises NotFound for a collection that does not exist (`default` always does) or a document that does not, Conflict
    for a document that has no version to read yet, Invalid for filters that mean nothing, and parsing errors.
    """
    if request.text is not None:
        document = parse(request.text)
        return InlineSource(document=document, version=version_of(document.text))
    try:
        check_filters(filters := plain_filters(getattr(request, "filters", None)) or {})
    except ValueError as error:
        raise Invalid("a filter cannot be used", errors=[{"loc": ["filters"], "msg": "not a filter"}]) from error
    single = getattr(request, "document", None)
    documents = request.documents if single is None else [single]
    if documents is not None:
        check_readable(store, tenant, documents)
        chosen = store.matching(tenant, documents=documents, filters=filters) if filters else dict.fromkeys(documents)
        return StoredSource(collection=None, documents=tuple(chosen))
    name = request.collection or DEFAULT_COLLECTION
    if name != DEFAULT_COLLECTION:
        store.collection(tenant, name)
    if filters:
        return StoredSource(collection=name, documents=tuple(store.matching(tenant, collection=name, filters=filters)))
    return StoredSource(collection=name, documents=None)


def check_readable(store: Store, tenant: str, documents: list[str]) -> None:
    """Raise NotFound for the first document that is not there, Conflict for one without a version to read yet."""
    readable = set(store.matching(tenant, documents=documents))
    for document_id in documents:
        if document_id not in readable:
            status = store.document(tenant, document_id).status
            why = "is still being indexed: wait for its job" if status == "pending" else "could not be indexed"
            raise Conflict(f"document {document_id!r} {why}")


def document_ids(store: Store, tenant: str, source: StoredSource) -> list[str]:
    """The ids of a stored source's visible documents: as asked for, or by id for a whole collection."""
    if source.documents is not None:
        return list(source.documents)
    return store.matching(tenant, collection=source.collection)


def texts(store: Store, tenant: str, source: Source) -> Iterator[SourceText]:
    """The documents of a source with their whole texts, one in memory at a time.

    A document of a collection that is deleted meanwhile is passed over; a named one raises NotFound.
    """
    if isinstance(source, InlineSource):
        yield SourceText(document_id=None, title=None, version=source.version, document=source.document)
        return
    for document_id in document_ids(store, tenant, source):
        try:
            document, parsed = store.parsed(tenant, document_id)
        except NotFound:
            if source.documents is not None:
                raise
            continue
        version = document.version or version_of(parsed.text)
        yield SourceText(document_id=document_id, title=document.title, version=version, document=parsed)
