"""Writes a trained reader as it ships: `python -m model.training.export --help`.

In bf16 without the word embeddings, which the encoder's package holds, and beside the weights their manifest, whose
confidences are to be fitted next: `python -m model.training.calibration`. A second round of training can be averaged
with the reader that it began with (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models").
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

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
    parser.add_argument(
        "--earlier", type=Path, help="a folder with the reader that the run began with, to average with"
    )
    parser.add_argument("--share", type=float, default=0.75, help="of the run's own weights, where there is an earlier")
    options = parser.parse_args(arguments)
    recipe = json.loads((options.run / "recipe.json").read_text())
    state = load_file(options.run / "reader.safetensors")
    averaged: dict[str, Any] = {}
    if options.earlier is not None:
        earlier = load_file(options.earlier / "reader.safetensors")
        state = {name: earlier[name].float().lerp(x.float(), options.share) for name, x in state.items()}
        known = json.loads((options.earlier / "reader.json").read_text())["sha256"]
        averaged = {"averaged": {"with": known, "share": options.share}}
    state = {name: x.bfloat16() for name, x in state.items()}
    manifest = {
        "name": "lectern-reader",
        "architecture": "longformer-reader",
        "file": "reader.safetensors",
        "shape": asdict(Shape.of_config(json.loads((minilm_folder() / "config.json").read_text()))),
        "own_global": recipe["own_global"],
        "calibration": asdict(UNCALIBRATED),
        "recipe": recipe,
        **averaged,
        "commit": commit(),
        "data": dict(pair.split("=", 1) for pair in options.data),
    }
    write_weights(options.out, "reader", state, manifest)


if __name__ == "__main__":
    main()
