from collections.abc import Callable

import pytest

from app.pseudo_questions import KINDS, Rarity, pseudo_questions

TEXTS = {
    7: "The lighthouse of Gull Point was built in 1871 by Robert Stevenson. It has been automatic for many years now.",
    9: "Visiting boats may stay at the outer quay. The fee for boats up to ten metres is 18 euros each night.",
    11: "Too short.",
    12: "Diesel at the pier only.",
}
RARITY = Rarity.of(list(TEXTS.values()))


def made(*kinds: str, seed: int = 0) -> dict[tuple[int, str], str]:
    found = pseudo_questions(TEXTS, kinds=kinds or KINDS, rarity=RARITY, seed=seed)  # type: ignore[arg-type]
    return {(each.passage, each.kind): each.text for each in found}


def test_a_passage_gives_at_most_one_question_of_each_kind_and_a_bare_one_gives_none() -> None:
    found = made()
    assert {kind for passage, kind in found if passage == 7} == set(KINDS)
    assert not any(passage == 11 for passage, _ in found)


def test_they_depend_on_the_seed_and_the_passage_alone() -> None:
    assert made() == made()
    alone = pseudo_questions({7: TEXTS[7]}, kinds=KINDS, rarity=RARITY, seed=0)
    assert {(7, each.kind): each.text for each in alone}.items() <= made().items()
    assert any(made(seed=seed) != made() for seed in range(1, 6))


@pytest.mark.parametrize("seed", range(8))
def test_what_is_masked_or_asked_for_is_the_answer_and_not_in_the_question(seed: int) -> None:
    for each in pseudo_questions(TEXTS, kinds=("masked", "question"), rarity=RARITY, seed=seed):
        assert each.answer
        start, end = each.sentence
        assert each.answer in TEXTS[each.passage][start:end]
        assert each.answer not in each.text


def test_a_date_is_asked_for_with_when() -> None:
    text = "The lighthouse on the northern pier was built in 1871."
    asked = [
        each.text
        for seed in range(4)
        for each in pseudo_questions({1: text}, kinds=("question",), rarity=Rarity.of([text]), seed=seed)
    ]
    assert "When The lighthouse on the northern pier was built?" in asked


def test_keywords_are_what_the_other_passages_lack() -> None:
    common = {at: f"The fee for boats at the quay number {at} is due at noon today." for at in range(20)}
    texts = {**common, 99: "The fee for boats with barnacles, kelp, limpets, urchins or mussels at the quay is double."}
    rarity = Rarity.of(list(texts.values()))
    found = next(iter(pseudo_questions({99: texts[99]}, kinds=("keywords",), rarity=rarity, seed=0)))
    assert set(found.text.split()) & {"barnacles", "kelp", "limpets", "urchins", "mussels", "double"}
    assert not set(found.text.split()) & {"The", "the", "boats", "quay"}


def test_a_reworded_question_has_other_words_for_the_same_and_there_is_none_without_any() -> None:
    text = "The lighthouse on the northern pier was built in 1871."
    rarity = Rarity.of([text])

    def asked(related: Callable[[str], tuple[str, ...]]) -> set[str]:
        return {
            each.text
            for seed in range(40)
            for each in pseudo_questions({1: text}, kinds=("reworded",), rarity=rarity, seed=seed, related=related)
        }

    words = {"built": ("erected", "made"), "pier": ("jetty",)}
    assert asked(lambda word: words.get(word, ())) == {
        "When The lighthouse on the northern pier was erected?",
        "When The lighthouse on the northern jetty was built?",
        "When The lighthouse on the northern jetty was erected?",
    }
    assert asked(lambda _: ()) == set()
    masked = next(
        pseudo_questions(
            {1: text}, kinds=("paraphrased",), rarity=rarity, seed=0, related=lambda word: words.get(word, ())
        )
    )
    assert masked.answer is not None
    assert masked.answer not in masked.text
    assert "erected" in masked.text or "jetty" in masked.text
