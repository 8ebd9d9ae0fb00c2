"""Whom the commands ask: the Lectern of this process, or a running service; the rest of a command does not know which.

Files that are asked about are kept nowhere, unless a place was named: `--data`, or a `--collection` of the service.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast
from uuid import uuid4

from app import terminal
from app.cli.places import ServicePlaces, StorePlaces
from app.cli.support import CommandError, async_client_of, client_of, service_of, settings_of

if TYPE_CHECKING:
    from app.local import Make
    from app.local import Progress as Tell
    from app.schemas import AskRequest, SearchRequest, SummarizeRequest
    from app.wiring import Lectern
    from lectern import Answer, Citation, Client, Hit, Search, Summary
    from lectern.options import AskOptions, SearchOptions, SummarizeOptions

Place = Callable[["Citation | Hit"], str]


class Desk(Protocol):
    """Answers about one source: the files that were named, or a collection."""

    place: Place

    def ask(self, request: "AskRequest") -> "Answer":
        """The answer to a question."""

    def search(self, request: "SearchRequest") -> "Search":
        """The passages nearest to a query."""

    def summarize(self, request: "SummarizeRequest", progress: "Tell") -> "Summary":
        """A summary."""


@contextmanager
def desk_of(arguments: argparse.Namespace, names: Sequence[Path], make: "Make | None") -> Iterator[Desk]:
    """The desk for these files, or for the collection that was named, open while the command needs it."""
    url = service_of(arguments)
    with ExitStack() as stack:
        if url is not None:
            yield _remote(stack, arguments, names, url)
        else:
            yield _local(stack, arguments, names, make)


class LocalDesk:
    """The desk of a Lectern in this process; `documents` are the names of files by id, or None for a collection."""

    def __init__(self, lectern: "Lectern", documents: dict[str, str] | None) -> None:
        self._lectern, self._documents = lectern, documents
        self.place: Place = StorePlaces(lectern.store, documents or {})

    def ask(self, request: "AskRequest") -> "Answer":
        """As `Desk` says. Raises app, retriever and model errors."""
        from app import local
        from lectern import Answer

        reply = local.ask(self._lectern, request.model_copy(update=_narrowed(self._documents)))
        return Answer.model_validate(reply.model_dump(mode="json"))

    def search(self, request: "SearchRequest") -> "Search":
        """As `Desk` says."""
        from app import local
        from lectern import Search

        reply = local.search(self._lectern, request.model_copy(update=_narrowed(self._documents)))
        return Search.model_validate(reply.model_dump(mode="json"))

    def summarize(self, request: "SummarizeRequest", progress: "Tell") -> "Summary":
        """As `Desk` says."""
        from app import local
        from lectern import Summary

        reply = local.summarize(self._lectern, request.model_copy(update=_narrowed(self._documents)), progress=progress)
        return Summary.model_validate(reply.model_dump(mode="json"))


class RemoteDesk:
    """The desk of a running service."""

    def __init__(self, client: "Client", documents: dict[str, str] | None) -> None:
        self._client, self._documents = client, documents
        self.place: Place = ServicePlaces(client, documents or {})

    def ask(self, request: "AskRequest") -> "Answer":
        """As `Desk` says. Raises LecternError."""
        return self._client.ask(str(request.question), **cast("AskOptions", self._options(request, "question")))

    def search(self, request: "SearchRequest") -> "Search":
        """As `Desk` says."""
        return self._client.search(request.query, **cast("SearchOptions", self._options(request, "query")))

    def summarize(self, request: "SummarizeRequest", progress: "Tell") -> "Summary":
        """As `Desk` says."""
        from lectern import Progress, Summary, UnexpectedReply

        for event in self._client.stream_summary(**cast("SummarizeOptions", self._options(request))):
            if isinstance(event, Progress):
                progress(event.done, event.total, event.unit or "")
            elif isinstance(event, Summary):
                return event
        raise UnexpectedReply("a stream that ended without a summary", status=200)

    def _options(self, request: "AskRequest | SearchRequest | SummarizeRequest", *named: str) -> dict[str, Any]:
        narrowed = request.model_copy(update=_narrowed(self._documents))
        return narrowed.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True, exclude={*named})


def _narrowed(documents: dict[str, str] | None) -> dict[str, Any]:
    """What changes in a request that is about these documents."""
    return {} if documents is None else {"documents": list(documents), "collection": None}


def _local(stack: ExitStack, arguments: argparse.Namespace, names: Sequence[Path], make: "Make | None") -> LocalDesk:
    from app import local
    from app.files import files_under
    from app.wiring import build

    settings = settings_of(arguments)
    if not names:
        return LocalDesk(stack.enter_context(local.opened(settings, make=make or build)), None)
    paths = files_under(names)
    keep = local.temporary if arguments.data is None else local.opened
    lectern = stack.enter_context(keep(settings, make=make or build))
    return LocalDesk(lectern, _added(lectern, paths, names, collection=arguments.collection or "default"))


def _added(lectern: "Lectern", paths: Sequence[Path], names: Sequence[Path], *, collection: str) -> dict[str, str]:
    """The documents made of these files, by id, with their names as given.

    A file that was named must be readable; one that was met in a directory may be refused, with a note.
    """
    from app import local
    from app.errors import JobFailed
    from retriever.errors import UnreadableFile

    documents: dict[str, str] = {}
    for number, path in enumerate(paths, start=1):
        with terminal.progress(f"{number}/{len(paths)} {path.name}") as progress:
            try:
                documents.setdefault(local.add(lectern, path, collection=collection, progress=progress)[0], str(path))
            except (JobFailed, UnreadableFile) as error:
                refuse(path, str(error), names)
    return _some(documents)


def _remote(stack: ExitStack, arguments: argparse.Namespace, names: Sequence[Path], url: str) -> RemoteDesk:
    from app.cli.uploading import upload
    from app.files import files_under
    from lectern import NotFound

    paths = files_under(names)
    client = stack.enter_context(client_of(arguments, url))
    if not names:
        return RemoteDesk(client, None)
    collection = arguments.collection or f"asked-{uuid4().hex[:12]}"

    def forget() -> None:
        try:
            client.collections.delete(collection)
        except NotFound:  # no file has come so far
            return

    if arguments.collection is None:
        stack.callback(forget)
    documents: dict[str, str] = {}
    with terminal.progress("uploading") as progress:
        taken = upload(paths, async_client_of(arguments, url), collection=collection, progress=progress)
    for each in taken:
        if each.document is None:
            refuse(each.path, each.refusal, names)
        else:
            documents.setdefault(each.document.id, str(each.path))
    return RemoteDesk(client, _some(documents))


def refuse(path: Path, reason: str, names: Sequence[Path]) -> None:
    """Note that a file is left out. Raises CommandError for one that was named itself."""
    if path in names:
        raise CommandError(f"{path}: {reason}")
    terminal.note(f"{path}: {reason}")


def _some(documents: dict[str, str]) -> dict[str, str]:
    if not documents:
        raise CommandError("none of the files could be read")
    return documents
