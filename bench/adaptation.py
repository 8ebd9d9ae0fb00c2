"""What an adaptation without labels is worth to the real questions of a collection.

    python -m bench.adaptation [--data DIR] [--sets NAME,...] [--modes query,full] [--budget SECONDS] [--limit N]

ingests each set, adapts it as `POST /collections/{name}/adapt` does, and searches for the real questions of the set by
what was there before and by what the adaptation chose, whether it was promoted or refused: a refusal is right where the
real questions would not have gained. Each set and mode runs in a process of its own, whose peak of memory is given.
Writes bench/results/adaptation.json as it goes; what was not measured this time keeps its older rows.

    medquad        documents that the retriever was not trained on, with the questions that their sections answer
    qmsum          meetings of dev, specific queries against windows of turns
    cacm           abstracts, one a document
    squad          articles of dev, questions against paragraphs
    fairytaleqa    stories of dev, questions against the sections that are named
"""

import argparse
import json
import multiprocessing
import random
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from app.adapting import KIND, Run
from app.evaluation.output import rounded
from app.evaluation.ranking import ndcg_at, recall_at
from app.evaluation.statistics import paired_bootstrap
from app.evaluation.target import TENANT
from app.grouped_set import AskedOf, GroupedSet, ingested
from app.local import temporary
from app.settings import load_settings
from bench import retrieval_sets, retrieval_training
from bench.prepare import data_directory
from bench.records import RESULTS, provenance, write_result
from retriever.hybrid import HybridRetriever
from retriever.store import Job
from retriever.tuning import Tuning

COLLECTION = "adapted"
DEPTH = 10
SEED = 13
MEASURES = ("ndcg_at_10", "recall_at_5")


class Waiting:
    """Stands for a job's context: nobody cancels."""

    def progress(self, done: int, total: int | None, unit: str | None, *, force: bool = False) -> None:
        """Nothing is told."""


def cacm(folder: Path) -> dict[str, list[Any]]:
    """Every abstract a document of its own."""
    data = retrieval_sets.cacm(folder)
    place = {row["_id"]: number for number, row in enumerate(data.corpus)}
    positive: dict[str, list[int]] = {}
    for query, item, _ in data.qrels:
        if item in place:
            positive.setdefault(query, []).append(place[item])
    asked = [(row["text"], positive[row["_id"]]) for row in data.queries if row["_id"] in positive]
    return {
        "passages": [f"{row['title']}\n\n{row['text']}".strip() for row in data.corpus],
        "group": list(range(len(data.corpus))),
        "queries": [query for query, _ in asked],
        "positive": [found for _, found in asked],
        "held": [True] * len(asked),
    }


SETS: dict[str, Callable[[Path], GroupedSet]] = {
    "medquad": lambda data: GroupedSet.of(retrieval_training.medquad(data / "train" / "medquad.jsonl")).held_out(),
    "qmsum": lambda data: GroupedSet.of(retrieval_training.qmsum(data / "dev" / "qmsum.jsonl")),
    "cacm": lambda data: GroupedSet.of(cacm(data / "dev" / "cacm")),
    "squad": lambda data: GroupedSet.of(retrieval_training.squad(data / "dev" / "squad1.json")),
    "fairytaleqa": lambda data: GroupedSet.of(retrieval_training.fairytaleqa(data / "dev" / "fairytaleqa.jsonl")),
}


def measure(name: str, mode: str, data: Path, budget: float, limit: int) -> dict[str, Any]:
    """The measures of one set in one mode, percentages with intervals of the paired difference."""
    with temporary(load_settings()) as lectern:
        asked = [one for one in ingested(lectern, SETS[name](data), collection=COLLECTION) if one.relevant]
        random.Random(SEED).shuffle(asked)  # noqa: S311 - a sample, not a secret
        asked = asked[:limit]
        idle = _peak_mb()
        payload = {"collection": COLLECTION, "budget_seconds": budget, "mode": mode}
        run = lectern.adapting.begin(_job(payload), Waiting(), None)
        started = time.monotonic()
        tuning, result = run.adapt()
        seconds, peak = time.monotonic() - started, _peak_mb()
        found = [_searched(lectern.retriever, run, asked, way) for way in (None, run.chosen)]
    rows = {
        measure: {
            "before": rounded(100 * sum(before) / len(before)),
            "after": rounded(100 * sum(after) / len(after)),
            "difference": [rounded(100 * each) for each in _difference(after, before)],
        }
        for measure, before, after in ((key, found[0][key], found[1][key]) for key in MEASURES)
    }
    return {
        "questions": len(asked),
        "promoted": tuning is not None,
        "reason": result.reason,
        "right": is_right(rows, promoted=tuning is not None),
        **rows,
        "made_questions": {key: value.model_dump() for key, value in result.kinds.items()},
        "mix": result.mix.model_dump(),
        "seconds": rounded(seconds),
        "peak_mb": rounded(peak),
        "peak_before_mb": rounded(idle),
    }


def _job(payload: Mapping[str, Any]) -> Job:
    """A job that no worker will take: it is run here."""
    return Job(
        tenant=TENANT,
        id="adaptation",
        kind=KIND,
        status="running",
        done=0,
        total=None,
        unit=None,
        payload=payload,
        result=None,
        problem=None,
        cancelling=False,
        created_at="",
        updated_at="",
    )


def _searched(
    retriever: HybridRetriever, run: Run, asked: Sequence[AskedOf], way: Tuning | None
) -> dict[str, list[float]]:
    """The measures of every question, between 0 and 1, by one way to search."""
    measured: dict[str, list[float]] = {key: [] for key in MEASURES}
    for one in asked:
        own = None if way is None else run.own(way)
        candidates = retriever.candidates(TENANT, one.text, collection=COLLECTION, tuning=way, own=own)
        mix = retriever.mix if way is None else way.mix
        ranking = [str(key) for key in retriever.ranking(candidates, mix, k=DEPTH)]
        relevant = {str(key): 1 for key in one.relevant}
        measured["ndcg_at_10"].append(ndcg_at(ranking, relevant, DEPTH))
        measured["recall_at_5"].append(recall_at(ranking, relevant, 5))
    return measured


def _difference(after: Sequence[float], before: Sequence[float]) -> tuple[float, float, float]:
    interval = paired_bootstrap(after, before, seed=SEED)
    return interval.mean, interval.low, interval.high


def is_right(rows: Mapping[str, Mapping[str, Any]], *, promoted: bool) -> bool:
    """A promotion is right where nothing is lower beyond chance, a refusal where nothing would be higher beyond it."""
    intervals = [rows[key]["difference"] for key in MEASURES]
    return all(high >= 0 for _, _, high in intervals) if promoted else all(low <= 0 for _, low, _ in intervals)


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 if sys.platform != "darwin" else peak / 1024**2


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=data_directory())
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--modes", default="query,full")
    parser.add_argument("--budget", type=float, default=600)
    parser.add_argument("--limit", type=int, default=1_000, help="so many questions of a set, by chance")
    options = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    for name in options.sets.split(","):
        for mode in options.modes.split(","):
            with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as alone:
                row = alone.submit(measure, name, mode, options.data, options.budget, options.limit).result()
            path = RESULTS / "adaptation.json"
            earlier = json.loads(path.read_text(encoding="utf-8"))["sets"] if path.exists() else {}
            done = {**earlier.get(name, {}), mode: {**provenance(), "budget_seconds": options.budget, **row}}
            write_result("adaptation", {"sets": {**earlier, name: done}})
            print(json.dumps({name: {mode: row}}, indent=1))


if __name__ == "__main__":
    main()
