"""The public sets in the formats of `lectern eval`: each maker on rows of the shape that its set has."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.evaluation.qa import Asked, QaMeasures, measure
from app.evaluation.rouge import Rouge
from app.evaluation.sets import QaItem, read_retrieval, read_squad, read_summaries
from app.evaluation.squad import scorer_for
from app.evaluation.summaries import SummaryMeasures
from bench import retrieval_sets, retrieval_training, summary_sets
from bench.prepare import data_directory, prepare, prepare_training
from bench.qa_sets import fairytale_as_squad
from bench.quality import lead, losses


def rows_file(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_literal_fairytale_questions_keep_the_story_s_own_characters():
    story = {
        "id": "the-tale",
        "sections": ["A king lived\nin a castle.", "He had a crown, and The\nQueen none."],
        "questions": [
            {"question": "Where?", "answers": ["in a castle.", "in a castle"], "sections": "1"},
            {"question": "Who had none?", "answers": ["the queen"], "sections": "1,2"},
            {"question": "Why?", "answers": ["sad"], "sections": "2"},
            {"question": "What?", "answers": ["row"], "sections": "2"},
        ],
    }
    article = fairytale_as_squad([story])["data"][0]
    assert article["title"] == "the tale"
    found = [[(row["id"], row["answers"]) for row in paragraph["qas"]] for paragraph in article["paragraphs"]]
    assert [[row for row, _ in rows] for rows in found] == [["the-tale-0"], ["the-tale-1"]]
    assert found[1][0][1] == [{"text": "The\nQueen", "answer_start": 20}]
    for paragraph in article["paragraphs"]:
        for answer in (answer for row in paragraph["qas"] for answer in row["answers"]):
            assert paragraph["context"][answer["answer_start"] :].startswith(answer["text"])


def test_stories_to_train_on_are_written_in_squad_s_format(tmp_path: Path):
    story = {
        "id": "x",
        "sections": ["It was cold."],
        "questions": [{"question": "How?", "answers": ["cold"], "sections": "1"}],
    }
    (tmp_path / "fairytaleqa.jsonl").write_text(json.dumps(story) + "\n")
    assert prepare_training(tmp_path, tmp_path / "out") == ["fairytaleqa", "retrieval/fairytaleqa"]
    written = json.loads((tmp_path / "out" / "fairytaleqa.json").read_text())
    question = written["data"][0]["paragraphs"][0]["qas"][0]
    assert question["answers"] == [{"text": "cold", "answer_start": 7}]
    assert prepare_training(tmp_path / "out", tmp_path) == []


def test_sets_to_train_a_retriever_on_name_what_answers_and_hold_whole_documents_out(tmp_path: Path):
    stories = [
        {
            "id": f"s{n}",
            "sections": ["an elf", "b"],
            "questions": [{"question": "q?", "sections": "2,1", "answers": each}],
        }
        for n, each in enumerate([["An  elf"], ["a gnome"]] * 20)
    ]
    found = retrieval_training.fairytaleqa(rows_file(tmp_path / "f.jsonl", stories))
    assert found["positive"][7] == [15, 14]
    assert found["group"][14:16] == [7, 7]
    assert found["answers"][:2] == ["an elf", None]
    assert 0 < sum(found["held"]) < 15
    paragraph = {"context": "One two.", "qas": [{"question": "Who\n is?", "answers": [{"text": "two"}]}]}
    (tmp_path / "s.json").write_text(json.dumps({"data": [{"paragraphs": [paragraph, paragraph]}]}))
    squad = retrieval_training.squad(tmp_path / "s.json")
    assert squad == {
        "passages": ["One two."] * 2,
        "group": [0, 0],
        "queries": ["Who is?"] * 2,
        "positive": [[0], [1]],
        "held": [True] * 2,  # of each set at least one document
        "answers": ["two"] * 2,
    }
    answer = " ".join(f"Sentence {n} has just these seven words." for n in range(40))
    asked = [{"doc": "d", "question": "what?", "answer": answer}, {"doc": "d", "question": "none?", "answer": " "}]
    medical = retrieval_training.medquad(rows_file(tmp_path / "m.jsonl", asked))
    assert medical["positive"] == [[0, 1, 2]]
    assert " ".join(medical["passages"]) == answer
    assert all(len(passage.split()) <= retrieval_training.WORDS for passage in medical["passages"])


def test_papers_are_asked_for_by_their_titles_and_by_what_others_said_of_them(tmp_path: Path):
    paper = {
        "id": "p",
        "title": "On Mills",
        "abstract": ["Mills grind corn.", "We say how."],
        "sections": [{"title": "1", "sentences": ["Corn is old."]}, {"title": "2", "sentences": ["Left out."]}],
        "summary": ["On Mills", "Mills grind corn .", "They showed how mills grind."],
    }
    found = retrieval_training.papers(rows_file(tmp_path / "p.jsonl", [paper, {**paper, "id": "q", "abstract": []}]))
    assert found["passages"] == ["Mills grind corn. We say how.", "Corn is old.", "Corn is old."]
    assert found["queries"] == ["On Mills", "They showed how mills grind."]
    assert found["positive"] == [[0], [0]]


def test_nq_passages_that_are_equal_are_one_item(tmp_path: Path):
    context = {"title": "T", "text": "x", "hasanswer": True, "isgold": True}
    rows = [{"question": f"who {n}", "ctxs": [context], "answers": []} for n in range(2)]
    data = retrieval_sets.nq_open(rows_file(tmp_path / "nq.jsonl", rows))
    assert data.corpus == [{"_id": "p0", "title": "T", "text": "x"}]
    assert data.qrels == [("q0", "p0", 1), ("q1", "p0", 1)]


def test_cranfield_topics_are_numbered_by_their_place(tmp_path: Path):
    (tmp_path / "cran.all.1400.xml").write_text(
        "<doc>\n<docno>1</docno>\n<title>wing\nflow .</title>\n<text>wing\nflow . more</text>\n</doc>", encoding="utf-8"
    )
    tops = "".join(f"<top>\n<num> {number}</num>\n<title>\nq {number}\n</title>\n</top>" for number in (1, 4))
    (tmp_path / "cran.qry.xml").write_text(f"<xml>{tops}</xml>", encoding="utf-8")
    (tmp_path / "cranqrel.trec.txt").write_text("2 0 1 1\n2 0 9 0\n", encoding="utf-8")
    data = retrieval_sets.cranfield(tmp_path)
    assert data.corpus == [{"_id": "1", "title": "wing flow .", "text": "wing flow . more"}]
    assert data.queries == [{"_id": "1", "text": "q 1"}, {"_id": "2", "text": "q 4"}]
    assert data.qrels == [("2", "1", 1), ("2", "9", 0)]


def test_cacm_records_lose_their_citation_tables_and_judgements_gain_their_zeros(tmp_path: Path):
    text = "Sorting\nby Merging\n\nWe sort.\n\nCACM May, 1961\n\nLee, A."
    text += "\n\nCA610504 JB March 6, 1978  2:54 PM\n\n7\t5\t7\n8\t5\t7"
    rows_file(tmp_path / "docs.jsonl", [{"id": "CACM-0007", "text": text}])
    (tmp_path / "topics.cacm.txt").write_text("<DOC>\n<DOCNO> 1 </DOCNO>\n\n how to\nsort\n</DOC>\n", encoding="utf-8")
    (tmp_path / "qrels.cacm.txt").write_text("1 Q0 CACM-7 1\n", encoding="utf-8")
    data = retrieval_sets.cacm(tmp_path)
    assert data.corpus == [
        {"_id": "CACM-0007", "title": "Sorting by Merging", "text": "We sort.\n\nCACM May, 1961\n\nLee, A."}
    ]
    assert (data.queries, data.qrels) == ([{"_id": "1", "text": "how to sort"}], [("1", "CACM-0007", 1)])


def test_windows_of_turns_are_relevant_where_half_of_them_or_half_of_the_range_is_inside(tmp_path: Path):
    turns = [{"speaker": "A", "content": " ".join(["word"] * size)} for size in (100, 40, 60, 60, 200)]
    meeting = {"id": "M", "turns": turns, "specific": [{"query": "q", "relevant_text_span": [["1", "2"]]}]}
    data = retrieval_sets.qmsum_ranges(rows_file(tmp_path / "qmsum.jsonl", [meeting]))
    # Windows: turns 0-1 (140 words), 2-3 (120), 4 (200). The range is turns 1 and 2: 40 and 60 words.
    assert [row["_id"] for row in data.corpus] == ["M-0", "M-2", "M-4"]
    assert data.qrels == [("M-s0", "M-2", 1)]


def test_every_row_of_a_set_gets_the_mean_length_of_its_references():
    rows = summary_sets.with_budget([{"references": ["a b c d"]}, {"references": ["a b", "a b c d e f"]}])
    assert [row["words"] for row in rows] == [4, 4]


def test_dialogues_become_turns_with_their_continued_lines():
    support = {
        "dialog_id": "1",
        "text": "\tCustomer:\t@x it is\nbroken\n\n\tAgent:\tRestart: now",
        "abstractive_summaries": "['One.', \"Two's.\", '']",
    }
    row = summary_sets.tweetsumm([support])["tweetsumm"][0]
    assert row["turns"] == [
        {"speaker": "Customer", "content": "@x it is broken"},
        {"speaker": "Agent", "content": "Restart: now"},
    ]
    assert row["references"] == ["One.", "Two's."]
    visit = {"encounter_id": "D1", "dialogue": "[doctor] hi\n[patient_guest] well\nyes", "note": "PLAN"}
    assert summary_sets.aci_bench([visit])["aci_bench"][0]["turns"][1] == {
        "speaker": "patient_guest",
        "content": "well yes",
    }


def test_a_paper_has_its_abstract_once_and_its_title_is_no_sentence_of_it():
    paper = {
        "id": "P",
        "title": "Parsing",
        "abstract": ["We parse."],
        "sections": [{"title": "1 Intro", "sentences": ["It is hard.", "Very."]}],
        "summary": ["Parsing", "We parse."],
    }
    made = summary_sets.scisummnet([paper])
    assert made["scisummnet"][0]["text"] == "Abstract\n\nWe parse.\n\n1 Intro\n\nIt is hard. Very."
    assert made["scisummnet"][0]["references"] == ["We parse."]
    assert made["scisummnet_body"][0]["text"] == "1 Intro\n\nIt is hard. Very."
    repeated = {**paper, "sections": [{"title": "Section", "sentences": ["We parse."]}, *paper["sections"]]}
    assert summary_sets.scisummnet([repeated])["scisummnet"][0]["text"].count("We parse.") == 1
    assert summary_sets.scisummnet([{**paper, "summary": ["PARSING."]}]) == {"scisummnet": [], "scisummnet_body": []}


def measured(answers: dict[str, tuple[str, int | None]]) -> QaMeasures:
    items = [QaItem(id=name, question="?", answers=("right",), article=0, paragraph=0) for name in answers]
    asked = {
        name: Asked(id=name, answer=answer, forced=answer, no_answer=0.0, ms=1.0, rank=rank)
        for name, (answer, rank) in answers.items()
    }
    return measure(items, asked, scorer_for("squad1"), unit="article")


def test_what_is_lost_to_a_longer_source_is_parted_into_retrieval_and_reading():
    paragraph = measured({"a": ("right", 1), "b": ("right", 1), "c": ("right", 1), "d": ("wrong", 1)})
    article = measured({"a": ("right", 1), "b": ("wrong", 3), "c": ("wrong", None), "d": ("right", 9)})
    lost = losses(paragraph, article, top_k=8)
    # b is lost in reading; c in retrieval, where d is won.
    assert lost == {"f1_share": pytest.approx(2 / 3, abs=1e-4), "lost_in_retrieval": 0.0, "lost_in_reading": 25.0}


def test_the_lead_is_over_the_best_baseline_that_finished_everything():
    def system(score: float, unfinished: int = 0) -> SummaryMeasures:
        part = Rouge(rouge1=score / 100, rouge2=0, rougeLsum=0)
        values = dict.fromkeys(("rouge2", "rougeLsum", "bleu", "words", "seconds"), 0.0)
        rows = {str(n): part for n in range(5)}
        return SummaryMeasures(rouge1=score, did_not_finish=unfinished, by_row=rows, **values)

    table = {"lectern": system(30), "lead": system(20), "lexrank": system(50, 1), "oracle": system(40)}
    found = lead(table, "rouge1")
    assert found == {"best": "lead", "lead": 10.0, "interval": [10.0, 10.0], "share_to_oracle": 0.5}


def test_all_public_sets_are_prepared_and_read_back(tmp_path: Path):
    data = data_directory()
    if not (data / "dev").is_dir():
        pytest.skip(f"the public sets are not at {data}: set LECTERN_DATA")
    # Without the training distractors: pooling them takes seconds and is the same code.
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dev").symlink_to(data / "dev")
    names = prepare(tmp_path / "data", tmp_path / "out")
    assert len(read_squad(tmp_path / "out" / "qa" / "squad2.json").items) == 11_873
    for name in names["retrieval"]:
        folder = tmp_path / "out" / "retrieval" / name
        data_set = read_retrieval(folder / "corpus.jsonl", folder / "queries.jsonl", folder / "qrels.tsv")
        assert len(data_set.queries) == {"nq_open": 2655, "cranfield": 225, "cacm": 52, "qmsum_ranges": 237}[name]
    lengths = {
        name: len(read_summaries(tmp_path / "out" / "summaries" / f"{name}.jsonl")) for name in names["summaries"]
    }
    assert lengths == {
        "qmsum_general": 35,
        "qmsum_specific": 237,
        "squality_overview": 25,
        "squality_questions": 100,
        "scisummnet": 100,
        "scisummnet_body": 100,
        "tweetsumm": 110,
        "aci_bench": 20,
    }
