"""The reader's say in the order of hits."""

from dataclasses import dataclass

import pytest

from app.reranking import LEAST, RERANKED, WEIGHT, rerank
from model.types import Reading
from retriever.types import Hit, Passage


@dataclass
class Judge:
    """A reader that holds each passage as relevant as the number that it says."""

    name = "judge@1"
    read_texts: tuple[str, ...] = ()

    def read(self, question, passages, *, target_error=None, answers=5):
        self.read_texts = tuple(passages)
        relevance = tuple(float(text or "-inf") for text in passages)
        return Reading(spans=(), answerable=False, confidence=0.0, relevance=relevance, null=1.0)


def hits(*texts: str) -> list[Hit]:
    return [
        Hit(
            passage=Passage(
                key=key, id=f"d.{key}", document_id="d", version="v", ordinal=key, start=0, end=len(text), text=text
            ),
            title="",
            score=1.0 - key / 1_000,
            ranks={"sparse": key + 1},
        )
        for key, text in enumerate(texts)
    ]


def test_a_passage_that_the_reader_finds_relevant_overtakes_better_mixed_ones():
    ranked = rerank(Judge(), "q", hits("-3", "4", "-1"))
    assert [hit.passage.text for hit in ranked] == ["4", "-1", "-3"]
    assert [hit.ranks for hit in ranked] == [
        {"sparse": 2, "reader": 1},
        {"sparse": 3, "reader": 2},
        {"sparse": 1, "reader": 3},
    ]
    assert ranked[0].score == pytest.approx(0.999 + 4 * WEIGHT)
    assert ranked[0].scores == {"reader": 4.0}


def test_the_mix_still_counts_where_the_reader_sees_little_difference():
    near = hits("0.1", "0.2")
    apart = [near[0], near[1].__class__(**{**vars(near[1]), "score": 0.5})]
    assert [hit.passage.text for hit in rerank(Judge(), "q", apart)] == ["0.1", "0.2"]


def test_what_is_not_read_stays_behind_in_its_order_with_falling_scores():
    judge = Judge()
    ranked = rerank(judge, "q", hits(*[str(n % 5) for n in range(RERANKED)], "9", "9"))
    assert len(judge.read_texts) == RERANKED
    assert [hit.passage.key for hit in ranked[RERANKED:]] == [RERANKED, RERANKED + 1]
    assert all("reader" not in hit.ranks for hit in ranked[RERANKED:])
    scores = [hit.score for hit in ranked]
    assert scores == sorted(scores, reverse=True)


def test_a_passage_without_text_comes_last_with_a_finite_score():
    ranked = rerank(Judge(), "q", hits("", "1"))
    assert [hit.passage.text for hit in ranked] == ["1", ""]
    assert ranked[1].scores["reader"] == LEAST


def test_nothing_found_is_not_read():
    assert rerank(Judge(), "q", []) == []
