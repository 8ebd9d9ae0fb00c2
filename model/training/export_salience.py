"""Writes a trained salience model as it ships: `python -m model.training.export_salience --help`."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from model.salience import SalienceShape
from model.training.manifests import commit, write_weights
from model.weights_files import WEIGHTS


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="the folder that model.training.salience wrote")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--encoder", required=True, help="name and hash of the encoder whose vectors it was trained on")
    parser.add_argument("--data", action="append", default=[], metavar="NAME=LICENCE", help="what it was trained on")
    options = parser.parse_args(arguments)
    state = {name: tensor.bfloat16() for name, tensor in load_file(options.run / "salience.safetensors").items()}
    manifest: dict[str, Any] = {
        "name": "lectern-salience",
        "architecture": "transformer-xl-salience",
        "file": "salience.safetensors",
        "shape": asdict(SalienceShape()),
        "encoder": options.encoder,
        "recipe": json.loads((options.run / "recipe.json").read_text()),
        "commit": commit(),
        "data": dict(pair.split("=", 1) for pair in options.data),
    }
    write_weights(options.out, "salience", state, manifest)


if __name__ == "__main__":
    main()
