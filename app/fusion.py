"""Compares ways to mix the two sides of the retriever: `python -m app.fusion --set FILE [FILE ...]`.

A set is that of app/retriever_mining.py, with `group`: the document of each passage, passages in their order. Its
documents are ingested as the service does it, and every question is searched for once. A row a way: reciprocal rank
fusion, then every mix of a grid, best first on the questions that are not held out; those that are held out say what
to believe of it. With `--read N` a second table, of N of the questions by chance: the reader's relevance of the best 20
beside the mix that ships, by its weight.
"""

import argparse
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from app import local, terminal
from app.evaluation.fused import reciprocal_ranks
from app.evaluation.ranking import ndcg_at, recall_at
from app.evaluation.target import TENANT
from app.grouped_set import AskedOf, GroupedSet, ingested
from app.reranking import RERANKED, by_both, relevance_of
from app.settings import Settings, load_settings
from app.wiring import build
from retriever.hybrid import Candidates, HybridRetriever
from retriever.tuning import Mix

if TYPE_CHECKING:
    from app.wiring import Lectern

GRID = (0.0, 0.25, 0.5, 1.0)  # of the neighbours, and of the document
CLOSE = (0.0, 0.2, 0.4, 0.6)  # of how closely a passage says the query, in both ways
WEIGHTS = (0.2, 0.3, 0.4)
DEPTH = 10
RELEVANCE = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5)  # of the reader's logit
COLLECTION = "fusion"
SEED = 13
Rank = Callable[[Candidates], Sequence[int]]


def ways() -> dict[str, Rank]:
    """What is compared, by name."""

    def by(mix: Mix) -> Rank:
        return lambda candidates: HybridRetriever.ranking(candidates, mix, k=DEPTH)

    mixes = [
        Mix(weight=w, nearby=n, whole=a, near=c, joined=c) for w in WEIGHTS for n in GRID for a in GRID for c in CLOSE
    ]
    named = {f"weight {it.weight} nearby {it.nearby} whole {it.whole} close {it.near}": by(it) for it in mixes}
    return {"reciprocal rank fusion": lambda candidates: reciprocal_ranks(candidates, k=DEPTH), **named}


def compare(lectern: "Lectern", data: GroupedSet) -> dict[str, dict[str, list[float]]]:
    """way -> [nDCG@10, recall@5] in percent, of the questions to choose by (`chosen`) and of those held out."""
    rows: dict[str, dict[str, list[list[float]]]] = {name: {"chosen": [], "held": []} for name in ways()}
    for asked in ingested(lectern, data, collection=COLLECTION):
        candidates = lectern.retriever.candidates(TENANT, asked.text, collection=COLLECTION, tuning=None)
        for name, rank in ways().items():
            ranking = [str(key) for key in rank(candidates)]
            rows[name]["held" if asked.held else "chosen"].append(_measured(ranking, asked))
    return _means(rows)


def compare_reading(lectern: "Lectern", data: GroupedSet, count: int) -> dict[str, dict[str, list[float]]]:
    """As `compare`, of `count` questions by chance: the mix that ships, and the reader's relevance beside it."""
    asked = list(ingested(lectern, data, collection=COLLECTION))
    chosen = random.Random(SEED).sample(asked, min(count, len(asked)))  # noqa: S311 - a sample, not a secret
    rows: dict[str, dict[str, list[list[float]]]] = {f"relevance {weight}": {} for weight in RELEVANCE}
    for one in chosen:
        hits = lectern.retriever.search(TENANT, one.text, collection=COLLECTION, k=RERANKED)
        logits = relevance_of(lectern.reader, one.text, hits)
        for name, weight in zip(rows, RELEVANCE, strict=True):
            ranking = [str(hit.passage.key) for hit in by_both(hits, logits, weight=weight)]
            rows[name].setdefault("held" if one.held else "chosen", []).append(_measured(ranking, one))
    return _means(rows)


def _measured(ranking: Sequence[str], asked: AskedOf) -> list[float]:
    relevant = {str(key): 1 for key in asked.relevant}
    return [100 * ndcg_at(ranking, relevant, DEPTH), 100 * recall_at(ranking, relevant, 5)]


def _means(rows: Mapping[str, Mapping[str, list[list[float]]]]) -> dict[str, dict[str, list[float]]]:
    return {
        name: {part: np.mean(parts[part], axis=0).tolist() for part in ("chosen", "held") if parts.get(part)}
        for name, parts in rows.items()
    }


def main(arguments: Sequence[str] | None = None, *, make: Callable[[Settings], "Lectern"] = build) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", type=Path, nargs="+", required=True)
    parser.add_argument("--read", metavar="N", type=int, default=0, help="questions whose hits the reader orders too")
    given = parser.parse_args(arguments)
    for path in given.set:
        data = GroupedSet.read(path)
        with local.temporary(load_settings(), make=make) as lectern:
            tables = [compare(lectern, data)]
        if given.read:
            with local.temporary(load_settings(), make=make) as lectern:
                tables.append(compare_reading(lectern, data, given.read))
        for table in tables:
            terminal.say(f"{path.stem}: nDCG@10 / recall@5, of questions to choose by | held out")
            for name, parts in sorted(table.items(), key=lambda row: -sum(row[1].get("chosen", [0.0]))):
                shown = " | ".join(" / ".join(f"{value:.1f}" for value in values) for values in parts.values())
                terminal.say(f"  {name:50} {shown}")


if __name__ == "__main__":
    main()
