"""How closely a passage says a query: in one stretch of it, and word beside word."""

import random
from itertools import pairwise

import pytest

from retriever.closeness import WINDOW, closeness
from retriever.terms import terms

WEIGHT = {"where": 0.5, "did": 1.0, "ada": 4.0, "live": 2.0}


def shares(query: str, passage: str, weight: dict[str, float] | None = None) -> tuple[float, float]:
    asked = terms(query)
    near, joined = closeness(asked, [terms(passage)], weight or dict.fromkeys(asked, 1.0))
    return float(near[0]), float(joined[0])


def test_all_words_together_in_their_order_are_the_whole() -> None:
    assert shares("north bank", "on the north bank of it") == (1.0, 1.0)


def test_words_far_apart_count_as_the_better_half_of_them() -> None:
    between = " ".join(["word"] * WINDOW)
    assert shares("where did ada live", f"ada {between} live", WEIGHT) == (4.0 / 7.5, 0.0)
    between = " ".join(["word"] * (WINDOW - 2))
    assert shares("where did ada live", f"ada {between} live", WEIGHT) == (6.0 / 7.5, 0.0)


def test_a_pair_counts_in_the_order_of_the_query_alone() -> None:
    assert shares("red house", "house red") == (1.0, 0.0)
    assert shares("red house roof", "red house")[1] == 0.5
    assert shares("red house", "red red house")[1] == 1.0


def test_a_word_that_is_repeated_counts_once() -> None:
    assert shares("red house", "red red red red")[0] == 0.5


def test_nothing_asked_and_nothing_there_are_zero() -> None:
    assert shares("", "red house") == (0.0, 0.0)
    assert shares("red house", "") == (0.0, 0.0)
    assert shares("house", "house") == (1.0, 0.0)
    assert [len(each) for each in closeness(["a"], [], {"a": 1.0})] == [0, 0]


def test_it_is_the_best_of_all_windows_that_a_plain_search_finds() -> None:
    chance = random.Random(5)
    for _ in range(200):
        letters = "abcdefghij"[: chance.randint(2, 10)]
        asked = chance.choices(letters, k=chance.randint(1, 6))
        passage = chance.choices(letters + "xyz" * 4, k=chance.randint(0, 60))
        weight = {letter: chance.random() + 0.1 for letter in letters}
        near, joined = closeness(asked, [passage], weight)
        windows = [set(passage[at : at + WINDOW]) & set(asked) for at in range(max(1, len(passage)))]
        whole = sum(weight[term] for term in set(asked))
        assert near[0] == pytest.approx(max(sum(map(weight.__getitem__, window)) for window in windows) / whole)
        pairs = {pair for pair in pairwise(asked) if pair[0] != pair[1]}
        total = sum(weight[a] + weight[b] for a, b in pairs)
        held = sum(weight[a] + weight[b] for a, b in pairs & set(pairwise(passage)))
        assert joined[0] == pytest.approx(held / total if total else 0.0)
