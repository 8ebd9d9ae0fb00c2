"""Sixteen writers and sixteen readers at once: whatever a reader is shown is one version of each document, whole."""

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from app.evaluation.statistics import percentile
from tests.chaos.checks import check
from tests.chaos.clients import Searcher, Trouble, Writer, at_once
from tests.chaos.nursery import Nursery
from tests.chaos.world import World

WRITERS, READERS = 16, 16
DOCUMENTS = 3  # of each writer: all passages of a collection must fit into one reply


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """What the crowd did. Milliseconds are those of a search at its client."""

    writes: int
    searches: int
    p50_ms: float
    p95_ms: float


def crowd(nest: Nursery, folder: Path, *, seconds: float, seed: int) -> Crowd:
    """Let them all at one server for a while, then check everything. Raises Trouble."""
    world = World(seed, WRITERS)
    server = nest.serve(folder / "data", log=folder / "crowd.log")
    if not server.url:
        raise Trouble(f"the server does not start: {server.lines()[-3:]}")
    over = threading.Event()
    writers = [Writer(server.url, world, n, f"{seed}.{n}", documents=DOCUMENTS) for n in range(WRITERS)]
    readers = [Searcher(server.url, world, f"{seed}.r{n}") for n in range(READERS)]
    try:
        threads, raised = at_once([lambda each=each: each.run(over) for each in (*writers, *readers)])
        end = time.monotonic() + seconds
        while time.monotonic() < end and not raised:
            time.sleep(0.05)
        over.set()
        for thread in threads:
            thread.join()
        if raised:
            raise Trouble(f"a client met {raised[0]!r} [seed {seed}]") from raised[0]
        if not server.alive():
            raise Trouble(f"the server ended: {server.lines()[-3:]} [seed {seed}]")
        with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
            check(client, folder / "data" / "lectern.sqlite3", world)
    finally:
        server.kill()
        server.wait()
    took = [1000 * each for reader in readers for each in reader.seconds]
    return Crowd(
        writes=world.acknowledged,
        searches=len(took),
        p50_ms=round(percentile(took, 50), 1),
        p95_ms=round(percentile(took, 95), 1),
    )
