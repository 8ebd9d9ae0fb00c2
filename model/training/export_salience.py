"""Writes trained salience networks as they ship, together: `python -m model.training.export_salience --help`."""

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
    parser.add_argument(
        "--run", type=Path, nargs="+", required=True, help="folders that model.training.salience wrote: a network each"
    )
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--encoder", required=True, help="name and hash of the encoder whose vectors it was trained on")
    parser.add_argument("--data", action="append", default=[], metavar="NAME=LICENCE", help="what it was trained on")
    options = parser.parse_args(arguments)
    state = {
        f"{number}.{name}": tensor.bfloat16()
        for number, run in enumerate(options.run)
        for name, tensor in load_file(run / "salience.safetensors").items()
    }
    manifest: dict[str, Any] = {
        "name": "lectern-salience",
        "architecture": "transformer-xl-salience",
        "file": "salience.safetensors",
        "shape": asdict(SalienceShape()),
        "encoder": options.encoder,
        "recipes": [json.loads((run / "recipe.json").read_text()) for run in options.run],
        "commit": commit(),
        "data": dict(pair.split("=", 1) for pair in options.data),
    }
    write_weights(options.out, "salience", state, manifest)


if __name__ == "__main__":
    main()
