"""The shapes of the HTTP contract: every request and every reply.

Requests refuse unknown fields. Offsets count code points, end exclusive.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.shapes import (
    WHOLE,
    Bound,
    CollectionName,
    DocumentId,
    FieldName,
    Metadata,
    NewTitle,
    Number,
    Question,
    Scalar,
    Scalars,
    Text,
    Title,
    Wait,
    not_together,
    one_of,
    some_of,
)

MAX_DOCUMENTS = 1_000
MAX_CITATIONS = 256


class Request(BaseModel):
    """The base of every request: unknown fields are refused, values keep JSON's own types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Reply(BaseModel):
    """The base of every reply."""

    model_config = ConfigDict(frozen=True)


class Condition(Request):
    """A test on one metadata field; all that are given must hold, and what is not given says nothing."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    gte: Bound = 0
    gt: Bound = 0
    lte: Bound = 0
    lt: Bound = 0
    in_: Scalars = Field(default=[], alias="in")
    exists: bool = True

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("name at least one of gte, gt, lte, lt, in, exists")
        return self


Filters = Annotated[dict[FieldName, Scalar | Scalars | Condition], Field(max_length=32)]


def plain_filters(filters: dict[str, Any] | None) -> dict[str, Any] | None:
    """The filters as the store takes them: scalars and lists for equality, plain dicts for conditions."""
    if not filters:
        return None
    return {
        key: value.model_dump(by_alias=True, exclude_unset=True) if isinstance(value, Condition) else value
        for key, value in filters.items()
    }


class SourceRequest(Request):
    """A request about one source: an inline text, a list of documents, or a collection; none is `default`."""

    model_config = ConfigDict(json_schema_extra={"allOf": not_together("text", "documents", "collection")})

    text: Text | None = None
    documents: Annotated[list[DocumentId], Field(min_length=1, max_length=MAX_DOCUMENTS)] | None = None
    collection: CollectionName | None = None

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        given = [
            name for name in ("text", "document", "documents", "collection") if getattr(self, name, None) is not None
        ]
        if len(given) > 1:
            raise ValueError(f"give one source, not both {' and '.join(given)}")
        return self


class AskRequest(SourceRequest):
    """`POST /ask`: one question or a list, and at most one source."""

    model_config = ConfigDict(
        json_schema_extra={
            **one_of("question", "questions"),
            "allOf": [*not_together("text", "documents", "collection"), *not_together("text", "filters")],
        }
    )

    question: Question | None = None
    questions: Annotated[list[Question], Field(min_length=1, max_length=64)] | None = None
    filters: Filters | None = None
    top_k: Annotated[int, Field(ge=1, le=64, description="passages to read"), WHOLE] = 8
    target_error: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    alternatives: Annotated[int, Field(ge=0, le=10, description="further answers to return"), WHOLE] = 0
    read: Annotated[
        Literal["passages", "document"],
        Field(description="passages that are found; or all of a single document that is not too long for that"),
    ] = "passages"
    wait: Wait | None = None
    stream: bool = False

    @model_validator(mode="after")
    def _check_question(self) -> Self:
        if (self.question is None) == (self.questions is None):
            raise ValueError("give either question or questions")
        if self.filters is not None and self.text is not None:
            raise ValueError("filters are about stored documents: they cannot go with text")
        return self


class Citation(Reply):
    """Where a quote stands: the document's text at that version, `[start:end]`, equals `quote`, always."""

    document_id: str | None
    title: str | None
    version: str
    start: int
    end: int
    quote: str
    context: str
    page: int | None
    section: str | None
    speaker: str | None = None
    passage_id: str | None
    score: float


class Alternative(Reply):
    """A further answer that was not chosen, with the chance that it is right."""

    answer: str
    confidence: float
    citation: Citation


class ReadCounts(Reply):
    """What was read for the answer; `whole` where it was one document as one sequence, which counts as a passage."""

    passages: int
    characters: int
    documents: int
    whole: bool = False


class Models(Reply):
    """The models behind a reply, each as name@hash."""

    reader: str | None = None
    retriever: str | None = None
    summarizer: str | None = None


class AskReply(Reply):
    """The reply to one question; `answer` is null where the documents do not say."""

    answer: str | None
    answerable: bool
    confidence: float
    citations: list[Citation]
    alternatives: list[Alternative] = []
    read: ReadCounts
    model: Models
    timings_ms: dict[str, float]
    request_id: str = ""


class AskManyReply(Reply):
    """The reply to a list of questions, in their order."""

    answers: list[AskReply]
    request_id: str = ""


class Length(Request):
    """How long a summary is to be: exactly one of the three."""

    model_config = ConfigDict(json_schema_extra=one_of("sentences", "words", "ratio"))

    sentences: Annotated[int, Field(ge=1, le=10_000), WHOLE] | None = None
    words: Annotated[int, Field(ge=1, le=1_000_000), WHOLE] | None = None
    ratio: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(value is not None for value in (self.sentences, self.words, self.ratio)) != 1:
            raise ValueError("give exactly one of sentences, words, ratio")
        return self


class SummarizeRequest(SourceRequest):
    """`POST /summarize`: at most one source, and what the summary is to be like."""

    model_config = ConfigDict(json_schema_extra={"allOf": not_together("text", "document", "documents", "collection")})

    document: DocumentId | None = None
    length: Length | None = None
    query: Question | None = None
    kind: Literal["auto", "prose", "dialogue", "code"] = "auto"
    format: Literal["paragraph", "bullets", "sections"] = "paragraph"
    mode: Literal["extractive", "abstractive"] = "extractive"
    wait: Wait | None = None
    stream: bool = False


class SummarySentence(Reply):
    """A sentence of a summary, word for word as the document has it, with its place."""

    text: str
    salience: float
    citation: Citation
    speaker: str | None = None


class SummaryPart(Reply):
    """One part of a summary; `sentences` are indices into the reply's list."""

    title: str | None
    summary: str
    sentences: list[int]


class CoveredSection(Reply):
    """A range of a document that was read, and how many sentences the summary took from it."""

    document_id: str | None
    title: str | None
    start: int
    end: int
    sentences: int


class Coverage(Reply):
    """How much was read of how much there is."""

    characters_read: int
    characters_total: int
    sections: list[CoveredSection]


class SummarizeReply(Reply):
    """A summary whose every sentence is cited, and the account of what was read for it."""

    summary: str
    sentences: list[SummarySentence]
    parts: list[SummaryPart] = []
    coverage: Coverage
    model: Models
    timings_ms: dict[str, float]
    request_id: str = ""


class SearchRequest(SourceRequest):
    """`POST /search`: the passages nearest to a query."""

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [*not_together("text", "documents", "collection"), *not_together("text", "filters")]
        }
    )

    query: Question
    mode: Literal["hybrid", "sparse", "dense"] = "hybrid"
    top_k: Annotated[int, Field(ge=1, le=200), WHOLE] = 10
    rerank: Annotated[bool, Field(description="let the reader read the best 20 and put them in order")] = False
    filters: Filters | None = None

    @model_validator(mode="after")
    def _check_filters(self) -> Self:
        if self.filters is not None and self.text is not None:
            raise ValueError("filters are about stored documents: they cannot go with text")
        return self


class SearchHit(Reply):
    """A passage that a search found."""

    passage_id: str
    document_id: str | None
    title: str | None
    version: str
    start: int
    end: int
    text: str
    page: int | None
    section: str | None
    score: float
    ranks: dict[str, int]


class SearchReply(Reply):
    """The passages that a search found, best first, and the retriever that it went by."""

    hits: list[SearchHit]
    model: Models = Models()
    timings_ms: dict[str, float]
    request_id: str = ""


class CitedQuote(Request):
    """A citation to be verified. What else a reply's citation holds may come along, and says nothing."""

    document_id: DocumentId
    version: Annotated[str, Field(min_length=1, max_length=128)]
    start: Annotated[int, Field(ge=0), WHOLE]
    end: Annotated[int, Field(ge=0), WHOLE]
    quote: Annotated[str, Field(min_length=1)]
    title: str | None = None
    context: str | None = None
    page: Annotated[int, WHOLE] | None = None
    section: str | None = None
    speaker: str | None = None
    passage_id: str | None = None
    score: Number | None = None


class VerifyRequest(Request):
    """`POST /verify`: citations as replies gave them."""

    citations: Annotated[list[CitedQuote], Field(min_length=1, max_length=MAX_CITATIONS)]


VerifyStatus = Literal["holds", "moved", "gone", "false"]


class Verified(Reply):
    """What became of a citation; `start` and `end` are its place in `version`, the current one.

    `version` is null where the document is gone; the place is null unless the citation `holds` or has `moved`.
    """

    status: VerifyStatus
    version: str | None
    start: int | None
    end: int | None


class VerifyReply(Reply):
    """What became of each citation, in their order."""

    results: list[Verified]
    request_id: str = ""


class DocumentUpload(Request):
    """A document as JSON; files go as multipart."""

    text: Text
    title: Title | None = None
    collection: CollectionName | None = None
    metadata: Metadata = {}
    media_type: Literal["text/plain", "text/markdown"] = "text/plain"


class DocumentFields(Request):
    """The form fields that go with a file."""

    title: Title | None = None
    collection: CollectionName | None = None
    metadata: Metadata = {}


class DocumentPatch(Request):
    """`PATCH /documents/{id}`: what is given replaces what is stored."""

    model_config = ConfigDict(json_schema_extra=some_of("title", "metadata"))

    title: NewTitle | None = None
    metadata: Metadata | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.title is None and self.metadata is None:
            raise ValueError("give title or metadata")
        return self


class DocumentReply(Reply):
    """A document; `job` is there while one works on it."""

    id: str
    version: str | None
    status: Literal["pending", "indexed", "failed"]
    collection: str
    title: str
    media_type: str
    characters: int
    pages: int
    passages: int
    created_at: str
    updated_at: str
    metadata: dict[str, Any]
    warnings: list[str]


class PendingDocumentReply(DocumentReply):
    """A document that is accepted and durable but not yet indexed."""

    job: str


class DocumentsReply(Reply):
    """A page of documents; `next_cursor` is null on the last."""

    documents: list[DocumentReply]
    next_cursor: str | None


class TextReply(Reply):
    """A range of one version of a document's text."""

    text: str
    start: int
    end: int
    version: str


class OutlineSection(Reply):
    """A heading with what stands under it up to the next one; `title` is null before any, `depth` 1 the outermost."""

    title: str | None
    depth: int
    start: int
    end: int


class OutlinePage(Reply):
    """A page of the original as a range of the text."""

    number: int
    start: int
    end: int


class OutlineReply(Reply):
    """How one version of a document's text is divided; both lists are in order."""

    version: str
    characters: int
    sections: list[OutlineSection]
    pages: list[OutlinePage]


class CollectionRequest(Request):
    """`PUT /collections/{name}`."""

    metadata: Metadata = {}


class CollectionReply(Reply):
    """A collection with its counts."""

    name: str
    documents: int
    passages: int
    characters: int
    created_at: str
    metadata: dict[str, Any]


class CollectionsReply(Reply):
    """A page of collections; `next_cursor` is null on the last."""

    collections: list[CollectionReply]
    next_cursor: str | None


class Progress(Reply):
    """How far a job is; `total` and `unit` are null until they are known."""

    done: int
    total: int | None
    unit: str | None


JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class JobAcceptedReply(Reply):
    """A 202: the work goes on as a job."""

    job: str
    status: JobStatus
    progress: Progress


class JobReply(Reply):
    """A job: `result` once it succeeded, `problem` once it failed."""

    id: str
    kind: str
    status: JobStatus
    progress: Progress
    result: dict[str, Any] | None
    problem: dict[str, Any] | None
    created_at: str
    updated_at: str


class JobsReply(Reply):
    """A page of jobs, oldest first."""

    jobs: list[JobReply]
    next_cursor: str | None


class VersionReply(Reply):
    """Which Lectern this is."""

    name: str
    version: str


class ReadyReply(Reply):
    """Whether the service can answer, and with which models."""

    ready: bool
    store: str
    indexes: str
    models: dict[str, str]


class LiveReply(Reply):
    """The process runs."""

    alive: Literal[True] = True


class BatchLine(Reply):
    """What became of one line of a batch: a document, new (201) or known (200), or a problem with its status."""

    line: int
    status: int
    id: str | None
    version: str | None
    problem: dict[str, Any] | None


class BatchResult(Reply):
    """The `result` of a batch's job: every line that held anything, in their order."""

    results: list[BatchLine]
    succeeded: int
    failed: int


class GivenQuestion(Request):
    """A question of a collection with its answer, word for word as the documents have it."""

    question: Question
    answer: Question
    document: DocumentId | None = None


class AdaptRequest(Request):
    """`POST /collections/{name}/adapt`: how long it may take, and what is known of what people ask."""

    budget_seconds: Annotated[float, Field(ge=1, le=86_400, allow_inf_nan=False)] = 600.0
    questions: Annotated[list[GivenQuestion], Field(min_length=1, max_length=10_000)] | None = None
    mode: Literal["query", "full"] = "query"


class MeasuredInterval(Reply):
    """A mean in percent, with its 95% bootstrap interval."""

    mean: float
    low: float
    high: float


class AdaptMeasure(Reply):
    """A measure before and after, and the paired difference."""

    before: MeasuredInterval
    after: MeasuredInterval
    difference: MeasuredInterval


class AdaptKind(Reply):
    """The measures of one kind of question that was judged by, in percent."""

    questions: int
    ndcg_before: float
    ndcg_after: float
    recall_before: float
    recall_after: float


class AdaptCounts(Reply):
    """How many questions each step had; `unusable` were given, and their answers not found or found too often."""

    learned: int
    chosen: int
    judged: int
    unusable: int


class AdaptedMix(Reply):
    """What was chosen: the weights of the mix, whether query vectors go through a map, or the encoder has learned."""

    weight: float
    nearby: float
    whole: float
    map: bool
    encoder: bool
    near: float
    joined: float


class AdaptRetrievers(Reply):
    """The version that the collection was searched by, and the one that was judged against it."""

    before: str
    after: str | None


class AdaptResult(Reply):
    """The `result` of an adaptation's job; the measures are null where there was too little to judge by."""

    promoted: bool
    reason: str
    mode: str
    retriever: AdaptRetrievers
    ndcg_at_10: AdaptMeasure | None
    recall_at_5: AdaptMeasure | None
    kinds: dict[str, AdaptKind]
    mix: AdaptedMix
    questions: AdaptCounts
    seconds: float
    peak_memory_mb: float


class RollbackReply(Reply):
    """What a collection is searched by after a rollback."""

    collection: str
    retriever: str


class ProblemError(Reply):
    """One field that cannot be accepted; the submitted value is never repeated."""

    loc: list[str | int]
    msg: str


class Problem(Reply):
    """An error as RFC 9457 has it; `code` is stable."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[ProblemError] = []
