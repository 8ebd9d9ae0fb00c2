"""Questions to documents of kinds that no reader was trained on, in files as people upload them.

    python -m bench.domains [--unit article|collection]

`bench/documents` has a contract, a handbook, a report, minutes, a manual, a guideline, a paper, a library's guide, a
story, an interview and a judgment, written for this, each with 24 questions that it answers and 12 that it only seems
to. What is chosen by these cannot be reported by them: they are validation, and half of what confidences are fitted on
may be. Writes bench/results/domains.json: each document's measures and those of all.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from app import local
from app.evaluation import ProgressLine
from app.evaluation.qa import Asked, Journal, QaMeasures, Unit, evaluate_target, measure
from app.evaluation.sets import QaItem, QaSet
from app.evaluation.squad import scorer_for
from app.evaluation.target import LecternTarget
from app.wiring import Lectern
from bench.quality import TOP_K, fresh_lectern
from bench.records import write_result

DOCUMENTS = Path(__file__).with_name("documents")


class FileTarget(LecternTarget):
    """The wired service, which is given the files of DOCUMENTS by their names."""

    def __init__(self, lectern: Lectern) -> None:
        super().__init__(lectern)
        self._service = lectern

    def upload(self, text: str, *, title: str, collection: str) -> str:
        """As `lectern ingest` of the file; raises JobFailed."""
        found, _ = local.add(self._service, DOCUMENTS / title, collection=collection, progress=lambda *_: None)
        return found


def read_domains() -> QaSet:
    """The documents that have questions beside them, and these; titles are file names. ValueError for one alone."""
    titles, texts, items = [], [], []
    for article, path in enumerate(sorted(DOCUMENTS.glob("*.json"))):
        (file,) = (other for other in DOCUMENTS.glob(f"{path.stem}.*") if other != path)
        titles.append(file.name)
        texts.append((file.read_text(encoding="utf-8"),))
        for number, row in enumerate(json.loads(path.read_text(encoding="utf-8"))):
            answers = tuple(row["answers"])
            items.append(
                QaItem(
                    id=f"{path.stem} {number}", question=row["question"], answers=answers, article=article, paragraph=0
                )
            )
    return QaSet(titles=tuple(titles), paragraphs=tuple(texts), items=tuple(items), rules="squad2")


def ask_all(unit: Unit) -> tuple[QaSet, Mapping[str, Asked]]:
    """The set, and what became of each of its questions in a fresh service."""
    qa = read_domains()
    with tempfile.TemporaryDirectory() as folder, fresh_lectern() as lectern:
        journal = Journal(Path(folder) / "records.jsonl", {})
        evaluate_target(
            FileTarget(lectern), qa, unit=unit, items=qa.items, top_k=TOP_K, journal=journal, progress=ProgressLine()
        )
        return qa, journal.load()


def row(measured: QaMeasures) -> dict[str, Any]:
    """The measures without those that say nothing of so few questions."""
    shown = measured.as_dict()
    names = ("n", "em", "f1", "threshold_f1", "best_f1", "auroc", "recall_at_8", "ece", "brier", "p50_ms", "p95_ms")
    return {**{name: shown[name] for name in names}, "broken_citations": measured.broken_citations}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unit", choices=[unit for unit in get_args(Unit) if unit != "paragraph"], default="article")
    unit: Unit = parser.parse_args().unit
    qa, asked = ask_all(unit)
    scorer = scorer_for(qa.rules)
    rows = {"all": row(measure(qa.items, asked, scorer, unit=unit))}
    for article, title in enumerate(qa.titles):
        of_this = [item for item in qa.items if item.article == article]
        rows[title] = row(measure(of_this, asked, scorer, unit=unit))
    write_result("domains", {"unit": unit, "documents": rows})
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
