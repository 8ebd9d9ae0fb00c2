"""Summaries of whole books: is one sentence among ten thousand found, and what does reading all of it cost?

    python -m bench.long_summaries [--data ../shared/data] [--only planted,cost]

writes bench/results/long_summaries.json:

- `planted`: sentences of SQuAD's dev articles that answer a question, each put into a book at 10, 50 and 90% of it,
  and how often the two-sentence summary that is asked with the question holds it;
- `cost`: the longest book through a served Lectern: seconds, seconds per 100,000 words, the server's peak memory idle
  and after; the same for its first 20,000 words, so that the time per word can be compared; TextRank and LexRank on
  the same sentences, capped at ten minutes.
"""

import argparse
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.evaluation.baselines import Baselines
from app.evaluation.summaries import sentences_of
from app.lines import Line, lines_of, query_of, table_of
from app.sources import SourceText
from bench.prepare import data_directory
from bench.records import write_result
from bench.speed import server
from model.encoder import MiniLMEncoder
from model.salience import TransformerXLSalience
from model.summarizer import Budget, select
from retriever.parsing import parse_text
from retriever.sentences import split_sentences

SEED = 13
PLANTED = 200
PLACES = (0.1, 0.5, 0.9)
SHORT_WORDS = 20_000
CAP_SECONDS = 600.0
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
    encoder, salience = MiniLMEncoder.load(), TransformerXLSalience.load()
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
            mixed = list(_with(lines, at, one.sentence))
            table = table_of(mixed, np.concatenate([vectors[:at], vector, vectors[at:]]))
            scores = salience.score(table, query_of(encoder, one.question, mixed))
            found[place] += at in select(table.vectors, scores, table.words, budget=_LENGTH)
    shares = {f"found_at_{place:.0%}": round(100 * number / len(planted), 1) for place, number in found.items()}
    return {"book": book.stem, "sentences": len(lines), "planted": len(planted), **shares}


def measure_cost(book: Path) -> dict[str, Any]:
    """Seconds and memory of a served summary of the book and of its beginning, and of the graph methods."""
    text = book.read_text(encoding="utf-8")
    short = " ".join(text.split(" ")[:SHORT_WORDS])
    rows: dict[str, Any] = {"book": book.stem}
    for name, part in (("beginning", short), ("book", text)):
        words = len(part.split())
        with server() as running:
            idle = running.peak_rss_mb()
            started = time.perf_counter()
            body = {"text": part, "length": {"sentences": 10}, "wait": 300}
            reply = running.client.post("/summarize", json=body).raise_for_status().json()
            while "job" in reply:
                job = running.client.get(f"/jobs/{reply['job']}", params={"wait": 60}).raise_for_status().json()
                reply = job["result"] if job["status"] == "succeeded" else reply
            seconds = time.perf_counter() - started
            peak = running.peak_rss_mb()
        coverage = reply["coverage"]
        rows[name] = {
            "words": words,
            "read_share": coverage["characters_read"] / coverage["characters_total"],
            "seconds": round(seconds, 2),
            "seconds_per_100000_words": round(1e5 * seconds / words, 2),
            "idle_peak_rss_mb": idle,
            "peak_rss_mb": peak,
        }
    rows["time_per_word_ratio"] = round(
        rows["book"]["seconds_per_100000_words"] / rows["beginning"]["seconds_per_100000_words"], 3
    )
    return {**rows, **_graphs(text)}


def _graphs(text: str) -> dict[str, Any]:
    baselines = Baselines(MiniLMEncoder.load(), cap_seconds=CAP_SECONDS)
    rows: dict[str, Any] = {}
    try:
        sentences = sentences_of(text)
        for system in ("textrank", "lexrank"):
            ranked = baselines.rank(system, sentences, None)
            rows[system] = {"did_not_finish_in_s": CAP_SECONDS} if ranked is None else {"seconds": ranked.seconds}
    finally:
        baselines.close()
    return rows


def _lines(text: str) -> list[Line]:
    return lines_of(0, SourceText(document_id=None, title=None, version="", document=parse_text(text)))


def _with(lines: Sequence[Line], at: int, sentence: str) -> Iterator[Line]:
    """The lines with one more before `lines[at]`, a paragraph of its own; places of the others stay as they are."""
    here = lines[at]
    yield from lines[:at]
    yield Line(
        source=0,
        start=here.start,
        end=here.start,
        text=sentence,
        words=len(sentence.split()),
        words_before=here.words_before,
        section=here.section,
        first=True,
        speaker=None,
        turn_words=0,
    )
    yield from lines[at:]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure summaries of whole books.")
    parser.add_argument("--data", type=Path, default=data_directory())
    parser.add_argument("--only", default="planted,cost")
    arguments = parser.parse_args()
    books = sorted((arguments.data / "dev" / "books").glob("*.txt"), key=lambda path: path.stat().st_size)
    if not books:
        print(f"no books at {arguments.data}: nothing to measure")
        return
    results: dict[str, Any] = {}
    if "cost" in arguments.only:
        results["cost"] = measure_cost(books[-1])
    if "planted" in arguments.only:
        results["planted"] = measure_planted(arguments.data / "dev" / "squad1.json", books[-1])
    print(json.dumps(results, indent=1))
    write_result("long_summaries", results)


if __name__ == "__main__":
    main()
