import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from app import mining
from app.mining import Hardest, groups
from app.scratch_index import sparse_search
from app.squad_corpus import Corpus, held_out, read_squad

TOWNS = ["Leith", "Oslo", "Kyiv", "Turin", "Porto", "Lyon", "Cork", "Gdansk", "Split", "Bergen", "Vigo", "Ghent"]
COLUMNS: dict[str, int] = {}


def count_words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def encode(texts: Sequence[str]) -> NDArray[np.float32]:
    """Unit vectors of the words in each text: those that share most are the nearest."""
    rows = np.zeros((len(texts), 512), np.float32)
    for row, text in zip(rows, texts, strict=True):
        for word in text.split():
            row[COLUMNS.setdefault(word, len(COLUMNS))] = 1.0
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Two articles; each paragraph of some 100 words names one town's mill, tower or bridge."""
    data = []
    for thing in ("mill", "tower"):
        paragraphs = []
        for town in TOWNS:
            filler = " ".join(f"The {thing} of the old quarter was mended in the year {n} by masons." for n in range(8))
            context = f"The {thing} keeper of {town} was Ada {town}son. {filler}"
            answer = f"Ada {town}son"
            question = {
                "id": f"{thing} {town}",
                "question": f"Who was the {thing} keeper of {town}?",
                "answers": [{"text": answer, "answer_start": context.index(answer)}],
            }
            paragraphs.append({"context": context, "qas": [question]})
        data.append({"title": thing, "paragraphs": paragraphs})
    path = tmp_path_factory.mktemp("squad") / "set.json"
    path.write_text(json.dumps({"data": data}))
    return read_squad([path], count=count_words, encode=encode)


def test_groups_say_where_the_answer_stands_or_rightly_that_it_does_not(corpus: Corpus) -> None:
    with sparse_search(list(corpus.passages.values())) as search:
        mined = [group for seed in range(8) for group in groups(corpus, corpus.questions, search, seed=seed)]
    # What surrounds a passage that should not answer may answer all the same: such a group is left out.
    assert 0.95 * 192 < len(mined) <= 8 * len(corpus.questions) == 192
    seen = Counter[str]()
    for group in mined:
        thing, town = group.id.split()
        answer, asked = f"Ada {town}son", f"Who was the {thing} keeper of {town}?"
        holding = [index for index, passage in enumerate(group.passages) if answer in passage]
        assert len(set(group.passages)) == len(group.passages) >= 1
        assert group.relevant == [passage for passage, _, _ in group.answers]
        about = group.question.removeprefix(f"Who was the {thing} keeper of ").removesuffix("?")
        told = any(f"keeper of {about} was {answer}" in passage for passage in group.passages)
        if group.answers:
            assert told
            assert [group.passages[p][start:end] for p, start, end in group.answers] == [answer]
            seen["answered" if group.question == asked else "retold"] += 1
        elif group.question == asked and holding:
            assert not any(town in passage.split() for passage in group.passages)
            seen["told of another"] += 1
        elif group.question == asked:
            cut = any(passage.startswith(f"The {thing} of the old quarter") for passage in group.passages)
            seen["cut" if cut else "not there"] += 1
        else:
            assert holding
            assert not told
            seen["altered"] += 1
    assert set(seen) == {"answered", "retold", "told of another", "cut", "not there", "altered"}
    assert 0.4 < (seen["answered"] + seen["retold"]) / len(mined) < 0.8


def test_a_question_may_meet_the_paragraph_that_answers_the_most_similar_one(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mining, "WAYS", {"elsewhere": 1.0})
    asked = {question.id: question for question in corpus.questions}
    with sparse_search(list(corpus.passages.values())) as search:
        mined = list(groups(corpus, corpus.questions, search, seed=0, alone=1.0))
    assert len(mined) == len(corpus.questions)
    for group in mined:
        assert group.question == asked[group.id].text
        assert group.answers == []
        nearest = corpus.similar[group.id][0]
        answer = corpus.articles[nearest.article].text[slice(*nearest.answers[0])]
        assert any(answer in passage for passage in group.passages)


def test_what_is_shown_alone_may_be_the_sentences_of_the_answer_only(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mining, "WAYS", {"answered": 1.0})
    monkeypatch.setattr(mining, "CLOSE", 1.0)
    with sparse_search(list(corpus.passages.values())) as search:
        mined = list(groups(corpus, corpus.questions, search, seed=0, alone=1.0))
    assert len(mined) == len(corpus.questions)
    for group in mined:
        thing, town = group.id.split()
        first = f"The {thing} keeper of {town} was Ada {town}son."
        second = f"The {thing} of the old quarter was mended in the year 0 by masons."
        assert group.passages in ([first], [f"{first} {second}"])
        assert group.answers


def test_a_question_that_is_asked_again_of_its_article_is_never_called_unanswerable(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mining, "WAYS", dict.fromkeys(("missing", "elsewhere", "altered"), 1.0))
    again = replace(corpus, repeated={question.id for question in corpus.questions})
    with sparse_search(list(corpus.passages.values())) as search:
        assert all(group.answers for group in groups(again, corpus.questions, search, seed=0))


def test_passages_come_from_the_same_article_and_from_others(corpus: Corpus) -> None:
    with sparse_search(list(corpus.passages.values())) as search:
        mined = list(groups(corpus, corpus.questions, search, seed=0))
    near = [thing for group in mined for passage in group.passages if (thing := group.id.split()[0]) in passage]
    total = sum(len(group.passages) for group in mined)
    assert total / 2 < len(near) < total


def test_of_several_unanswerable_groups_the_one_that_a_reader_falls_for_is_taken(corpus: Corpus) -> None:
    def surest_of_later_towns(question: str, passages: Sequence[str]) -> float:
        return max(TOWNS.index(town) for town in TOWNS if town in question)

    hardest = Hardest(sure=surest_of_later_towns, tries=12)
    with sparse_search(list(corpus.passages.values())) as search:
        plain = list(groups(corpus, corpus.questions, search, seed=0, alone=1.0))
        hard = list(groups(corpus, corpus.questions, search, seed=0, alone=1.0, hardest=hardest))
    assert [group.id for group in hard] == [group.id for group in plain]
    assert [group for group in hard if group.answers] == [group for group in plain if group.answers]
    gained = [
        surest_of_later_towns(one.question, ()) - surest_of_later_towns(other.question, ())
        for one, other in zip(hard, plain, strict=True)
    ]
    assert min(gained) == 0
    assert sum(gain > 0 for gain in gained) >= 5


def test_the_seed_decides_the_groups(corpus: Corpus) -> None:
    with sparse_search(list(corpus.passages.values())) as search:
        one, same, other = (list(groups(corpus, corpus.questions, search, seed=seed)) for seed in (0, 0, 1))
    assert one == same
    assert one != other


def test_some_articles_of_each_set_are_held_out_and_always_the_same():
    names = [f"squad/{number}" for number in range(1_000)] + [f"policies/{number}" for number in range(4)]
    held = held_out(names, 0.05)
    assert held == held_out(reversed(names), 0.05)
    assert 30 < sum(name.startswith("squad/") for name in held) < 70
    assert sum(name.startswith("policies/") for name in held) >= 1
