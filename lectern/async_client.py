"""The client for asyncio: `AsyncClient`, which has all that `Client` has, by the same names."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import anyio
import anyio.to_thread
import httpx
from httpx_sse import EventSource

from lectern import calls, replies, steps, streams
from lectern.connection import Connection, connection, options
from lectern.options import AdaptOptions, AskOptions, Changes, Content, SearchOptions, SummarizeOptions
from lectern.steps import Pause, Send, Steps

T = TypeVar("T")

PAGE = 100


class AsyncClient:
    """A service to ask; an async context manager, for one event loop and any number of tasks.

    `url` and `key` are those of LECTERN_URL and LECTERN_KEY where they are not given. `timeout` is how many seconds a
    reply may be silent, `deadline` how many one call may take with all its tries and with the job that it may become,
    `retries` how often it is sent again. Every method raises LecternError.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        timeout: float = 60.0,
        deadline: float = 600.0,
        retries: int = 4,
        backoff: float = 0.25,
        headers: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        where = connection(url, key, timeout=timeout, deadline=deadline, retries=retries, backoff=backoff)
        http = httpx.AsyncClient(base_url=where.url, headers=where.headers(headers or {}), transport=transport)
        self._sender = AsyncSender(where, http)
        self.documents = AsyncDocuments(self._sender)
        self.collections = AsyncCollections(self._sender)
        self.jobs = AsyncJobs(self._sender)

    async def __aenter__(self) -> Self:
        """Nothing is sent yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._sender.http.aclose()

    async def ask(self, question: str, *, deadline: float | None = None, **asked: Unpack[AskOptions]) -> replies.Answer:
        """The answer to one question, with citations; its `answer` is None where the documents do not say."""
        return await self._sender.answered(calls.ask(question, asked), deadline)

    async def ask_many(
        self, questions: Sequence[str], *, deadline: float | None = None, **asked: Unpack[AskOptions]
    ) -> list[replies.Answer]:
        """The answers to up to 64 questions about one source, in their order."""
        return await self._sender.answered(calls.ask_many(questions, asked), deadline)

    async def summarize(self, *, deadline: float | None = None, **asked: Unpack[SummarizeOptions]) -> replies.Summary:
        """A summary of a source, its sentences cited, with an account of what was read."""
        return await self._sender.answered(calls.summarize(asked), deadline)

    async def search(
        self, query: str, *, deadline: float | None = None, **asked: Unpack[SearchOptions]
    ) -> replies.Search:
        """The passages nearest to a query, best first."""
        return await self._sender.done(calls.search(query, asked), deadline)

    async def verify(self, citations: Iterable[replies.Citation | Mapping[str, Any]]) -> list[replies.Verified]:
        """Where citations stand in the current versions of their documents, in their order."""
        return await self._sender.done(calls.verify(citations))

    def stream_answers(
        self, question: str | list[str], **asked: Unpack[AskOptions]
    ) -> AsyncGenerator[replies.Found | replies.Answer, None]:
        """For each question the passages as soon as they are found, then the answer."""
        return self._sender.stream(streams.answers(question, asked))

    def stream_summary(
        self, **asked: Unpack[SummarizeOptions]
    ) -> AsyncGenerator[replies.Progress | replies.SummarySentence | replies.Summary, None]:
        """How far the reading is, then each sentence, at last the whole summary."""
        return self._sender.stream(streams.summary(asked))

    async def ready(self) -> replies.Readiness:
        """Whether the service can answer, and by which models; not being ready is no error here."""
        return await self._sender.done(calls.ready())

    async def alive(self) -> bool:
        """Whether the process runs at all."""
        return await self._sender.done(calls.alive())

    async def metrics(self) -> str:
        """What is counted and timed, as Prometheus reads it."""
        return await self._sender.done(calls.metrics())

    async def version(self) -> replies.Version:
        """Which Lectern answers."""
        return await self._sender.done(calls.version())


class AsyncSender:
    """Carries out steps: sends requests, sleeps, reads streams."""

    def __init__(self, where: Connection, http: httpx.AsyncClient) -> None:
        self.where, self.http = where, http

    async def done(self, call: calls.Call[T], deadline: float | None = None) -> T:
        """What a call gives."""
        return await self.run(steps.done(call, self.where.patience(deadline)))

    async def answered(self, call: calls.Call[T], deadline: float | None = None) -> T:
        """What a call gives that may become a job."""
        return await self.run(steps.answered(call, self.where.patience(deadline)))

    async def begun(self, call: calls.Call[replies.Accepted]) -> replies.Job:
        """The job that a call begins."""
        return await self.run(steps.begun(call, self.where.patience()))

    async def run(self, work: Steps[T]) -> T:
        """Carry steps out to their end."""
        resume = partial(next, work)
        while True:
            try:
                step = resume()
            except StopIteration as end:
                result: T = end.value
                return result
            try:
                reply = await self._carried_out(step)
            except httpx.RequestError as error:
                resume = partial(work.throw, error)
            else:
                resume = partial(work.send, reply)

    async def stream(self, track: streams.Track[T]) -> AsyncGenerator[T, None]:
        """The events of a stream, opened again where that is possible."""
        while not track.over:
            patience = self.where.patience()
            reply = await self.run(track.opened(patience))
            broken: httpx.RequestError | None = None
            try:
                if not streams.is_stream(reply):
                    return
                async with aclosing(EventSource(reply).aiter_sse()) as events:
                    async for event in events:
                        for each in track.take(event):
                            yield each
                        if track.over:
                            return
            except httpx.RequestError as error:
                broken = error
            finally:
                await reply.aclose()
            track.cut(broken, patience)

    async def pages(self, page: Any, name: str) -> AsyncIterator[Any]:
        """The items of all pages; `page` makes the call for a cursor."""
        cursor: str | None = None
        while True:
            found = await self.done(page(cursor=cursor))
            for each in getattr(found, name):
                yield each
            cursor = found.next_cursor
            if cursor is None:
                return

    async def _carried_out(self, step: Send | Pause) -> httpx.Response | None:
        if isinstance(step, Pause):
            await anyio.sleep(step.seconds)
            return None
        request = self.http.build_request(**options(step.call, timeout=step.timeout))
        reply = await self.http.send(request, stream=step.call.streamed)
        if step.call.streamed and not reply.is_success:
            await reply.aread()
        return reply


class AsyncDocuments:
    """The documents of a service."""

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    async def add(
        self,
        *,
        wait: float | None = None,
        follow: bool = True,
        idempotency_key: str | None = None,
        deadline: float | None = None,
        **content: Unpack[Content],
    ) -> replies.Document:
        """Add a document from a `path`, from `data` with a `filename`, or from a `text`; indexed when it returns.

        The same bytes into the same collection are one document. Without `follow` it may be pending still, and then
        names its `job`.
        """
        call = await anyio.to_thread.run_sync(partial(calls.add, content, wait=wait, key=idempotency_key))
        return await self._sender.run(steps.stored(call, self._sender.where.patience(deadline), follow=follow))

    async def put(
        self,
        document_id: str,
        *,
        if_match: str | None = None,
        wait: float | None = None,
        follow: bool = True,
        deadline: float | None = None,
        **content: Unpack[Content],
    ) -> replies.Document:
        """Replace the document at an id, or create it; `if_match` is the version that is taken for the current one."""
        call = await anyio.to_thread.run_sync(partial(calls.put, document_id, content, if_match=if_match, wait=wait))
        return await self._sender.run(steps.stored(call, self._sender.where.patience(deadline), follow=follow))

    async def patch(
        self, document_id: str, *, if_match: str | None = None, **changes: Unpack[Changes]
    ) -> replies.Document:
        """Change the title, replace the metadata, or both."""
        return await self._sender.done(calls.patch(document_id, changes, if_match=if_match))

    async def get(self, document_id: str) -> replies.Document:
        """What is known of a document."""
        return await self._sender.done(calls.document(document_id))

    async def page(
        self, *, collection: str | None = None, limit: int = PAGE, cursor: str | None = None
    ) -> replies.DocumentPage:
        """One page of documents, oldest first."""
        return await self._sender.done(calls.documents(collection=collection, limit=limit, cursor=cursor))

    def all(self, *, collection: str | None = None, page_size: int = PAGE) -> AsyncIterator[replies.Document]:
        """All documents, page by page as they are asked for."""
        return self._sender.pages(partial(calls.documents, collection=collection, limit=page_size), "documents")

    async def text(
        self, document_id: str, *, start: int = 0, end: int | None = None, version: str | None = None
    ) -> replies.TextRange:
        """A range of the text, of the current version or of an older one."""
        return await self._sender.done(calls.text(document_id, start=start, end=end, version=version))

    async def outline(self, document_id: str, *, version: str | None = None) -> replies.Outline:
        """The sections and pages, as ranges of the text, of the current version or of an older one."""
        return await self._sender.done(calls.outline(document_id, version=version))

    async def file(self, document_id: str) -> bytes:
        """The original file, as it was sent."""
        return await self._sender.done(calls.file(document_id))

    async def delete(self, document_id: str, *, if_match: str | None = None) -> None:
        """Purge a document with all its versions."""
        await self._sender.done(calls.delete_document(document_id, if_match=if_match))

    async def batch(
        self,
        rows: Iterable[Mapping[str, Any]],
        *,
        idempotency_key: str | None = None,
        deadline: float | None = None,
    ) -> replies.BatchResult:
        """Add up to 10,000 documents, each `{"text", "title", "collection", "metadata"}`; a bad one fails alone."""
        call = await anyio.to_thread.run_sync(partial(calls.batch, rows, key=idempotency_key))
        return await self._sender.run(steps.finished(call, replies.BatchResult, self._sender.where.patience(deadline)))


class AsyncCollections:
    """The collections of a service."""

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    async def get(self, name: str) -> replies.Collection:
        """A collection with its counts."""
        return await self._sender.done(calls.collection(name))

    async def page(self, *, limit: int = PAGE, cursor: str | None = None) -> replies.CollectionPage:
        """One page of collections, by name."""
        return await self._sender.done(calls.collections(limit=limit, cursor=cursor))

    def all(self, *, page_size: int = PAGE) -> AsyncIterator[replies.Collection]:
        """All collections, page by page as they are asked for."""
        return self._sender.pages(partial(calls.collections, limit=page_size), "collections")

    async def put(self, name: str, *, metadata: Mapping[str, Any] | None = None) -> replies.Collection:
        """Create a collection, or replace the metadata of one."""
        return await self._sender.done(calls.put_collection(name, metadata or {}))

    async def delete(self, name: str) -> None:
        """Purge a collection with all its documents."""
        await self._sender.done(calls.delete_collection(name))

    async def adapt(
        self, name: str, *, deadline: float | None = None, **asked: Unpack[AdaptOptions]
    ) -> replies.Adaptation:
        """Teach the collection's retriever its documents; the default deadline comes on top of the budget."""
        patience = self._sender.where.patience(calls.adapting_time(asked, deadline, self._sender.where.deadline))
        return await self._sender.run(steps.finished(calls.adapt(name, asked), replies.Adaptation, patience))

    async def rollback(self, name: str) -> replies.Rollback:
        """Search by what was before the last promotion again."""
        return await self._sender.done(calls.rollback(name))


class AsyncJobs:
    """The jobs of a service, and work that is handed back as a job instead of being waited for."""

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    async def get(self, job_id: str) -> replies.Job:
        """A job as it is now."""
        return await self._sender.done(calls.job(job_id))

    async def wait(self, job_id: str, *, deadline: float | None = None) -> replies.Job:
        """A job once it is over, however it ended. Raises DeadlineExceeded; the job goes on then."""
        return await self._sender.run(steps.settled(job_id, self._sender.where.patience(deadline)))

    async def result(self, job_id: str, *, deadline: float | None = None) -> Mapping[str, Any]:
        """The result of a job once it is over. Raises the job's Problem, JobCancelled and DeadlineExceeded."""
        return await self._sender.run(steps.result(job_id, self._sender.where.patience(deadline)))

    def events(self, job_id: str) -> AsyncGenerator[replies.JobProgress | replies.Job, None]:
        """New states of a job as they come, then the job; it goes on where it was if the connection breaks."""
        return self._sender.stream(streams.job(job_id))

    async def page(self, *, limit: int = PAGE, cursor: str | None = None) -> replies.JobPage:
        """One page of jobs, oldest first."""
        return await self._sender.done(calls.jobs(limit=limit, cursor=cursor))

    def all(self, *, page_size: int = PAGE) -> AsyncIterator[replies.Job]:
        """All jobs, page by page as they are asked for."""
        return self._sender.pages(partial(calls.jobs, limit=page_size), "jobs")

    async def cancel(self, job_id: str) -> replies.Job:
        """Cancel a job: at once while it is queued, soon while it runs; one that is over stays."""
        return await self._sender.done(calls.cancel(job_id))

    async def ask(self, question: str, **asked: Unpack[AskOptions]) -> replies.Job:
        """Begin a question as a job; `job.result_as(Answer)` once it is over."""
        return await self._sender.begun(calls.at_once(calls.ask(question, asked)))

    async def ask_many(self, questions: Sequence[str], **asked: Unpack[AskOptions]) -> replies.Job:
        """Begin questions as a job."""
        return await self._sender.begun(calls.at_once(calls.ask_many(questions, asked)))

    async def summarize(self, **asked: Unpack[SummarizeOptions]) -> replies.Job:
        """Begin a summary as a job; `job.result_as(Summary)` once it is over."""
        return await self._sender.begun(calls.at_once(calls.summarize(asked)))

    async def batch(self, rows: Iterable[Mapping[str, Any]], *, idempotency_key: str | None = None) -> replies.Job:
        """Begin a batch of documents; `job.result_as(BatchResult)` once it is over."""
        call = await anyio.to_thread.run_sync(partial(calls.batch, rows, key=idempotency_key))
        return await self._sender.begun(call)

    async def adapt(self, name: str, **asked: Unpack[AdaptOptions]) -> replies.Job:
        """Begin an adaptation of a collection; `job.result_as(Adaptation)` once it is over."""
        return await self._sender.begun(calls.adapt(name, asked))
