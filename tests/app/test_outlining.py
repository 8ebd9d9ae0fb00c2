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


@pytest.mark.parametrize(
    ("name", "data", "lines"),
    [
        (
            "base.py",
            b'class Base:\n\n    def run(self, corn):\n        """Grind corn."""\n\n    def stop(self):\n        1\n',
            [
                "Base|class Base:",
                'Base.run|def run(self, corn):\n        """Grind corn."""',
                "Base.stop|def stop(self):",
            ],
        ),
        (
            "Mill.java",
            b"public class Mill implements Run {\n  /** Grinds. */\n  public int Run(int corn) {\n    go();\n  }\n}\n",
            ["Mill|public class Mill implements Run {", "Mill.Run|/** Grinds. */\n  public int Run(int corn) {"],
        ),
        (
            "mill.cs",
            b"namespace A.B {\n  class Mill {\n    public Mill() {\n    }\n  }\n}\n",
            ["A.B|namespace A.B {", "A.B.Mill|class Mill {", "A.B.Mill.Mill|public Mill() {"],
        ),
        (
            "mill.rs",
            b"impl fmt::Display for Mill {\n    /// Writes.\n    fn fmt(&self) {}\n}\n",
            [
                "fmt::Display for Mill|impl fmt::Display for Mill {",
                "fmt::Display for Mill.fmt|/// Writes.\n    fn fmt(&self) {}",
            ],
        ),
        (
            "mill.kt",
            b"class Mill {\n  companion object {\n    fun make(): Int {\n      return 1\n    }\n  }\n}\n",
            [
                "Mill|class Mill {",
                "Mill.companion object|companion object {",
                "Mill.companion object.make|fun make(): Int {",
            ],
        ),
        (
            "mill.rb",
            b"module Mills\n  class << self\n    # Makes one.\n    def make(corn)\n      1\n    end\n  end\nend\n",
            [
                "Mills|module Mills",
                "Mills.singleton class|class << self",
                "Mills.singleton class.make|# Makes one.\n    def make(corn)",
            ],
        ),
    ],
)
def test_the_line_that_opens_a_class_is_a_line_of_its_own_above_its_first_member(name, data, lines):
    text, found = outline(data, name)
    assert [f"{'.'.join(one.path)}|{text[one.line.start : one.line.end]}" for one in found] == lines


@pytest.mark.parametrize(
    ("name", "data", "shown"),
    [
        ("a.go", b"package a\n\nfunc (s *Mill) Grind(x struct{}) {\n\tgo()\n}\n", "func (s *Mill) Grind(x struct{}) {"),
        ("a.cpp", b"struct Mill *\nMill::copy(struct Mill *m) {\n}\n", "struct Mill *\nMill::copy(struct Mill *m) {"),
        ("a.java", b"class Mill { int grind() {\n  return 1;\n} }\n", "class Mill { int grind() {"),
    ],
)
def test_a_definition_that_names_its_class_itself_is_one_line(name, data, shown):
    text, found = outline(data, name)
    assert [text[one.line.start : one.line.end] for one in found] == [shown]


@pytest.mark.parametrize(
    ("name", "top"),
    [
        ("a.py", b"# Copyright 2024 Ann.\n# All rights reserved.\n\n$"),
        ("a.py", b"#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n$"),
        ("a.py", b"# ruff: noqa\n# mill.py\n$"),
        ("a.py", b"# Copyright 2024 Ann.\n\n# Permission is hereby granted, free of charge.\n\n$"),
        ("a.rb", b"# frozen_string_literal: true\n\n# Grinds corn.\n\nrequire 'corn'\n"),
        ("a.js", b"#!/usr/bin/env node\n/* eslint-disable no-var */\n'use strict';\n\n// Grinds corn.\n\nvar a;\n"),
        ("a.go", b"// Copyright 2024 Ann.\n\n//go:build linux\n\n// Grinds corn.\npackage mill\n"),
        ("a.rs", b"#![no_std]\n//! Grinds corn.\nuse std::fmt;\n"),
        ("a.php", b"<?php\n/* Grinds corn. */\n\n$x = 1;\n"),
        (
            "a.h",
            b"/* Mills.\n\n   Copyright 2024 Ann.  */\n#ifndef A_H\n#define A_H\n// Grinds corn.\n\n#include <a.h>\n",
        ),
    ],
)
def test_a_module_s_own_words_are_found_below_its_licence_and_its_pragmas(name, top):
    text, found = outline(top.replace(b"$", b'"""Grinds corn."""\n') if name == "a.py" else top, name)
    assert [one.path for one in found] == [()]
    assert text[found[0].line.start : found[0].line.end].strip('"/*#! ') == "Grinds corn."


def test_a_docstring_about_licences_is_no_licence():
    text, found = outline(b'"""Checks the licences of packages."""\nimport os\n', "a.py")
    assert [text[one.line.start : one.line.end] for one in found] == ['"""Checks the licences of packages."""']


def test_directives_of_c_are_no_comments_and_a_header_is_outlined_by_its_prototypes():
    header = (
        b"/*\nCorn is free (as in beer).\n*/\n"
        b"#ifndef MILL_H\n#define MILL_H\n#include <stdio.h>\n\n/* Grinds corn. */\nint grind(int corn,\n"
        b"          int stones);\n#define TWICE(a) ((a) * 2)\nMILL_API void *sift(void);\n"
        b"extern int left;\nCHECK(left);\n#endif\n"
    )
    text, found = outline(header, "mill.h")
    assert [(one.path, text[one.line.start : one.line.end]) for one in found] == [
        (("grind",), "/* Grinds corn. */\nint grind(int corn,\n          int stones);"),
        (("sift",), "MILL_API void *sift(void);"),
    ]
    source = b"#include <stdio.h>\n\nstatic int add(int a);\n\nint add(int a) {\n  return a;\n}\n"
    text, found = outline(source, "mill.c")
    assert [text[one.line.start : one.line.end] for one in found] == ["int add(int a) {"]


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
