"""What a longer memory is worth to the language model: perplexity with memories of several lengths.

    python -m bench.perplexity [--data ../shared/data]

reads WikiText-2's test text and the dev articles as `lectern eval perplexity` does, and writes
bench/results/perplexity.json and perplexity.png.
"""

import argparse
import json
from pathlib import Path

from app.evaluation import ProgressLine
from app.evaluation.perplexity import evaluate_perplexity, plot_perplexity
from bench.prepare import data_directory
from bench.records import RESULTS, write_result
from model.language_model import load_language_model

MEMORIES = (0, 64, 256, 640)
SETS = {"wikitext2": "wikitext2/test.txt", "articles": "articles"}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure what a longer memory is worth.")
    parser.add_argument("--data", type=Path, default=data_directory())
    dev = parser.parse_args().data / "dev"
    if not dev.is_dir():
        print(f"no texts at {dev}: nothing to measure")
        return
    model = load_language_model()
    measured = {
        name: evaluate_perplexity(model, dev / path, memories=MEMORIES, progress=ProgressLine())
        for name, path in SETS.items()
    }
    rows = {name: {str(memory): one.as_dict() for memory, one in row.items()} for name, row in measured.items()}
    print(json.dumps(rows, indent=1))
    write_result("perplexity", {"memories": rows})
    plot_perplexity(measured, RESULTS / "perplexity.png")


if __name__ == "__main__":
    main()
