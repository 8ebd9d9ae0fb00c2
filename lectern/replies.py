"""What the service replies, typed. Positions count code points of a document's text, end exclusive.

Whatever a newer service adds is kept: it is an attribute too, and part of `model_dump()`. A value that is new where a
few are named here, such as another status, is taken as it is.
"""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, SkipValidation

R = TypeVar("R", bound="Reply")

JobStatus = Annotated[Literal["queued", "running", "succeeded", "failed", "cancelled"], SkipValidation]
DocumentStatus = Annotated[Literal["pending", "indexed", "failed"], SkipValidation]
VerifyStatus = Annotated[Literal["holds", "moved", "gone", "false"], SkipValidation]
UNDER_WAY = frozenset({"queued", "running"})


class Reply(BaseModel):
    """The base of all replies: immutable, and open to what comes later."""

    model_config = ConfigDict(frozen=True, extra="allow")


class Models(Reply):
    """The models behind a reply, each as name@hash."""

    reader: str | None = None
    retriever: str | None = None
    summarizer: str | None = None


class Citation(Reply):
    """Where a quote stands: the text of the document at that version, `[start:end]`, equals `quote`."""

    document_id: str | None
    title: str | None
    version: str
    start: int
    end: int
    quote: str
    context: str
    page: int | None = None
    section: str | None = None
    speaker: str | None = None
    passage_id: str | None = None
    score: float


class Alternative(Reply):
    """A further answer that was not chosen, with the chance that it is right."""

    answer: str
    confidence: float
    citation: Citation


class ReadCounts(Reply):
    """What was read for an answer; `whole` where it was one document as one sequence."""

    passages: int
    characters: int
    documents: int
    whole: bool = False


class Answer(Reply):
    """The answer to one question; `answer` is None where the documents do not say. `confidence` is a probability."""

    answer: str | None
    answerable: bool
    confidence: float
    citations: list[Citation]
    alternatives: list[Alternative] = []
    read: ReadCounts
    model: Models
    timings_ms: dict[str, float]
    request_id: str = ""


class SummarySentence(Reply):
    """A sentence of a summary, word for word as the document has it."""

    text: str
    salience: float
    citation: Citation
    speaker: str | None = None


class SummaryPart(Reply):
    """One part of a summary; `sentences` are indices into the summary's list."""

    title: str | None
    summary: str
    sentences: list[int]


class CoveredSection(Reply):
    """A range that was read, and how many sentences the summary took from it."""

    document_id: str | None
    title: str | None
    start: int
    end: int
    sentences: int


class Coverage(Reply):
    """How many characters were read of how many there are."""

    characters_read: int
    characters_total: int
    sections: list[CoveredSection]


class Summary(Reply):
    """A summary whose every sentence is cited, and the account of what was read for it."""

    summary: str
    sentences: list[SummarySentence]
    parts: list[SummaryPart] = []
    coverage: Coverage
    model: Models
    timings_ms: dict[str, float]
    request_id: str = ""


class Hit(Reply):
    """A passage that was found; `ranks` says where each index had it."""

    passage_id: str
    document_id: str | None
    title: str | None
    version: str
    start: int
    end: int
    text: str
    page: int | None = None
    section: str | None = None
    score: float
    ranks: dict[str, int]


class Search(Reply):
    """The passages that a search found, best first."""

    hits: list[Hit]
    model: Models = Models()
    timings_ms: dict[str, float]
    request_id: str = ""


class Verified(Reply):
    """What became of a citation; its place is in `version`, the current one, and None unless it stands there."""

    status: VerifyStatus
    version: str | None
    start: int | None
    end: int | None


class Document(Reply):
    """A document without its text; `job` is the job that works on it, where the reply named one."""

    id: str
    version: str | None
    status: DocumentStatus
    collection: str
    title: str
    media_type: str
    characters: int
    pages: int
    passages: int
    created_at: str
    updated_at: str = ""
    metadata: dict[str, Any]
    warnings: list[str]
    job: str | None = None


class DocumentPage(Reply):
    """A page of documents, oldest first; `next_cursor` is None on the last."""

    documents: list[Document]
    next_cursor: str | None


class TextRange(Reply):
    """A range of one version of a document's text."""

    text: str
    start: int
    end: int
    version: str


class OutlineSection(Reply):
    """A heading with what stands under it; `title` is None before any, `depth` 1 is the outermost."""

    title: str | None
    depth: int
    start: int
    end: int


class OutlinePage(Reply):
    """A page of the original as a range of the text."""

    number: int
    start: int
    end: int


class Outline(Reply):
    """How one version of a document's text is divided, in order."""

    version: str
    characters: int
    sections: list[OutlineSection]
    pages: list[OutlinePage]


class Collection(Reply):
    """A collection with its counts."""

    name: str
    documents: int
    passages: int
    characters: int
    created_at: str
    metadata: dict[str, Any]


class CollectionPage(Reply):
    """A page of collections by name; `next_cursor` is None on the last."""

    collections: list[Collection]
    next_cursor: str | None


class Progress(Reply):
    """How far work is; `total` and `unit` are None until they are known."""

    done: int
    total: int | None
    unit: str | None


class Accepted(Reply):
    """Work that goes on as a job."""

    job: str
    status: JobStatus
    progress: Progress


class Job(Reply):
    """A job: `result` once it succeeded, `problem` once it failed."""

    id: str
    kind: str
    status: JobStatus
    progress: Progress
    result: dict[str, Any] | None
    problem: dict[str, Any] | None
    created_at: str
    updated_at: str

    @property
    def over(self) -> bool:
        """Whether nothing will change any more."""
        return self.status not in UNDER_WAY

    def result_as(self, model: type[R]) -> R:
        """The result as a reply: an `Answer` of a question, a `Summary`, a `BatchResult`, an `Adaptation`."""
        return model.model_validate(self.result)


class JobPage(Reply):
    """A page of jobs, oldest first; `next_cursor` is None on the last."""

    jobs: list[Job]
    next_cursor: str | None


class BatchLine(Reply):
    """What became of a line, counted from 1: a document, new (201) or known (200), or a `problem` with its status."""

    line: int
    status: int
    id: str | None
    version: str | None
    problem: dict[str, Any] | None


class BatchResult(Reply):
    """What became of every line of a batch, in their order."""

    results: list[BatchLine]
    succeeded: int
    failed: int


class Interval(Reply):
    """A mean in percent with its 95% interval."""

    mean: float
    low: float
    high: float


class Measure(Reply):
    """A measure before and after, and the paired difference."""

    before: Interval
    after: Interval
    difference: Interval


class AdaptedKind(Reply):
    """The measures of one kind of question, in percent."""

    questions: int
    ndcg_before: float
    ndcg_after: float
    recall_before: float
    recall_after: float


class AdaptCounts(Reply):
    """How many questions each step had."""

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
    near: float = 0.0
    joined: float = 0.0


class AdaptRetrievers(Reply):
    """What the collection was searched by, and what was judged against it."""

    before: str
    after: str | None


class Adaptation(Reply):
    """How an adaptation ended; the measures are None where there was too little to judge by."""

    promoted: bool
    reason: str
    mode: str
    retriever: AdaptRetrievers
    ndcg_at_10: Measure | None
    recall_at_5: Measure | None
    kinds: dict[str, AdaptedKind]
    mix: AdaptedMix
    questions: AdaptCounts
    seconds: float
    peak_memory_mb: float


class Rollback(Reply):
    """What a collection is searched by after a rollback."""

    collection: str
    retriever: str


class Readiness(Reply):
    """Whether the service can answer, and with which models."""

    ready: bool
    store: str
    indexes: str
    models: dict[str, str]


class Version(Reply):
    """Which Lectern answers."""

    name: str
    version: str


class Found(Reply):
    """Of a stream: the passages that were found for the question of this number, from 0."""

    question: int
    hits: list[Hit]


class JobProgress(Progress):
    """Of a stream: a new state of a job."""

    status: JobStatus
