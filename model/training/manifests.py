"""Writing weights with the manifest beside them, as model/weights_files.py reads them."""

import hashlib
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor


def write_weights(folder: Path, name: str, state: Mapping[str, Tensor], manifest: Mapping[str, Any]) -> None:
    """Writes the tensors into the file that the manifest names, and `NAME.json` with their SHA-256."""
    data = save(dict(state))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / str(manifest["file"])).write_bytes(data)
    whole = {**manifest, "sha256": hashlib.sha256(data).hexdigest()}
    (folder / f"{name}.json").write_text(json.dumps(whole, indent=1) + "\n")


def commit() -> str:
    """The commit that the working tree stands on."""
    found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)  # noqa: S607
    return found.stdout.strip()
