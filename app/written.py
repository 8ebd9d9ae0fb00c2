"""Training groups of questions that were written for this project, to passages of the training sets.

`python -m app.written --written FOLDER --data DATA --out FOLDER` writes `train.jsonl` and `validation.jsonl` of
model/training/groups.py. The questions are rows {"passage", "question", "answer"}: a passage is named by where it
stands in a training set, which is not copied, and `answer` is its [start, end), or null where the passage only seems to
answer. Code cannot word a question as somebody does who has not seen the text, nor ask next to it as people can.

The set, the place of its document in it and, of most, the characters are a passage's name: qmsum/12/100-950; of sets
that come in passages, that passage's place: squad1-rebuilt/12/3.
"""

import argparse
import json
import random
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from app import terminal
from app.evaluation.sets import transcript
from app.mining import FEWEST, MOST
from app.scratch_index import Search, sparse_search
from model.training.groups import MinedGroup
from retriever.types import Passage

HELD = 0.1  # of passages, by their names: validation
ALONE = 0.7  # the share of groups with the passage alone; the others have some that a search finds beside it
POOL = 24

Row = Mapping[str, Any]


def _squad(row: Row) -> list[str]:
    return [str(paragraph["context"]) for paragraph in row["paragraphs"]]


def _paper(row: Row) -> str:
    sections = ("\n".join((section["title"], " ".join(section["sentences"]))) for section in row["sections"])
    return "\n".join((" ".join(row["abstract"]), *sections))


IN_PASSAGES: dict[str, tuple[str, Callable[[Row], list[str]]]] = {
    "squad1-rebuilt": ("squad1-rebuilt.json", _squad),
    "policyqa": ("policyqa.json", _squad),
    "fairytaleqa": ("fairytaleqa.jsonl", lambda row: row["sections"]),
}
WHOLE: dict[str, tuple[str, Callable[[Row], str]]] = {
    "qmsum": ("qmsum.jsonl", lambda row: transcript(row["turns"])),
    "medquad": ("medquad.jsonl", lambda row: row["answer"]),
    "scisummnet": ("scisummnet.jsonl", _paper),
    "aci-bench": ("aci-bench.jsonl", lambda row: row["dialogue"]),
    "aci-bench-note": ("aci-bench.jsonl", lambda row: row["note"]),
    "squality": ("squality.jsonl", lambda row: row["document"]),
    "tweetsumm": ("tweetsumm.jsonl", lambda row: row["text"]),
}


@dataclass(frozen=True, kw_only=True)
class Written:
    """A question to a passage; `answer` is [start, end) in it, None where it does not answer."""

    passage: str
    question: str
    answer: tuple[int, int] | None

    @property
    def document(self) -> str:
        """What the passage is a part of."""
        return self.passage.rpartition("/")[0]


def read_written(folder: Path) -> list[Written]:
    """All questions of a folder's files, in the order of their names. Raises ValueError naming the line."""
    found = []
    for path in sorted(folder.glob("*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                row = json.loads(line)
                answer = None if row["answer"] is None else (int(row["answer"][0]), int(row["answer"][1]))
                found.append(Written(passage=row["passage"], question=row["question"], answer=answer))
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{path}, line {number}: not a question: {error!r}") from error
    return found


def texts_of(names: Sequence[str], data: Path) -> dict[str, str]:
    """The passages of these names, from the training sets in a folder. Raises ValueError for one that is not there."""

    @cache
    def rows(file: str) -> list[Row]:
        text = (data / "train" / file).read_text(encoding="utf-8")
        return json.loads(text)["data"] if file.endswith(".json") else [json.loads(line) for line in text.splitlines()]

    def text_of(name: str) -> str:
        kind, number, place = name.split("/")
        if kind in IN_PASSAGES:
            file, passages = IN_PASSAGES[kind]
            return passages(rows(file)[int(number)])[int(place)]
        file, whole = WHOLE[kind]
        start, end = map(int, place.split("-"))
        return whole(rows(file)[int(number)])[start:end]

    try:
        return {name: text_of(name) for name in dict.fromkeys(names)}
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(f"no such passage in {data}: {error!r}") from error


def groups(
    written: Sequence[Written], texts: Mapping[str, str], search: Search, *, alone: float, seed: int
) -> Iterator[MinedGroup]:
    """One group a question. Beside its passage stand some that a search for it finds, in other documents.

    `search` finds keys of passages: places in `texts`.
    """
    names = list(texts)
    for number, one in enumerate(written):
        chance = random.Random(f"{seed} {number} {one.question}")  # noqa: S311 - not a secret
        shown = [one.passage]
        if chance.random() >= alone:
            found = [names[key] for key in search(one.question, POOL, None)]
            near = [name for name in found if name.rpartition("/")[0] != one.document and chance.random() < 0.8]
            if one.answer is not None:
                string = texts[one.passage][slice(*one.answer)].casefold()
                near = [name for name in near if string not in texts[name].casefold()]
            shown += near[: chance.randint(FEWEST, MOST) - 1]
            chance.shuffle(shown)
        at = shown.index(one.passage)
        yield MinedGroup(
            id=f"{one.passage} {number}",
            question=one.question,
            passages=[texts[name] for name in shown],
            answers=[] if one.answer is None else [(at, *one.answer)],
            relevant=[] if one.answer is None else [at],
        )


def is_held(passage: str) -> bool:
    """Whether a passage is kept for validation."""
    return zlib.crc32(passage.encode()) < HELD * 2**32


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--written", type=Path, required=True, help="a folder of questions")
    parser.add_argument("--data", type=Path, required=True, help="the folder that has `train`")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--alone", type=float, default=ALONE, help="the share of groups of one passage alone")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    written = read_written(given.written)
    texts = texts_of([one.passage for one in written], given.data)
    given.out.mkdir(parents=True, exist_ok=True)
    counts = {}
    with sparse_search([_keyed(key, text) for key, text in enumerate(texts.values())]) as search:
        for name, wanted in (("train", False), ("validation", True)):
            some = [one for one in written if is_held(one.passage) is wanted]
            made = list(groups(some, texts, search, alone=given.alone, seed=given.seed))
            lines = (json.dumps(vars(group), ensure_ascii=False) + "\n" for group in made)
            (given.out / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
            counts[name] = len(made)
    terminal.say(json.dumps(counts))


def _keyed(key: int, text: str) -> Passage:
    return Passage(key=key, id=str(key), document_id=str(key), version="", ordinal=0, start=0, end=len(text), text=text)


if __name__ == "__main__":
    main()
