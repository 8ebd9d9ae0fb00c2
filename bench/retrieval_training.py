"""Retrieval sets to train on, in the format of `app/retriever_mining.py`, from the training sets of other kinds.

    {"passages": [str], "group": [document of each], "queries": [str], "positive": [[passage, ...]], "held": [bool],
     "answers": [str or null]}

An answer stands word for word in one of the passages that answer; null where none does, or the set has none. A tenth of
the documents is held out, with all that is asked of it: those train nothing, and choose.
"""

import json
import re
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench import retrieval_sets
from bench.qa_sets import word_for_word
from bench.records import letters_of, read_jsonl
from retriever.sentences import split_sentences

HELD = 0.1
WORDS = 130  # of a window of a medical answer, about a passage of the index


class _Making:
    """A set while it is made; documents are told apart by name."""

    def __init__(self) -> None:
        self.passages: list[str] = []
        self.groups: list[str] = []
        self.asked: list[tuple[str, list[int], str, str | None]] = []

    def add(self, document: str, text: str) -> int:
        self.passages.append(text)
        self.groups.append(document)
        return len(self.passages) - 1

    def ask(self, document: str, query: str, positive: Iterable[int], *, answer: str | None = None) -> None:
        self.asked.append((" ".join(query.split()), list(positive), document, answer))

    def columns(self) -> dict[str, list[Any]]:
        number = {name: place for place, name in enumerate(dict.fromkeys(self.groups))}
        hashed = {name for name in number if zlib.crc32(name.encode()) < HELD * 2**32}
        held = hashed or set(list(number)[:1])
        return {
            "passages": self.passages,
            "group": [number[name] for name in self.groups],
            "queries": [query for query, _, _, _ in self.asked],
            "positive": [positive for _, positive, _, _ in self.asked],
            "held": [document in held for _, _, document, _ in self.asked],
            "answers": [answer for _, _, _, answer in self.asked],
        }


def squad(path: Path) -> dict[str, list[Any]]:
    """Questions of a file in SQuAD's format against its paragraphs."""
    made = _Making()
    for number, article in enumerate(json.loads(path.read_text(encoding="utf-8"))["data"]):
        name = f"{path.stem} {number}"
        for paragraph in article["paragraphs"]:
            place = made.add(name, paragraph["context"])
            for row in paragraph["qas"]:
                made.ask(name, row["question"], [place], answer=row["answers"][0]["text"])
    return made.columns()


def fairytaleqa(path: Path) -> dict[str, list[Any]]:
    """Questions of stories against their sections, those whose sections are named."""
    made = _Making()
    for story in read_jsonl(path):
        places = [made.add(story["id"], section) for section in story["sections"]]
        for row in story["questions"]:
            named = [int(number) - 1 for number in re.findall(r"\d+", str(row["sections"]))]
            positive = [places[number] for number in named if 0 <= number < len(places)]
            if positive:
                texts = [made.passages[each] for each in positive]
                found = (word_for_word(text, answer) for answer in row["answers"] for text in texts)
                literal = next(filter(None, found), None)
                made.ask(story["id"], row["question"], positive, answer=literal and literal["text"])
    return made.columns()


def medquad(path: Path) -> dict[str, list[Any]]:
    """Questions against windows of whole sentences of the sections that answer them."""
    made = _Making()
    for row in read_jsonl(path):
        places = [made.add(row["doc"], window) for window in _windows(row["answer"])]
        if places:
            made.ask(row["doc"], row["question"], places)
    return made.columns()


def qmsum(path: Path) -> dict[str, list[Any]]:
    """Specific queries against windows of turns of all meetings, as on dev."""
    data = retrieval_sets.qmsum_ranges(path)
    made = _Making()
    place = {row["_id"]: made.add(_meeting(row), row["text"]) for row in data.corpus}
    positive: dict[str, list[int]] = {}
    for query, item, _ in data.qrels:
        if item in place:
            positive.setdefault(query, []).append(place[item])
    for row in data.queries:
        if row["_id"] in positive:
            made.ask(_meeting(row), row["text"], positive[row["_id"]])
    return made.columns()


def papers(path: Path) -> dict[str, list[Any]]:
    """What is said of a paper against windows of its abstract: its title, and sentences of its summary.

    Windows of its introduction stand among them, as passages that are near. The summaries hold what other papers said
    of it when they cited it; sentences that stand in the abstract itself ask for nothing.
    """
    made = _Making()
    for row in read_jsonl(path):
        abstract = " ".join(row["abstract"])
        places = [made.add(row["id"], window) for window in _windows(abstract)]
        for section in row["sections"][:1]:
            for window in _windows(" ".join(section["sentences"])):
                made.add(row["id"], window)
        known = letters_of(abstract)
        asked = [line for line in (row["title"], *row["summary"]) if letters_of(line) not in known]
        for line in dict.fromkeys(asked) if places else ():
            made.ask(row["id"], line, places)
    return made.columns()


MAKERS = {
    "squad": (squad, "squad1-rebuilt.json"),
    "policyqa": (squad, "policyqa.json"),
    "fairytaleqa": (fairytaleqa, "fairytaleqa.jsonl"),
    "medquad": (medquad, "medquad.jsonl"),
    "qmsum": (qmsum, "qmsum.jsonl"),
    "papers": (papers, "scisummnet.jsonl"),
}


def _meeting(row: Mapping[str, str]) -> str:
    return row["_id"].rpartition("-")[0]


def _windows(text: str) -> Iterable[str]:
    first = last = words = 0
    for sentence in split_sentences(text):
        size = len(text[sentence.start : sentence.end].split())
        if words and words + size > WORDS:
            yield text[first:last]
            words = 0
        if not words:
            first = sentence.start
        last, words = sentence.end, words + size
    if words:
        yield text[first:last]
