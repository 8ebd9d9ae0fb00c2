"""ROUGE of salience models on the held-out documents of the training sets, to choose among them.

    python -m bench.salience --rows .runs/eval/training/summaries --vectors .runs/salience/vectors.npz [--weights DIR]

compares the untrained salience and those in the folders, through the service's own selection under the rows' budgets.
"""

import argparse
import json
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.asked import query_of
from app.evaluation.progress import ignore_progress
from app.evaluation.rouge import rouge
from app.evaluation.sets import SummaryRow, read_summaries, sample
from app.evaluation.summaries import sentences_of
from app.inference import SalienceModel
from app.lines import Line, table_of
from app.salience_mining import VectorCache, lines_of_text
from model.encoder import MiniLMEncoder
from model.reader import LongformerReader
from model.salience import TransformerXLSalience
from model.sentence_table import Query, SentenceTable
from model.summarizer import DIVERSITY, Budget, CentralitySalience, select
from model.training.salience import is_held_out

Prepared = tuple[SummaryRow, list[Line], SentenceTable, Query | None, list[list[str]]]


def prepare(
    path: Path, cache: VectorCache, encoder: MiniLMEncoder, reader: LongformerReader, limit: int | None
) -> list[Prepared]:
    """The held-out rows of a set with all that a model needs."""
    held = [row for row in read_summaries(path) if is_held_out(zlib.crc32(row.text.encode()))]
    prepared: list[Prepared] = []
    for row in sample(held, limit, seed=0):
        lines = lines_of_text(row.text)
        cache.encode([line.text for line in lines], ignore_progress)
        table = table_of(lines, cache([line.text for line in lines]))
        query = None if row.query is None else query_of(encoder, reader, row.query, lines, table.vectors)
        prepared.append((row, lines, table, query, [sentences_of(reference) for reference in row.references]))
    return prepared


def measure(model: SalienceModel, rows: Sequence[Prepared], *, diversity: float) -> NDArray[np.float64]:
    """Mean ROUGE-1, ROUGE-2 and ROUGE-Lsum, percentages."""
    found = []
    for row, lines, table, query, references in rows:
        budget = Budget(unit="words", amount=row.words)
        words = [line.words for line in lines]
        chosen = select(table.vectors, model.score(table, query), words, budget=budget, diversity=diversity)
        scores = rouge([lines[place].text for place in chosen], references)
        found.append((scores.rouge1, scores.rouge2, scores.rougeLsum))
    mean: NDArray[np.float64] = 100 * np.array(found).mean(axis=0)
    return mean


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Compare salience models on held-out training documents.")
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--vectors", type=Path, required=True)
    parser.add_argument("--weights", type=Path, nargs="*", default=[])
    parser.add_argument("--diversity", type=float, nargs="*", default=[DIVERSITY])
    parser.add_argument("--limit", type=int, default=60)
    arguments = parser.parse_args()
    encoder, reader = MiniLMEncoder.load(), LongformerReader.load()
    cache = VectorCache(encoder, arguments.vectors)
    models: dict[str, SalienceModel] = {"untrained": CentralitySalience()}
    models |= {str(folder): TransformerXLSalience.load(folder) for folder in arguments.weights}
    totals: dict[str, list[NDArray[np.float64]]] = {}
    for path in sorted(arguments.rows.glob("*.jsonl")):
        rows = prepare(path, cache, encoder, reader, arguments.limit)
        for name, model in models.items():
            for diversity in arguments.diversity:
                values = measure(model, rows, diversity=diversity)
                label = f"{name} {diversity}"
                totals.setdefault(label, []).append(values)
                print(f"{path.stem:20} {len(rows):4} {label:40}", *(f"{value:6.2f}" for value in values))
    print(json.dumps({label: np.mean(values, axis=0).round(2).tolist() for label, values in totals.items()}, indent=1))


if __name__ == "__main__":
    main()
