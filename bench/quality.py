"""Quality on the public sets, through the service's own path.

    python -m bench.quality [--data DIR] [--only qa,retrieval,summaries] [--sets NAME,...] [--limit N | --full]

prepares the sets (see `prepare`), measures each in a data directory of its own, and writes qa.json, retrieval.json and
summaries.json into bench/results as it goes: after a stop, the finished sets are there. A set that was not measured
this time keeps its older numbers, with the commit that they are of. Answers are kept in .runs/eval/records by commit,
so that a run that was stopped goes on.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from app.evaluation import ProgressLine, evaluate_qa, evaluate_retrieval, evaluate_summaries
from app.evaluation.calibration import CURVE
from app.evaluation.output import rounded
from app.evaluation.qa import QaMeasures, Unit
from app.evaluation.retrieval import RankingMeasures
from app.evaluation.statistics import Interval, bootstrap, paired_bootstrap
from app.evaluation.summaries import ORACLE, OURS, SummaryMeasures
from app.evaluation.target import Search
from app.settings import load_settings
from app.wiring import Lectern, build
from bench import risk_coverage
from bench.prepare import data_directory, prepare
from bench.records import RESULTS, provenance, write_result

SEED = 13
TOP_K = 8
LIMITS = {"qa": 2000, "retrieval": 2000, "summaries": 60}  # about three hours on two cores; --full takes a night
RERANKED = ("squad_pooled",)  # retrieval sets that the reader's order is measured on: it reads 20 passages a query
UNITS: dict[str, tuple[Unit, ...]] = {"squad1": get_args(Unit), "fairytaleqa": ("paragraph", "article")}


@contextmanager
def fresh_lectern() -> Iterator[Lectern]:
    """The configured service on an empty data directory that goes away."""
    with tempfile.TemporaryDirectory(prefix="lectern-eval-", dir=_memory()) as folder:
        lectern = build(load_settings().model_copy(update={"data_dir": Path(folder), "database_url": None}))
        try:
            lectern.jobs.start()
            yield lectern
        finally:
            lectern.close()


def _memory() -> str | None:
    """Where files cost no disk: a corpus of 20,000 items takes 100,000 durable transactions of 3 ms each otherwise."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) and shutil.disk_usage("/dev/shm").free > 2**30 else None  # noqa: S108


def measure_qa(name: str, folder: Path, limit: int | None) -> dict[str, Any]:
    """The measures of a set in each of its units, and what is lost between paragraph and article."""
    measured: dict[str, QaMeasures] = {}
    for unit in UNITS.get(name, ("paragraph",)):
        print(f"qa {name} {unit}", file=sys.stderr)
        origin = provenance()
        records = folder / "records" / f"{name}-{unit}-{limit or 'all'}-{origin['commit'][:12]}.jsonl"
        with fresh_lectern() as lectern:
            measured[unit] = evaluate_qa(
                lectern,
                folder / "qa" / f"{name}.json",
                unit=unit,
                limit=limit,
                seed=SEED,
                top_k=TOP_K,
                # The commit does not say what a modified tree would answer: nothing is gone on with there.
                records=None if origin["modified"] else records,
                progress=ProgressLine(),
            )
    result: dict[str, Any] = {unit: qa_row(row) for unit, row in measured.items()}
    for unit in ("article", "collection"):
        if "paragraph" in measured and unit in measured:
            result[f"paragraph_to_{unit}"] = losses(measured["paragraph"], measured[unit], top_k=TOP_K)
    return result


def qa_row(measured: QaMeasures) -> dict[str, Any]:
    """The flat measures, the intervals of F1 and of the promised error, the risk, and the check of the citations."""
    values = list(measured.f1_by_question.values())
    interval = _interval(bootstrap([100 * value for value in values], seed=SEED)) if values else None
    checked = {"citations": measured.citations, "broken_citations": measured.broken_citations}
    promised = measured.calibration.error_interval
    return {
        **measured.as_dict(),
        "f1_interval": interval,
        "error_at_target_20_interval": None if promised is None else [rounded(each) for each in promised],
        "risk": {str(share): rounded(each) for share, each in zip(CURVE, measured.calibration.risk, strict=True)},
        **checked,
    }


def losses(paragraph: QaMeasures, whole: QaMeasures, *, top_k: int) -> dict[str, float | None]:
    """F1 points lost from the paragraph to a longer source over the same questions, by where they are lost.

    `retrieval` is lost on questions for which no passage that was read holds an answer, `reading` on the others. They
    add up.
    """
    lost = {"retrieval": 0.0, "reading": 0.0}
    for question, score in paragraph.f1_by_question.items():
        rank = whole.rank_by_question[question]
        found = rank is not None and rank <= top_k
        lost["reading" if found else "retrieval"] += score - whole.f1_by_question[question]
    count = len(paragraph.f1_by_question)
    points = {f"lost_in_{name}": rounded(100 * value / count) for name, value in lost.items()}
    return {"f1_share": rounded((whole.f1 or 0) / paragraph.f1, 4) if paragraph.f1 else None, **points}


def measure_retrieval(name: str, folder: Path, limit: int | None) -> dict[str, Any]:
    """Every search, and the paired differences of hybrid to the others in nDCG@10 with their intervals.

    The reader's order is measured on the sets of RERANKED alone.
    """
    print(f"retrieval {name}", file=sys.stderr)
    where = folder / "retrieval" / name
    corpus, queries, qrels = where / "corpus.jsonl", where / "queries.jsonl", where / "qrels.tsv"
    with fresh_lectern() as lectern:
        measured = evaluate_retrieval(
            lectern,
            corpus=corpus,
            queries=queries,
            qrels=qrels,
            searches=[search for search in get_args(Search) if search != "reranked" or name in RERANKED],
            limit=limit,
            seed=SEED,
            progress=ProgressLine(),
        )
    result: dict[str, Any] = {search: row.as_dict() for search, row in measured.items()}
    result["queries"] = len(measured["hybrid"].by_query)
    for search, row in measured.items():
        if search != "hybrid":
            result[f"hybrid_minus_{search}_ndcg_at_10"] = _difference(measured["hybrid"], row)
    return result


def measure_summaries(name: str, folder: Path, limit: int | None) -> dict[str, Any]:
    """Every system with the oracle, and Lectern's lead over the best baseline in each kind of ROUGE."""
    print(f"summaries {name}", file=sys.stderr)
    path = folder / "summaries" / f"{name}.jsonl"
    with fresh_lectern() as lectern:
        measured = evaluate_summaries(lectern, path, limit=limit, seed=SEED, oracle=True, progress=ProgressLine())
    rows = {system: row.as_dict() for system, row in measured.items()}
    return {**rows, "over_best_baseline": {kind: lead(measured, kind) for kind in ("rouge1", "rouge2", "rougeLsum")}}


def lead(measured: Mapping[str, SummaryMeasures], kind: str) -> dict[str, Any] | None:
    """How far Lectern is ahead of the best baseline that finished every document, and on the way to the oracle."""
    ours = getattr(measured[OURS], kind)
    whole = {name: row for name, row in measured.items() if name not in (OURS, ORACLE) and not row.did_not_finish}
    if ours is None or not whole:
        return None
    best = max(whole, key=lambda name: getattr(whole[name], kind))
    bar, top = getattr(whole[best], kind), getattr(measured[ORACLE], kind)
    paired = paired_bootstrap(
        [100 * getattr(row, kind) for row in measured[OURS].by_row.values()],
        [100 * getattr(row, kind) for row in whole[best].by_row.values()],
        seed=SEED,
    )
    share = rounded((ours - bar) / (top - bar), 3) if top > bar else None
    return {"best": best, "lead": rounded(ours - bar), "interval": _interval(paired), "share_to_oracle": share}


MEASURES: dict[str, Callable[[str, Path, int | None], dict[str, Any]]] = {
    "qa": measure_qa,
    "retrieval": measure_retrieval,
    "summaries": measure_summaries,
}


def run(
    kinds: Sequence[str], sets: Sequence[str] | None, *, folder: Path, data: Path, limits: Mapping[str, int | None]
) -> None:
    """Measure the sets of these kinds (all of each, or the named ones), writing after each."""
    prepared = prepare(data, folder)
    for kind in kinds:
        for name in prepared[kind]:
            if sets is None or name in sets:
                row = MEASURES[kind](name, folder, limits[kind])
                done = {**provenance(), "limit": limits[kind], "seed": SEED, **row}
                write_result(kind, {"sets": {**_earlier(kind), name: done}})
                print(json.dumps({name: row}, ensure_ascii=False, indent=2))
        if kind == "qa":
            risk_coverage.draw(_earlier(kind), RESULTS / "risk-coverage.png")


def _earlier(kind: str) -> dict[str, Any]:
    path = RESULTS / f"{kind}.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))["sets"]) if path.exists() else {}


def _difference(ours: RankingMeasures, theirs: RankingMeasures) -> list[float | None]:
    queries = list(ours.by_query)
    pairs = [[100 * row.by_query[query]["ndcg_at_10"] for query in queries] for row in (ours, theirs)]
    return _interval(paired_bootstrap(pairs[0], pairs[1], seed=SEED))


def _interval(interval: Interval) -> list[float | None]:
    return [rounded(interval.low), rounded(interval.high)]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure quality on the public sets.")
    parser.add_argument("--data", type=Path, default=data_directory())
    parser.add_argument("--out", type=Path, default=Path(".runs/eval"), help="folder of the prepared sets")
    parser.add_argument("--only", default=",".join(MEASURES), help="kinds, of qa, retrieval, summaries")
    parser.add_argument("--sets", help="names of sets; default all of the kinds")
    parser.add_argument("--limit", type=int, help="questions, queries or documents of each set")
    parser.add_argument("--full", action="store_true", help="everything of each set")
    arguments = parser.parse_args()
    if not (arguments.data / "dev").is_dir():
        print(f"no sets at {arguments.data}: nothing to measure", file=sys.stderr)
        return
    kinds = [kind for kind in arguments.only.split(",") if kind in MEASURES]
    limits = {kind: None if arguments.full else arguments.limit or LIMITS[kind] for kind in MEASURES}
    sets = arguments.sets.split(",") if arguments.sets else None
    run(kinds, sets, folder=arguments.out, data=arguments.data, limits=limits)


if __name__ == "__main__":
    main()
