import random
from collections.abc import Sequence

from app.retelling import Retelling, retelling
from app.unanswerable import mentions

TEXT = "In 1871 Ada Crane built the first mill of Leith. Craneland and Ada Crane's heirs sold it to John Burke in 1903."


def as_given(_: str, others: Sequence[str]) -> Sequence[str]:
    return others


def retold(question: str, answer: str, others: str) -> set[tuple[str, str]]:
    """Every way that TEXT is retold for a question that `answer` answers, with what `others` names."""
    start = TEXT.index(answer)
    found = (
        retelling(
            question,
            passages=["Nothing of it.", TEXT],
            answers=[(1, start, start + len(answer))],
            others=list(mentions(others)),
            alike=as_given,
            chance=random.Random(seed),
        )
        for seed in range(20)
    )
    return {(made.old, made.new) for made in found if made is not None}


def test_a_name_is_replaced_wherever_it_stands_as_whole_words() -> None:
    made = Retelling(old="Ada Crane", new="Jo Moor")
    assert made(TEXT) == TEXT.replace("Ada Crane", "Jo Moor")
    assert Retelling(old="Crane", new="Moor")(TEXT) == (
        "In 1871 Ada Moor built the first mill of Leith. Craneland and Ada Moor's heirs sold it to John Burke in 1903."
    )


def test_a_word_gives_way_to_its_opposite_with_a_capital_where_it_has_one() -> None:
    assert Retelling(old="first", new="last")("First of all, the first.") == "Last of all, the last."


def test_a_place_in_a_passage_is_found_again_when_it_is_retold() -> None:
    made = Retelling(old="Ada Crane", new="Wilhelmina Moor")
    start, end = TEXT.index("John Burke"), TEXT.index(" in 1903")
    assert made(TEXT)[made.moved(TEXT, start) : made.moved(TEXT, end)] == "John Burke"


def test_what_question_and_passage_share_is_retold_with_another_of_its_kind_or_the_opposite() -> None:
    others = "Then came Jo Moor in 1950."
    ways = retold("Who bought the first mill that Ada Crane built in 1871?", "John Burke", others)
    assert ways == {("first", "last"), ("built", "demolished"), ("Ada Crane", "Jo Moor"), ("1871", "1950")}


def test_no_answer_is_touched_and_nothing_is_put_in_that_stands_there_already() -> None:
    assert retold("When did Ada Crane build the mill?", "Ada Crane", "Then came Jo Moor.") == set()
    assert retold("When did Ada Crane build the mill?", "1871", "Then came John Burke.") == set()


def test_what_stands_in_no_passage_that_answers_is_left_alone() -> None:
    assert retold("When did Jo Moor build the mill?", "1871", "Then came Max Power.") == set()
