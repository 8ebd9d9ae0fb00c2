import json
from pathlib import Path

import pytest

from app.written import IN_PASSAGES, WHOLE, main, read_written, texts_of
from model.training.groups import read_groups

STORY = [f"The smith of town {n} forged a bell in {1700 + n}. It hung in the tower." for n in range(30)]
MEETING = [{"speaker": "Ann", "content": f"Item {n} is moved to week {n + 1}."} for n in range(30)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Training sets of one story, by sections, and one meeting, whole."""
    (tmp_path / "train").mkdir()
    (tmp_path / "train/fairytaleqa.jsonl").write_text(json.dumps({"id": "s", "sections": STORY}) + "\n")
    (tmp_path / "train/qmsum.jsonl").write_text(json.dumps({"id": "m", "turns": MEETING}) + "\n")
    return tmp_path


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Two questions to each section, of which one has no answer, and one to the first turn of the meeting."""
    folder = tmp_path / "written"
    folder.mkdir()
    rows = []
    for n, text in enumerate(STORY):
        start = text.index("a bell")
        rows.append(
            {"passage": f"fairytaleqa/0/{n}", "question": f"What was cast in {n}?", "answer": [start, start + 6]}
        )
        rows.append({"passage": f"fairytaleqa/0/{n}", "question": f"Who paid the smith of town {n}?", "answer": None})
    rows.append({"passage": "qmsum/0/0-32", "question": "When is it?", "answer": [24, 30]})
    (folder / "some.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_a_passage_is_found_again_where_its_name_says(data: Path) -> None:
    found = texts_of(["fairytaleqa/0/2", "qmsum/0/0-32"], data)
    assert found == {"fairytaleqa/0/2": STORY[2], "qmsum/0/0-32": "Ann: Item 0 is moved to week 1.\n"}


@pytest.mark.parametrize("name", ["fairytaleqa/1/0", "fairytaleqa/0/99", "novels/0/0", "qmsum/0/none"])
def test_a_name_of_nothing_is_refused(data: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no such passage"):
        texts_of([name], data)


def test_a_row_that_is_no_question_is_named(tmp_path: Path) -> None:
    (tmp_path / "some.jsonl").write_text(
        '{"passage": "qmsum/0/0-9", "question": "Who?", "answer": null}\n{"question": 1}\n'
    )
    with pytest.raises(ValueError, match="line 2"):
        read_written(tmp_path)


def test_groups_show_the_passage_alone_or_beside_others_and_where_it_answers(data: Path, written: Path) -> None:
    main(["--written", str(written), "--data", str(data), "--out", str(data / "out"), "--alone", "0.5"])
    train, validation = (read_groups(data / f"out/{name}.jsonl") for name in ("train", "validation"))
    assert len(train) + len(validation) == 61
    assert not {group.id.split()[0] for group in train} & {group.id.split()[0] for group in validation}
    for group in [*train, *validation]:
        answered = not group.question.startswith("Who paid")
        assert [group.passages[at][start:end] for at, start, end in group.answers] == (
            [] if not answered else ["week 1"] if group.question == "When is it?" else ["a bell"]
        )
        assert group.relevant == [at for at, _, _ in group.answers]
        if answered:  # no other passage of those shown says the same
            string = group.passages[group.answers[0][0]][slice(*group.answers[0][1:])]
            assert sum(string in passage for passage in group.passages) == 1


def test_every_set_that_is_named_has_a_way_to_its_texts() -> None:
    assert not set(IN_PASSAGES) & set(WHOLE)
    squad = {"paragraphs": [{"context": "One."}, {"context": "Two."}]}
    assert IN_PASSAGES["squad1-rebuilt"][1](squad) == ["One.", "Two."]
    paper = {"abstract": ["A.", "B."], "sections": [{"title": "Intro", "sentences": ["C.", "D."]}]}
    assert WHOLE["scisummnet"][1](paper) == "A. B.\nIntro\nC. D."
