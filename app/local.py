"""Documents and questions in this process, without a server: what the command line stands on."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from app import telemetry
from app.adapting import KIND
from app.errors import JobFailed
from app.files import named_apart, read, text_of
from app.ingesting import forget_failed
from app.jobs import OVER
from app.schemas import (
    AdaptRequest,
    AdaptResult,
    AskReply,
    AskRequest,
    SearchReply,
    SearchRequest,
    SummarizeReply,
    SummarizeRequest,
)
from app.settings import Settings
from app.sources import SourceText
from app.summarizing import summarize_texts
from app.wiring import DEFAULT_TENANT, Lectern, build, free_cores, start_parsers
from retriever.errors import ParsingError, UnreadableFile
from retriever.store import Job, version_of

Make = Callable[[Settings], Lectern]
Progress = Callable[[int, int | None, str], None]

POLL_SECONDS = 0.2  # how often the progress of a job is looked at


@contextmanager
def opened(settings: Settings, *, make: Make = build) -> Iterator[Lectern]:
    """A Lectern on the settings' data directory, its jobs running, closed at the end."""
    lectern = make(settings)
    try:
        lectern.jobs.start()
        yield lectern
    finally:
        lectern.close()


@contextmanager
def temporary(settings: Settings, *, make: Make = build) -> Iterator[Lectern]:
    """A Lectern on an empty directory of its own, which is gone afterwards; the settings' store is not touched."""
    with tempfile.TemporaryDirectory(prefix="lectern-", ignore_cleanup_errors=True) as folder:
        own = settings.model_copy(update={"data_dir": Path(folder), "database_url": None})
        with opened(own, make=make) as lectern:
            yield lectern


def add(lectern: Lectern, path: Path, *, collection: str, progress: Progress) -> tuple[str, bool]:
    """Store and index a file; its document's id, and whether anything changed.

    A file that was added before from the same place is replaced, under its id. Raises UnreadableFile, and JobFailed
    with the reason; a file that is refused leaves nothing behind, as in the service.
    """
    data = read(path)
    place = text_of(path.resolve())
    known = lectern.store.matching(DEFAULT_TENANT, collection=collection, filters={"path": place})
    if known and lectern.store.file(DEFAULT_TENANT, known[0])[0] == data:
        return known[0], False
    accepted = lectern.store.accept(
        DEFAULT_TENANT,
        collection=collection,
        data=data,
        filename=text_of(Path(path.name)),
        media_type=None,
        title=None,
        metadata={"path": place},
        document_id=known[0] if known else None,
        deduplicate=False,
    )
    if accepted.job_id is not None:
        lectern.jobs.changed()
        try:
            _follow(lectern, accepted.job_id, progress)
        except JobFailed:
            forget_failed(lectern.store, DEFAULT_TENANT, accepted.document.id)
            raise
    return accepted.document.id, True


def ask(lectern: Lectern, request: AskRequest) -> AskReply:
    """The answer to one question, with an id as the service would give it."""
    return lectern.answering.ask(DEFAULT_TENANT, request).model_copy(update=_identifier())


def search(lectern: Lectern, request: SearchRequest) -> SearchReply:
    """The passages nearest to a query."""
    return lectern.finder.search(DEFAULT_TENANT, request).model_copy(update=_identifier())


def summarize(lectern: Lectern, request: SummarizeRequest, *, progress: Progress) -> SummarizeReply:
    """A summary of what is stored."""
    reply = lectern.summarizing.summarize(DEFAULT_TENANT, request, progress=progress)
    return reply.model_copy(update=_identifier())


def summarize_files(
    paths: Iterable[Path],
    request: SummarizeRequest,
    *,
    settings: Settings,
    progress: Progress,
    refused: Callable[[Path, str], None],
) -> tuple[SummarizeReply, dict[Path, SourceText]]:
    """A summary of files together, and their texts. Nothing is stored or indexed, and the reader is loaded for a
    query alone.

    `refused` is told of a file that cannot be read, and raises where the others are not to go on without it. Raises
    UnreadableFile where there are none, ParserFailed and model errors.
    """
    import torch

    from model.named_encoder import load_encoder
    from model.named_reader import load_reader
    from model.salience import load_salience

    sources: dict[Path, SourceText] = {}
    with closing(start_parsers(settings)) as parsers:
        for path, name in named_apart(paths).items():
            try:
                document = parsers.parse(read(path), filename=name)
            except ParsingError as error:
                refused(path, str(error))
                continue
            version, title = version_of(document.text), document.title or name
            sources[path] = SourceText(document_id=None, title=title, version=version, document=document)
    if not sources:
        raise UnreadableFile("none of the files could be read")
    torch.set_num_threads(settings.threads or free_cores())
    encoder = load_encoder(settings.encoder)
    salience = load_salience(encoder.version)
    reader = None if request.query is None else load_reader(settings.reader)
    texts = [*sources.values()]
    reply = summarize_texts(texts, request, encoder=encoder, salience=salience, reader=reader, progress=progress)
    return reply.model_copy(update=_identifier()), sources


def adapt(lectern: Lectern, collection: str, request: AdaptRequest, *, progress: Progress) -> AdaptResult:
    """Adapt a collection by a job, waiting for it. Raises JobFailed with the reason."""
    payload = {"collection": collection, **request.model_dump(mode="json")}
    job = lectern.jobs.submit(DEFAULT_TENANT, KIND, payload)
    return AdaptResult.model_validate(_follow(lectern, job.id, progress).result)


def settled(lectern: Lectern, job_id: str, *, progress: Progress) -> Job:
    """A job once it is over, however it ended. Raises NotFound."""
    while True:
        job = lectern.jobs.wait(DEFAULT_TENANT, job_id, timeout=POLL_SECONDS)
        progress(job.done, job.total, job.unit or "passages")
        if job.status in OVER:
            return job


def _follow(lectern: Lectern, job_id: str, progress: Progress) -> Job:
    job = settled(lectern, job_id, progress=progress)
    if job.status != "succeeded":
        raise JobFailed(job.problem or {"detail": f"the job was {job.status}"})
    return job


def _identifier() -> Mapping[str, Any]:
    return {"request_id": telemetry.new_request_id()}
