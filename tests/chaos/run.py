"""Kill the service a few hundred times, and write down what it cost: `make chaos`.

    python -m tests.chaos.run [--kills 200] [--seed N]

A new data directory every FRESH kills, so that young stores are killed as well as old ones, and at the end of each a
reindex, a backup and a migration are killed too, which are counted on top. Then sixteen writers and sixteen readers
share one service for a minute. Writes bench/results/chaos.json: kills by place, acknowledged writes, what did not hold
afterwards (each counts as a write lost, and ends the life of its data directory, which is kept), and seconds from the
start of a process to its readiness. The exit code is 1 if anything was lost.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.evaluation.statistics import percentile
from bench.records import RESULTS, write_result
from tests.chaos.clients import Trouble
from tests.chaos.crowd import READERS, WRITERS, crowd
from tests.chaos.nursery import nursery
from tests.chaos.points import BACKING_UP, MIGRATING, REINDEXING
from tests.chaos.rounds import Rounds, Tally, plan
from tests.retriever.test_migrations import aged

FRESH = 50
CROWD_SECONDS = 60
SEED = 20


def measure(kills: int, seed: int) -> dict[str, Any]:
    """The payload of chaos.json."""
    tallies: list[Tally] = []
    troubles: list[str] = []
    together: dict[str, Any] = {}
    begun = time.monotonic()
    with nursery() as nest:
        planned = plan(kills, seed)
        for first in range(0, kills, FRESH):
            folder = Path(tempfile.mkdtemp(prefix="lectern-chaos-"))  # stays where something goes wrong
            rounds = Rounds(nest, folder, seed=seed + first)
            tallies.append(rounds.tally)
            try:
                for place in planned[first : first + FRESH]:
                    rounds.run(place)
                    print(f"{sum(each.kills.total() for each in tallies)} {place}", file=sys.stderr)
                _kill_commands(rounds, folder)
                rounds.finish()
                shutil.rmtree(folder)
            except Trouble as trouble:
                troubles.append(str(trouble))
        with tempfile.TemporaryDirectory(prefix="lectern-crowd-") as name:
            try:
                together = asdict(crowd(nest, Path(name), seconds=CROWD_SECONDS, seed=seed))
            except Trouble as trouble:
                troubles.append(str(trouble))
    starts = [seconds for each in tallies for seconds in each.starts_s]
    places: dict[str, int] = {}
    for place, count in sorted(item for each in tallies for item in each.kills.items()):
        places[place] = places.get(place, 0) + count
    missed = sum(each.missed.total() for each in tallies)
    return {
        "command": f"python -m tests.chaos.run --kills {kills} --seed {seed}",
        "seed": seed,
        "kills": sum(places.values()),
        "kills_at": places,
        "kills_that_missed_their_place": missed,
        "acknowledged_writes": sum(each.acknowledged for each in tallies),
        "lost_writes": len(troubles),
        "troubles": troubles,
        "searches_during_writes": sum(each.searches for each in tallies),
        "restart_s": {"p50": round(percentile(starts, 50), 3), "max": round(max(starts), 3)},
        "crowd": {"writers": WRITERS, "readers": READERS, "seconds": CROWD_SECONDS, **together},
        "minutes": round((time.monotonic() - begun) / 60, 1),
    }


def _kill_commands(rounds: Rounds, folder: Path) -> None:
    """Kill what is done without a service: nothing that it had acknowledged may be missing afterwards."""
    for point in REINDEXING:
        rounds.command("reindex", point=point)
    for point in BACKING_UP:
        rounds.command("backup", str(folder / "backup"), point=point)
        if (folder / "backup").exists():
            raise Trouble(f"a kill at {point!r} left a file that looks like a backup")
    aged(rounds.data / "lectern.sqlite3", 1)
    for point in MIGRATING:
        rounds.command("reindex", point=point)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Kill the service many times and check it each time.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=SEED)
    arguments = parser.parse_args()
    payload = measure(arguments.kills, arguments.seed)
    print(json.dumps(payload, indent=2))
    print(f"written to {write_result('chaos', payload).relative_to(RESULTS.parents[1])}", file=sys.stderr)
    sys.exit(bool(payload["troubles"]))


if __name__ == "__main__":
    main()
