"""Terms: what is the same word to the sparse index."""

import threading
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retriever.terms import query_terms, terms


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("CAFÉ", "cafe"),
        ("cafe\u0301", "café"),
        ("ﬁnance", "finance"),
        ("１２３", "123"),
        ("straße", "STRASSE"),
        ("ΟΔΟΣ", "οδος"),
        ("İstanbul", "istanbul"),
        ("running", "runs"),
        ("companies'", "company"),
        ("John’s", "John's"),
        ("co\xadoperate", "cooperate"),
        ("1,000", "1000"),
        ("1,234,567", "1234567"),
        ("ﾃｽﾄ", "テスト"),
        ("ガ", "カ\u3099"),
    ],
)
def test_two_ways_to_write_a_word_are_one_term(first, second):
    assert terms(first) == terms(second) != []


def test_numbers_stay_whole():
    assert terms("3.2 3.14159 2.0.1 $1,000.50 1998 5kg") == ["3.2", "3.14159", "2.0.1", "1000.50", "1998", "5kg"]


def test_words_are_stemmed_and_stop_words_stay():
    assert terms("The quick foxes jumped over lazily sleeping dogs") == [
        *("the", "quick", "fox", "jump", "over"),
        *("lazili", "sleep", "dog"),
    ]


def test_scripts_without_spaces_give_characters_and_pairs():
    assert terms("北京大学 opened") == ["北", "京", "大", "学", "北京", "京大", "大学", "open"]
    assert set(terms("京大")) <= set(terms("北京大学"))
    assert "東京" in terms("東京タワーへ行く")
    assert "한국" in terms("한국어")


def test_words_of_other_scripts_stay_whole():
    assert terms("हिन्दी में") == ["हिन्दी", "में"]
    assert terms("שלום עולם") == ["שלום", "עולם"]
    assert terms("привет мир") == ["привет", "мир"]


def test_punctuation_and_symbols_are_no_terms():
    assert terms(" -- !? … _ “” © | \n\t") == []


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_terms_are_the_same_each_time_and_for_queries_and_are_never_empty(text):
    found = terms(text)
    assert found == terms(text) == query_terms(text)
    assert all(found)
    assert not any(
        character.isspace() for term in found for character in term if unicodedata.category(character) != "Zs"
    )


def test_threads_get_the_same_terms():
    text = " ".join(f"running{i} companies{i} flies" for i in range(3000))
    results = []
    threads = [threading.Thread(target=lambda: results.append(terms(text))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(result == terms(text) for result in results)
    assert len(results) == 4
