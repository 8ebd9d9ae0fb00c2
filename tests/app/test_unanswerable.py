import random
from collections.abc import Callable, Sequence

import pytest

from app.unanswerable import altered, conditioned, mentions, negated, opposite, swapped

TEXT = "The Mill of Leith was built in 1871 by Ada Crane. It had 3,400 stones. Burke sold it in 1903."


def as_given(_: str, others: Sequence[str]) -> Sequence[str]:
    return others


def swap(
    question: str,
    others: str,
    *,
    inside: bool = False,
    alike: Callable[[str, Sequence[str]], Sequence[str]] = as_given,
    seed: int = 0,
) -> str | None:
    """The question with something of TEXT swapped for what another text names."""
    return swapped(
        question,
        passage=TEXT,
        others=list(mentions(others)),
        alike=alike,
        inside=inside,
        chance=random.Random(seed),
    )


def test_years_numbers_and_names_are_told_apart() -> None:
    found = {(mention.kind, mention.text) for mention in mentions(TEXT)}
    assert {("year", "1871"), ("year", "1903"), ("number", "3,400"), ("name", "Ada Crane")} <= found
    assert ("name", "Mill of Leith") in found
    assert not {text for kind, text in found if kind == "name"} & {"The", "It", "Burke"}, "it may be a common word"
    assert all(TEXT[mention.start : mention.end] == mention.text for mention in mentions(TEXT))


def test_a_swap_puts_in_another_of_the_same_kind_that_the_passage_does_not_have() -> None:
    others = "Then came John Moore in 1950 with 12 men and Ada Crane in 1871."
    assert {swap("Who built it in 1871?", others, seed=seed) for seed in range(5)} == {"Who built it in 1950?"}
    assert swap("What did Ada Crane build?", others) == "What did John Moore build?"


def test_a_swap_inside_the_passage_leaves_only_words_that_stand_there() -> None:
    assert swap("Who built it in 1871?", TEXT, inside=True) == "Who built it in 1903?"


@pytest.mark.parametrize("other", ["Édith Cranes", "Crane Company", "Ada", "AC"])
def test_a_name_is_not_swapped_for_one_that_may_be_the_same(other: str) -> None:
    assert swap("What did Ada Crane build?", f"Then came {other} and went.") is None


def test_a_number_may_be_swapped_for_one_that_begins_with_the_same_digit() -> None:
    assert swap("Who had 3 stones?", "Then 350 men came.") == "Who had 350 stones?"


def test_letters_are_not_swapped_as_names() -> None:
    asked = "Which A.S. mill did Ada Crane build?"
    found = {swap(asked, "Then came John Moore.", seed=seed) for seed in range(10)}
    assert found == {"Which A.S. mill did John Moore build?"}


def test_a_swap_puts_in_the_likest_names_and_the_nearest_numbers() -> None:
    names = "Then came " + " and ".join(f"Mx{letter * 3}" for letter in "abcdefghij") + "."
    numbers = "In " + " and ".join(map(str, range(1801, 1821))) + "."

    def backwards(_: str, others: Sequence[str]) -> Sequence[str]:
        return sorted(others, reverse=True)

    found = {swap("What did Ada Crane build?", names, alike=backwards, seed=seed) for seed in range(60)}
    assert found == {f"What did Mx{letter * 3} build?" for letter in "efghij"}
    years = {swap("Who built it in 1871?", numbers, alike=backwards, seed=seed) for seed in range(60)}
    assert years == {f"Who built it in {year}?" for year in range(1815, 1821)}


def test_a_question_is_altered_in_every_way_that_can_be_taken_and_in_none_otherwise() -> None:
    found = {
        altered(
            "Who was the first owner before 1871?",
            passage=TEXT,
            others=list(mentions(TEXT + " Then in 1950.")),
            asked=["Who sang at the fair?"],
            alike=as_given,
            chance=random.Random(seed),
        )
        for seed in range(60)
    }
    assert found == {
        "Who was the first owner before 1950?",
        "Who was the first owner before 1903?",
        "Who was the last owner before 1871?",
        "Who was the first owner after 1871?",
        "Who was not the first owner before 1871?",
        "Who was the first owner before 1871 at the fair?",
    }
    assert altered("Which?", passage=TEXT, others=[], asked=[], alike=as_given, chance=random.Random(0)) is None


@pytest.mark.parametrize("question", ["Who built it?", "Who built it in 1999?"])
def test_nothing_is_swapped_that_the_passage_does_not_hold(question: str) -> None:
    assert swap(question, "In 1950.") is None


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Who was the owner?", "Who was not the owner?"),
        ("What did the owner sell?", "What did the owner never sell?"),
        ("Which stones?", None),
    ],
)
def test_a_question_is_negated_where_it_has_an_auxiliary(question: str, expected: str | None) -> None:
    assert negated(question) == expected


def test_one_word_becomes_its_opposite_and_keeps_its_capital() -> None:
    assert opposite("Which is the largest mill?", chance=random.Random(0)) == "Which is the smallest mill?"
    assert opposite("Most of what?", chance=random.Random(0)) == "Least of what?"
    assert opposite("Which mill?", chance=random.Random(0)) is None


def test_a_name_is_not_turned_into_its_opposite() -> None:
    assert opposite("Which stones of the First Mill?", chance=random.Random(0)) is None


@pytest.mark.parametrize(
    ("question", "other", "expected"),
    [
        ("Who owned the mill of Leith?", "Which was the bridge of Burra?", "Who owned the mill of Burra?"),
        ("In the spring, who sold it?", "What froze in the winter?", "In the winter, who sold it?"),
        ("Who sold it?", "What froze in the winter?", "Who sold it in the winter?"),
        ("Who sold it?", "During the war, who came?", "Who sold it during the war?"),
        ("Who sold it?", "Which was the bridge of Burra?", None),  # says neither when nor where
        ("Who sold it?", "What burned in Leith?", None),  # as the passage says
        ("Who owned the mill of Leith?", "Who was the miller of Leith?", None),
        ("Who sold it?", "What was in which year?", None),
    ],
)
def test_a_condition_comes_from_another_question(question: str, other: str, expected: str | None) -> None:
    assert conditioned(question, passage=TEXT, asked=[other], chance=random.Random(0)) == expected
