import json
import random
from collections.abc import Sequence
from pathlib import Path

from app.related_words import NEARLY_SAME, RelatedWords
from app.rewording import main, reworded

WORDS = {"monks": ("friars", "hermits"), "carved": ("hewed",), "fourth": ("fifth",), "largest": ("widest",)}


def related(word: str) -> Sequence[str]:
    return WORDS.get(word, ())


def test_ordinary_words_are_replaced_and_nothing_that_would_ask_for_something_else() -> None:
    asked = "Who carved the largest door for the fourth monks-house, and whose monks came?"
    found = {reworded(asked, related=related, chance=random.Random(seed)) for seed in range(40)}
    assert found == {
        f"Who {verb} the largest door for the fourth monks-house, and whose {who} came?"
        for verb in ("carved", "hewed")
        for who in ("monks", "friars", "hermits")
    }


def test_words_that_mean_the_same_are_near_and_forms_of_one_word_are_not_other_words() -> None:
    near = RelatedWords(NEARLY_SAME)
    assert "kids" in near("children")
    assert "constructed" in near("built")
    assert not any(word.startswith("chil") for word in near("children"))
    assert near("zyzzyva") == ()


def test_a_share_of_a_files_questions_is_reworded_and_nothing_else_of_it_changes(tmp_path: Path) -> None:
    rows = [
        {"id": str(n), "question": "Who directed the film?", "passages": ["x"], "answers": [], "relevant": []}
        for n in range(80)
    ]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for out in ("one", "two"):
        main(["--groups", str(tmp_path / "in.jsonl"), "--out", str(tmp_path / out), "--share", "0.5"])
    assert (tmp_path / "one").read_text() == (tmp_path / "two").read_text()
    found = [json.loads(line) for line in (tmp_path / "one").read_text().splitlines()]
    changed = sum(row["question"] != "Who directed the film?" for row in found)
    assert 10 < changed < 40
    assert [{**row, "question": ""} for row in found] == [{**row, "question": ""} for row in rows]
