import json
from collections.abc import Sequence

import pytest

from app.mining import Corpus, groups, read_squad, sparse_search

TOWNS = ["Leith", "Oslo", "Kyiv", "Turin", "Porto", "Lyon", "Cork", "Gdansk", "Split", "Bergen", "Vigo", "Ghent"]


def count_words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


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
    return read_squad([path], count=count_words)


def test_groups_hold_the_answer_where_they_say_it_stands_and_nowhere_else(corpus: Corpus) -> None:
    with sparse_search(list(corpus.passages.values())) as search:
        mined = list(groups(corpus, corpus.questions, search, seed=0))
    assert len(mined) == len(corpus.questions) == 24
    for group in mined:
        town = group.id.split()[1]
        answer = f"Ada {town}son"
        assert [group.passages[p][start:end] for p, start, end in group.answers] in ([answer], [])
        holding = [index for index, passage in enumerate(group.passages) if answer in passage]
        assert holding == group.relevant == [p for p, _, _ in group.answers]
        assert len(set(group.passages)) == len(group.passages)
    answered = sum(bool(group.answers) for group in mined)
    assert 0.4 < answered / len(mined) < 0.9


def test_passages_come_from_the_same_article_and_from_others(corpus: Corpus) -> None:
    with sparse_search(list(corpus.passages.values())) as search:
        mined = list(groups(corpus, corpus.questions, search, seed=0))
    near = [thing for group in mined for passage in group.passages if (thing := group.id.split()[0]) in passage]
    total = sum(len(group.passages) for group in mined)
    assert total / 2 < len(near) < total


def test_the_seed_decides_the_groups(corpus: Corpus) -> None:
    with sparse_search(list(corpus.passages.values())) as search:
        one, same, other = (list(groups(corpus, corpus.questions, search, seed=seed)) for seed in (0, 0, 1))
    assert one == same
    assert one != other
