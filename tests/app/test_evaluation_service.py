"""Measurements through the real parts of the service on a temporary data directory, with fakes for the two models."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import pytest

from app.evaluation import evaluate_qa, evaluate_retrieval, evaluate_summaries
from app.evaluation.errors import EvaluationError
from app.evaluation.target import Search
from app.settings import Settings
from app.wiring import Lectern, build
from model.types import Reading, ReadSpan
from tests.fakes import HashingEncoder, OverlapReader

PARAGRAPHS = [
    ["The tower of Harlow was built by Edmund.", "The bridge of Harlow was painted by Rosalind."],
    ["The mill of Denby was bought by Tobias.", "The church of Denby was drawn by Philippa."],
]
QUESTIONS = [
    [("The tower of Harlow was built by whom?", "Edmund"), ("The bridge of Harlow was painted by whom?", "Rosalind")],
    [("The mill of Denby was bought by whom?", "Tobias"), ("Which comet crossed a distant galaxy?", None)],
]


@pytest.fixture
def squad(tmp_path: Path) -> Path:
    data = []
    for article, (paragraphs, questions) in enumerate(zip(PARAGRAPHS, QUESTIONS, strict=True)):
        rows = []
        for place, (paragraph, (question, answer)) in enumerate(zip(paragraphs, questions, strict=True)):
            answers = [{"text": answer, "answer_start": paragraph.index(answer)}] if answer else []
            asked = {"id": f"{article}-{place}", "question": question, "answers": answers, "is_impossible": not answer}
            rows.append({"context": paragraph, "qas": [asked]})
        data.append({"title": f"Article {article}", "paragraphs": rows})
    path = tmp_path / "squad.json"
    path.write_text(json.dumps({"version": "v2.0", "data": data}), encoding="utf-8")
    return path


class FirstWordReader(OverlapReader):
    """A broken reader: sure of the first word after "The" of the first passage, whatever is asked."""

    name = "first-word@0"

    def read(
        self, question: str, passages: Sequence[str], *, target_error: float | None = None, answers: int = 5
    ) -> Reading:
        end = passages[0].index(" ", 4)
        span = ReadSpan(passage=0, start=4, end=end, probability=0.9, confidence=0.9)
        return Reading(spans=(span,), answerable=True, confidence=0.9, relevance=(1.0,) * len(passages), null=0.1)


@pytest.mark.parametrize("unit", ["paragraph", "article", "collection"])
def test_questions_go_through_the_answering_path_and_every_citation_slices_back(
    lectern: Lectern, squad: Path, unit: Any
):
    measured = evaluate_qa(lectern, squad, unit=unit)
    assert (measured.n, measured.f1, measured.em) == (4, 100.0, 100.0)
    assert (measured.threshold_f1, measured.best_f1, measured.auroc) == (100.0, 100.0, 100.0)
    assert measured.citations >= 3
    assert measured.broken_citations == 0
    if unit == "paragraph":
        assert measured.recall is None
    else:
        assert measured.recall is not None
        assert measured.recall[8] == 100.0
    documents = lectern.store.documents("default", limit=10)[0]
    assert len(documents) == (0 if unit == "paragraph" else 2)


def test_whole_documents_are_measured_as_they_are_read(lectern: Lectern, squad: Path, monkeypatch: pytest.MonkeyPatch):
    read: list[str] = []
    whole = OverlapReader.read_document

    def recorded(self: OverlapReader, question: str, text: str, **options: Any) -> Reading:
        read.append(text)
        return whole(self, question, text, **options)

    monkeypatch.setattr(OverlapReader, "read_document", recorded)
    measured = evaluate_qa(lectern, squad, unit="article", read="document")
    assert (measured.n, measured.broken_citations) == (4, 0)
    assert len(read) == 4
    assert all(PARAGRAPHS[0][1] in text or PARAGRAPHS[1][1] in text for text in read)
    with pytest.raises(EvaluationError, match="not read whole"):
        evaluate_qa(lectern, squad, unit="collection", read="document")


def test_a_broken_reader_lowers_the_measures_that_it_should(tmp_path: Path, squad: Path):
    broken = build(Settings(data_dir=tmp_path / "broken"), encoder=HashingEncoder(), reader=FirstWordReader())
    try:
        measured = evaluate_qa(broken, squad, unit="paragraph")
    finally:
        broken.close()
    assert (measured.f1, measured.em, measured.auroc) == (0.0, 0.0, 50.0)
    # Silence on everything is the best threshold: one question of four is unanswerable.
    assert (measured.threshold_f1, measured.best_f1) == (0.0, 25.0)


def test_a_corpus_is_ingested_together_and_found_in_every_mode(lectern: Lectern, tmp_path: Path):
    corpus, queries, qrels = (tmp_path / name for name in ("corpus.jsonl", "queries.jsonl", "qrels.tsv"))
    texts = [paragraph for article in PARAGRAPHS for paragraph in article]
    rows = [{"_id": f"d{n}", "title": f"Title {n}", "text": text} for n, text in enumerate(texts)]
    # The same text twice is two items, as judged.
    rows.append({"_id": "twin", "title": "Title 0", "text": texts[0]})
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    asked = [{"_id": "q0", "text": "tower of Harlow"}, {"_id": "q1", "text": "who bought the mill of Denby"}]
    queries.write_text("".join(json.dumps(row) + "\n" for row in asked), encoding="utf-8")
    qrels.write_text("query-id\tcorpus-id\tscore\nq0\td0\t1\nq0\ttwin\t1\nq1\td2\t1\n", encoding="utf-8")
    searches = get_args(Search)
    measured = evaluate_retrieval(lectern, corpus=corpus, queries=queries, qrels=qrels, searches=searches)
    assert list(measured) == ["sparse", "dense", "hybrid", "plain", "rank_fusion", "linear", "reranked"]
    for row in measured.values():
        assert row.as_dict() == {
            "ndcg_at_10": 100.0,
            "recall_at_1": 75.0,
            "recall_at_5": 100.0,
            "recall_at_10": 100.0,
            "mrr": 100.0,
        }
    jobs = lectern.store.jobs("default", limit=10)[0]
    assert [job.status for job in jobs] == ["succeeded"] * 5
    with pytest.raises(EvaluationError, match="no such search: magic"):
        evaluate_retrieval(lectern, corpus=corpus, queries=queries, qrels=qrels, searches=["magic"])


def test_summaries_of_the_service_stand_beside_the_baselines(lectern: Lectern, tmp_path: Path):
    text = " ".join(
        f"The {thing} of the village was {done} by the people of the valley in the {season}."
        for thing, done, season in zip(
            ("mill", "bridge", "church", "school", "market"),
            ("built", "painted", "blessed", "opened", "moved"),
            ("spring", "summer", "autumn", "winter", "spring"),
            strict=True,
        )
    )
    turns = [{"speaker": "Ann", "content": part.strip() + "."} for part in text.split(".") if part.strip()]
    rows = [
        {"id": "a", "text": text, "references": ["The bridge of the village was painted."], "words": 15},
        {"id": "b", "turns": turns, "query": "the school", "references": ["The school was opened."], "words": 15},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    systems = ["lectern", "lead", "centroid", "query_similarity"]
    measured = evaluate_summaries(lectern, path, systems=systems, oracle=True)
    assert list(measured) == [*systems, "oracle"]
    for system, row in measured.items():
        assert row.words is not None
        assert 13 <= row.words <= 17, system
        assert row.rouge1 is not None
        assert row.rouge1 > 0
    assert (measured["lead"].rouge1 or 0) < (measured["oracle"].rouge1 or 0)
