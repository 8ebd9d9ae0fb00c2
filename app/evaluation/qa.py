"""Question answering, measured through the service's own answering path.

Units: `paragraph` sends the paragraph of the question as inline text; `article` uploads each article whole as one
document and asks it of that document; `collection` uploads all articles into one collection and asks it of that.

Every question is asked once. What the reply says decides everything:

- The *forced* answer is the reply's answer, or the best rejected span (`alternatives[0]`) where the service
  abstained.
- The *no-answer score* is the reply's confidence where it abstained, one minus the confidence where it answered.
- Recall counts answerable questions for which one of the retriever's first k passages holds a gold answer as
  `squad.holds_answer` defines it. The search for it is a call of its own, outside the times.
- The confidence that is judged is that in the forced answer, which is right where it is exactly a gold answer.
- Times are those of the answering path alone, one question after another; questions per second is their inverse mean.
"""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from app.evaluation.calibration import CalibrationMeasures, calibration_of
from app.evaluation.errors import EvaluationError
from app.evaluation.output import rounded
from app.evaluation.progress import Progress, ProgressCallback, ignore_progress
from app.evaluation.sets import QaItem, QaSet, read_squad, sample
from app.evaluation.squad import Scorer, holds_answer, scorer_for
from app.evaluation.statistics import auroc, best_threshold_score, percentile
from app.evaluation.target import TENANT, LecternTarget, Reads, Target

if TYPE_CHECKING:
    from app.schemas import AskReply
    from app.wiring import Lectern

Unit = Literal["paragraph", "article", "collection"]

RECALL_DEPTHS = (1, 5, 8, 10)
_COLLECTION = "evaluation"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What became of one question: enough to compute every measure again.

    `answer` is what the service said, None where it abstained; `forced` is the best span whatever it said. `rank` is
    the place (from 1) of the first retrieved passage that holds a gold answer, None if none of the first ten does.
    `broken` counts citations that do not slice back to their quote.
    """

    id: str
    answer: str | None
    forced: str
    no_answer: float
    ms: float
    rank: int | None = None
    citations: int = 0
    broken: int = 0


@dataclass(frozen=True, kw_only=True)
class QaMeasures:
    """The measures of one set: percentages, milliseconds; None where one has no meaning for the set or unit.

    `f1_by_question` (between 0 and 1) and `rank_by_question` (as in Asked) hold the answerable questions.
    """

    n: int
    em: float | None
    f1: float | None
    threshold_f1: float
    best_f1: float
    auroc: float | None
    recall: Mapping[int, float] | None
    questions_per_second: float
    p50_ms: float
    p95_ms: float
    calibration: CalibrationMeasures
    citations: int
    broken_citations: int
    f1_by_question: Mapping[str, float]
    rank_by_question: Mapping[str, int | None]

    def as_dict(self) -> dict[str, int | float | None]:
        """The flat object of `lectern eval qa --json`."""
        recalls = {f"recall_at_{k}": rounded(self.recall[k]) if self.recall else None for k in RECALL_DEPTHS}
        return {
            "n": self.n,
            "em": rounded(self.em),
            "f1": rounded(self.f1),
            "threshold_f1": rounded(self.threshold_f1),
            "best_f1": rounded(self.best_f1),
            "auroc": rounded(self.auroc),
            **recalls,
            "questions_per_second": rounded(self.questions_per_second),
            "p50_ms": rounded(self.p50_ms),
            "p95_ms": rounded(self.p95_ms),
            "ece": rounded(self.calibration.ece),
            "brier": rounded(self.calibration.brier, 4),
            "brier_constant": rounded(self.calibration.brier_constant, 4),
            "answered_at_target_20": rounded(self.calibration.answered),
            "error_at_target_20": rounded(self.calibration.error),
        }


def evaluate_qa(
    lectern: "Lectern",
    path: Path,
    *,
    unit: Unit,
    limit: int | None = None,
    seed: int = 13,
    top_k: int = 8,
    read: Reads = "passages",
    records: Path | None = None,
    progress: ProgressCallback | None = None,
) -> QaMeasures:
    """Ask the questions of a SQuAD-format file of the service, and measure the replies.

    Args:
        lectern: the wired service, on a data directory of its own: units `article` and `collection` upload into it.
        path: the file; SQuAD 1.1 or 2.0, or a Chinese set of that format.
        unit: what each question is asked of.
        limit: ask a seeded sample of this many questions, drawn over all articles.
        seed: of the sample.
        top_k: passages to read.
        read: passages that are found, or the document of the question whole.
        records: a JSON Lines file that gets a line a question as it is answered. If it exists and is of the same run,
        the questions in it are not asked again.
        progress: called after each question.

    Raises EvaluationError for a file that cannot be measured, or records of another run.
    """
    if read == "document" and unit == "collection":
        raise EvaluationError("a collection is not read whole: ask of a paragraph or an article")
    qa = read_squad(path)
    run: dict[str, Any] = {"set": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    run |= {"unit": unit, "limit": limit, "seed": seed, "top_k": top_k}
    if read != "passages":
        run["read"] = read
    run |= {"reader": lectern.reader.name, "retriever": lectern.retriever.version(TENANT, None)}
    return evaluate_target(
        LecternTarget(lectern, read=read),
        qa,
        unit=unit,
        items=sample(qa.items, limit, seed=seed),
        top_k=top_k,
        journal=Journal(records, run),
        progress=progress or ignore_progress,
    )


def evaluate_target(
    target: Target,
    qa: QaSet,
    *,
    unit: Unit,
    items: Sequence[QaItem],
    top_k: int,
    journal: "Journal",
    progress: ProgressCallback = ignore_progress,
) -> QaMeasures:
    """`evaluate_qa` over anything that can be asked."""
    scorer = scorer_for(qa.rules)
    known = journal.load()
    asked = [known[item.id] for item in items if item.id in known]
    waiting = [item for item in items if item.id not in known]
    f1_sum = sum(_forced_f1(item, known[item.id], scorer) for item in items if item.id in known)
    if unit == "collection" and waiting:
        _upload_all(target, qa, progress)
    started = time.perf_counter()
    with journal.open() as stream:
        for done, (item, record) in enumerate(_ask_all(target, qa, waiting, unit, top_k), start=1):
            asked.append(record)
            f1_sum += _forced_f1(item, record, scorer)
            if stream is not None:
                stream.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")
                stream.flush()
            note = f"F1 {100 * f1_sum / len(asked):.1f}"
            elapsed = time.perf_counter() - started
            progress(Progress(done=done, total=len(waiting), unit="questions", elapsed_s=elapsed, note=note))
    return measure(items, {record.id: record for record in asked}, scorer, unit=unit)


def measure(items: Sequence[QaItem], asked: Mapping[str, Asked], scorer: Scorer, *, unit: Unit) -> QaMeasures:
    """The measures of questions and what became of them: a pure function."""
    records = [asked[item.id] for item in items]
    golds = [scorer.golds(item.answers) for item in items]
    answerable = [any(gold) for gold in golds]
    forced = [scorer.f1(record.forced, gold) for record, gold in zip(records, golds, strict=True)]
    decided = [scorer.f1(record.answer or "", gold) for record, gold in zip(records, golds, strict=True)]
    exact = [scorer.exact(record.forced, gold) for record, gold in zip(records, golds, strict=True)]
    no_answer = [record.no_answer for record in records]
    # As in the script, any answer to an unanswerable question costs it, even one that normalizes to nothing.
    at_threshold = [
        score if has else float(not record.forced)
        for score, has, record in zip(forced, answerable, records, strict=True)
    ]
    separation = auroc(no_answer, [not has for has in answerable])
    times = [record.ms for record in records]
    return QaMeasures(
        n=len(items),
        em=_share(exact, answerable),
        f1=_share(forced, answerable),
        threshold_f1=100 * sum(decided) / len(decided),
        best_f1=100 * best_threshold_score(at_threshold, no_answer, answerable),
        auroc=None if separation is None else 100 * separation,
        recall=None if unit == "paragraph" else _recall(records, answerable),
        questions_per_second=1000 * len(times) / sum(times) if sum(times) else 0.0,
        p50_ms=percentile(times, 50),
        p95_ms=percentile(times, 95),
        calibration=calibration_of(
            [1 - score for score in no_answer], [bool(e) and has for e, has in zip(exact, answerable, strict=True)]
        ),
        citations=sum(record.citations for record in records),
        broken_citations=sum(record.broken for record in records),
        f1_by_question={item.id: score for item, score, has in zip(items, forced, answerable, strict=True) if has},
        rank_by_question={record.id: record.rank for record, has in zip(records, answerable, strict=True) if has},
    )


class Journal:
    """The records of a run on disk: a header that names the run, then a line a question.

    Without a path nothing is kept. A last line without its end, as a kill leaves it, is dropped.
    """

    def __init__(self, path: Path | None, run: Mapping[str, Any]) -> None:
        self._path = path
        self._run = dict(run)

    def load(self) -> dict[str, Asked]:
        """What an earlier part of the same run has asked. EvaluationError if the file is of another run."""
        if self._path is None or not self._path.exists():
            return {}
        lines = self._path.read_text(encoding="utf-8").split("\n")[:-1]
        if not lines:
            return {}
        if json.loads(lines[0]) != {"run": self._run}:
            raise EvaluationError(f"{self._path} holds records of another run: remove it or name another file")
        records = [Asked(**json.loads(line)) for line in lines[1:]]
        self._path.write_text("\n".join([*lines, ""]), encoding="utf-8")
        return {record.id: record for record in records}

    def open(self) -> "_Stream":
        """The stream to append to, with its header; a context manager that gives None without a path."""
        return _Stream(self._path, json.dumps({"run": self._run}, ensure_ascii=False))


class _Stream:
    def __init__(self, path: Path | None, header: str) -> None:
        self._path = path
        self._header = header
        self._stream: TextIO | None = None

    def __enter__(self) -> TextIO | None:
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = self._path.open("a", encoding="utf-8")
            if self._stream.tell() == 0:
                self._stream.write(f"{self._header}\n")
        return self._stream

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()


def _ask_all(
    target: Target, qa: QaSet, items: Sequence[QaItem], unit: Unit, top_k: int
) -> Iterator[tuple[QaItem, Asked]]:
    documents: dict[int, str] = {}
    for item in items:
        if unit == "article" and item.article not in documents:
            text, title = qa.article_text(item.article), qa.titles[item.article]
            documents[item.article] = target.upload(text, title=title, collection=_COLLECTION)
        yield item, _ask(target, item, _source(qa, item, unit, documents), top_k)


def _upload_all(target: Target, qa: QaSet, progress: ProgressCallback) -> None:
    started = time.perf_counter()
    for article, title in enumerate(qa.titles):
        target.upload(qa.article_text(article), title=title, collection=_COLLECTION)
        elapsed = time.perf_counter() - started
        progress(Progress(done=article + 1, total=len(qa.titles), unit="documents", elapsed_s=elapsed))


def _source(qa: QaSet, item: QaItem, unit: Unit, documents: Mapping[int, str]) -> dict[str, Any]:
    if unit == "paragraph":
        return {"text": qa.paragraphs[item.article][item.paragraph]}
    return {"documents": [documents[item.article]]} if unit == "article" else {"collection": _COLLECTION}


def _ask(target: Target, item: QaItem, source: Mapping[str, Any], top_k: int) -> Asked:
    question = " ".join(item.question.split())[:2000]
    started = time.perf_counter()
    reply = target.ask(question, source, top_k=top_k)
    ms = 1000 * (time.perf_counter() - started)
    forced, no_answer = _forced(reply)
    rank = None
    if "text" not in source and item.answers:
        passages = target.search(question, source, k=max(RECALL_DEPTHS))
        rank = next((place for place, text in enumerate(passages, 1) if holds_answer(text, item.answers)), None)
    broken = sum(not _holds(target, citation, source) for citation in reply.citations)
    return Asked(
        id=item.id,
        answer=reply.answer,
        forced=forced,
        no_answer=no_answer,
        ms=round(ms, 3),
        rank=rank,
        citations=len(reply.citations),
        broken=broken,
    )


def _forced(reply: "AskReply") -> tuple[str, float]:
    """The best span whatever the service decided, and the no-answer score."""
    if reply.answer is not None:
        return reply.answer, 1 - reply.confidence
    return reply.alternatives[0].answer if reply.alternatives else "", reply.confidence


def _holds(target: Target, citation: Any, source: Mapping[str, Any]) -> bool:
    """Whether a citation slices back to its quote, in a text that did not come from the answering path."""
    text = source["text"] if "text" in source else target.text(citation.document_id)
    return bool(text[citation.start : citation.end] == citation.quote)


def _forced_f1(item: QaItem, record: Asked, scorer: Scorer) -> float:
    golds = scorer.golds(item.answers)
    return scorer.f1(record.forced if any(golds) else record.answer or "", golds)


def _share(values: Sequence[float], counted: Sequence[bool]) -> float | None:
    kept = [value for value, counts in zip(values, counted, strict=True) if counts]
    return 100 * sum(kept) / len(kept) if kept else None


def _recall(records: Sequence[Asked], answerable: Sequence[bool]) -> dict[int, float] | None:
    ranks = [record.rank for record, has in zip(records, answerable, strict=True) if has]
    if not ranks:
        return None
    return {k: 100 * sum(rank is not None and rank <= k for rank in ranks) / len(ranks) for k in RECALL_DEPTHS}
