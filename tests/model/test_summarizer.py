"""Salience and selection on vectors that are made by hand."""

import itertools
import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.sentence_table import Query, SentenceTable, centroid_similarity
from model.summarizer import NEAR_DUPLICATE, Budget, CentralitySalience, probability, select


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def random_vectors(count: int, dimension: int = 32, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).standard_normal((count, dimension)))


def table(
    vectors: np.ndarray, words: np.ndarray | None = None, words_before: np.ndarray | None = None
) -> SentenceTable:
    """Sentences of one document far from its opening, unless told otherwise."""
    count = len(vectors)
    words = np.full(count, 20) if words is None else words
    return SentenceTable(
        vectors=vectors,
        words=words,
        words_before=np.cumsum(words) - words + 5_000 if words_before is None else words_before,
        document=np.zeros(count, dtype=np.int64),
        section=np.zeros(count, dtype=np.int64),
        speaker=np.full(count, -1),
        turn_words=np.zeros(count, dtype=np.int64),
        first=np.zeros(count, dtype=np.bool_),
        asks=np.zeros(count, dtype=np.bool_),
        counts=np.zeros(count, dtype=np.bool_),
        kind=np.zeros(count, dtype=np.int64),
        central=np.zeros(count, dtype=np.float32),
    )


def score(vectors: np.ndarray, *, words: np.ndarray | None = None, query: Query | None = None) -> np.ndarray:
    return CentralitySalience().score(table(vectors, words), query)


def test_a_sentence_near_what_the_text_is_about_is_more_salient_than_an_aside() -> None:
    about = unit(np.eye(8)[0] + 0.3 * random_vectors(20, 8))
    aside = unit(-np.eye(8)[:1] + 0.3 * random_vectors(1, 8, seed=1))
    salience = score(np.vstack([about, aside]))
    assert salience[-1] == salience.min()


def test_the_opening_counts_more_than_the_same_sentence_later() -> None:
    vectors = np.repeat(unit(np.ones((1, 4))), 3, axis=0)
    salience = CentralitySalience().score(table(vectors, words_before=np.array([0, 200, 20_000])))
    assert salience[0] > salience[1] > salience[2]


def test_fragments_and_endless_sentences_are_less_salient_than_sentences() -> None:
    vectors = np.repeat(unit(np.ones((1, 4))), 3, axis=0)
    salience = score(vectors, words=np.array([2, 20, 200]))
    assert salience[1] == salience.max()


def test_a_query_pulls_salience_towards_it_by_meaning_and_by_words() -> None:
    vectors = random_vectors(50, 16)
    plain = score(vectors)
    nothing = np.zeros(50, dtype=np.float32)
    row23 = np.eye(50, dtype=np.float32)[23]
    query = Query(vector=vectors[17], overlap=nothing, near=nothing, relevance=nothing, answer=nothing)
    assert int(np.argmax(score(vectors, query=query))) == 17
    query = replace(query, vector=np.zeros(16, dtype=np.float32))
    assert score(vectors, query=replace(query, overlap=row23))[23] - plain[23] > 2.0


def test_what_the_reader_finds_an_answer_in_is_more_salient_than_what_it_only_finds_relevant() -> None:
    vectors = random_vectors(50, 16)
    nothing, row23 = np.zeros(50, dtype=np.float32), np.eye(50, dtype=np.float32)[23]
    query = Query(
        vector=np.zeros(16, dtype=np.float32), overlap=nothing, near=nothing, relevance=nothing, answer=nothing
    )
    relevant = score(vectors, query=replace(query, relevance=row23))[23]
    assert score(vectors, query=query)[23] < relevant < score(vectors, query=replace(query, answer=row23))[23]


def test_centrality_equals_the_mean_cosine_with_all_sentences_up_to_a_factor() -> None:
    vectors = random_vectors(300)
    pairwise = (vectors @ vectors.T).mean(axis=1)
    ours = centroid_similarity(vectors, np.ones(300))
    np.testing.assert_allclose(ours / ours[0], pairwise / pairwise[0], rtol=1e-4)


def test_half_precision_vectors_give_nearly_the_same_salience() -> None:
    vectors = random_vectors(200)
    np.testing.assert_allclose(score(vectors.astype(np.float16)), score(vectors), atol=0.02)


def test_log_odds_are_shown_between_0_and_1_in_the_same_order() -> None:
    shown = probability(np.array([-1e6, -2.0, 0.0, 3.0, 1e6], dtype=np.float32))
    assert (np.diff(shown) > 0).all()
    assert shown.min() >= 0
    assert shown.max() <= 1
    assert shown[2] == pytest.approx(0.5)


def test_a_budget_of_sentences_is_met_and_comes_in_document_order() -> None:
    vectors = random_vectors(40)
    chosen = select(vectors, score(vectors), [20] * 40, budget=Budget(unit="sentences", amount=7))
    assert len(chosen) == 7
    assert chosen == sorted(set(chosen))


def test_the_same_thing_is_never_said_twice_even_when_the_budget_asks_for_more() -> None:
    vectors = np.repeat(random_vectors(3), 5, axis=0)
    chosen = select(vectors, score(vectors), [10] * 15, budget=Budget(unit="sentences", amount=15))
    assert len(chosen) == 3
    similarity = vectors[chosen] @ vectors[chosen].T
    assert (similarity[~np.eye(3, dtype=bool)] < NEAR_DUPLICATE).all()


def test_diversity_prefers_a_second_subject_to_more_of_the_first() -> None:
    first = unit(np.eye(8)[0] + 0.5 * random_vectors(5, 8))
    second = unit(np.eye(8)[1:2] + 0.1 * random_vectors(1, 8, seed=3))
    vectors = np.vstack([first, second])
    salience = np.array([1.0, 0.9, 0.9, 0.9, 0.9, 0.5], dtype=np.float32)
    budget = Budget(unit="sentences", amount=2)
    assert 5 in select(vectors, salience, [10] * 6, budget=budget)
    assert 5 not in select(vectors, salience, [10] * 6, budget=budget, diversity=0.0)


def band_is_reachable(words: list[int], amount: int) -> bool:
    sums = (sum(part) for size in range(1, len(words) + 1) for part in itertools.combinations(words, size))
    return any(0.9 * amount <= total <= 1.1 * amount for total in sums)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=10), st.integers(1, 200), st.integers(0, 99))
def test_a_budget_of_words_is_met_within_a_tenth_whenever_the_sentences_allow_it(
    words: list[int], amount: int, seed: int
) -> None:
    vectors = np.eye(len(words), dtype=np.float32)
    salience = np.random.default_rng(seed).standard_normal(len(words)).astype(np.float32)
    chosen = select(vectors, salience, words, budget=Budget(unit="words", amount=amount))
    total = sum(words[index] for index in chosen)
    assert chosen == sorted(set(chosen))
    assert chosen
    assert (0.9 * amount <= total <= 1.1 * amount) == band_is_reachable(words, amount)


def test_a_budget_of_few_words_is_met_by_the_one_sentence_that_is_as_short_however_plain_it_is() -> None:
    words = np.full(1_500, 30)
    words[700] = 8
    salience = np.ones(1_500, dtype=np.float32)
    salience[700] = -9.0
    assert select(random_vectors(1_500), salience, words, budget=Budget(unit="words", amount=8)) == [700]


def test_a_budget_of_words_is_not_met_by_saying_something_twice() -> None:
    vectors = np.eye(3, dtype=np.float32)[[0, 1, 1]]
    salience = np.array([1.0, 0.0, 0.0], dtype=np.float32)
    assert select(vectors, salience, [20, 14, 14], budget=Budget(unit="words", amount=30)) == [0]


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 4)), min_size=1, max_size=12), st.integers(1, 300))
def test_whatever_the_budget_no_two_sentences_say_the_same(rows: list[tuple[int, int]], amount: int) -> None:
    vectors = np.eye(5, dtype=np.float32)[[subject for _, subject in rows]]
    salience = np.linspace(1, 0, len(rows), dtype=np.float32)
    chosen = select(vectors, salience, [words for words, _ in rows], budget=Budget(unit="words", amount=amount))
    subjects = [rows[index][1] for index in chosen]
    assert len(set(subjects)) == len(subjects) > 0


def test_what_is_said_already_is_not_said_again() -> None:
    vectors = np.eye(4, dtype=np.float32)
    salience = np.array([3.0, 2.0, 1.0, 0.0], dtype=np.float32)
    for budget in (Budget(unit="sentences", amount=2), Budget(unit="words", amount=20)):
        assert select(vectors, salience, [10] * 4, budget=budget, said=vectors[:2]) == [2, 3]
        assert select(vectors, salience, [10] * 4, budget=budget, said=vectors) == []


def test_an_empty_text_has_an_empty_summary() -> None:
    nothing = np.zeros((0, 8), dtype=np.float32)
    assert select(nothing, np.zeros(0), [], budget=Budget(unit="words", amount=5)) == []
    assert score(nothing).shape == (0,)


def test_features_that_do_not_match_are_refused_with_their_numbers() -> None:
    with pytest.raises(ValueError, match="3 vectors do not match 2 words"):
        table(random_vectors(3), words=np.ones(2), words_before=np.zeros(3))
    with pytest.raises(ValueError, match="3 vectors, 3 saliences and 1 word counts"):
        select(random_vectors(3), np.zeros(3), [1], budget=Budget(unit="words", amount=5))
    with pytest.raises(ValueError, match="at least 1"):
        Budget(unit="words", amount=0)


def test_time_and_memory_grow_with_the_length_of_a_document_and_not_with_its_square() -> None:
    vectors = random_vectors(40_000, 64).astype(np.float16)
    words = np.full(40_000, 21)
    started = time.process_time()
    tracemalloc.start()
    salience = score(vectors, words=words)
    chosen = select(vectors, salience, words, budget=Budget(unit="words", amount=600))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 540 <= 21 * len(chosen) <= 660
    assert peak < 16_000_000  # an N x N matrix would be 6.4 GB
    assert time.process_time() - started < 10
