"""Writes trained query layers as they ship: `python -m model.training.export_query_layers --help`.

In half precision, at a share of the way from the encoder's own layers to what was learned.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from model.encoder import MiniLMEncoder
from model.query_layers import NAME
from model.towers import starting_towers
from model.training.manifests import commit, write_weights
from model.training.query_layers import interpolated, upper_layers
from model.weights_files import WEIGHTS


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="the folder that model.training.query_layers wrote")
    parser.add_argument("--share", type=float, required=True, help="1: as learned, 0: the encoder's own")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--data", action="append", default=[], metavar="NAME=LICENCE", help="what it was trained on")
    options = parser.parse_args(arguments)
    own, learned = (
        upper_layers(starting_towers(mode="query", trained="top", rank=1, init=init)) for init in (None, options.run)
    )
    state = {name: x.half() for name, x in interpolated(own, learned, options.share).items()}
    manifest: dict[str, Any] = {
        "name": "lectern-retriever",
        "architecture": "the last layers of a BERT-shaped encoder, for questions alone",
        "file": f"{NAME}.safetensors",
        "encoder": MiniLMEncoder.load().version,
        "share": options.share,
        "recipe": json.loads((options.run / "recipe.json").read_text()),
        "measures": json.loads((options.run / "measures.json").read_text()),
        "commit": commit(),
        "data": dict(pair.split("=", 1) for pair in options.data),
    }
    write_weights(options.out, NAME, state, manifest)


if __name__ == "__main__":
    main()
