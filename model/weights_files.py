"""Weights and the manifest beside them: `NAME.json` names the file and its SHA-256, which is checked."""

import hashlib
import json
from pathlib import Path
from typing import Any

from model.errors import WeightsCorrupt, WeightsMissing

WEIGHTS = Path(__file__).parent / "weights"


def load_weights(folder: Path, name: str) -> tuple[dict[str, Any], bytes]:
    """The manifest `NAME.json` of a folder and the bytes that it names. Raises WeightsMissing and WeightsCorrupt."""
    manifest_path = folder / f"{name}.json"
    if not manifest_path.is_file():
        raise WeightsMissing(f"no {name} at '{folder}': expected {name}.json in it")
    manifest: dict[str, Any] = json.loads(manifest_path.read_text())
    weights = folder / str(manifest["file"])
    if not weights.is_file():
        raise WeightsMissing(f"no weights at '{weights}', which {name}.json names")
    data = weights.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != manifest["sha256"]:
        raise WeightsCorrupt(f"'{weights}' has SHA-256 {digest}, {name}.json expects {manifest['sha256']}")
    return manifest, data
