import json
from pathlib import Path

import pytest

from app import fusion
from app.evaluation.fused import reciprocal_ranks
from app.grouped_set import GroupedSet
from retriever.hybrid import Candidates


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Twelve documents of three passages; all of a document answers its question, which names the first passage."""
    passages, group = [], []
    for number in range(12):
        for part in ("keeper", "engine", "garden"):
            passages.append(" ".join([f"{part}{number} of the house stands here"] + [f"{part} filler text"] * 40))
            group.append(number)
    rows = [
        {"queries": f"keeper{n} of the house", "positive": [3 * n, 3 * n + 1, 3 * n + 2], "held": n % 3 == 0}
        for n in range(12)
    ]
    columns = {name: [row[name] for row in rows] for name in ("queries", "positive", "held")}
    path = tmp_path / "houses.json"
    path.write_text(json.dumps({"passages": passages, "group": group, **columns}))
    return path


def test_documents_are_their_passages_in_order_and_spans_hold_them(file: Path) -> None:
    data = GroupedSet.read(file)
    passages = json.loads(file.read_text())["passages"]
    assert len(data.documents) == 12
    query, spans, held = data.questions[3]
    assert (query, held) == ("keeper3 of the house", True)
    assert [data.documents[group][start:end] for group, start, end in spans] == passages[9:12]


def test_where_whole_documents_answer_the_surroundings_win_and_the_table_says_so(
    file: Path, make_lectern, capsys: pytest.CaptureFixture[str]
) -> None:
    fusion.main(["--set", str(file)], make=make_lectern)
    title, best, *rest = capsys.readouterr().out.splitlines()
    assert title.startswith("houses: nDCG@10 / recall@5")
    assert "whole 0.0" not in best
    assert "reciprocal rank fusion" not in best
    assert best.count("|") == 1  # chosen by, held out
    assert len(rest) == 3 * 4 * 4 * 4
    scores = {row[2:52].strip(): float(row[52:].split(" / ")[0]) for row in [best, *rest]}
    assert scores["weight 0.4 nearby 0.0 whole 1.0 close 0.0"] > scores["weight 0.4 nearby 0.0 whole 0.0 close 0.0"]


def test_the_readers_weight_is_compared_on_the_questions_that_are_read(
    file: Path, make_lectern, capsys: pytest.CaptureFixture[str]
) -> None:
    fusion.main(["--set", str(file), "--read", "9"], make=make_lectern)
    out = capsys.readouterr().out.splitlines()
    titles = [place for place, row in enumerate(out) if row.startswith("houses: ")]
    assert len(titles) == 2
    rows = {row.split("  ")[1].strip(): row[52:] for row in out[titles[1] + 1 :]}
    assert set(rows) == {f"relevance {weight}" for weight in fusion.RELEVANCE}
    assert all(len(row.split(" | ")) == 2 for row in rows.values()), "chosen by, held out"


def test_reciprocal_ranks_add_up_over_both_sides() -> None:
    found = {"sparse": {1: 9.0, 2: 5.0}, "dense": {2: 0.9, 3: 0.8, 1: 0.1}}
    ranked = reciprocal_ranks(Candidates(shown={}, found=found, scores=found, retriever="r"), k=10)
    assert ranked == [2, 1, 3]  # 1/61 + 1/62, 1/61 + 1/63, 1/62
