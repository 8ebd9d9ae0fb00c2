"""Sentences: where they end, and that their offsets are exact in any text."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retriever.sentences import MAX_SENTENCE, split_sentences
from tests.retriever.sentence_gold import CHINESE, ENGLISH


def sentences(text):
    return [text[sentence.start : sentence.end] for sentence in split_sentences(text)]


def boundary_f1(rows, separator):
    right = found = wanted = 0
    for row in rows:
        text = separator.join(row)
        ends = {sentence.end for sentence in split_sentences(text)} - {len(text)}
        gold = {len(separator.join(row[:count])) for count in range(1, len(row))}
        right += len(ends & gold)
        found += len(ends)
        wanted += len(gold)
    return 2 * right / (found + wanted)


def test_english_sentences_end_where_a_person_ends_them():
    assert boundary_f1(ENGLISH, " ") > 0.95


def test_chinese_sentences_end_where_a_person_ends_them():
    assert boundary_f1(CHINESE, "") > 0.92


def test_english_that_is_hard_wrapped_has_the_same_sentences():
    text = "Mr. Smith met Dr. Jones at noon. They\r\ntalked about the U.S.\r\neconomy. “Why?” he\r\nasked."
    assert sentences(text) == [
        "Mr. Smith met Dr. Jones at noon.",
        "They\r\ntalked about the U.S.\r\neconomy.",
        "“Why?” he\r\nasked.",
    ]


def test_a_blank_line_a_list_item_and_a_short_line_end_a_sentence_but_a_wrapped_line_does_not():
    text = "The Title\nThis line is a good deal longer than the title was\nand goes on here\n\nno stop\n- a\n- b\n1. c"
    assert sentences(text) == [
        "The Title",
        "This line is a good deal longer than the title was\nand goes on here",
        "no stop",
        "- a",
        "- b",
        "1. c",
    ]


def test_a_paragraph_a_line_ends_a_sentence_at_every_line():
    first, second = "word " * 50 + "Kenya", "Nairobi " * 40
    assert sentences(f"{first}\n{second}") == [first, second.strip()]


def test_a_sentence_over_a_page_break_is_one():
    text = "x " * 120 + "and so the\nstory goes on. It ends."
    assert sentences(text)[0].endswith("and so the\nstory goes on.")


def test_quotations_and_brackets_do_not_hide_the_ends_inside_them():
    text = "It's Jon's cheese. It isn't Ann's. “I came. I saw. I won.” (One. Two.)"
    assert sentences(text) == [
        "It's Jon's cheese.",
        "It isn't Ann's.",
        "“I came.",
        "I saw.",
        "I won.”",
        "(One.",
        "Two.)",
    ]


def test_a_line_without_any_end_is_cut_at_white_space_into_pieces_of_bounded_length():
    text = "word " * 20_000
    pieces = sentences(text)
    assert max(map(len, pieces)) <= MAX_SENTENCE
    assert " ".join(pieces) == text.strip()
    assert all(piece.startswith("word") and piece.endswith("word") for piece in pieces)


@pytest.mark.parametrize("text", ["x" * 5000, "中" * 5000, "e\u0301" * 3000, "\U0001f468\u200d\U0001f469" * 900])
def test_text_without_white_space_is_cut_too_and_nothing_is_lost(text):
    pieces = sentences(text)
    assert max(map(len, pieces)) <= MAX_SENTENCE
    assert "".join(pieces) == text
    assert not any(piece[0] in "\u0301\u200d" for piece in pieces)


@pytest.mark.parametrize("unit", ["word ", "x", "A. ", "中文字。", "a\n", '"', ".", "\n", "Mr. "])
def test_time_is_linear_in_the_text(unit):
    def seconds(characters):
        text = unit * (characters // len(unit))
        taken = []
        for _ in range(3):
            start = time.process_time()
            split_sentences(text)
            taken.append(time.process_time() - start)
        return min(taken)

    seconds(5_000)
    assert seconds(80_000) < 3.2 * max(seconds(40_000), 0.02)  # 2 if linear, 4 if quadratic


ANYTHING = st.lists(
    st.one_of(
        st.sampled_from(list("ab A.!?。！？…,;:\"'“”’()[]-*#|1\n\r\t \x0b\x0c\x85\u2028\xa0\u3000")),
        st.sampled_from(
            ["e\u0301", "\U0001f468\u200d\U0001f469", "שלום", "مرحبا", "中文。", "\r\n", "\n\n", "Mr. ", "Word "]
        ),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=200,
).map("".join)


@given(ANYTHING, st.integers(0, 300), st.integers(0, 300))
@settings(max_examples=300, deadline=None)
def test_sentences_of_any_text_are_ordered_disjoint_trimmed_and_leave_only_white_space(text, a, b):
    start, end = sorted((min(a, len(text)), min(b, len(text))))
    last = start
    for sentence in split_sentences(text, start=start, end=end):
        assert last <= sentence.start < sentence.end <= end
        assert not text[last : sentence.start].strip()
        piece = text[sentence.start : sentence.end]
        assert piece == piece.strip()
        assert len(piece) <= MAX_SENTENCE
        last = sentence.end
    assert not text[last:end].strip()


def test_a_range_outside_the_text_is_refused():
    with pytest.raises(ValueError, match="5 characters: 2 to 9"):
        split_sentences("12345", start=2, end=9)
