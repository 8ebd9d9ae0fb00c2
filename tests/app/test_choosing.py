"""Which sentences make a summary: budgets, parts, and the two levels of a book."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from app.choosing import CHAPTER_WORDS, chapters_of, choose, choose_from_book, condensed
from app.lines import Line
from app.parts import Part
from model.sentence_table import Floats
from model.summarizer import Budget

CHAPTERS, EACH, WORDS = 6, 40, 30


def line(source: int, number: int) -> Line:
    return Line(
        source=source,
        start=100 * number,
        end=100 * number + 60,
        text=f"Sentence {number}.",
        words=WORDS,
        words_before=WORDS * number,
        section=number // EACH,
        first=number % 4 == 0,
        speaker=None,
        turn_words=0,
    )


BOOK = [line(0, number) for number in range(CHAPTERS * EACH)]
PARTS = [Part(title=f"{at}", members=range(at * EACH, (at + 1) * EACH)) for at in range(CHAPTERS)]
VECTORS = np.eye(len(BOOK), dtype=np.float16)


def loud_first_chapter() -> Floats:
    """Every sentence of the first chapter is more salient than any other."""
    salience = np.random.default_rng(0).random(len(BOOK)).astype(np.float32)
    salience[:EACH] += 3.0
    return salience


def among(chosen: Sequence[int]) -> set[int]:
    return {place // EACH for place in chosen}


@pytest.mark.parametrize("budget", [Budget(unit="sentences", amount=6), Budget(unit="words", amount=180)])
def test_of_a_book_a_loud_chapter_does_not_take_everything(budget: Budget) -> None:
    salience = loud_first_chapter()
    flat = choose([Part(title=None, members=range(len(BOOK)))], BOOK, VECTORS, salience, budget)
    assert among(flat) == {0}
    told: list[Line] = []

    def rescore(places: Sequence[int], lines: Sequence[Line]) -> Floats:
        told.extend(lines)
        return np.array([-4.0 * (place < EACH) for place in places], dtype=np.float32)

    chosen = choose_from_book(BOOK, VECTORS, salience, budget, rescore)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == 6
    assert len(among(chosen)) > 2
    assert 6 * 6 <= len(told) <= 6 * 9, "the first level keeps some times the length, from every chapter"
    assert among([line.start // 100 for line in told]) == set(range(CHAPTERS))
    assert [line.words_before for line in told] == [WORDS * number for number in range(len(told))]


def test_few_words_of_a_book_are_met_by_a_sentence_that_the_first_level_did_not_keep() -> None:
    book = list(BOOK)
    book[200] = replace(book[200], words=8)
    plain = -np.abs(loud_first_chapter())
    plain[200] = -9.0
    budget = Budget(unit="words", amount=8)
    assert choose_from_book(book, VECTORS, plain, budget, lambda places, _: np.zeros(len(places), np.float32)) == [200]


def test_every_chapter_has_its_say_at_the_first_level_however_short_the_summary() -> None:
    told: list[int] = []

    def rescore(places: Sequence[int], lines: Sequence[Line]) -> Floats:
        told.extend(places)
        return np.zeros(len(places), dtype=np.float32)

    choose_from_book(BOOK, VECTORS, loud_first_chapter(), Budget(unit="sentences", amount=1), rescore)
    assert among(told) == set(range(CHAPTERS))


def test_each_document_of_a_condensed_text_begins_at_its_own_beginning() -> None:
    kept = condensed([line(0, 5), line(0, 9), line(1, 7), line(1, 8)])
    assert [(one.source, one.start, one.words_before) for one in kept] == [
        (0, 500, 0),
        (0, 900, WORDS),
        (1, 700, 0),
        (1, 800, WORDS),
    ]


def varied(count: int) -> list[Line]:
    """Sentences of 4 to 29 words, in chapters of EACH."""
    sizes = np.random.default_rng(1).integers(4, 30, count)
    before = np.cumsum(sizes) - sizes
    return [
        replace(line(0, number), words=int(sizes[number]), words_before=int(before[number])) for number in range(count)
    ]


@pytest.mark.parametrize("amount", [60, 100, 200, 900])
def test_few_words_for_many_chapters_are_met_and_not_by_the_shortest_sentences(amount: int) -> None:
    lines = varied(40 * EACH)
    parts = [Part(title=f"{at}", members=range(at * EACH, (at + 1) * EACH)) for at in range(40)]
    salience = np.random.default_rng(2).random(len(lines)).astype(np.float32)
    vectors = np.random.default_rng(3).standard_normal((len(lines), 64))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    chosen = choose(parts, lines, vectors, salience, Budget(unit="words", amount=amount))
    words = [lines[place].words for place in chosen]
    assert 0.9 * amount <= sum(words) <= 1.1 * amount
    assert np.mean(words) > 10, "the mean of all is 16"
    assert np.mean(salience[chosen]) > 0.8


def test_fewer_sentences_than_chapters_are_the_best_of_neighbouring_chapters() -> None:
    salience = loud_first_chapter()
    chosen = choose(PARTS, BOOK, VECTORS, salience, Budget(unit="sentences", amount=3))
    pairs = salience.reshape(3, 2 * EACH)
    assert chosen == [2 * EACH * number + int(pair.argmax()) for number, pair in enumerate(pairs)]


def test_what_one_part_says_no_other_says_again() -> None:
    vectors = np.tile(np.eye(EACH, dtype=np.float16), (CHAPTERS, 1))
    for budget in (Budget(unit="sentences", amount=60), Budget(unit="words", amount=1_800)):
        chosen = choose(PARTS, BOOK, vectors, loud_first_chapter(), budget)
        assert len({place % EACH for place in chosen}) == len(chosen) == EACH


def test_chapters_are_sections_small_ones_together_and_large_ones_divided() -> None:
    assert [part.members for part in chapters_of(BOOK)] == [list(part.members) for part in PARTS]
    small = [replace(one, section=number // 5) for number, one in enumerate(BOOK)]
    sizes = [sum(small[place].words for place in part.members) for part in chapters_of(small)]
    assert sum(sizes) == WORDS * len(BOOK)
    assert all(CHAPTER_WORDS[0] <= size <= CHAPTER_WORDS[0] + 5 * WORDS for size in sizes[:-1])
    large = [replace(one, section=0) for one in [line(0, number) for number in range(1_000)]]
    sizes = [len(part.members) for part in chapters_of(large)]
    assert len(sizes) == 6, "30,000 words by 5,000"
    assert max(sizes) - min(sizes) <= 1 + 1_000 // 6 % 2 + 4
    assert chapters_of([]) == []
