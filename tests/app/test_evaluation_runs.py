"""Whole measurements on tiny sets, over stand-ins whose every reply is known."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.evaluation import EvaluationError, Progress, ProgressLine, write_json
from app.evaluation.qa import Asked, Journal, QaMeasures, Unit, evaluate_target, measure
from app.evaluation.retrieval import evaluate_searches
from app.evaluation.sets import (
    RetrievalSet,
    read_retrieval,
    read_squad,
    sample,
)
from app.evaluation.squad import scorer_for
from app.evaluation.target import BulkUpload, Search
from app.schemas import Alternative, AskReply, Citation, Models, ReadCounts

ARTICLES = [
    ("Normans", ["The Normans gave their name to Normandy.", "Rollo was their first leader."]),
    ("Oxygen", ["Oxygen was found in 1774 by Priestley."]),
]
QUESTIONS: list[tuple[str, int, int, str, list[str]]] = [
    ("q1", 0, 0, "To what did the Normans give their name?", ["Normandy"]),
    ("q2", 0, 1, "Who was the first leader?", ["Rollo", "Rollo the leader"]),
    ("q3", 0, 1, "Who was the second leader?", []),
    ("q4", 1, 0, "When was oxygen found?", ["1774", "in 1774"]),
]


def squad_file(folder: Path, *, unanswerable: bool = True) -> Path:
    data: list[dict[str, Any]] = [
        {"title": title, "paragraphs": [{"context": text, "qas": []} for text in paragraphs]}
        for title, paragraphs in ARTICLES
    ]
    for number, article, paragraph, question, answers in QUESTIONS:
        if answers or unanswerable:
            golds = [{"text": answer, "answer_start": 0} for answer in answers]
            row: dict[str, Any] = {"id": number, "question": question, "answers": golds}
            if unanswerable:
                row["is_impossible"] = not answers
            data[article]["paragraphs"][paragraph]["qas"].append(row)
    path = folder / "set.json"
    path.write_text(json.dumps({"version": "2.0", "data": data}), encoding="utf-8")
    return path


class ScriptedTarget:
    """Answers each question as it is told: question -> (answer, confidence, does it abstain)."""

    def __init__(self, replies: Mapping[str, tuple[str, float, bool]]) -> None:
        self.replies = replies
        self.documents: dict[str, str] = {}
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        self.shift = 0

    def upload(self, text: str, *, title: str, collection: str) -> str:
        self.documents[title] = text
        return title

    def text(self, document_id: str) -> str:
        return self.documents[document_id]

    def search(self, question: str, source: Mapping[str, Any], *, k: int) -> Sequence[str]:
        texts = [self.documents[name] for name in source.get("documents", self.documents)]
        return [line for text in texts for line in text.split("\n")][:k]

    def ask(self, question: str, source: Mapping[str, Any], *, top_k: int) -> AskReply:
        self.asked.append((question, source))
        answer, confidence, abstains = self.replies[question]
        document = None if "text" in source else next(n for n, t in self.documents.items() if answer in t)
        start = (source.get("text") or self.documents[document or ""]).find(answer) + self.shift
        citation = Citation(
            document_id=document,
            title=document,
            version="v",
            start=start,
            end=start + len(answer),
            quote=answer,
            context=answer,
            page=None,
            section=None,
            passage_id="p",
            score=1.0,
        )
        return AskReply(
            answer=None if abstains else answer,
            answerable=not abstains,
            confidence=1 - confidence if abstains else confidence,
            citations=[] if abstains else [citation],
            alternatives=[Alternative(answer=answer, confidence=confidence, citation=citation)] if abstains else [],
            read=ReadCounts(passages=1, characters=1, documents=1),
            model=Models(),
            timings_ms={},
        )


RIGHT = {
    "To what did the Normans give their name?": ("Normandy", 0.9, False),
    "Who was the first leader?": ("Rollo", 0.4, True),
    "Who was the second leader?": ("Rollo", 0.2, True),
    "When was oxygen found?": ("1774 by Priestley", 0.8, False),
}


def run(target: ScriptedTarget, folder: Path, *, unit: Unit = "paragraph", records: Path | None = None) -> QaMeasures:
    qa = read_squad(squad_file(folder))
    journal = Journal(records, {"unit": unit})
    return evaluate_target(target, qa, unit=unit, items=qa.items, top_k=8, journal=journal)


def test_the_measures_of_a_tiny_set_are_those_computed_by_hand(tmp_path: Path):
    measured = run(ScriptedTarget(RIGHT), tmp_path).as_dict()
    # Forced on the answerable: Normandy 1, Rollo 1, "1774 by Priestley" against "in 1774" 2/5 or "1774" 1/2.
    assert measured["n"] == 4
    assert measured["em"] == pytest.approx(100 * 2 / 3, abs=0.01)
    assert measured["f1"] == pytest.approx(100 * 2.5 / 3, abs=0.01)
    # As decided: 1, silence on an answerable 0, silence on the unanswerable 1, 1/2.
    assert measured["threshold_f1"] == pytest.approx(100 * 2.5 / 4, abs=0.01)
    # Best: answer the three answerable (all rank before the unanswerable), stay silent on the last.
    assert measured["best_f1"] == pytest.approx(100 * 3.5 / 4, abs=0.01)
    assert measured["auroc"] == 100.0
    assert measured["recall_at_1"] is None
    assert list(measured) == [
        "n",
        "em",
        "f1",
        "threshold_f1",
        "best_f1",
        "auroc",
        "recall_at_1",
        "recall_at_5",
        "recall_at_8",
        "recall_at_10",
        "questions_per_second",
        "p50_ms",
        "p95_ms",
        "ece",
        "brier",
        "brier_constant",
        "answered_at_target_20",
        "error_at_target_20",
    ]


def test_a_broken_answer_lowers_what_it_should_and_nothing_else(tmp_path: Path):
    good = run(ScriptedTarget(RIGHT), tmp_path).as_dict()
    wrong = {**RIGHT, "To what did the Normans give their name?": ("The Normans", 0.9, False)}
    bad = run(ScriptedTarget(wrong), tmp_path).as_dict()
    assert bad["f1"] == pytest.approx(100 * 1.5 / 3, abs=0.01)
    assert all(bad[name] < good[name] for name in ("em", "f1", "threshold_f1", "best_f1"))  # type: ignore[operator]
    assert bad["auroc"] == good["auroc"]
    unsure = run(ScriptedTarget({**RIGHT, "Who was the second leader?": ("Rollo", 0.85, True)}), tmp_path).as_dict()
    assert unsure["auroc"] == pytest.approx(100 / 3, abs=0.01)
    assert unsure["f1"] == good["f1"]


def test_the_article_unit_uploads_each_article_whole_once_and_asks_it_of_that_document(tmp_path: Path):
    target = ScriptedTarget(RIGHT)
    measured = run(target, tmp_path, unit="article").as_dict()
    assert target.documents == {title: "\n".join(paragraphs) for title, paragraphs in ARTICLES}
    assert [source for _, source in target.asked] == [{"documents": ["Normans"]}] * 3 + [{"documents": ["Oxygen"]}]
    # Passages are lines in order: Normandy at 1, Rollo at 2, 1774 at 1.
    assert measured["recall_at_1"] == pytest.approx(100 * 2 / 3, abs=0.01)
    assert measured["recall_at_5"] == 100.0


def test_the_collection_unit_asks_all_articles_together(tmp_path: Path):
    target = ScriptedTarget(RIGHT)
    measured = run(target, tmp_path, unit="collection").as_dict()
    assert {str(source) for _, source in target.asked} == {"{'collection': 'evaluation'}"}
    assert measured["recall_at_1"] == pytest.approx(100 / 3, abs=0.01)


def test_citations_that_do_not_slice_back_are_counted(tmp_path: Path):
    target = ScriptedTarget(RIGHT)
    assert (run(target, tmp_path).citations, run(target, tmp_path).broken_citations) == (2, 0)
    target.shift = 1
    assert run(target, tmp_path, unit="article").broken_citations == 2


def test_a_set_without_unanswerable_questions_has_no_auroc(tmp_path: Path):
    qa = read_squad(squad_file(tmp_path, unanswerable=False))
    assert qa.rules == "squad1"
    asked = {item.id: Asked(id=item.id, answer=None, forced="Rollo", no_answer=0.5, ms=2.0) for item in qa.items}
    measured = measure(qa.items, asked, scorer_for(qa.rules), unit="paragraph")
    assert measured.auroc is None
    assert (measured.threshold_f1, measured.f1) == (0.0, pytest.approx(100 / 3))
    assert (measured.p50_ms, measured.questions_per_second) == (2.0, 500.0)


def test_a_stopped_run_goes_on_with_the_questions_that_are_left(tmp_path: Path):
    records = tmp_path / "records.jsonl"
    whole = run(ScriptedTarget(RIGHT), tmp_path, records=records)
    lines = records.read_text(encoding="utf-8").split("\n")
    # Killed in the middle of the third record: header, two records, half of one.
    records.write_text("\n".join([*lines[:3], lines[3][:20]]), encoding="utf-8")
    target = ScriptedTarget(RIGHT)
    again = run(target, tmp_path, records=records)
    assert [question for question, _ in target.asked] == [question for _, _, _, question, _ in QUESTIONS[2:]]
    assert again.f1_by_question == whole.f1_by_question
    assert records.read_text(encoding="utf-8").count("\n") == 5
    with pytest.raises(EvaluationError, match="another run"):
        run(target, tmp_path, unit="article", records=records)


def test_a_file_that_is_not_a_set_is_refused_with_its_place(tmp_path: Path):
    path = tmp_path / "set.json"
    for payload, said in (
        ("{", "as JSON"),
        ('{"data": []}', "no question"),
        ('{"data": [{"paragraphs": [{"context": "x", "qas": [{"id": "7"}]}]}]}', "at its start"),
    ):
        path.write_text(payload, encoding="utf-8")
        with pytest.raises(EvaluationError, match=said):
            read_squad(path)


def test_a_chinese_set_is_scored_by_characters(tmp_path: Path):
    path = tmp_path / "set.json"
    question = {"id": "1", "question": "北京在哪里？", "answers": [{"text": "在中国", "answer_start": 2}]}
    article = {"title": "t", "paragraphs": [{"context": "北京在中国。", "qas": [question]}]}
    path.write_text(json.dumps({"data": [article]}), encoding="utf-8")
    assert read_squad(path).rules == "cmrc"


def test_a_sample_is_drawn_over_all_items_and_is_the_same_again():
    items = list(range(1000))
    first = sample(items, 50, seed=13)
    assert first == sample(items, 50, seed=13) == sorted(first)
    assert first != sample(items, 50, seed=14)
    assert max(first) > 800
    assert sample(items, None, seed=13) == items
    with pytest.raises(EvaluationError, match="at least 1"):
        sample(items, 0, seed=13)


class ListedSearch:
    """Finds documents as it is told: (query, search) -> keys, a key for each passage."""

    def __init__(self, found: Mapping[tuple[str, Search], Sequence[str]]) -> None:
        self.found = found
        self.depths: list[int] = []
        self.uploaded: dict[str, str] = {}

    def upload_all(self, uploads: Sequence[BulkUpload], *, collection: str, progress: Any) -> Mapping[str, str]:
        self.uploaded = {f"id-{upload.key}": upload.text for upload in uploads}
        return {f"id-{upload.key}": upload.key for upload in uploads}

    def ranked_documents(self, query: str, *, collection: str, search: Search, k: int) -> Sequence[str]:
        self.depths.append(k)
        return [f"id-{key}" for key in self.found[query, search]][:k]


def test_an_item_ranks_by_its_best_passage_and_more_are_fetched_until_ten_items_are_there():
    corpus = tuple((f"d{n}", "", f"text {n}") for n in range(12))
    data = RetrievalSet(corpus=corpus, queries={"q": "query"}, qrels={"q": {"d1": 1, "d5": 1}})
    # Thirty passages of one document come first, so thirty are not enough.
    search = ListedSearch({("query", "dense"): ["d0"] * 30 + [f"d{n}" for n in range(1, 12)]})
    measured = evaluate_searches(search, data, queries=["q"], searches=["dense"])["dense"]
    assert search.depths == [30, 100]
    # d1 is the second item, d5 the sixth.
    ideal = 1 + 1 / np.log2(3)
    assert measured.as_dict() == {
        "ndcg_at_10": pytest.approx(100 * (1 / np.log2(3) + 1 / np.log2(7)) / ideal, abs=0.01),
        "recall_at_1": 0.0,
        "recall_at_5": 50.0,
        "recall_at_10": 100.0,
        "mrr": 50.0,
    }


def test_a_title_stands_above_its_text_unless_the_text_begins_with_it_and_empty_items_are_not_uploaded():
    corpus = (
        ("a", "Wing", "in a slipstream"),
        ("b", "wing", "wing\nin a slipstream"),
        ("c", "", " "),
        ("d", "Only", ""),
    )
    data = RetrievalSet(corpus=corpus, queries={"q": "x"}, qrels={"q": {"c": 1}})
    search = ListedSearch({("x", "sparse"): ["a"]})
    assert evaluate_searches(search, data, queries=["q"], searches=["sparse"])["sparse"].ndcg_at_10 == 0.0
    assert search.uploaded == {
        "id-a": "Wing\n\nin a slipstream",
        "id-b": "wing\nin a slipstream",
        "id-d": "Only",
    }


def test_retrieval_files_are_read_and_checked(tmp_path: Path):
    corpus, queries, qrels = (tmp_path / name for name in ("corpus.jsonl", "queries.jsonl", "qrels.tsv"))
    corpus.write_text('{"_id": "1", "title": "t", "text": "a\u2028b"}\n{"_id": "2", "text": "b"}\n', encoding="utf-8")
    queries.write_text('{"_id": "q", "text": "?"}\n{"_id": "unjudged", "text": "?"}\n', encoding="utf-8")
    qrels.write_text("query-id\tcorpus-id\tscore\nq\t1\t2\nq\t2\t0\n", encoding="utf-8")
    data = read_retrieval(corpus, queries, qrels)
    assert data.corpus == (("1", "t", "a\u2028b"), ("2", "", "b"))
    assert (dict(data.queries), dict(data.qrels)) == ({"q": "?"}, {"q": {"1": 2, "2": 0}})
    qrels.write_text("q\t3\t1\n", encoding="utf-8")
    with pytest.raises(EvaluationError, match="does not hold"):
        read_retrieval(corpus, queries, qrels)
    qrels.write_text("q 1 1\n", encoding="utf-8")
    with pytest.raises(EvaluationError, match="line 1"):
        read_retrieval(corpus, queries, qrels)


def test_progress_says_how_fast_and_how_long():
    assert Progress(done=120, total=2000, unit="questions", elapsed_s=15.0, note="F1 81.2").line() == (
        "120/2000 questions, 8.0/s, 3:55 left, F1 81.2"
    )
    stream, now = io.StringIO(), [0.0]
    line = ProgressLine(stream, clock=lambda: now[0])
    for done in range(1, 101):
        now[0] += 1
        line(Progress(done=done, total=100, unit="questions", elapsed_s=float(done)))
    shown = stream.getvalue().splitlines()
    assert len(shown) == 11
    assert shown[-1].startswith("100/100 questions")


def test_results_are_written_whole(tmp_path: Path):
    path = tmp_path / "deep" / "out.json"
    write_json(path, {"f1": 81.2, "name": "ü"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"f1": 81.2, "name": "ü"}
    assert [entry.name for entry in path.parent.iterdir()] == ["out.json"]
