"""Summaries measured over stand-ins: the budget, ROUGE, the baselines and their cap."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.evaluation import EvaluationError
from app.evaluation.baselines import Baselines
from app.evaluation.budget import fit, trim
from app.evaluation.graph_rankers import GraphRanker
from app.evaluation.rouge import corpus_bleu, oracle_ranking, rouge
from app.evaluation.sets import SummaryRow, read_summaries, transcript
from app.evaluation.summaries import evaluate_systems, sentences_of


def test_one_rule_cuts_every_ranking_to_whole_sentences_within_a_tenth_of_the_budget():
    words = [50, 60, 30, 20, 5]
    # 60 fits; 50 would make 110 (a tenth over 100 is allowed): taken, and it is enough.
    assert fit([1, 0, 2, 3, 4], words, 100) == [0, 1]
    # 60, then 50 would make 110 of 90: passed over; 30 makes 90, which is the end.
    assert fit([1, 0, 2, 3, 4], words, 90) == [1, 2]
    # 91 of 100 is enough, though 5 more would fit.
    assert fit([0, 1], [91, 5], 100) == [0]
    assert fit([0, 1], words, 10) == [0]
    assert fit([], words, 10) == []


def test_a_finished_summary_loses_its_least_salient_sentences_only_when_it_is_too_long():
    assert trim([0.9, 0.1, 0.5], [50, 30, 30], 100) == [0, 1, 2]
    assert trim([0.9, 0.1, 0.5], [50, 50, 30], 100) == [0, 2]
    assert trim([0.5], [500], 10) == [0]


def test_rouge_is_the_mean_over_references_and_lsum_follows_sentences():
    # "cat sat" of "the cat sat": 2 common, P 1, R 2/3; stemming makes "sits" and "sitting" alike.
    assert rouge(["cat sat"], [["the cat sat"]]).rouge1 == pytest.approx(0.8)
    assert rouge(["he sits"], [["he sitting"]]).rouge1 == 1.0
    assert rouge(["cat sat"], [["cat sat"], ["dog ran"]]).rouge1 == pytest.approx(0.5)
    swapped = rouge(["b c.", "a d."], [["a d.", "b c."]])
    assert swapped.rougeLsum == 1.0
    assert rouge(["b c. a d."], [["a d. b c."]]).rougeLsum == 0.5
    assert rouge(["北京在中国"], [["北京在哪里"]]).rouge1 == pytest.approx(0.6)


def test_bleu_takes_all_references_though_their_number_differs():
    same = "the cat sat on the mat today"
    assert corpus_bleu([same, same], [[same], ["a wholly different sentence here", same]]) == pytest.approx(100.0)
    assert corpus_bleu([same], [["nothing of it stands in here"]]) < 10


def test_the_oracle_takes_the_sentence_that_covers_the_reference_first():
    sentences = ["one two three", "the wing lifts the plane", "the wing of the plane"]
    ranking = oracle_ranking(sentences, [["the wing lifts the plane"]], [3, 5, 5], 5)
    assert ranking == [1, 0, 2]


def test_the_sentences_of_a_transcript_come_without_their_speakers():
    text = transcript([{"speaker": "Ann", "content": "Yes. We go."}, {"speaker": "Bob", "content": " "}])
    assert text == "Ann: Yes. We go."
    text = transcript([{"speaker": "Ann B", "content": "Yes. We\ngo."}, {"speaker": "Bob", "content": "Note: no."}])
    assert sentences_of(text) == ["Yes.", "We go.", "Note: no."]
    assert sentences_of("Note: this is prose.") == ["Note: this is prose."]


class LetterEncoder:
    """Texts as counts of letters: similar texts have similar vectors."""

    version, dimension = "letters@1", 26

    def __init__(self) -> None:
        self.calls = 0

    def encode_passages(self, texts: Sequence[str], /) -> np.ndarray[Any, np.dtype[np.float32]]:
        self.calls += 1
        counts = np.array([[text.lower().count(chr(97 + n)) for n in range(26)] for text in texts], dtype=np.float32)
        return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)

    encode_queries = encode_passages


class FirstSentence:
    """Summarizes by the first sentence, in lines as a service may return them."""

    def summarize(self, text: str, *, words: int, query: str | None) -> Sequence[tuple[str, float]]:
        return [(sentences_of(text)[0], 0.9)]


STORY = (
    "The wing lifts. The wing of a plane lifts the plane. A wing lifts a plane. Zebras jump. Quick foxes vex zebras."
)


def test_every_system_gets_the_same_budget_and_is_measured_on_the_same_references():
    rows = [SummaryRow(id="1", text=STORY, query="zebras jump", references=("The wing lifts the plane.",), words=5)]
    baselines = Baselines(LetterEncoder(), cap_seconds=20)
    systems = ["lectern", "lead", "textrank", "lexrank", "centroid", "query_similarity", "oracle"]
    try:
        measured = evaluate_systems(FirstSentence(), baselines, rows, systems=systems)
    finally:
        baselines.close()
    assert list(measured) == systems
    assert measured["lead"].by_row["1"].rouge1 == pytest.approx(2 * (3 / 5) * 1 / (3 / 5 + 1), abs=0.2)
    assert measured["lectern"].words == 3
    both = {name: (row.rouge1 or 0) + (row.rouge2 or 0) for name, row in measured.items() if name != "lectern"}
    assert both["oracle"] == max(both.values())
    assert all(row.did_not_finish == 0 for row in measured.values())
    assert set(measured["lead"].as_dict()) == {"rouge1", "rouge2", "rougeLsum", "bleu", "words", "seconds"}


def test_a_graph_method_past_its_cap_did_not_finish_and_the_next_document_is_measured_again():
    ranker = GraphRanker()
    try:
        assert (
            ranker.rank("lexrank", [f"word{n} other{n % 7} third{n % 11}" for n in range(3000)], cap_seconds=0.3)
            is None
        )
        ranked = ranker.rank(
            "textrank", ["A wing lifts a plane.", "Zebras jump.", "The plane has a wing."], cap_seconds=20
        )
    finally:
        ranker.close()
    assert ranked is not None
    assert sorted(ranked.ranking) == [0, 1, 2]


def test_the_vectors_of_a_document_are_computed_once_for_all_its_queries():
    encoder = LetterEncoder()
    baselines = Baselines(encoder, cap_seconds=1)
    for query in ("wing", "zebra", "plane"):
        baselines.rank("query_similarity", ["a wing", "a zebra"], query)
    assert encoder.calls == 1 + 3
    first = baselines.rank("query_similarity", ["a wing", "a zebra"], "zebra")
    assert first is not None
    assert first.ranking == (1, 0)
    assert baselines.rank("query_similarity", ["a wing"], None) is None


def test_summary_rows_are_checked(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    row = {"id": "1", "text": "t", "references": ["r"], "words": 3}
    for wrong, said in (
        ({**row, "turns": []}, "either text or turns"),
        ({**row, "references": []}, "at least one reference"),
        ({**row, "words": 0}, "at least one word"),
        ({key: value for key, value in row.items() if key != "words"}, "lacks words"),
    ):
        path.write_text(json.dumps(wrong), encoding="utf-8")
        with pytest.raises(EvaluationError, match=said):
            read_summaries(path)
    path.write_text(f"{json.dumps(row)}\n{json.dumps(row)}\n", encoding="utf-8")
    with pytest.raises(EvaluationError, match="repeats"):
        read_summaries(path)
