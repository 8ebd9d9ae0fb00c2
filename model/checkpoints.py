"""Checkpoints in Hugging Face's format: a folder of config.json, a tokenizer and safetensors, or a hub's name for one.

The libraries of the hub are imported only here, and only when they are needed: a folder makes no connection.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from model.errors import UnsupportedModel, WeightsCorrupt, WeightsMissing

WEIGHTS_FILE = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"  # where the weights are in several files
FETCHED = ("config.json", "tokenizer*.json", "special_tokens_map.json", "vocab.*", "merges.txt", "*.model", "model*")
LEFT = ("*.bin", "*.h5", "*.msgpack", "*.onnx", "*.pt")  # a pickle runs code: safetensors alone


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a folder holds; `name` has the folder's last part and the hash of its weights."""

    name: str
    config: Mapping[str, Any]
    state: Mapping[str, Tensor]
    tokenizer: Tokenizer


def load_checkpoint(name: str) -> Checkpoint:
    """A folder, read where it is, or a hub's name, downloaded once.

    Raises WeightsMissing where there is none or it lacks safetensors, WeightsCorrupt where a file cannot be read, and
    UnsupportedModel where it has no fast tokenizer.
    """
    folder = Path(name) if Path(name).is_dir() else _fetched(name)
    if not (folder / "config.json").is_file():
        raise WeightsMissing(f"no checkpoint at '{name}': expected config.json in it")
    files = _weight_files(folder)
    if not files:
        raise WeightsMissing(f"no safetensors in '{name}': expected {WEIGHTS_FILE}")
    config = _json(folder / "config.json")
    digest = hashlib.sha256()
    state: dict[str, Tensor] = {}
    for file in files:
        try:
            state |= load_file(file)
            digest.update(file.read_bytes())
        except (OSError, SafetensorError) as error:
            raise WeightsCorrupt(f"'{file}' cannot be read: {error}") from error
    label = f"{Path(name).absolute().name}@{digest.hexdigest()[:12]}"
    return Checkpoint(name=label, config=config, state=state, tokenizer=_tokenizer(folder))


def _fetched(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(FETCHED), ignore_patterns=list(LEFT)))
    except (OSError, ValueError) as error:
        raise WeightsMissing(f"no checkpoint '{name}': neither a folder nor a model that can be fetched") from error


def _weight_files(folder: Path) -> list[Path]:
    if (folder / WEIGHTS_FILE).is_file():
        return [folder / WEIGHTS_FILE]
    if not (folder / WEIGHTS_INDEX).is_file():
        return []
    return [folder / Path(part).name for part in sorted(set(_json(folder / WEIGHTS_INDEX)["weight_map"].values()))]


def _json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise WeightsCorrupt(f"'{path}' is no JSON: {error}") from error
    return content


def _tokenizer(folder: Path) -> Tokenizer:
    """`tokenizer.json` as it is; without it, what the library makes of the vocabulary files."""
    path = folder / "tokenizer.json"
    if path.is_file():
        try:
            return Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises no class of its own
            raise WeightsCorrupt(f"'{path}' is no tokenizer: {error}") from error
    from transformers import AutoTokenizer

    try:
        made = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError) as error:
        raise WeightsMissing(f"no tokenizer in '{folder}': expected tokenizer.json or its vocabulary") from error
    tokenizer = getattr(made, "backend_tokenizer", None)
    if not isinstance(tokenizer, Tokenizer):
        raise UnsupportedModel(f"the tokenizer in '{folder}' tells no offsets")
    return tokenizer
