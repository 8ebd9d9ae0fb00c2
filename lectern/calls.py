"""Requests as values: what each method of a client sends, and how its reply is read. Nothing is sent here."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote
from uuid import uuid4

from lectern import replies
from lectern.options import AdaptOptions, AskOptions, Content, SearchOptions, SummarizeOptions

BUDGET = 600.0  # seconds: the service's default for an adaptation

T = TypeVar("T")
R = TypeVar("R", bound=replies.Reply)

# always: also when it is not known whether the request was carried out. refused: when it was not: 429, 503.
# unsent: only where no connection was made.
Repeat = Literal["always", "refused", "unsent"]
File = tuple[str, bytes, str | None]  # name, content, media type


@dataclass(frozen=True, kw_only=True)
class Call(Generic[T]):
    """A request, how its reply is read, and when it may be sent again.

    `wait` are the seconds that the service was asked to take before it replies; None leaves that to the service.
    """

    method: str
    path: str
    read: Callable[[Any], T]
    form: Literal["json", "bytes", "nothing"] = "json"
    params: Mapping[str, str | int | float] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    content: bytes | None = None
    file: File | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    repeat: Repeat = "always"
    wait: float | None = None
    expected: frozenset[int] = frozenset()  # error statuses whose bodies are replies like any other
    streamed: bool = False


def ask(question: str, options: AskOptions) -> Call[replies.Answer]:
    """One question."""
    return _posted("/ask", {"question": question, **given(options)}, replies.Answer)


def ask_many(questions: Sequence[str], options: AskOptions) -> Call[list[replies.Answer]]:
    """A list of questions about one source."""

    def read(payload: Any) -> list[replies.Answer]:
        return [replies.Answer.model_validate(each) for each in payload["answers"]]

    return _post("/ask", {"questions": list(questions), **given(options)}, read)


def summarize(options: SummarizeOptions) -> Call[replies.Summary]:
    """A summary of one source."""
    return _posted("/summarize", given(options), replies.Summary)


def search(query: str, options: SearchOptions) -> Call[replies.Search]:
    """The passages nearest to a query."""
    return _posted("/search", {"query": query, **given(options)}, replies.Search)


def verify(citations: Iterable[replies.Citation | Mapping[str, Any]]) -> Call[list[replies.Verified]]:
    """Whether citations still hold; only what identifies them is sent."""
    names = ("document_id", "version", "start", "end", "quote")
    rows = [each.model_dump() if isinstance(each, replies.Citation) else each for each in citations]

    def read(payload: Any) -> list[replies.Verified]:
        return [replies.Verified.model_validate(each) for each in payload["results"]]

    return _post("/verify", {"citations": [{name: row[name] for name in names} for row in rows]}, read)


def add(content: Content, *, wait: float | None, key: str | None) -> Call[replies.Document]:
    """A new document, done once however often it is sent, by an `Idempotency-Key`."""
    headers = {"Idempotency-Key": key or str(uuid4())}
    return replace(_upload("POST", "/documents", content, wait=wait), headers=headers)


def put(document_id: str, content: Content, *, if_match: str | None, wait: float | None) -> Call[replies.Document]:
    """A document at this id. With a condition it is not repeated blindly: its own first try would have broken it."""
    call = _upload("PUT", _path("documents", document_id), content, wait=wait)
    return _conditional(call, if_match)


def patch(document_id: str, changes: Mapping[str, Any], *, if_match: str | None) -> Call[replies.Document]:
    """Another title, other metadata, or both."""
    path, read = _path("documents", document_id), replies.Document.model_validate
    call = Call(method="PATCH", path=path, read=read, json=given(changes), repeat="refused")
    return _conditional(call, if_match)


def document(document_id: str) -> Call[replies.Document]:
    """What is known of a document."""
    return _get(_path("documents", document_id), replies.Document)


def documents(*, collection: str | None, limit: int, cursor: str | None) -> Call[replies.DocumentPage]:
    """A page of documents."""
    params = given({"collection": collection, "limit": limit, "cursor": cursor})
    return _get("/documents", replies.DocumentPage, params)


def text(document_id: str, *, start: int, end: int | None, version: str | None) -> Call[replies.TextRange]:
    """A range of a document's text."""
    params = given({"start": start, "end": end, "version": version})
    return _get(_path("documents", document_id, "text"), replies.TextRange, params)


def outline(document_id: str, *, version: str | None) -> Call[replies.Outline]:
    """How a document is divided."""
    return _get(_path("documents", document_id, "outline"), replies.Outline, given({"version": version}))


def file(document_id: str) -> Call[bytes]:
    """The original bytes."""
    return Call(method="GET", path=_path("documents", document_id, "file"), read=bytes, form="bytes")


def delete_document(document_id: str, *, if_match: str | None) -> Call[None]:
    """Purge a document."""
    return _conditional(_delete(_path("documents", document_id)), if_match)


def batch(rows: Iterable[Mapping[str, Any]], *, key: str | None) -> Call[replies.Accepted]:
    """Many documents, a line each, taken in once however often they are sent."""
    lines = [json.dumps(row, ensure_ascii=False, separators=(",", ":"), allow_nan=False) for row in rows]
    return Call(
        method="POST",
        path="/documents/batch",
        read=replies.Accepted.model_validate,
        headers={"Content-Type": "application/x-ndjson", "Idempotency-Key": key or str(uuid4())},
        content="\n".join(lines).encode("utf-8"),
    )


def collections(*, limit: int, cursor: str | None) -> Call[replies.CollectionPage]:
    """A page of collections."""
    return _get("/collections", replies.CollectionPage, given({"limit": limit, "cursor": cursor}))


def collection(name: str) -> Call[replies.Collection]:
    """A collection with its counts."""
    return _get(_path("collections", name), replies.Collection)


def put_collection(name: str, metadata: Mapping[str, Any]) -> Call[replies.Collection]:
    """A collection, created or described."""
    read = replies.Collection.model_validate
    return Call(method="PUT", path=_path("collections", name), read=read, json={"metadata": dict(metadata)})


def delete_collection(name: str) -> Call[None]:
    """Purge a collection."""
    return _delete(_path("collections", name))


def adapt(name: str, options: AdaptOptions) -> Call[replies.Accepted]:
    """Adapt a collection, as a job."""
    path, read = _path("collections", name, "adapt"), replies.Accepted.model_validate
    return Call(method="POST", path=path, read=read, json=given(options), repeat="unsent")


def adapting_time(options: AdaptOptions, deadline: float | None, usual: float) -> float:
    """The seconds to wait for an adaptation: as said, else the usual ones after its budget."""
    return usual + (options.get("budget_seconds") or BUDGET) if deadline is None else deadline


def rollback(name: str) -> Call[replies.Rollback]:
    """Take the last adaptation back."""
    path, read = _path("collections", name, "adapt", "rollback"), replies.Rollback.model_validate
    return Call(method="POST", path=path, read=read, repeat="unsent")


def job(job_id: str, *, wait: float = 0.0) -> Call[replies.Job]:
    """A job, once it is over or the time is."""
    call = _get(_path("jobs", job_id), replies.Job, {"wait": round(wait, 3)} if wait > 0 else {})
    return replace(call, wait=wait)


def jobs(*, limit: int, cursor: str | None) -> Call[replies.JobPage]:
    """A page of jobs."""
    return _get("/jobs", replies.JobPage, given({"limit": limit, "cursor": cursor}))


def cancel(job_id: str) -> Call[replies.Job]:
    """Cancel a job."""
    return Call(method="DELETE", path=_path("jobs", job_id), read=replies.Job.model_validate)


def job_events(job_id: str) -> Call[None]:
    """The states of a job, streamed."""
    return streaming(Call(method="GET", path=_path("jobs", job_id, "events"), read=_nothing))


def ready() -> Call[replies.Readiness]:
    """Whether the service can answer; "no" is an answer too."""
    return replace(_get("/readyz", replies.Readiness), expected=frozenset({503}))


def alive() -> Call[bool]:
    """Whether the process runs."""
    return Call(method="GET", path="/livez", read=lambda payload: bool(payload["alive"]))


def metrics() -> Call[str]:
    """The metrics, as Prometheus reads them."""
    return Call(method="GET", path="/metrics", read=lambda content: bytes(content).decode("utf-8"), form="bytes")


def version() -> Call[replies.Version]:
    """Which Lectern answers."""
    return _get("/version", replies.Version)


def at_once(call: Call[Any]) -> Call[replies.Accepted]:
    """The same question or summary, made a job from the start. Sent twice it would be two jobs."""
    body = {**call.json, "wait": 0}
    return replace(call, json=body, wait=0, read=replies.Accepted.model_validate, repeat="refused")


def streaming(call: Call[Any]) -> Call[None]:
    """The same, replied to as server-sent events."""
    body = {**call.json, "stream": True} if call.method == "POST" else None
    headers = {**call.headers, "Accept": "text/event-stream", "Cache-Control": "no-store"}
    return replace(call, json=body, headers=headers, streamed=True, form="nothing", read=_nothing)


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """What was said; None says nothing."""
    return {name: value for name, value in options.items() if value is not None}


def _upload(method: str, path: str, content: Content, *, wait: float | None) -> Call[replies.Document]:
    """The request with a document in it; a file goes as a form, a text as JSON. Raises ValueError and OSError."""
    named = [name for name in ("path", "data", "text") if content.get(name) is not None]
    if len(named) != 1:
        raise ValueError(f"give exactly one of path, data and text, not {' and '.join(named) or 'none'}")
    call = Call(
        method=method,
        path=path,
        read=replies.Document.model_validate,
        params={} if wait is None else {"wait": wait},
        wait=wait,
    )
    described = given({name: content.get(name) for name in ("title", "collection", "metadata")})
    if named == ["text"]:
        return replace(
            call, json=given({"text": content["text"], "media_type": content.get("media_type"), **described})
        )
    if "metadata" in described:
        described["metadata"] = json.dumps(described["metadata"], ensure_ascii=False, allow_nan=False)
    return replace(call, file=_file(content), fields=described)


def _file(content: Content) -> File:
    place, data = content.get("path"), content.get("data")
    name, media_type = content.get("filename"), content.get("media_type")
    if place is not None:
        return name or Path(place).name, Path(place).read_bytes(), media_type
    if name is None:
        raise ValueError("data needs a filename: its ending says what it is")
    return name, data or b"", media_type


def _conditional(call: Call[T], if_match: str | None) -> Call[T]:
    if if_match is None:
        return call
    condition = if_match if if_match == "*" else f'"{if_match}"'
    return replace(call, headers={**call.headers, "If-Match": condition}, repeat="refused")


def _get(path: str, model: type[R], params: Mapping[str, Any] | None = None) -> Call[R]:
    return Call(method="GET", path=path, read=model.model_validate, params=params or {})


def _delete(path: str) -> Call[None]:
    return Call(method="DELETE", path=path, read=_nothing, form="nothing")


def _posted(path: str, body: Mapping[str, Any], model: type[R]) -> Call[R]:
    return _post(path, body, model.model_validate)


def _post(path: str, body: Mapping[str, Any], read: Callable[[Any], T]) -> Call[T]:
    return Call(method="POST", path=path, read=read, json=dict(body), wait=body.get("wait"))


def _path(*parts: str) -> str:
    """A path of these names, whatever characters are in them. Raises ValueError for what would leave the path."""
    for part in parts:
        if part in ("", ".", ".."):
            raise ValueError(f"'{part}' is not an id or a name")
    return "".join("/" + quote(part, safe="") for part in parts)


def _nothing(_: Any) -> None:
    return None
