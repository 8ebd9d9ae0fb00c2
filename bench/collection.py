"""What the retriever is worth to answers: `/ask` on all articles of SQuAD 1.1 dev in one collection.

    python -m bench.collection [--data DIR] [--limit N]

asks the same questions three times of the same reader: with BM25 and plain MiniLM mixed half and half, as it was before
anything was learned; with the same two at the weight that ships; and with the retriever that ships. Writes
bench/results/collection.json.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.answering import Answering
from app.evaluation import ProgressLine, evaluate_qa
from app.evaluation.output import rounded
from app.evaluation.qa import QaMeasures
from app.evaluation.statistics import paired_bootstrap
from app.finding import Finder
from app.sources import inline_parser
from app.wiring import Lectern
from bench.prepare import data_directory, prepare
from bench.quality import SEED, TOP_K, fresh_lectern
from bench.records import write_result
from retriever.hybrid import HybridRetriever
from retriever.tuning import Mix

OURS = "ours"
PLAIN = {"half_and_half": Mix(weight=0.5), "linear": Mix()}  # nothing else, and questions encoded as passages are


def with_plain(lectern: Lectern, mix: Mix) -> Lectern:
    """The same service on the same index, with nothing learned in its retriever."""
    assert lectern.parsers is not None  # noqa: S101 - it started its own
    plain = HybridRetriever(lectern.store, lectern.indexes, lectern.encoder, mix=mix)
    parse = inline_parser(lectern.parsers)
    finder = Finder(lectern.store, plain, lectern.reader, lectern.encoder.count_word_pieces, parse=parse)
    return replace(lectern, retriever=plain, finder=finder, answering=Answering(lectern.store, finder, lectern.reader))


def measure(path: Path, limit: int | None) -> dict[str, Any]:
    """The measures of every retriever, and how far ours is ahead in F1 on the questions of all three."""
    measured: dict[str, QaMeasures] = {}
    for name in (*PLAIN, OURS):
        print(name, file=sys.stderr)
        with fresh_lectern() as lectern:
            measured[name] = evaluate_qa(
                with_plain(lectern, PLAIN[name]) if name in PLAIN else lectern,
                path,
                unit="collection",
                limit=limit,
                seed=SEED,
                top_k=TOP_K,
                progress=ProgressLine(),
            )
    rows: dict[str, Any] = {}
    best = [100 * each for each in measured[OURS].f1_by_question.values()]
    for name, row in measured.items():
        recall = {k: rounded(found) for k, found in (row.recall or {}).items()}
        rows[name] = {"n": row.n, "em": rounded(row.em), "f1": rounded(row.f1), "recall_at": recall}
        if name != OURS:
            interval = paired_bootstrap(best, [100 * each for each in row.f1_by_question.values()], seed=SEED)
            rows[name]["ours_ahead_by"] = [rounded(each) for each in (interval.mean, interval.low, interval.high)]
    return rows


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=data_directory())
    parser.add_argument("--out", type=Path, default=Path(".runs/eval"), help="folder of the prepared sets")
    parser.add_argument("--limit", type=int, help="so many questions, by chance")
    options = parser.parse_args()
    prepare(options.data, options.out)
    rows = measure(options.out / "qa" / "squad1.json", options.limit)
    write_result("collection", {"limit": options.limit, "seed": SEED, "retrievers": rows})
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
