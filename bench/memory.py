"""Memory of the service and of the processes that parse, over large files and over many requests.

    python -m bench.memory [--pages 2000] [--text-mb 50] [--row 100] [--requests 500] [--fakes]

writes bench/results/memory.json, and fails where the service grew by more than 5% over the requests:

- `pdf`, `text`: a generated PDF of so many pages and a text of so many MB, each ingested until it is searchable:
  seconds, and the peak of the service and of its largest parser meanwhile, in MB;
- `row`: so many documents of 200 KB one after another: the service's memory after each tenth;
- `requests`: questions, searches, uploads and deletions in turn, after as many as a fifth of them to warm up: the
  service's memory before and after, and the growth in percent.

With `--fakes` the models are those of the tests: the service without the hours of embedding a text of 50 MB.
"""

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.records import write_result
from tests.app.served import Server
from tests.hostile.rounds import children
from tests.retriever.pdfs import pdf

MB = 1_000_000
MOST_GROWTH = 5.0  # percent, over the requests
EVERY = 0.05  # seconds between two looks at what a process holds
PATIENCE = 3_600.0  # seconds for one document
WORDS = (
    *("mill", "ford", "river", "stone", "barley", "rent", "lease", "harbour", "lighthouse", "quay", "berth", "fog"),
    *("horn", "diesel", "pier", "market", "bridge", "school", "tower", "council", "garden", "station", "library"),
)


def resident(pid: int) -> int:
    """The bytes of memory that a process holds; 0 where it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return 0


@contextmanager
def watched(pid: int) -> Iterator[dict[str, int]]:
    """The peaks of a service and of its largest parser while something is done, in MB."""
    peaks = {"service": 0, "parser": 0}
    over = threading.Event()

    def watch() -> None:
        while not over.wait(EVERY):
            peaks["service"] = max(peaks["service"], resident(pid) // MB)
            peaks["parser"] = max([peaks["parser"], *(resident(each) // MB for each in children(pid))])

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peaks
    finally:
        over.set()
        thread.join()


def prose(characters: int, *, seed: int) -> str:
    """Sentences in paragraphs, none twice."""
    choose = random.Random(seed)  # noqa: S311 - a text, not a secret
    parts, length = [], 0
    while length < characters:
        words = choose.choices(WORDS, k=choose.randint(5, 15))
        end = choose.choice((" ", " ", " ", "\n\n"))
        parts.append(f"{' '.join(words).capitalize()} {choose.randint(1, 9_999)}.{end}")
        length += len(parts[-1])
    return "".join(parts)


def ingest(server: Server, name: str, data: bytes) -> dict[str, Any]:
    """Ingest a file, and wait until it is searchable."""
    began = time.monotonic()
    with watched(server.process.pid) as peaks:
        reply = server.client.post("/documents", params={"wait": 0}, files={"file": (name, data)})
        reply.raise_for_status()
        job = reply.json().get("job")
        while job is not None and time.monotonic() - began < PATIENCE:
            told = server.client.get(f"/jobs/{job}", params={"wait": 30}).json()
            if told["status"] == "failed":
                raise RuntimeError(f"{name}: {told['problem']['code']}")
            if told["status"] == "succeeded":
                break
    return {"bytes": len(data), "seconds": round(time.monotonic() - began, 1), "peak_rss_mb": dict(peaks)}


def in_a_row(server: Server, count: int) -> list[int]:
    """The service's memory in MB after each tenth of so many documents."""
    after = []
    for number in range(count):
        text = prose(200_000, seed=number)
        server.client.post("/documents", params={"wait": 300}, json={"text": text}).raise_for_status()
        if (number + 1) % max(1, count // 10) == 0:
            after.append(resident(server.process.pid) // MB)
    return after


def over_requests(server: Server, count: int) -> dict[str, Any]:
    """The service's memory before and after so many requests, after a fifth as many to warm up."""
    rounds: list[Callable[[int], Any]] = [
        lambda n: server.client.post("/ask", json={"question": f"Where is the {WORDS[n % len(WORDS)]} {n}?"}),
        lambda n: server.client.post("/search", json={"query": f"{WORDS[n % len(WORDS)]} {n}", "top_k": 50}),
        lambda n: server.client.put("/documents/same", params={"wait": 60}, json={"text": prose(2_000, seed=n)}),
        lambda n: server.client.post("/ask", json={"question": f"Which {n}?", "text": prose(5_000, seed=n)}),
        lambda n: server.client.get("/documents/same"),
    ]
    for number in range(count // 5):
        rounds[number % len(rounds)](number).raise_for_status()
    before = resident(server.process.pid)
    for number in range(count):
        rounds[number % len(rounds)](count + number).raise_for_status()
    after = resident(server.process.pid)
    growth = round(100 * (after - before) / before, 2)
    return {"requests": count, "before_mb": before // MB, "after_mb": after // MB, "growth_percent": growth}


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Start a service and do all of it; the payload of memory.json."""
    module = "tests.app.served" if arguments.fakes else "app.main"
    found: dict[str, Any] = {"models": "fakes" if arguments.fakes else "real"}
    with tempfile.TemporaryDirectory(prefix="lectern-memory-") as folder:
        server = Server(Path(folder), module=module, max_wait="3600")
        server.client.timeout = PATIENCE
        try:
            found["idle_mb"] = resident(server.process.pid) // MB
            found["requests"] = over_requests(server, arguments.requests)
            found["row_mb"] = in_a_row(server, arguments.row)
            if arguments.pages:
                lines = prose(2_500, seed=1).replace("\n\n", " ")
                page = [lines[at : at + 80] for at in range(0, len(lines), 80)][:30]
                pages = [[f"Page {number}", *page] for number in range(arguments.pages)]
                found["pdf"] = {"pages": arguments.pages, **ingest(server, "a.pdf", pdf(pages))}
            if arguments.text_mb:
                text = prose(arguments.text_mb * MB - 1_000, seed=2).encode()[: arguments.text_mb * MB]
                found["text"] = ingest(server, "a.txt", text)
            found["after_all_mb"] = resident(server.process.pid) // MB
        finally:
            server.stop()
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=2_000)
    parser.add_argument("--text-mb", type=int, default=50)
    parser.add_argument("--row", type=int, default=100)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--fakes", action="store_true", help="the models of the tests")
    parser.add_argument("--dry", action="store_true", help="print the figures, write nothing")
    arguments = parser.parse_args()
    found = measure(arguments)
    print(json.dumps(found, indent=2))
    if not arguments.dry:
        print(write_result("memory", found))
    if found["requests"]["growth_percent"] > MOST_GROWTH:
        sys.exit(f"the service grew by {found['requests']['growth_percent']}% over {arguments.requests} requests")


if __name__ == "__main__":
    main()
