"""How long a search takes while the service takes in many documents, beside what it takes when nothing else happens.

    python -m bench.concurrency [--data ../shared/data] [--seconds 60]

writes bench/results/concurrency.json: milliseconds of `POST /search` (hybrid) at one client, one search after another,
with the real models: idle, and from the first upload of a bulk ingest until its end or until the seconds are over. The
bar: the 95th percentile during the ingest is at most 150 ms or 3 times the idle one, whichever is more.
"""

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

from app.evaluation.statistics import percentile
from bench.prepare import data_directory
from bench.records import RESULTS, write_result
from bench.speed import Server, finish, sample_questions, server, upload

KNOWN = 8  # articles that are there before the clock runs
IDLE = 200  # searches of the idle service
WARM_UP = 10
FLOOR_MS, FACTOR = 150.0, 3.0


def measure(data: Path, seconds: float) -> dict[str, Any]:
    """The payload of concurrency.json."""
    articles = sorted((data / "dev" / "articles").glob("*.txt"))
    asked = sample_questions(data, 500)
    with server() as running:
        for job in [upload(running.client, path, "articles") for path in articles[:KNOWN]]:
            if job is not None:
                finish(running.client, job)
        _searches(running, asked, lambda done: done >= WARM_UP)
        idle = _searches(running, asked, lambda done: done >= IDLE)
        over = threading.Event()
        bulk = threading.Thread(target=_ingest, args=(running.client.base_url, articles[KNOWN:], over), daemon=True)
        end = time.monotonic() + seconds
        bulk.start()
        busy = _searches(running, asked, lambda _: over.is_set() or time.monotonic() > end)
        listed = running.client.get("/documents", params={"limit": 1000}).json()["documents"]
        indexed = sum(each["status"] == "indexed" for each in listed) - KNOWN
    bar = max(FLOOR_MS, FACTOR * percentile(idle, 95))
    p95 = percentile(busy, 95)
    return {
        "idle": _described(idle),
        "during_ingest": {**_described(busy), "documents_sent": len(articles) - KNOWN, "documents_indexed": indexed},
        "bar_p95_ms": round(bar, 1),
        "within_bar": p95 <= bar,
        "load_average": round(os.getloadavg()[0], 1),
    }


def _searches(running: Server, asked: Sequence[str], over: Callable[[int], bool]) -> list[float]:
    """Milliseconds of one search after another, until it is over."""
    took: list[float] = []
    while not over(len(took)):
        body = {"query": asked[len(took) % len(asked)], "collection": "articles", "top_k": 10}
        begun = time.perf_counter()
        running.client.post("/search", json=body).raise_for_status()
        took.append(1000 * (time.perf_counter() - begun))
    return took


def _ingest(url: Any, files: Sequence[Path], over: threading.Event) -> None:
    """Send all files, then wait for their jobs; the measure may be over before."""
    with httpx.Client(base_url=url, timeout=600, trust_env=False) as client:
        try:
            for job in [upload(client, path, "articles") for path in files]:
                if job is not None:
                    finish(client, job)
        except (httpx.HTTPError, RuntimeError):
            return  # the server was stopped: the measure is over
    over.set()


def _described(took: Sequence[float]) -> dict[str, Any]:
    return {
        "searches": len(took),
        "p50_ms": round(percentile(took, 50), 1),
        "p95_ms": round(percentile(took, 95), 1),
        "max_ms": round(max(took), 1),
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure searches during a bulk ingest.")
    parser.add_argument("--data", type=Path, default=data_directory())
    parser.add_argument("--seconds", type=float, default=60.0)
    arguments = parser.parse_args()
    if not (arguments.data / "dev" / "articles").is_dir():
        print(f"no sets at {arguments.data}: nothing to measure", file=sys.stderr)
        return
    payload = {"command": f"python -m bench.concurrency --seconds {arguments.seconds:g}"}
    payload |= measure(arguments.data, arguments.seconds)
    print(json.dumps(payload, indent=2))
    print(f"written to {write_result('concurrency', payload).relative_to(RESULTS.parents[1])}", file=sys.stderr)


if __name__ == "__main__":
    main()
