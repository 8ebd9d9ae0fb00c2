"""The layers that questions go through: MiniLM's last two, trained to find what answers instead of what is like them.

Passages keep the encoder's own vectors. `model/training/query_layers.py` made them, and says how.
"""

from pathlib import Path

from safetensors.numpy import load

from model.types import Layers
from model.weights_files import WEIGHTS, load_weights

NAME = "retriever"


def load_query_layers(encoder: str, folder: Path = WEIGHTS) -> tuple[Layers, str] | None:
    """What ships for the encoder of this version, and its own name and hash; None for every other encoder.

    Raises WeightsMissing and WeightsCorrupt.
    """
    manifest, data = load_weights(folder, NAME)
    if manifest["encoder"] != encoder:
        return None
    return load(data), f"{manifest['name']}@{manifest['sha256'][:12]}"
