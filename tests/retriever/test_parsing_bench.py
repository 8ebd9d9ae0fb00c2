"""The files that parsers' speed is measured on are what they claim to be."""

import pytest

from bench.parsing import KINDS
from retriever.parsing import parse

MEDIA = {
    "plain text": "text/plain",
    "Markdown": "text/markdown",
    "a dialogue": "text/plain",
    "HTML": "text/html",
    "EPUB": "application/epub+zip",
    "DOCX": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "PDF": "application/pdf",
    "PDF, columns by line": "application/pdf",
    "Python": "text/x-python",
    "WebVTT": "text/vtt",
    "JSON Lines": "application/jsonl",
}
DIALOGUES = ("a dialogue", "WebVTT")
WITHOUT_SECTIONS = ("plain text", "DOCX", "PDF", "PDF, columns by line", *DIALOGUES)


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_read_as_its_kind_and_mostly_text(kind):
    name, make = KINDS[kind]
    document = parse(make(20_000), filename=name)
    assert document.media_type == MEDIA[kind]
    assert document.kind == ("dialogue" if kind in DIALOGUES else "code" if kind == "Python" else "prose")
    assert (len(document.sections) > 5) == (kind not in WITHOUT_SECTIONS)
    assert len(document.text) > 8_000
