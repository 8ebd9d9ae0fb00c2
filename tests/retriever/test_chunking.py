"""Passages: what they cover, where they end, what they carry."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retriever.chunking import split
from retriever.parsing import parse, parse_text
from retriever.sentences import split_sentences
from tests.retriever.pdfs import pdf
from tests.retriever.test_sentences import ANYTHING


def words(texts):
    """Counts a word piece a word of up to eight letters, one more for every eight further; CJK letter by letter."""
    return [sum(1 + len(word) // 8 if word.isascii() else len(word) for word in text.split()) for text in texts]


def passages(document, **arguments):
    return [document.text[chunk.start : chunk.end] for chunk in split(document, count=words, **arguments)]


def paragraph(sentences, length=10, name="word"):
    return " ".join(" ".join([f"{name.title()}{i}x", *["aaaa"] * (length - 2), "end."]) for i in range(sentences))


def covered(document, chunks):
    seen = [False] * len(document.text)
    for chunk in chunks:
        seen[chunk.start : chunk.end] = [True] * (chunk.end - chunk.start)
    return all(there or character.isspace() for there, character in zip(seen, document.text, strict=True))


@given(ANYTHING, st.sampled_from([8, 20, 130]), st.sampled_from(["text/plain", "text/markdown"]))
@settings(max_examples=200, deadline=None)
def test_passages_of_any_text_cover_it_in_order_inside_their_sections(text, size, media_type):
    if not text.strip():
        return
    document = parse_text(text, media_type=media_type)
    chunks = split(document, count=words, size=size, overlap=size // 6)
    assert covered(document, chunks)
    assert [chunk.start for chunk in chunks] == sorted({chunk.start for chunk in chunks})
    assert [chunk.end for chunk in chunks] == sorted({chunk.end for chunk in chunks})
    for chunk in chunks:
        section = next(s for s in document.sections if s.start <= chunk.start < s.end)
        assert chunk.end <= section.end
        assert chunk.section == section.path
        piece = document.text[chunk.start : chunk.end]
        assert piece == piece.strip() != ""


def test_passages_are_whole_sentences_of_about_the_size():
    document = parse_text("\n\n".join(paragraph(3 + i % 3, 12 + i % 5) for i in range(60)))
    ends = {sentence.end for sentence in split_sentences(document.text)}
    starts = {sentence.start for sentence in split_sentences(document.text)}
    chunks = split(document, count=words)
    assert all(chunk.end in ends and chunk.start in starts for chunk in chunks)
    sizes = words([document.text[chunk.start : chunk.end] for chunk in chunks])
    assert max(sizes) <= 162
    assert min(sizes) >= 60
    assert 110 <= sum(sizes) / len(sizes) <= 150


def test_a_passage_ends_with_a_paragraph_where_the_sizes_allow_it():
    document = parse_text("\n".join(paragraph(11, 12, f"p{i}") for i in range(5)))  # 132 words a paragraph, one a line
    assert passages(document) == document.text.split("\n")


def test_a_paragraph_of_more_than_a_passage_is_halved_rather_than_cut_at_the_size():
    found = passages(parse_text(paragraph(19, 10)), overlap=0)
    assert sorted(len(text.split()) for text in found) == [90, 100]


def test_a_passage_that_begins_inside_a_paragraph_repeats_its_predecessors_last_short_sentence():
    document = parse_text(paragraph(90, 10))
    chunks = split(document, count=words, overlap=20)
    for first, second in pairwise(chunks):
        repeated = document.text[second.start : first.end]
        assert len(repeated.split()) == 10
    assert len(chunks) > 4
    apart = split(document, count=words, overlap=9)
    assert all(first.end < second.start for first, second in pairwise(apart))


def test_passages_never_cross_a_section_and_carry_its_path():
    document = parse_text("# One\n\nShort.\n\n## Two\n\nAlso short.\n\n# Three\n\nEnd.", media_type="text/markdown")
    chunks = split(document, count=words)
    assert [chunk.section for chunk in chunks] == [("One",), ("One", "Two"), ("Three",)]
    assert document.text[chunks[0].start : chunks[0].end] == "# One\n\nShort."


def test_a_heading_goes_with_the_text_under_it():
    parts = [f"Heading number {i}\n\n{paragraph(10, 12)}" for i in range(8)]
    found = passages(parse_text("\n\n".join(parts)))
    assert all(text.startswith("Heading") for text in found)
    assert not any(text.rstrip().splitlines()[-1].startswith("Heading") for text in found)


def test_a_heading_is_not_last_even_where_that_would_fit_better():
    text = f"{paragraph(10, 12)}\n\nOne heading of exactly ten words and not one more\n\n{paragraph(12, 12)}"
    assert passages(parse_text(text))[1].startswith("One heading")


def test_nothing_is_longer_than_the_reader_can_take_even_without_sentences():
    for text in ("word " * 5000, "中" * 5000, "x" * 3000, "a|b\n" * 3000, "word, " * 1000 + "end. Short."):
        document = parse_text(text)
        found = passages(document)
        assert max(words(found)) <= 162
        assert covered(document, split(document, count=words))


def test_every_sentence_is_counted_once_and_in_batches():
    calls = []

    def counting(texts):
        calls.append(len(texts))
        return words(texts)

    document = parse_text("\n\n".join(paragraph(10, 12) for _ in range(100)))
    split(document, count=counting)
    assert calls == [len(split_sentences(document.text))]


def test_passages_carry_the_page_that_they_begin_on():
    page = [*(f"This is line {i} of a page that says nothing of interest to anyone," for i in range(20)), "The end."]
    document = parse(pdf([page, page, page]))
    chunks = split(document, count=words)
    for chunk in chunks:
        own = next(page for page in document.pages if page.start <= chunk.start < page.end)
        assert chunk.page == own.number
    assert {chunk.page for chunk in chunks} == {1, 2, 3}
    assert all(chunk.page is None for chunk in split(parse_text("No pages."), count=words))


def test_sizes_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="size=10, overlap=10"):
        split(parse_text("x"), count=words, size=10, overlap=10)


def test_articles_are_cut_at_the_ends_of_their_paragraphs(data_sets):
    document = parse((data_sets / "dev" / "articles" / "Genghis_Khan.txt").read_bytes())
    chunks = split(document, count=words)
    at_ends = sum(document.text[chunk.end : chunk.end + 1] in ("\n", "") for chunk in chunks)
    assert at_ends / len(chunks) > 0.5
