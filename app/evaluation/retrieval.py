"""Retrieval, measured on a corpus in BEIR's format: sparse, dense, hybrid and other searches side by side.

Each item of the corpus becomes a document (its title above its text, unless the text begins with it) in a collection
of its own, and goes through the same parsing, chunking and indexes as an upload. A search returns passages, so an
item ranks by its best passage: enough passages are fetched that ten distinct items come out, where the corpus has
them. Items without any text cannot be found, and stay in the judgements.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from app.evaluation.errors import EvaluationError
from app.evaluation.output import rounded
from app.evaluation.progress import Progress, ProgressCallback, ignore_progress
from app.evaluation.ranking import ndcg_at, recall_at, reciprocal_rank_at
from app.evaluation.sets import RetrievalSet, read_retrieval, sample
from app.evaluation.target import BulkUpload, LecternTarget, RetrievalTarget, Search

if TYPE_CHECKING:
    from app.wiring import Lectern

DEPTH = 10  # items that a ranking holds: nDCG, recall and the reciprocal rank are all cut here
_PASSAGES = (30, 100, 200)  # passages fetched until DEPTH distinct items are among them; the API's limit is 200
_COLLECTION = "evaluation"
USUAL: tuple[Search, ...] = ("sparse", "dense", "hybrid")


@dataclass(frozen=True, kw_only=True)
class RankingMeasures:
    """The measures of one search over all queries: percentages. `by_query` has each query's own, between 0 and 1."""

    ndcg_at_10: float
    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    mrr: float
    by_query: Mapping[str, Mapping[str, float]]

    def as_dict(self) -> dict[str, float | None]:
        """The object of a search in `lectern eval retrieval --json`."""
        return {name: rounded(getattr(self, name)) for name in _NAMES}


_NAMES = ("ndcg_at_10", "recall_at_1", "recall_at_5", "recall_at_10", "mrr")


def evaluate_retrieval(
    lectern: "Lectern",
    *,
    corpus: Path,
    queries: Path,
    qrels: Path,
    searches: Sequence[Search] = USUAL,
    limit: int | None = None,
    seed: int = 13,
    progress: ProgressCallback | None = None,
) -> dict[Search, RankingMeasures]:
    """Upload the corpus and search it for every query in every way.

    Args:
        lectern: the wired service, on a data directory of its own.
        corpus: `{"_id", "title", "text"}` rows.
        queries: `{"_id", "text"}` rows; those without a relevant item are left out.
        qrels: `query-id<TAB>corpus-id<TAB>score`, with or without that header.
        searches: which to measure, of `Search`.
        limit: search a seeded sample of this many queries; the corpus is always whole.
        seed: of the sample.
        progress: called while uploading and after each query.

    Raises EvaluationError for files that are not of that format, or a search that does not exist.
    """
    unknown = sorted(set(searches) - set(get_args(Search)))
    if unknown:
        raise EvaluationError(f"no such search: {', '.join(unknown)}; there are {', '.join(get_args(Search))}")
    data = read_retrieval(corpus, queries, qrels)
    picked = sample(list(data.queries), limit, seed=seed)
    return evaluate_searches(
        LecternTarget(lectern), data, queries=picked, searches=searches, progress=progress or ignore_progress
    )


def evaluate_searches(
    target: RetrievalTarget,
    data: RetrievalSet,
    *,
    queries: Sequence[str],
    searches: Sequence[Search],
    progress: ProgressCallback = ignore_progress,
) -> dict[Search, RankingMeasures]:
    """`evaluate_retrieval` over anything that can be uploaded to and searched."""
    items = {item: _item_text(title, text) for item, title, text in data.corpus}
    uploads = [BulkUpload(key=item, text=text) for item, text in items.items() if text]
    item_of = target.upload_all(uploads, collection=_COLLECTION, progress=progress)
    by_query: dict[Search, dict[str, dict[str, float]]] = {search: {} for search in searches}
    started = time.perf_counter()
    for done, query in enumerate(queries, start=1):
        for search in searches:
            ranking = _ranking(target, data.queries[query], search, item_of)
            by_query[search][query] = _measure(ranking, data.qrels[query])
        progress(Progress(done=done, total=len(queries), unit="queries", elapsed_s=time.perf_counter() - started))
    return {search: _mean(measures) for search, measures in by_query.items()}


def _ranking(target: RetrievalTarget, query: str, search: Search, item_of: Mapping[str, str]) -> list[str]:
    question = " ".join(query.split())[:2000]
    ranking: list[str] = []
    for k in _PASSAGES:
        documents = target.ranked_documents(question, collection=_COLLECTION, search=search, k=k)
        ranking = list(dict.fromkeys(item_of[document] for document in documents))
        if len(ranking) >= DEPTH or len(documents) < k:
            break
    return ranking[:DEPTH]


def _measure(ranking: Sequence[str], relevant: Mapping[str, int]) -> dict[str, float]:
    return {
        "ndcg_at_10": ndcg_at(ranking, relevant, 10),
        "recall_at_1": recall_at(ranking, relevant, 1),
        "recall_at_5": recall_at(ranking, relevant, 5),
        "recall_at_10": recall_at(ranking, relevant, 10),
        "mrr": reciprocal_rank_at(ranking, relevant, DEPTH),
    }


def _mean(by_query: Mapping[str, Mapping[str, float]]) -> RankingMeasures:
    means = {name: 100 * sum(row[name] for row in by_query.values()) / len(by_query) for name in _NAMES}
    return RankingMeasures(by_query=by_query, **means)


def _item_text(title: str, text: str) -> str:
    title, text = title.strip(), text.strip()
    if not title or " ".join(text.split()).startswith(" ".join(title.split())):
        return text
    return f"{title}\n\n{text}" if text else title
