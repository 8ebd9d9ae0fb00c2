"""Every hostile file, those of `make test` and those as large as a body may be, through a service with its own limits.

    python -m tests.hostile.run [--only WORDS]

writes bench/results/hostile.json, and fails where a file got another status than a documented one of its own, or the
service did not answer right after it.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from bench.records import write_result
from tests.app.served import Server
from tests.hostile import packages, pdfs, texts
from tests.hostile.rounds import Outcome, Rounds

CAPS = {"parser_seconds": 30, "parser_memory": 1_000_000_000}  # the default memory; a quarter of the default time


def figures(rounds: Rounds, wrong: list[Outcome]) -> dict[str, Any]:
    """What is written down: counts by code, the slowest files, and the peaks of memory."""
    slowest = sorted(rounds.outcomes, key=lambda outcome: -outcome.seconds)[:5]
    return {
        "files": len(rounds.outcomes),
        "codes": dict(sorted(Counter(outcome.code for outcome in rounds.outcomes).items())),
        "wrong": [outcome.name for outcome in wrong],
        "crashes_of_the_service": int(rounds.server.process.poll() is not None),
        "slowest": {outcome.name: round(outcome.seconds, 1) for outcome in slowest},
        "peak_rss_mb": {"service": rounds.service_peak // 10**6, "parser": rounds.worker_peak // 10**6},
        "caps": CAPS,
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="files whose name contains these words; nothing is written then")
    only = parser.parse_args().only
    corpus = [each for kind in (texts, packages, pdfs) for each in (*kind.SMALL, *kind.LARGE) if only in each.name]
    wrong: list[Outcome] = []
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), **{name: str(value) for name, value in CAPS.items()})
        try:
            rounds = Rounds(server)
            for hostile in corpus:
                outcome = rounds.send(hostile)
                wrong += [outcome] if not outcome.right or outcome.after else []
                print(f"{outcome.seconds:7.1f} s  {outcome.code:12} {outcome.name} {outcome.after}", flush=True)
            found = figures(rounds, wrong)
        finally:
            server.stop()
    print(json.dumps(found, indent=2), "" if only else f"\n{write_result('hostile', found)}")
    sys.exit(bool(wrong or rounds.defects))


if __name__ == "__main__":
    main()
