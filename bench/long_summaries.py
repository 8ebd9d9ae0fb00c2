"""A summary of a whole book: what does it cost to read all of it?

    python -m bench.long_summaries [--data ../shared/data]

takes the longest book through a served Lectern: seconds, seconds per 100,000 words, the server's peak memory idle and
after; the same for its first 20,000 words, so that the time per word can be compared; TextRank and LexRank on the same
sentences, capped at ten minutes. Writes bench/results/long_summaries.json.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from app.evaluation.baselines import Baselines
from app.evaluation.summaries import sentences_of
from bench.prepare import data_directory
from bench.records import write_result
from bench.speed import server
from model.encoder import MiniLMEncoder

SHORT_WORDS = 20_000
CAP_SECONDS = 600.0


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


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure summaries of whole books.")
    parser.add_argument("--data", type=Path, default=data_directory())
    arguments = parser.parse_args()
    books = sorted((arguments.data / "dev" / "books").glob("*.txt"), key=lambda path: path.stat().st_size)
    if not books:
        print(f"no books at {arguments.data}: nothing to measure")
        return
    results = measure_cost(books[-1])
    print(json.dumps(results, indent=1))
    write_result("long_summaries", {"cost": results})


if __name__ == "__main__":
    main()
