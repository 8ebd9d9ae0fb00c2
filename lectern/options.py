"""What the methods of a client take by name. An option that is left out, or None, is the service's default."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict


class AskOptions(TypedDict, total=False):
    """At most one source (`text`, `documents`, `collection`; none is the collection `default`), and how to answer."""

    text: str | None
    documents: Sequence[str] | None  # ids
    collection: str | None
    filters: Mapping[str, Any] | None  # on metadata: {"year": {"gte": 2020}, "lang": "en"}
    top_k: int | None  # passages to read, 1 to 64
    target_error: float | None  # abstain above this chance of a wrong answer
    alternatives: int | None  # further answers, 0 to 10
    read: Literal["passages", "document"] | None
    wait: float | None  # seconds after which it becomes a job, which is followed


class SummarizeOptions(TypedDict, total=False):
    """At most one source, and what the summary is to be like."""

    text: str | None
    document: str | None
    documents: Sequence[str] | None
    collection: str | None
    length: Mapping[str, float] | None  # {"sentences": n}, {"words": n} or {"ratio": r}
    query: str | None
    kind: Literal["auto", "prose", "dialogue", "code"] | None
    format: Literal["paragraph", "bullets", "sections"] | None
    mode: Literal["extractive", "abstractive"] | None
    wait: float | None


class SearchOptions(TypedDict, total=False):
    """At most one source, and how to search it."""

    text: str | None
    documents: Sequence[str] | None
    collection: str | None
    mode: Literal["hybrid", "sparse", "dense"] | None
    top_k: int | None  # 1 to 200
    rerank: bool | None  # let the reader put the best 20 in order
    filters: Mapping[str, Any] | None


class Content(TypedDict, total=False):
    """A document: exactly one of `path`, `data` (with `filename`) and `text`, and what is said about it."""

    path: str | os.PathLike[str] | None
    data: bytes | None
    text: str | None
    filename: str | None
    media_type: str | None
    title: str | None
    collection: str | None
    metadata: Mapping[str, Any] | None


class Changes(TypedDict, total=False):
    """What replaces a document's title and metadata."""

    title: str | None
    metadata: Mapping[str, Any] | None


class AdaptOptions(TypedDict, total=False):
    """How long an adaptation may take, and what is known of what people ask."""

    budget_seconds: float | None
    questions: Sequence[Mapping[str, Any]] | None  # {"question", "answer", "document"}
    mode: Literal["query", "full"] | None
