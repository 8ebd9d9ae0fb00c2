"""Hostile text: markup, records, transcripts and source code, and bytes that are hardly text."""

import json

from tests.hostile.corpus import ANY, INDEXED, LIMITS, TAKEN, UNSUPPORTED, Hostile, file

WORDS = b"The mill stands at Stony Ford. "
MAYBE = frozenset({INDEXED, "limits"})
RTL = "The mill \u202estands \u2066at\u2069 Stony\u200f Ford\u202c. "
RTL += "\u0645\u0637\u062d\u0646\u0629 \u05d8\u05d7\u05e0\u05d4. "
ZALGO = "m" + "\u0301\u0302\u0303\u0489" * 2_000


def reconstructed(formats: int, paragraphs: int) -> bytes:
    """Open formatting elements, all different: HTML opens each of them again in every paragraph."""
    return b"".join(b'<font size="%d">' % n for n in range(formats)) + b"<p>x" * paragraphs


def deep_json(depth: int) -> bytes:
    row = b'{"a":' * depth + b"1" + b"}" * depth
    return row + b"\n" + b'{"text": ' + b"[" * depth + b"]" * depth + b"}\n" + b'{"text": "The mill stands."}\n'


def numbered(count: int) -> bytes:
    """Headings that all differ, where a table of contents might stand."""
    return b"".join(b"%d A%d\n\n" % (n % 99, n) for n in range(count))


PLAIN = [
    file("one line", "a.txt", lambda: WORDS * 10_000, TAKEN),
    file("one word", "a.txt", b"a" * 300_000, TAKEN),
    file("nothing but spaces", "a.txt", b" " * 2_000_000, frozenset({"no_text"})),
    file("a word after spaces", "a.txt", b" \n" * 100_000 + b"mill", TAKEN),
    file("lone surrogates", "a.txt", (WORDS + b"\xed\xa0\x80 \xed\xbf\xbf ") * 500, TAKEN),
    file(
        "surrogates of UTF-16",
        "a.txt",
        b"\xff\xfe" + ("The mill \ud800 stands. " * 99).encode("utf-16-le", "surrogatepass"),
    ),
    file("NUL bytes", "a.txt", WORDS * 50 + b"\0" * 5 + WORDS * 50, TAKEN),
    file("nothing but NUL", "a.txt", b"\0" * 100_000, UNSUPPORTED),
    file("right-to-left overrides", "a.txt", (RTL * 500).encode(), TAKEN),
    file("marks on one letter", "a.txt", (ZALGO + " stands. ").encode() * 20, TAKEN),
    file("every byte", "a.txt", bytes(range(256)) * 2_000),
    file("broken UTF-8", "a.txt", b"\xc3\x28 mill \xe2\x82 \xf0\x9f " * 20_000),
    file("a codec that is none", "a.txt", WORDS * 9, TAKEN, media_type="text/plain; charset=zlib_codec"),
    file("a codec of names", "a.txt", b"xn--" + b"a-" * 50_000, media_type="text/plain; charset=punycode"),
    file("a mark and nothing", "a.txt", b"\xef\xbb\xbf", frozenset({"no_text"})),
    file("line ends of all kinds", "a.txt", "a\r\x0b\x0c\x1c\x85\u2028\u2029\r\n".encode() * 50_000, ANY),
    file("headings that all differ", "a.txt", lambda: numbered(3_000), MAYBE),
    file("colons", "a.txt", b"a:" * 50_000, TAKEN),
    file("labels without words", "a.txt", b"Ann: \nBob: \n" * 5_000, MAYBE),
    file("brackets", "a.txt", b"[" * 500_000 + b"] x", TAKEN),
    file("stops", "a.txt", b". " * 50_000, TAKEN),
    file("abbreviations", "a.txt", b"Dr. No. vol. Fig. e.g. " * 3_000, TAKEN),
    file("no stop anywhere", "a.txt", b"mill stands ford " * 30_000, TAKEN),
    file("Chinese without a stop", "a.txt", "\u78e8\u574a".encode() * 30_000, TAKEN),
]

MARKUP = [
    file("deep HTML", "a.html", b"<div>" * 100_000 + b"x", LIMITS),
    file("deep HTML that closes", "a.html", b"<b><i>" * 240 + b"x" + b"</b></i>" * 240, MAYBE),
    file("formats opened again and again", "a.html", lambda: reconstructed(400, 5_000), MAYBE),
    file("misnested", "a.html", b"<a><table><a>" * 300 + b"x", MAYBE),
    file("many attributes", "a.html", lambda: b"<p " + b" ".join(b"a%d=1" % n for n in range(10_000)) + b">x", MAYBE),
    file("one long attribute", "a.html", b'<p title="' + b"x" * 2_000_000 + b'">mill', TAKEN),
    file(
        "cells that claim to reach far", "a.html", b"<table><tr><td rowspan=999999999 colspan=999999999>x" * 500, MAYBE
    ),
    file(
        "pictures with script in them",
        "a.html",
        b"<p>mill<svg onload=alert(1)><script>x</script><text>t</text><foreignObject><div>" * 100 + b"</svg>",
        MAYBE,
    ),
    file(
        "an SVG file",
        "a.svg",
        b'<svg xmlns="http://www.w3.org/2000/svg"><text>mill</text></svg>',
        ANY,
        media_type="image/svg+xml",
    ),
    file("a comment without end", "a.html", b"<p>mill<!--" * 50_000, MAYBE),
    file("a tag without end", "a.html", b"<p>mill " + b"<a href='" * 100_000, MAYBE),
    file("templates", "a.html", b"<p>mill" + b"<template>" * 20_000, MAYBE),
    file("entities", "a.html", b"<p>" + b"&CounterClockwiseContourIntegral;&#x110000;&#55555555555;" * 20_000, MAYBE),
    file("XHTML with closed tags", "a.html", b'<html xmlns="x"><body>' + b"<p a='b' " * 20_000 + b"/>mill", MAYBE),
    file(
        "script in every place",
        "a.html",
        b"<p>mill <script>alert('</p>')</script><a href=javascript:alert(1)>x</a>" * 1_000,
        TAKEN,
    ),
    file("deep quotes", "a.md", b">" * 20_000 + b" mill", MAYBE),
    file("deep lists", "a.md", b"".join(b" " * n + b"- mill\n" for n in range(600)), MAYBE),
    file("brackets in a heading", "a.md", b"# " + b"[" * 5_000 + b"](" * 5_000 + b"\n\nmill", MAYBE),
    file("stars in a heading", "a.md", b"# " + b"*a_ " * 5_000 + b"\n\nmill", MAYBE),
    file("backticks in a heading", "a.md", b"# " + b" ".join(b"`" * n for n in range(1, 300)) + b"\n\nmill", MAYBE),
    file("definitions", "a.md", b"[a]: <b> 'c'\n" * 5_000 + b"mill", MAYBE),
    file("many headings", "a.md", b"# a\n" * 2_000, MAYBE),
    file("front matter without end", "a.md", b"---\ntitle: mill\n" * 1_000, MAYBE),
]

RECORDS = [
    file("deep JSON", "a.jsonl", lambda: deep_json(100_000)),
    file("a long number", "a.jsonl", b'{"text": "The mill stands.", "n": ' + b"9" * 100_000 + b"}\n" * 3),
    file("numbers out of range", "a.jsonl", b'{"text": "The mill stands.", "n": 1e999, "m": NaN}\n' * 9, TAKEN),
    file(
        "names upon names", "a.jsonl", json.dumps({"k" * 150: {"l" * 150: {str(n): 1 for n in range(5_000)}}}).encode()
    ),
    file("escaped surrogates", "a.jsonl", b'{"text": "The mill \\ud800 stands \\udfff\\u0000."}\n' * 9, TAKEN),
    file("rows of nothing", "a.jsonl", b"{}\n" * 50_000),
    file("no JSON", "a.jsonl", b"{" * 200_000, UNSUPPORTED),
    file("cues without words", "a.vtt", b"WEBVTT\n\n" + b"00:01.000 --> 00:02.000\n\n" * 5_000),
    file("times out of range", "a.vtt", b"WEBVTT\n\n99999999:99:99.999 --> 00:00.000\nThe mill stands.\n\n" * 999),
    file("voices upon voices", "a.vtt", b"WEBVTT\n\n00:01.000 --> 00:02.000\n" + b"<v Ann>" * 50_000 + b"mill\n"),
    file("angles", "a.vtt", b"WEBVTT\n\n00:01.000 --> 00:02.000\n" + b"<" * 200_000 + b"mill\n"),
    file("long lines again and again", "a.srt", b"1\n00:00:01,000 --> 00:00:02,000\n" + WORDS * 3_000 + b"\n\n"),
    file("a subtitle of nothing", "a.srt", b"1\n00:00:01,000 --> \n\n" * 5_000),
    file("everybody speaks once", "a.txt", b"".join(b"Speaker%d: The mill stands.\n" % n for n in range(3_000)), TAKEN),
]

CODE = [
    file("deep brackets in Python", "a.py", b"(" * 100_000, TAKEN),
    file("deep braces in C", "a.c", b"int f() {" + b"{" * 100_000, TAKEN),
    file("deep classes", "a.py", b"".join(b" " * n + b"class A%d:\n" % n for n in range(400)), TAKEN),
    file("deep calls in JavaScript", "a.js", b"f(function(){" * 5_000, TAKEN),
    file("deep templates in C++", "a.cpp", b"A<" * 10_000 + b"int", TAKEN),
    file("strings in strings", "a.py", b"f'{" * 20_000, TAKEN),
    file("definitions by the thousand", "a.go", b"func f() {}\n" * 2_000, MAYBE),
    file("a heredoc without end", "a.sh", b"cat <<A\n" * 5_000, TAKEN),
    file("one letter a statement", "a.py", b"a\n" * 20_000, TAKEN),
    file("deep generics in Rust", "a.rs", b"fn f<T: A<" + b"B<" * 20_000, TAKEN),
]

WRONG = [
    file("a picture as text", "a.txt", b"\x89PNG\r\n\x1a\n" + b"\0" * 999, UNSUPPORTED),
    file("a program as Markdown", "a.md", b"\x7fELF" + b"\0" * 999, UNSUPPORTED),
    file("a PDF as a Word document", "a.docx", b"%PDF-1.7\n", UNSUPPORTED),
    file("text as a PDF", "a.pdf", WORDS, UNSUPPORTED),
    file("HTML as a PDF", "a.pdf", b"<!doctype html><p>mill", UNSUPPORTED),
    file("an archive as a book", "a.epub", b"\x1f\x8b" + b"\0" * 99, UNSUPPORTED),
    file("an old Office document", "a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 999, UNSUPPORTED),
    file("text as a program", "a.exe", WORDS, UNSUPPORTED),
    file("no name", "..", WORDS, TAKEN),
    file("a name to climb by", "../../../../etc/passwd\0.txt", WORDS, TAKEN),
]

SMALL: list[Hostile] = [*PLAIN, *MARKUP, *RECORDS, *CODE, *WRONG]

WORST = 50_000_000  # bytes: what still fits into a body
LARGE: list[Hostile] = [
    file("as long a line as a body takes", "a.txt", lambda: WORDS * (WORST // len(WORDS)), TAKEN),
    file("as long a word", "a.txt", lambda: b"a" * WORST, TAKEN),
    file("as many spaces", "a.txt", lambda: b" " * WORST, frozenset({"no_text"})),
    file("as many labels", "a.txt", lambda: b"Ann: hi.\nBob: no.\n" * (WORST // 18), MAYBE),
    file("as many headings", "a.md", lambda: b"# a\n" * (WORST // 4), LIMITS),
    file("as many headings that differ", "a.txt", lambda: numbered(3_000_000), MAYBE),
    file("as many tags", "a.html", lambda: b"<p>x" * (WORST // 4), MAYBE),
    file("as many formats", "a.html", lambda: reconstructed(450, 2_000_000), MAYBE),
    file(
        "as many attributes", "a.html", lambda: b"<p " + b" ".join(b"a%d" % n for n in range(2_000_000)) + b">x", MAYBE
    ),
    file("as many rows", "a.jsonl", lambda: b'{"a":1}\n' * (WORST // 8), MAYBE),
    file("as many cues", "a.srt", lambda: b"1\n00:00:01,000 --> 00:00:02,000\nx\n\n" * (WORST // 36), MAYBE),
    file("as much code as is looked into", "a.py", lambda: b"a\n" * 1_000_000, TAKEN),
    file("deep code", "a.cpp", lambda: b"A<" * 1_000_000, MAYBE),
]
