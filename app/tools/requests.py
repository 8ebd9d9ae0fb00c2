"""What the tools take: the service's own requests, without what only matters over HTTP.

Rules across fields stay out of the schemas, as models' providers refuse schemas with `allOf` at the top; they hold.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from app.schemas import Filters, Length, SourceRequest
from app.schemas import Request as Arguments
from app.shapes import WHOLE, CollectionName, DocumentId, Metadata, Question, Text, Title


class Source(SourceRequest):
    """What a tool is about; at most one of the sources, and none is the collection `default`."""

    model_config = ConfigDict(json_schema_extra={})


class Ask(Source):
    """One question."""

    question: Annotated[Question, Field(description="one question that can be understood by itself")]
    filters: Annotated[Filters, Field(description='on metadata: {"year": {"gte": 2020}, "lang": "en"}')] | None = None
    top_k: Annotated[int, Field(ge=1, le=64, description="passages to read"), WHOLE] = 8
    target_error: (
        Annotated[float, Field(ge=0, le=1, description="abstain above this chance of a wrong answer")] | None
    ) = None
    alternatives: Annotated[int, Field(ge=0, le=10, description="further answers to return"), WHOLE] = 0


class Summarize(Source):
    """A summary of all of the source."""

    document: DocumentId | None = None
    length: Annotated[Length, Field(description="exactly one of sentences, words, ratio")] | None = None
    query: Annotated[Question, Field(description="what the summary is to be about")] | None = None
    format: Literal["paragraph", "bullets", "sections"] = "paragraph"


class Search(Source):
    """The passages nearest to a query."""

    query: Question
    mode: Literal["hybrid", "sparse", "dense"] = "hybrid"
    top_k: Annotated[int, Field(ge=1, le=50, description="passages to return"), WHOLE] = 5
    filters: Annotated[Filters, Field(description='on metadata: {"year": {"gte": 2020}, "lang": "en"}')] | None = None


class AddDocument(Arguments):
    """A document as text."""

    text: Text
    title: Title | None = None
    collection: CollectionName | None = None
    metadata: Annotated[Metadata, Field(default_factory=dict)]
    media_type: Literal["text/plain", "text/markdown"] = "text/plain"


class ListDocuments(Arguments):
    """A page of documents."""

    collection: CollectionName | None = None
    limit: Annotated[int, Field(ge=1, le=1_000), WHOLE] = 50
    cursor: Annotated[str, Field(description="`next_cursor` of the page before")] | None = None
