"""The shapes under `/v1`, as OpenAI's clients send and read them, with our own additions under the name `lectern`.

What a request may ask for that is not done here is refused; what cannot change an extracted answer is accepted.
"""

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag, WithJsonSchema

from app.schemas import AskReply, Citation, Filters, Reply, Request
from app.shapes import WHOLE, Number

MAX_INPUTS = 2_048  # texts of one request for embeddings, as many as OpenAI takes
NO_TOOL = "no tool is ever called: leave it out, or give 'auto' or 'none'"


def only(*values: Any, because: str) -> Any:
    """The type of a field that takes these JSON values; another is refused with the reason."""
    taken = (*values, None)

    def check(value: object) -> object:
        plain = int(value) if isinstance(value, float) and math.isfinite(value) and value.is_integer() else value
        if not any(type(plain) is type(one) and plain == one for one in taken):
            raise ValueError(because)
        return plain

    return Annotated[Any, BeforeValidator(check), WithJsonSchema({"enum": [*values, None]})]


Whole = Annotated[int, WHOLE]


class Ignored(Request):
    """What is read in part: the fields that are not named here are accepted and say nothing."""

    model_config = ConfigDict(extra="ignore")


class ContentPart(Ignored):
    """A part of a message; of the question, all have to be text."""

    type: str
    text: str | None = None


class Message(Ignored):
    """A message. Of all of them the last one of the user is read; it is the question."""

    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: str | list[ContentPart] | None = None


class StreamOptions(Request):
    """How a stream ends; nothing here needs obfuscation, so that says nothing."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ResponseFormat(Request):
    """What an answer looks like: as the documents have it."""

    type: only("text", because="an answer is the documents' own words, so it is text")  # type: ignore[valid-type]


class AskOptions(Request):
    """What `/ask` takes besides a question and a source, for `extra_body={"lectern": {...}}`."""

    filters: Filters | None = None
    top_k: Annotated[int, Field(ge=1, le=64, description="passages to read"), WHOLE] = 8
    target_error: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    alternatives: Annotated[int, Field(ge=0, le=10, description="further answers to return"), WHOLE] = 0


class Sampling(Request):
    """What steers a model that generates: an answer that is extracted stays the same, so it is accepted."""

    temperature: Number | None = None
    top_p: Number | None = None
    frequency_penalty: Number | None = None
    presence_penalty: Number | None = None
    max_tokens: Whole | None = None
    max_completion_tokens: Whole | None = None
    stop: str | list[str] | None = None
    seed: Whole | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    prediction: dict[str, Any] | None = None
    service_tier: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    metadata: dict[str, Any] | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None
    parallel_tool_calls: bool | None = None


class ChatRequest(Sampling):
    """`POST /v1/chat/completions`: a question of the collection that the model names."""

    model: Annotated[str, Field(description="`lectern/<collection>`; `lectern` is `lectern/default`")]
    messages: Annotated[list[Message], Field(min_length=1, description="the last of the user is the question")]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[dict[str, Any]], Field(description="never called")] | None = None
    functions: Annotated[list[dict[str, Any]], Field(description="never called")] | None = None
    tool_choice: only("none", "auto", because=NO_TOOL) = None  # type: ignore[valid-type]
    function_call: only("none", "auto", because=NO_TOOL) = None  # type: ignore[valid-type]
    n: only(1, because="there is one answer: n is 1") = None  # type: ignore[valid-type]
    logprobs: only(False, because="there are none: confidence is in 'lectern'") = None  # type: ignore[valid-type]
    top_logprobs: only(0, because="there are none: confidence is in 'lectern'") = None  # type: ignore[valid-type]
    logit_bias: only({}, because="an extracted answer cannot be biased") = None  # type: ignore[valid-type]
    modalities: only(["text"], because="answers are text") = None  # type: ignore[valid-type]
    audio: only(because="answers are text") = None  # type: ignore[valid-type]
    store: only(False, because="completions are not stored") = None  # type: ignore[valid-type]
    web_search_options: only(because="the web is not searched") = None  # type: ignore[valid-type]
    moderation: only(because="nothing is moderated") = None  # type: ignore[valid-type]
    lectern: AskOptions | None = None


class UrlCitation(Reply):
    """OpenAI's shape of a citation: `[start_index:end_index]` of the message's content is what `url` shows."""

    start_index: int
    end_index: int
    title: str
    url: str


class Annotation(Reply):
    """A place where the answer stands: as OpenAI has it, and as `/ask` does."""

    type: Literal["url_citation"] = "url_citation"
    url_citation: UrlCitation
    citation: Citation


class AssistantMessage(Reply):
    """The answer; where the documents do not say, a sentence that says so, with no annotations."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None
    annotations: list[Annotation]


class Choice(Reply):
    """The one answer."""

    index: int = 0
    message: AssistantMessage
    logprobs: None = None
    finish_reason: Literal["stop"] = "stop"


class Usage(Reply):
    """Word pieces: of the question and of the content."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatReply(Reply):
    """A chat completion; `lectern` is the whole reply of `/ask`, where `answer` may be null."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[Choice]
    usage: Usage
    lectern: AskReply


Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[list[Text], Field(min_length=1, max_length=MAX_INPUTS)]


def _no_token_ids(value: object) -> object:
    if isinstance(value, list) and any(isinstance(each, int | list) for each in value):
        raise ValueError("token ids are of another model's vocabulary: send the text itself")
    return value


# The tags are what a place in an error leaves out.
Input = Annotated[
    Annotated[Text, Tag("str")] | Annotated[Texts, Tag("list[str]")],
    Discriminator(lambda value: "list[str]" if isinstance(value, list) else "str"),
]


class EmbeddingsRequest(Request):
    """`POST /v1/embeddings`: texts to vectors, by the encoder that documents are searched with."""

    model: Annotated[str, Field(description="any that `/v1/models` lists: all have the same encoder")]
    input: Annotated[Input, BeforeValidator(_no_token_ids)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1, description="the encoder's own number, if any"), WHOLE] | None = None
    user: str | None = None


class Embedding(Reply):
    """A unit vector: numbers, or in base64 its little-endian 32-bit floats."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(Reply):
    """Word pieces of all inputs."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsReply(Reply):
    """A vector for each input, in their order."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


class Model(Reply):
    """A collection to ask, or the encoder; `created` is when the collection came to be, 0 for what always was."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["lectern"] = "lectern"


class ModelsReply(Reply):
    """What `model` may name."""

    object: Literal["list"] = "list"
    data: list[Model]


class ErrorBody(Reply):
    """An error as OpenAI's clients read it; `code` is the one of the README's table, `param` the field at fault."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorReply(Reply):
    """An error under `/v1`."""

    error: ErrorBody
