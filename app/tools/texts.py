"""The service's replies as text, for models that read no structured content."""

from collections.abc import Mapping
from typing import Any

UNANSWERED = "It is not in the documents."

Shown = Mapping[str, Any]


def answer(reply: Shown) -> str:
    """The answer, how sure it is, and where it stands."""
    sure = f"{reply['confidence']:.0%} sure"
    if reply["answer"] is None:
        others = [f"- {_line(each['answer'])} ({each['confidence']:.0%})" for each in reply["alternatives"]]
        rejected = ["Found and not believed:", *others] if others else []
        return "\n".join([f"{UNANSWERED} ({sure})", *rejected])
    cited = [
        f"[{number}] {_place(each)}: “{_line(each['context'])}”"
        for number, each in enumerate(reply["citations"], start=1)
    ]
    others = [f"Or: {_line(each['answer'])} ({each['confidence']:.0%})" for each in reply["alternatives"]]
    return "\n".join([f"{_line(reply['answer'])} ({sure})", *cited, *others])


def summary(reply: Shown) -> str:
    """The summary, where its sentences stand, and how much was read for it."""
    sentences = enumerate(reply["sentences"], start=1)
    cited = [f"[{number}] {_place(each['citation'])}" for number, each in sentences]
    coverage = reply["coverage"]
    read = f"{coverage['characters_read']:,} of {coverage['characters_total']:,} characters were read."
    return "\n".join([reply["summary"] or "There is no text to summarize.", *cited, read])


def hits(reply: Shown) -> str:
    """The passages with their places, each of their lines marked as quoted."""
    found = [f"[{number}] {_place(hit)}\n{_quoted(hit['text'])}" for number, hit in enumerate(reply["hits"], start=1)]
    return "\n\n".join(found) or "Nothing was found."


def document(reply: Shown) -> str:
    """What became of a document."""
    told = f"{_line(reply['title'])}: document {reply['id']} in the collection {reply['collection']}, {reply['status']}"
    return "\n".join([f"{told}, {reply['characters']:,} characters.", *reply["warnings"]])


def documents(reply: Shown) -> str:
    """A line a document."""
    lines = [f"- {document(each)}" for each in reply["documents"]]
    more = [f"More with the cursor {reply['next_cursor']}."] if reply["next_cursor"] else []
    return "\n".join([*lines, *more]) or "There are no documents."


def _place(cited: Shown) -> str:
    """Title, page and section, then what leads there."""
    page = None if cited["page"] is None else f"page {cited['page']}"
    parts = [cited["title"] or "the text that was given", page, cited["section"]]
    named = ", ".join(dict.fromkeys(_line(part) for part in parts if part))
    document = f", document {cited['document_id']}" if cited["document_id"] else ""
    return f"{named} (characters {cited['start']} to {cited['end']}{document})"


def _line(text: str) -> str:
    """On one line, so that nothing in it looks like a line of ours."""
    return " ".join(text.split())


def _quoted(text: str) -> str:
    """Line by line, so that nothing in it looks like a line of ours either."""
    return "\n".join(f"> {line}" for line in text.splitlines())
