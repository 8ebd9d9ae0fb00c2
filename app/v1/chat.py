"""A chat completion is a question: the last message of the user, answered as `/ask` answers it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from app import telemetry
from app.bodies import invalid, validated
from app.schemas import AskReply, AskRequest, Citation
from app.streams import Channel, unnamed
from app.v1.models import PREFIX, collection_of
from app.v1.schemas import Annotation, AssistantMessage, ChatReply, ChatRequest, Choice, UrlCitation, Usage
from app.wiring import Lectern

UNANSWERED = "It is not in the documents."
DONE = b"data: [DONE]\n\n"
MAX_QUESTION = 2_000  # characters, as everywhere


@dataclass(frozen=True, kw_only=True)
class Chat:
    """A chat request as a question. `base` is the address that its citations' links begin with, without a `/`."""

    question: AskRequest
    model: str
    base: str
    include_usage: bool


def chat_of(request: ChatRequest, *, base: str) -> Chat:
    """The question that a request asks. Raises NotFound for its model, Invalid where no text is asked."""
    collection = collection_of(request.model)
    options = {} if request.lectern is None else request.lectern.model_dump(by_alias=True, exclude_unset=True)
    question = validated(AskRequest, {**options, "question": _question(request), "collection": collection})
    return Chat(
        question=question,
        model=f"{PREFIX}/{collection}",
        base=base,
        include_usage=bool(request.stream_options and request.stream_options.include_usage),
    )


def complete(lectern: Lectern, tenant: str, chat: Chat) -> Mapping[str, Any]:
    """The chat completion. Raises as `Answering.ask`."""
    return _reply(lectern, tenant, chat).model_dump(mode="json")


def stream(lectern: Lectern, tenant: str, chat: Chat, channel: Channel) -> None:
    """The same in chunks: role, content, annotations, end, with `include_usage` the usage; then `[DONE]`.

    An answer is found as a whole, so its content is one chunk; before it come heartbeats only.
    """
    channel.check()
    reply = _reply(lectern, tenant, chat).model_dump(mode="json")
    (choice,) = reply["choices"]
    message = choice["message"]
    shared = {name: reply[name] for name in ("id", "created", "model", "system_fingerprint")}
    shared |= {"object": "chat.completion.chunk"} | ({"usage": None} if chat.include_usage else {})

    def tell(delta: Mapping[str, Any], finish: str | None = None, **more: Any) -> None:
        choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
        channel.send(unnamed({**shared, "choices": choices, **more}))

    tell({"role": message["role"], "content": ""})
    tell({"content": message["content"]})
    tell({"annotations": message["annotations"]})
    tell({}, choice["finish_reason"], lectern=reply["lectern"])
    if chat.include_usage:
        channel.send(unnamed({**shared, "choices": [], "usage": reply["usage"]}))
    channel.send(DONE)


def _question(request: ChatRequest) -> str:
    """The text of the last message of the user. Raises Invalid; its place is that of the message."""
    places = [number for number, message in enumerate(request.messages) if message.role == "user"]
    if not places:
        raise invalid([{"loc": ["messages"], "msg": "there is no message of the user: the last one is the question"}])
    content, place = request.messages[places[-1]].content, ["messages", places[-1], "content"]
    if isinstance(content, list):
        if any(part.type != "text" or part.text is None for part in content):
            raise invalid([{"loc": place, "msg": "only text can be asked: leave out parts of other types"}])
        content = "\n".join(part.text or "" for part in content)
    if not content or not content.strip():
        raise invalid([{"loc": place, "msg": "the question must hold more than white space"}])
    if len(content) > MAX_QUESTION:
        raise invalid([{"loc": place, "msg": f"the question has more than {MAX_QUESTION:,} characters"}])
    return content


def _reply(lectern: Lectern, tenant: str, chat: Chat) -> ChatReply:
    identifier = telemetry.request_id.get()
    found = lectern.answering.ask(tenant, chat.question).model_copy(update={"request_id": identifier})
    content = UNANSWERED if found.answer is None else found.answer
    asked, answered = lectern.encoder.count_word_pieces([str(chat.question.question), content])
    annotations = [_annotation(citation, len(content), chat.base) for citation in found.citations]
    return ChatReply(
        id=f"chatcmpl-{identifier}",
        created=int(time.time()),
        model=chat.model,
        system_fingerprint=_fingerprint(found),
        choices=[Choice(message=AssistantMessage(content=content, annotations=annotations))],
        usage=Usage(prompt_tokens=asked, completion_tokens=answered, total_tokens=asked + answered),
        lectern=found,
    )


def _fingerprint(reply: AskReply) -> str:
    """What an answer depends on besides the documents: reader and retriever."""
    return f"{reply.model.reader}+{reply.model.retriever}"


def _annotation(citation: Citation, length: int, base: str) -> Annotation:
    """A citation with a link to the characters that it cites, in the version that it cites."""
    place = urlencode({"start": citation.start, "end": citation.end, "version": citation.version})
    link = UrlCitation(
        start_index=0,
        end_index=length,
        title=citation.title or str(citation.document_id),
        url=f"{base}/documents/{citation.document_id}/text?{place}",
    )
    return Annotation(url_citation=link, citation=citation)
