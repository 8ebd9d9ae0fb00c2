import numpy as np
import pytest

from app.outlining import definitions_of, score_definitions
from app.sources import SourceText
from model.sentence_table import Query
from retriever.parsing import parse

PYTHON = b'''#!/usr/bin/env python
"""Grinds corn into flour. It needs a mill."""

import os


@cached
def grind(
    corn: str,
    *,
    stones: int = 2,
) -> str:
    """Turn corn into flour. Raises on gravel."""
    return "flour"


def _sweep():
    return None


class Mill:
    """Owns stones."""

    def turn(self):
        return 1
'''
GO = b"""// Licensed under the Apache License.

package mill

// Grind turns corn into flour.
func Grind(corn string) string {
\treturn "flour"
}
"""


def outline(data: bytes, name: str) -> tuple[str, list]:
    document = parse(data, filename=name)
    source = SourceText(document_id=None, title=name, version="", document=document)
    return document.text, definitions_of(0, source)


def test_a_module_is_outlined_by_its_own_words_and_each_definition_s_signature_and_docstring():
    text, found = outline(PYTHON, "mill.py")
    shown = [text[one.line.start : one.line.end] for one in found]
    assert shown[0] == '"""Grinds corn into flour.'
    assert shown[1].startswith("def grind(\n    corn: str,")
    assert shown[1].endswith('"""Turn corn into flour.')
    assert [one.path for one in found] == [(), ("grind",), ("_sweep",), ("Mill",), ("Mill", "turn")]
    assert shown[3] == 'class Mill:\n    """Owns stones."""'


def test_a_comment_above_a_definition_is_shown_with_it_and_a_licence_is_not():
    text, found = outline(GO, "mill.go")
    shown = [text[one.line.start : one.line.end] for one in found]
    assert shown == ["// Grind turns corn into flour.\nfunc Grind(corn string) string {"]


@pytest.mark.parametrize("data", [PYTHON, GO, b"x = 1\n", b"def f(:\n  broken"])
def test_what_is_shown_lies_inside_its_section_and_has_no_white_space_around_it(data):
    document = parse(data, filename="x.py")
    source = SourceText(document_id=None, title="x", version="", document=document)
    for one in definitions_of(0, source):
        shown = document.text[one.line.start : one.line.end]
        section = document.sections[one.line.section]
        assert shown == shown.strip() != ""
        assert section.start <= one.line.start < one.line.end <= section.end


def test_public_documented_and_top_level_come_first_and_a_query_finds_its_own():
    _, found = outline(PYTHON, "mill.py")
    vectors = np.eye(len(found), dtype=np.float32)
    scores = dict(zip([one.path for one in found], score_definitions(found, vectors, None), strict=True))
    assert scores[()] > scores["grind",] > scores["_sweep",]
    assert scores["Mill",] > scores["Mill", "turn"]
    query = Query(vector=vectors[2], **dict.fromkeys(("overlap", "near", "relevance", "answer"), vectors[2]))
    assert score_definitions(found, vectors, query).argmax() == 2
    nothing = np.zeros(len(found), dtype=np.float32)
    query = Query(vector=nothing, overlap=nothing, near=nothing, relevance=nothing, answer=vectors[3])
    assert score_definitions(found, vectors, query).argmax() == 3
