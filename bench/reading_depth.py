"""How much it helps to read more: F1 over the number of passages, and over the length of a text that is read whole.

    python -m bench.reading_depth [--data DIR] [--limit N]

Questions are of training articles that were held out from the reader's training, so that what is chosen by this is not
chosen on a dev set. Written to bench/results/reading_depth.json and .png:

- `top_k`: each question is asked of its whole article, and so many passages are read, found by the retriever.
- `window`: each question is asked of at most so many word pieces of text around its paragraph, which is anywhere in
  it, read in one sequence; where the article is shorter, other articles go on.
"""

import argparse
import random
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.evaluation import ProgressLine
from app.evaluation.qa import Journal, QaMeasures, Unit, evaluate_target
from app.evaluation.sets import QaItem, QaSet, read_squad, sample
from app.evaluation.target import LecternTarget, Reads
from bench.prepare import data_directory
from bench.quality import fresh_lectern
from bench.records import RESULTS, write_result

TOP_K = (1, 2, 4, 8, 16, 32)
WINDOWS = (512, 1_024, 2_048, 4_096, 8_192, 16_384)
SEED = 13
HELD = 0.05  # of the articles, by their names alone: those that app/squad_corpus.py keeps from training


def held_out(path: Path) -> QaSet:
    """The articles of a training set that app/mining.py keeps from training, and their questions."""
    qa = read_squad(path)
    names = [f"{path.stem}/{number}" for number in range(len(qa.titles))]
    kept = {n for n, name in enumerate(names) if zlib.crc32(name.encode()) < HELD * 2**32}
    return replace(qa, items=tuple(item for item in qa.items if item.article in kept and item.answers))


def windows_of(qa: QaSet, items: Sequence[QaItem], pieces: Mapping[str, int], *, size: int) -> QaSet:
    """A set with a text of about `size` word pieces for each question, its paragraph anywhere in it.

    `pieces` counts those of each paragraph. A window holds whole paragraphs, and at least the question's own.
    """
    flat = [(article, text) for article, paragraphs in enumerate(qa.paragraphs) for text in paragraphs]
    place_of: dict[int, int] = {}
    for place, (article, _) in enumerate(flat):
        place_of.setdefault(article, place)
    texts, asked = [], []
    for number, item in enumerate(items):
        first = last = place_of[item.article] + item.paragraph
        read = pieces[flat[first][1]]
        chance = random.Random(f"{SEED} {item.id}")  # noqa: S311 - a place, not a secret
        before = chance.random()  # the share of the rest that stands before the paragraph
        back, forth = before * (size - read), (1 - before) * (size - read)
        while first > 0 and (cost := pieces[flat[first - 1][1]]) <= back:
            first, back, read = first - 1, back - cost, read + cost
        while last + 1 < len(flat) and (cost := pieces[flat[last + 1][1]]) <= forth:
            last, forth, read = last + 1, forth - cost, read + cost
        texts.append("\n".join(text for _, text in flat[first : last + 1]))
        asked.append(replace(item, article=number, paragraph=0))
    return replace(qa, titles=("",) * len(texts), paragraphs=tuple((text,) for text in texts), items=tuple(asked))


def measure(qa: QaSet, items: Sequence[QaItem], *, unit: Unit, top_k: int, read: Reads) -> QaMeasures:
    """The answers of a fresh service."""
    with fresh_lectern() as lectern:
        target = LecternTarget(lectern, read=read)
        return evaluate_target(
            target, qa, unit=unit, items=items, top_k=top_k, journal=Journal(None, {}), progress=ProgressLine()
        )


def row(measured: QaMeasures) -> dict[str, Any]:
    """What the plot and the table show."""
    shown = measured.as_dict()
    return {name: shown[name] for name in ("n", "em", "f1", "recall_at_8", "p50_ms", "p95_ms")}


def draw(found: Mapping[str, Mapping[str, Mapping[str, Any]]], path: Path) -> None:
    """Two panels: F1, and the milliseconds of half of all answers, over passages and over length."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4))
    for number, (name, label) in enumerate((("top_k", "passages read"), ("window", "word pieces read whole")), start=1):
        axes = figure.add_subplot(1, 2, number, xlabel=label, ylabel="F1")
        amounts = [int(amount) for amount in found[name]]
        axes.plot(amounts, [each["f1"] for each in found[name].values()], marker="o", label="F1")
        axes.set_xscale("log", base=2)
        axes.set_xticks(amounts, [str(amount) for amount in amounts])
        beside = axes.twinx()
        beside.plot(amounts, [each["p50_ms"] for each in found[name].values()], linestyle=":", color="grey")
        beside.set_ylabel("p50, ms")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=data_directory())
    parser.add_argument("--limit", type=int, default=300, help="questions")
    arguments = parser.parse_args()
    path = arguments.data / "train" / "squad1-rebuilt.json"
    if not path.is_file():
        print(f"no training set at {path}: nothing to measure", file=sys.stderr)
        return
    qa = held_out(path)
    items = sample(list(qa.items), arguments.limit, seed=SEED)
    with fresh_lectern() as lectern:
        texts = sorted({text for paragraphs in qa.paragraphs for text in paragraphs})
        pieces = dict(zip(texts, lectern.encoder.count_word_pieces(texts), strict=True))
    found: dict[str, dict[str, dict[str, Any]]] = {"top_k": {}, "window": {}}
    for top_k in TOP_K:
        measured = measure(qa, items, unit="article", top_k=top_k, read="passages")
        found["top_k"][str(top_k)] = row(measured)
    for size in WINDOWS:
        made = windows_of(qa, items, pieces, size=size)
        measured = measure(made, made.items, unit="paragraph", top_k=8, read="document")
        found["window"][str(size)] = row(measured)
        write_result("reading_depth", {"set": path.name, "seed": SEED, **found})
    draw(found, RESULTS / "reading_depth.png")


if __name__ == "__main__":
    main()
