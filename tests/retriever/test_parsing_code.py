"""Source code: definitions are sections, the text stays the file's, passages end where definitions and lines do."""

import inspect
import re
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import retriever.parsing.code
from retriever.chunking import split
from retriever.errors import UnsupportedFormat
from retriever.parsing import parse
from retriever.parsing.languages import LANGUAGES, grammar
from retriever.units import sentences_of
from tests.retriever.test_chunking import covered, words

PYTHON = '''"""What the module is for."""
import os

LIMIT = 10  # of things


# Counts what is there.
@cache
def count(things):
    """The number of things."""
    def one(thing): return 1
    return sum(map(one, things))


class Shelf(Base):
    """Where things stand."""

    size: int = 1

    def put(self, thing):
        self.things.append(thing)

    class Label:
        def text(self): ...

if TYPE_CHECKING:
    def only_then(): pass
'''


def found(source, name):
    """(path joined by dots, text) of each section."""
    document = parse(source.encode(), filename=name)
    assert document.text == source
    assert "".join(source[section.start : section.end] for section in document.sections) == source
    return [(".".join(section.path), source[section.start : section.end]) for section in document.sections]


def test_the_definitions_of_python_are_sections_with_their_comments_and_docstrings():
    sections = found(PYTHON, "shelf.py")
    assert [path for path, _ in sections] == [
        *("", "count", "Shelf", "Shelf.put", "Shelf.Label.text", "", "only_then"),
    ]
    assert sections[1][1].startswith("# Counts what is there.\n@cache\ndef count")
    assert sections[1][1].rstrip().endswith("return sum(map(one, things))")
    assert '"""Where things stand."""' in sections[2][1]
    assert sections[0][1].startswith('"""What the module is for."""')
    assert parse(PYTHON.encode(), filename="shelf.py").media_type == "text/x-python"


@pytest.mark.parametrize(
    ("name", "source", "paths"),
    [
        ("a.js", "/** Adds. */\nexport function add(a) { return a; }\nexport default class Foo {\n  // It goes.\n"
         "  handler = () => { go(); };\n  size = 3;\n  get width() { return 1; }\n}\nconst f = async () => {};\n"
         "const y = 3;\nFoo.prototype.bar = function () {};\n", "add Foo.handler Foo Foo.width f - Foo.bar"),
        ("a.ts", "export interface Shape { area(): number; }\ntype Id = string;\nnamespace N {\n"
         "  export function inside() {}\n}\n@Component({})\nexport abstract class Base<T> {\n  go(): void {}\n}\n",
         "Shape Id N.inside Base Base.go"),
        ("a.tsx", "export const App = () => <div>hi</div>;\n", "App"),
        ("A.java", "package a;\n/** A stack. */\n@Deprecated\npublic class Stack<T> {\n  private int n;\n"
         "  /** Pushes. */\n  public void push(T t) { n++; }\n  public Stack() {}\n}\n",
         "- Stack Stack.push Stack.Stack"),
        ("a.c", "#include <stdio.h>\n#define MAX(a, b) a\n/* Adds. */\nstatic int *add(int a) {\n  return a;\n}\n"
         "struct point { int x; };\ntypedef struct { int y; } named_t;\nint (*fp(void))(int) { return 0; }\n",
         "- MAX add point named_t fp"),
        ("a.hpp", "namespace a::b {\n// A vector.\ntemplate <typename T>\nclass Vec {\n  int n;\n  Vec() {}\n"
         "  T& operator[](int i) { return d[i]; }\n};\n}\nvoid a::b::Vec<int>::grow() {}\n",
         "a.b.Vec a.b.Vec.Vec a.b.Vec.operator[] a.b.Vec.grow"),
        ("a.go", "package main\n\n// Stack holds.\ntype Stack[T any] struct{}\n\n// Push pushes.\nfunc (s *Stack[T]) "
         "Push(x T) {}\n\nfunc main() {}\n", "- Stack Stack.Push main"),
        ("a.rs", "use std::fmt;\n/// A point.\n#[derive(Debug)]\npub struct Point {}\nimpl fmt::Display for Point {\n"
         "    fn fmt(&self) {}\n}\nimpl Point {\n    pub fn new() {}\n}\nmacro_rules! m { () => {} }\n",
         "- Point fmt::Display for Point.fmt Point.new m"),
        ("a.cs", "using System;\nnamespace A.B {\n  /// <summary>Doc.</summary>\n  public class Foo {\n    int x;\n"
         "    public void Go() {}\n  }\n}\n", "- A.B.Foo A.B.Foo.Go"),
        ("a.rb", "# A module.\nmodule M\n class Foo\n  # Goes.\n  def go(x) = x\n  def self.make; end\n end\nend\n",
         "M M.Foo.go M.Foo.make"),
        ("a.php", "<?php\n/** Doc. */\nclass Foo {\n  private $x;\n  public function go() {}\n}\nfunction f() {}\n",
         "- Foo Foo.go f"),
        ("a.sh", "x=1\n\n# Says hi.\nhi() {\n  echo hi\n}\nfunction bye { echo bye; }\n", "- hi bye"),
        ("a.scala", "package a\nobject Main {\n  /** d */\n  def f(x: Int): Int = x\n}\ncase class P(x: Int)\n",
         "- Main.f P"),
        ("a.kt", "package a\n/** d */\nclass Foo(val x: Int) {\n  val y = 1\n  fun go(): Int = 1\n}\nfun top() {}\n",
         "- Foo Foo.go top"),
    ],
)  # fmt: skip
def test_definitions_are_found_in_every_language(name, source, paths):
    sections = found(source, name)
    assert " ".join(path or "-" for path, _ in sections).split() == paths.split()
    for comment in re.findall(r"/\*\* \w+\. \*/|///? \w+ \w+\.|# \w+ ?\w*\.", source):
        assert any(path and comment in part for path, part in sections)


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)
def test_every_grammar_comes_with_its_package_and_knows_the_names_that_are_looked_for(language):
    known = grammar(language)
    kinds = {known.node_kind_for_id(number) for number in range(known.node_kind_count)}
    for names in (language.scopes, language.leaves, language.through, language.wrapped, language.leading):
        assert names <= kinds


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"#!/usr/bin/env python3\nprint(1)\n", "text/x-python"),
        (b"#!/bin/bash\necho 1\n", "text/x-shellscript"),
        (b"#!/usr/bin/env unknown\n1\n", "text/plain"),
    ],
)
def test_a_script_without_an_extension_is_known_by_its_interpreter(data, media_type):
    assert parse(data, filename="script").media_type == media_type
    assert parse(b"def f(): pass\n", media_type="text/x-python; charset=utf-8").media_type == "text/x-python"


def test_code_that_is_broken_is_kept_whole_and_what_can_be_read_of_it_is_found():
    source = "def good():\n    return 1\n\ndef bad(:\n    retur\n\nclass Fine:\n    def f(self): pass\n}}}\n"
    sections = found(source, "a.py")
    assert ("good", "def good():\n    return 1\n\n") in sections


def test_a_binary_that_claims_to_be_code_is_refused():
    with pytest.raises(UnsupportedFormat):
        parse(bytes(range(256)) * 20, filename="a.py")
    with pytest.raises(UnsupportedFormat):
        parse(b"%PDF-1.4 ...", filename="a.py")


def test_a_file_too_large_for_a_syntax_tree_is_read_by_lines(monkeypatch):
    monkeypatch.setattr(retriever.parsing.code, "LARGEST", 100)
    document = parse(PYTHON.encode(), filename="a.py")
    assert [section.path for section in document.sections] == [()]
    assert "read by lines" in document.warnings[0]


def test_passages_of_code_are_whole_definitions_or_whole_lines_of_them():
    source = inspect.getsource(retriever.parsing.code)
    document = parse(source.encode(), filename="code.py")
    lines = {(source[:match_start].count("\n"), line.strip()) for match_start, line in _lines(source)}
    chunks = split(document, count=words, size=60, overlap=10)
    assert covered(document, chunks)
    for chunk in chunks:
        first = source[: chunk.start].count("\n")
        for number, line in enumerate(source[chunk.start : chunk.end].split("\n"), start=first):
            assert (number, line.strip()) in lines
    names = {".".join(chunk.section) for chunk in chunks}
    assert {"parse_code", "_sections", "_Definition"} <= names
    own = [source[chunk.start : chunk.end] for chunk in chunks if chunk.section == ("_Definition",)]
    assert "A definition as a range of bytes" in own[0]


def _lines(source):
    at = 0
    for line in source.split("\n"):
        yield at, line
        at += len(line) + 1


def test_overloads_of_a_name_are_sections_of_their_own_even_on_one_line():
    assert found("def f(a): return a\ndef f(a, b): return b\n", "a.py") == [
        ("f", "def f(a): return a\n"),
        ("f", "def f(a, b): return b\n"),
    ]
    assert [path for path, _ in found("function f(){return 1}function g(){return 2}", "a.js")] == ["f", "g"]


def test_prose_rules_do_not_cut_code():
    source = 'def f():\n    x = "One. Two. Three."; y = 1\n    return x\n'
    document = parse(source.encode(), filename="a.py")
    units = [source[unit.start : unit.end] for unit in sentences_of(document)]
    assert units == ["def f():", 'x = "One. Two. Three."; y = 1', "return x"]


def test_minified_code_has_passages_that_can_be_read():
    source = "function f(){" + "var a=1;if(a){b(a)}" * 2_000 + "}"
    document = parse(source.encode(), filename="a.js")
    chunks = split(document, count=words)
    assert covered(document, chunks)
    assert max(words([source[chunk.start : chunk.end] for chunk in chunks])) <= 162


LINE = st.sampled_from(
    textwrap.dedent(
        """\
        def f(a):
            return a
        class A:
            def g(self): pass
        # note
        @wrap
        }
        fn f() { }
        impl A {
        x = "é中😀"
        /* a
        */
        function f() {
        namespace N {
        end
        \t
        \u2028
        """
    ).split("\n")
)


@given(
    st.lists(LINE, max_size=20),
    st.sampled_from(LANGUAGES),
    st.sampled_from(["\n", "\r\n"]),
)
@settings(max_examples=300, deadline=None)
def test_sections_of_any_lines_in_any_language_tile_them(lines, language, end):
    source = end.join(lines)
    if not source.strip():
        return
    document = parse(source.encode(), filename=f"a{min(language.extensions)}")
    assert document.text == source
    ends = [section.end for section in document.sections]
    starts = [section.start for section in document.sections]
    assert starts == [0, *ends[:-1]]
    assert ends[-1] == len(source)
    assert all(map(int.__lt__, starts, ends))
    assert covered(document, split(document, count=words, size=8, overlap=2))
