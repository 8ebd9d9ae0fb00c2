"""Speed of the service as a client meets it: a real server process, HTTP on loopback.

    python -m bench.speed [--data ../shared/data] [--questions 300] [--only articles,books]

writes bench/results/speed.json:

- `start_s`: from starting the process to /readyz;
- `ingest`: all dev articles (a document each), then all dev books, in an own collection each: from the first upload
  until the last document is indexed, durable and searchable. Words are what white space parts; word pieces are those
  of the documents' texts, so overlap between passages is counted once.
- `ask`: questions over all dev articles in one collection, one after another, 8 passages read: milliseconds at the
  client, and the server's own account of them;
- `peak_rss_mb`: of the server process, idle and at each step.
"""

import argparse
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from app.evaluation.statistics import percentile
from bench.prepare import data_directory
from bench.records import RESULTS, write_result
from model.encoder import MiniLMEncoder

SEED = 13
TOP_K = 8
WARM_UP = 10  # questions before the clock runs
_PATIENCE = 3600.0  # seconds for one ingest of books on a slow machine


class Server:
    """A `lectern serve` of our own on a free port."""

    def __init__(self, data: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = shutil.which("lectern", path=str(Path(sys.executable).parent)) or "lectern"
        started = time.perf_counter()
        self.process = subprocess.Popen(  # noqa: S603
            [command, "serve", "--port", str(port), "--data", str(data)],
            env={**os.environ, "LECTERN_LOG_LEVEL": "warning"},
        )
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=_PATIENCE, trust_env=False)
        self._wait_until_ready()
        self.start_s = time.perf_counter() - started

    def peak_rss_mb(self) -> float:
        """The most memory that the process has held so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
        return round(int(kilobytes) / 1024, 1)

    def close(self) -> None:
        """Stop the server and wait for it."""
        self.client.close()
        self.process.terminate()
        self.process.wait(timeout=60)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with code {self.process.returncode} before it was ready")
            try:
                if self.client.get("/readyz").status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise RuntimeError("the server was not ready within two minutes")


@contextmanager
def server() -> Iterator[Server]:
    """A server on an empty data directory that goes away."""
    with tempfile.TemporaryDirectory(prefix="lectern-speed-") as folder:
        running = Server(Path(folder))
        try:
            yield running
        finally:
            running.close()


def ingest(running: Server, files: Sequence[Path], collection: str) -> dict[str, Any]:
    """Upload the files without waiting for each, then wait for all of their jobs."""
    encoder = MiniLMEncoder.load()
    texts = [path.read_text(encoding="utf-8") for path in files]
    words = sum(len(text.split()) for text in texts)
    pieces = sum(sum(encoder.count_word_pieces(text.splitlines())) for text in texts)
    started = time.perf_counter()
    jobs = [upload(running.client, path, collection) for path in files]
    for job in filter(None, jobs):
        finish(running.client, job)
    seconds = time.perf_counter() - started
    return {
        "documents": len(files),
        "words": words,
        "word_pieces": pieces,
        "seconds": round(seconds, 2),
        "documents_per_second": round(len(files) / seconds, 3),
        "words_per_second": round(words / seconds),
        "word_pieces_per_second": round(pieces / seconds),
    }


def ask(running: Server, questions: Sequence[str], collection: str) -> dict[str, Any]:
    """Ask one question after another, after a few to warm up."""
    clients, servers = [], []
    for number, question in enumerate([*questions[:WARM_UP], *questions]):
        body = {"question": question, "collection": collection, "top_k": TOP_K}
        started = time.perf_counter()
        reply = running.client.post("/ask", json=body)
        elapsed = 1000 * (time.perf_counter() - started)
        reply.raise_for_status()
        if number >= WARM_UP:
            clients.append(elapsed)
            servers.append(reply.json()["timings_ms"])
    stages = sorted({stage for row in servers for stage in row})
    return {
        "questions": len(clients),
        "top_k": TOP_K,
        "p50_ms": round(percentile(clients, 50), 1),
        "p95_ms": round(percentile(clients, 95), 1),
        "questions_per_second": round(1000 * len(clients) / sum(clients), 2),
        "server_p50_ms": {
            stage: round(percentile([row.get(stage, 0.0) for row in servers], 50), 1) for stage in stages
        },
    }


def measure(data: Path, questions: int, parts: Sequence[str]) -> dict[str, Any]:
    """Start a server, ingest and ask; the payload of speed.json."""
    articles, books = sorted((data / "dev" / "articles").glob("*.txt")), sorted((data / "dev" / "books").glob("*.txt"))
    result: dict[str, Any] = {"ingest": {}}
    with server() as running:
        peaks = {"idle": running.peak_rss_mb()}
        result["start_s"] = round(running.start_s, 2)
        if "articles" in parts and articles:
            result["ingest"]["articles"] = ingest(running, articles, "articles")
            peaks["after_articles"] = running.peak_rss_mb()
            result["ask"] = ask(running, sample_questions(data, questions), "articles")
            peaks["after_questions"] = running.peak_rss_mb()
        if "books" in parts and books:
            result["ingest"]["books"] = ingest(running, books, "books")
            peaks["after_books"] = running.peak_rss_mb()
        version = running.client.get("/readyz").json()
    return {**result, "peak_rss_mb": peaks, "models": version.get("models")}


def upload(client: httpx.Client, path: Path, collection: str) -> str | None:
    """The job of an upload; None if it was indexed at once."""
    files = {"file": (path.name, path.read_bytes(), "text/plain")}
    reply = client.post("/documents", params={"wait": 0}, files=files, data={"collection": collection})
    reply.raise_for_status()
    job = reply.json().get("job")
    return None if job is None else str(job)


def finish(client: httpx.Client, job: str) -> None:
    """Wait until a job has succeeded. Raises RuntimeError when it does not."""
    while True:
        reply = client.get(f"/jobs/{job}", params={"wait": 60})
        reply.raise_for_status()
        status = reply.json()["status"]
        if status == "succeeded":
            return
        if status not in ("queued", "running"):
            raise RuntimeError(f"job {job} is {status}: {reply.json()['problem']}")


def sample_questions(data: Path, count: int) -> list[str]:
    """A sample of the dev questions, the same at each run."""
    articles = json.loads((data / "dev" / "squad1.json").read_text(encoding="utf-8"))["data"]
    everything = [qa["question"] for one in articles for paragraph in one["paragraphs"] for qa in paragraph["qas"]]
    return random.Random(SEED).sample(everything, min(count, len(everything)))  # noqa: S311 - a sample, not a secret


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure the speed of the service over HTTP.")
    parser.add_argument("--data", type=Path, default=data_directory())
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--only", default="articles,books")
    arguments = parser.parse_args()
    if not (arguments.data / "dev" / "articles").is_dir():
        print(f"no sets at {arguments.data}: nothing to measure", file=sys.stderr)
        return
    payload = measure(arguments.data, arguments.questions, arguments.only.split(","))
    print(json.dumps(payload, indent=2))
    print(f"written to {write_result('speed', payload).relative_to(RESULTS.parents[1])}", file=sys.stderr)


if __name__ == "__main__":
    main()
