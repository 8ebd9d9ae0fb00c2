"""Writes a trained reader as it ships: `python -m model.training.export --help`.

In bf16 without the word embeddings, which the encoder's package holds, and beside the weights their manifest, whose
confidences are to be fitted next: `python -m model.training.calibration`.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import load_file

from model.encoder import minilm_folder
from model.layers import Shape
from model.reader import Calibration
from model.training.manifests import commit, write_weights
from model.weights_files import WEIGHTS

UNCALIBRATED = Calibration(bias=0.0, odds=1.0, relevance=0.0, share=0.0, margin=0.0, threshold=0.5)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="the folder that model.training.reader wrote")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--data", action="append", default=[], metavar="NAME=LICENCE", help="what it was trained on")
    options = parser.parse_args(arguments)
    recipe = json.loads((options.run / "recipe.json").read_text())
    state = {name: x.bfloat16() for name, x in load_file(options.run / "reader.safetensors").items()}
    manifest = {
        "name": "lectern-reader",
        "architecture": "longformer-reader",
        "file": "reader.safetensors",
        "shape": asdict(Shape.of_config(json.loads((minilm_folder() / "config.json").read_text()))),
        "own_global": recipe["own_global"],
        "calibration": asdict(UNCALIBRATED),
        "recipe": recipe,
        "commit": commit(),
        "data": dict(pair.split("=", 1) for pair in options.data),
    }
    write_weights(options.out, "reader", state, manifest)


if __name__ == "__main__":
    main()
