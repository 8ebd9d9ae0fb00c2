"""Hugging Face's Longformer checkpoints in our modules: the same outputs through our attention."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from model.errors import UnsupportedModel
from model.layers import Shape, rename_checkpoint
from model.longformer import Longformer

FIRST_POSITION = 2  # RoBERTa's position table begins with two rows that no token of a text has


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """A Longformer with how many tokens each side every layer sees, and what its checkpoint holds beside the body."""

    longformer: Longformer
    reach: tuple[int, ...]
    heads: Mapping[str, Tensor]


def longformer_of(config: Mapping[str, object], state: Mapping[str, Tensor]) -> Pretrained:
    """Our Longformer of a checkpoint's `config.json` and state dict. Raises UnsupportedModel where it does not fit.

    The two unused rows of its position table are dropped, and its one segment stands for both of ours.
    """
    if config.get("model_type") != "longformer" or config.get("hidden_act", "gelu") != "gelu":
        raise UnsupportedModel(f"model_type {config.get('model_type')!r}, hidden_act {config.get('hidden_act')!r}")
    tensors = rename_checkpoint(state)
    for table in ("embeddings.position.weight", "embeddings.segment.weight"):
        if table not in tensors:
            raise UnsupportedModel(f"the checkpoint has no {table}")
    tensors["embeddings.position.weight"] = tensors["embeddings.position.weight"][FIRST_POSITION:]
    tensors["embeddings.segment.weight"] = tensors["embeddings.segment.weight"][:1].repeat(2, 1)
    shape = Shape.of_config(config)
    shape = replace(shape, positions=shape.positions - FIRST_POSITION, segments=2)
    with torch.device("meta"):
        longformer = Longformer(shape, own_global=True)
    body = {name: tensor for name, tensor in tensors.items() if name.startswith(("embeddings.", "blocks."))}
    try:
        longformer.load_state_dict(body, assign=True)
    except RuntimeError as error:
        raise UnsupportedModel(f"the checkpoint does not fit its config: {error}") from error
    heads = {name: tensor for name, tensor in tensors.items() if name not in body}
    return Pretrained(longformer=longformer, reach=_reach(config, shape.layers), heads=heads)


def _reach(config: Mapping[str, object], layers: int) -> tuple[int, ...]:
    """Half of each layer's window: Hugging Face counts both sides."""
    window = config["attention_window"]
    windows: list[object] = window if isinstance(window, list) else [window] * layers
    halves = [size // 2 for size in windows if isinstance(size, int) and size > 0 and size % 2 == 0]
    if len(windows) != layers or len(halves) != layers:
        raise UnsupportedModel(f"attention_window {window!r}: expected even numbers, one for each of {layers} layers")
    return tuple(halves)
