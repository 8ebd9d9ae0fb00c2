"""Summaries that are asked for with a question: do they hold what answers it?

    python -m bench.asked_summaries [--data ../shared/data] [--only planted,paragraphs] [--limit N]

writes bench/results/asked_summaries.json:

- `planted`: sentences of SQuAD's dev articles that answer a question, each put into a book at 10, 50 and 90% of it,
  and how often the two-sentence summary that is asked with the question holds it;
- `paragraphs`: how often the sentence that a paragraph is summarized by holds an answer to the question that it is
  asked with, in English (SQuAD 1.1) and Chinese (XQuAD), beside the first sentence and one by chance.
"""

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from app.asked import query_of
from app.evaluation.sets import read_squad, sample
from app.evaluation.target import TENANT
from app.lines import Line, lines_of, table_of
from app.schemas import Length, SummarizeRequest
from app.sources import SourceText
from app.wiring import Lectern
from bench.prepare import data_directory
from bench.quality import fresh_lectern
from bench.records import RESULTS, write_result
from model.encoder import MiniLMEncoder
from model.reader import LongformerReader
from model.salience import TransformerXLSalience
from model.summarizer import Budget, select
from retriever.parsing import parse_text
from retriever.sentences import split_sentences

SEED = 13
PLANTED = 200
PLACES = (0.1, 0.5, 0.9)
SETS = {"english": "squad1.json", "chinese": "xquad-zh.json"}
_LENGTH = Budget(unit="sentences", amount=2)


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A sentence and a question that it answers."""

    sentence: str
    question: str


def planted_sentences(squad: Path, count: int) -> list[Planted]:
    """Sentences that hold the first answer of a random question; seven words or more, one of an article at a time."""
    chance = random.Random(SEED)  # noqa: S311 - a sample, not a secret
    articles = json.loads(squad.read_text(encoding="utf-8"))["data"]
    found: list[Planted] = []
    while len(found) < count:
        for article in articles:
            paragraph = chance.choice(article["paragraphs"])
            question = chance.choice(paragraph["qas"])
            at = question["answers"][0]["answer_start"]
            for sentence in split_sentences(paragraph["context"]):
                text = paragraph["context"][sentence.start : sentence.end]
                if sentence.start <= at < sentence.end and len(text.split()) >= 7:
                    found.append(Planted(sentence=text, question=question["question"]))
    return found[:count]


def measure_planted(squad: Path, book: Path) -> dict[str, Any]:
    """The share found at each place. A planted book differs in one sentence, so the others are encoded once."""
    encoder, reader = MiniLMEncoder.load(), LongformerReader.load()
    salience = TransformerXLSalience.load()
    lines = _lines(book.read_text(encoding="utf-8"))
    vectors = np.concatenate(
        [
            encoder.encode_passages([line.text for line in lines[at : at + 2_048]]).astype(np.float16)
            for at in range(0, len(lines), 2_048)
        ]
    )
    found = dict.fromkeys(PLACES, 0)
    planted = planted_sentences(squad, PLANTED)
    for one in planted:
        vector = encoder.encode_passages([one.sentence]).astype(np.float16)
        for place in PLACES:
            at = int(place * len(lines))
            mixed = _with(lines, at, one.sentence)
            if len(mixed) == len(lines):
                continue  # lost
            table = table_of(mixed, np.concatenate([vectors[:at], vector, vectors[at:]]))
            scores = salience.score(table, query_of(encoder, reader, one.question, mixed, table.vectors))
            found[place] += at in select(table.vectors, scores, table.words, budget=_LENGTH)
    shares = {f"found_at_{place:.0%}": round(100 * number / len(planted), 1) for place, number in found.items()}
    return {"book": book.stem, "sentences": len(lines), "planted": len(planted), **shares}


def measure_paragraphs(lectern: Lectern, path: Path, limit: int | None) -> dict[str, Any]:
    """Percentages of questions whose sentence holds an answer: the summary's, the first, one by chance."""
    found = {"summary": 0.0, "first": 0.0, "chance": 0.0}
    qa = read_squad(path)
    asked = sample([item for item in qa.items if item.answers], limit, seed=SEED)
    for item in asked:
        text = qa.paragraphs[item.article][item.paragraph]
        request = SummarizeRequest(text=text, query=item.question, length=Length(sentences=1))
        reply = lectern.summarizing.summarize(TENANT, request, progress=_quiet)
        sentences = [text[it.start : it.end] for it in split_sentences(text)]
        holding = [any(answer in sentence for answer in item.answers) for sentence in sentences]
        found["summary"] += any(answer in reply.summary for answer in item.answers)
        found["first"] += holding[0]
        found["chance"] += sum(holding) / len(holding)
    return {"questions": len(asked), **{name: round(100 * count / len(asked), 1) for name, count in found.items()}}


def _quiet(done: int, total: int, unit: str) -> None:
    """Progress that nobody looks at."""


def _lines(text: str) -> list[Line]:
    return lines_of(0, SourceText(document_id=None, title=None, version="", document=parse_text(text)))


def _with(lines: Sequence[Line], at: int, sentence: str) -> list[Line]:
    """The lines with one more before `lines[at]`, a paragraph of its own; places of the others stay as they are.

    As the service reads it: a sentence that it takes for no prose, or for two, is not planted.
    """
    here, alone = lines[at], _lines(sentence)
    planted = [
        replace(one, start=here.start, end=here.start, words_before=here.words_before, section=here.section)
        for one in alone
    ]
    return [*lines[:at], *(planted if len(planted) == 1 else []), *lines[at:]]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure summaries that are asked for with a question.")
    parser.add_argument("--data", type=Path, default=data_directory())
    parser.add_argument("--only", default="planted,paragraphs")
    parser.add_argument("--limit", type=int, default=300, help="questions of each set of paragraphs")
    arguments = parser.parse_args()
    dev = arguments.data / "dev"
    books = sorted((dev / "books").glob("*.txt"), key=lambda path: path.stat().st_size)
    if not books:
        print(f"no books at {arguments.data}: nothing to measure")
        return
    path = RESULTS / "asked_summaries.json"
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["measured"] if path.exists() else {}
    if "paragraphs" in arguments.only:
        with fresh_lectern() as lectern:
            rows = {name: measure_paragraphs(lectern, dev / file, arguments.limit) for name, file in SETS.items()}
        results["paragraphs"] = rows
    if "planted" in arguments.only:
        results["planted"] = measure_planted(dev / "squad1.json", books[-1])
    print(json.dumps(results, indent=1))
    write_result("asked_summaries", {"measured": results})


if __name__ == "__main__":
    main()
