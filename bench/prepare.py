"""Turn the public sets into the formats of `lectern eval`.

    python -m bench.prepare [--data ../shared/data] [--out .runs/eval]

writes under the output folder, for every set that is there:

    qa/NAME.json                                    SQuAD format
    retrieval/NAME/{corpus.jsonl,queries.jsonl,qrels.tsv}   BEIR format
    summaries/NAME.jsonl                            {"id", "text" or "turns", "query", "references", "words"}

The budget `words` of a summary is the mean length of the set's references, the same for every row.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from bench import retrieval_sets, retrieval_training, summary_sets
from bench.qa_sets import fairytale_as_squad
from bench.records import read_jsonl

QA_FILES = {
    "squad1": "squad1.json",
    "squad2": "squad2.json",
    "cmrc2018": "cmrc2018-zh.json",
    "xquad_zh": "xquad-zh.json",
}

ASKED_OF_EACH = 4  # questions of each training article for the summarizer

Row = dict[str, Any]


def data_directory() -> Path:
    """Where the sets are: LECTERN_DATA, else `../shared/data` beside the repository."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("LECTERN_DATA") or default)


def prepare(data: Path, out: Path) -> dict[str, list[str]]:
    """Write every set whose files are under `data`; returns the names by kind, in the order of the tables."""
    return {
        "qa": _prepare_qa(data / "dev", out / "qa"),
        "retrieval": _prepare_retrieval(data, out / "retrieval"),
        "summaries": _prepare_summaries(data / "dev", out / "summaries"),
    }


def _prepare_qa(dev: Path, out: Path) -> list[str]:
    out.mkdir(parents=True, exist_ok=True)
    names = []
    for name, source in QA_FILES.items():
        if (dev / source).exists():
            shutil.copyfile(dev / source, out / f"{name}.json")
            names.append(name)
    stories = dev / "fairytaleqa.jsonl"
    if stories.exists():
        payload = fairytale_as_squad(read_jsonl(stories))
        (out / "fairytaleqa.json").write_text(json.dumps(payload, ensure_ascii=False), encoding="utf-8")
        names.append("fairytaleqa")
    return names


def prepare_training(train: Path, out: Path) -> list[str]:
    """Write the training sets in the formats that the minings of `app` take; returns their names."""
    names = []
    stories = train / "fairytaleqa.jsonl"
    out.mkdir(parents=True, exist_ok=True)
    if stories.exists():
        payload = fairytale_as_squad(read_jsonl(stories))
        (out / "fairytaleqa.json").write_text(json.dumps(payload, ensure_ascii=False), encoding="utf-8")
        names.append("fairytaleqa")
    (out / "retrieval").mkdir(exist_ok=True)
    for name, (make, source) in retrieval_training.MAKERS.items():
        if (train / source).exists():
            columns = make(train / source)
            (out / "retrieval" / f"{name}.json").write_text(json.dumps(columns, ensure_ascii=False), encoding="utf-8")
            names.append(f"retrieval/{name}")
    names += _prepare_summaries(train, out / "summaries")
    texts = [(path.stem, path.read_text(encoding="utf-8")) for path in sorted((train / "articles").glob("*.txt"))]
    squad = train / "squad1-rebuilt.json"
    made = {"articles": summary_sets.articles(texts)}
    if squad.exists():
        payload = json.loads(squad.read_text(encoding="utf-8"))
        made["asked_articles"] = summary_sets.asked_articles(payload, each=ASKED_OF_EACH, seed=0)
    for name, rows in made.items():
        if rows:
            _write_jsonl(out / "summaries" / f"{name}.jsonl", summary_sets.with_budget(rows))
            names.append(name)
    return names


def _prepare_retrieval(data: Path, out: Path) -> list[str]:
    dev = data / "dev"
    makers: dict[str, tuple[Iterable[Path], Callable[[], retrieval_sets.BeirSet]]] = {
        "squad_pooled": (
            (dev / "squad1.json", data / "train" / "squad1-rebuilt.json"),
            lambda: retrieval_sets.pooled_squad(dev / "squad1.json", data / "train" / "squad1-rebuilt.json"),
        ),
        "nq_open": ((dev / "nq-open-oracle.jsonl",), lambda: retrieval_sets.nq_open(dev / "nq-open-oracle.jsonl")),
        "cranfield": ((dev / "cranfield",), lambda: retrieval_sets.cranfield(dev / "cranfield")),
        "cacm": ((dev / "cacm",), lambda: retrieval_sets.cacm(dev / "cacm")),
        "qmsum_ranges": ((dev / "qmsum.jsonl",), lambda: retrieval_sets.qmsum_ranges(dev / "qmsum.jsonl")),
    }
    names = []
    for name, (needed, make) in makers.items():
        if all(path.exists() for path in needed):
            _write_beir(out / name, make())
            names.append(name)
    return names


def _write_beir(folder: Path, data: retrieval_sets.BeirSet) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _write_jsonl(folder / "corpus.jsonl", data.corpus)
    _write_jsonl(folder / "queries.jsonl", data.queries)
    lines = ["query-id\tcorpus-id\tscore", *(f"{query}\t{item}\t{grade}" for query, item, grade in data.qrels)]
    (folder / "qrels.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _prepare_summaries(dev: Path, out: Path) -> list[str]:
    out.mkdir(parents=True, exist_ok=True)
    names = []
    for source, make in summary_sets.MAKERS.items():
        if (dev / source).exists():
            for name, rows in make(read_jsonl(dev / source)).items():
                _write_jsonl(out / f"{name}.jsonl", summary_sets.with_budget(rows))
                names.append(name)
    return names


def _write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Turn the public sets into the formats of `lectern eval`.")
    parser.add_argument("--data", type=Path, default=data_directory())
    parser.add_argument("--out", type=Path, default=Path(".runs/eval"))
    arguments = parser.parse_args()
    if not (arguments.data / "dev").is_dir():
        sys.exit(f"no sets at {arguments.data}: name their folder with --data or LECTERN_DATA")
    prepared = prepare(arguments.data, arguments.out)
    prepared["training"] = prepare_training(arguments.data / "train", arguments.out / "training")
    for kind, names in prepared.items():
        print(f"{arguments.out / kind}: {', '.join(names) or 'nothing'}")


if __name__ == "__main__":
    main()
