"""Hugging Face's checkpoints of Longformer and of BERT's family in our modules: equal outputs, our attention."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from model.encoder import Transformer
from model.errors import UnsupportedModel
from model.layers import Shape, rename_checkpoint
from model.longformer import Longformer

FIRST_POSITION = 2  # RoBERTa's position table begins with two rows that no token of a text has
BERTS = ("bert", "distilbert", "electra")
ROBERTAS = ("roberta", "camembert", "xlm-roberta")
DISTILBERT = {  # its own names in config.json, and what it lacks
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
}


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
    if config.get("model_type") != "longformer":
        raise UnsupportedModel(f"model_type {config.get('model_type')!r}, expected 'longformer'")
    _check_layers(config)
    tensors = _without_first_positions(_renamed(state), FIRST_POSITION)
    tensors["embeddings.segment.weight"] = tensors["embeddings.segment.weight"][:1].repeat(2, 1)
    shape = _shape(config)
    shape = replace(shape, positions=shape.positions - FIRST_POSITION, segments=2)
    with torch.device("meta"):
        longformer = Longformer(shape, own_global=True)
    heads = _load(longformer, tensors)
    return Pretrained(longformer=longformer, reach=_reach(config, shape.layers), heads=heads)


def transformer_of(
    config: Mapping[str, object], state: Mapping[str, Tensor]
) -> tuple[Transformer, Shape, Mapping[str, Tensor]]:
    """Our encoder of a checkpoint of BERT's family, its shape, and what the checkpoint holds beside the body.

    Raises UnsupportedModel where it does not fit: another family, relative positions, another activation.
    """
    kind = config.get("model_type")
    if kind not in (*BERTS, *ROBERTAS):
        known = ", ".join(("longformer", *BERTS, *ROBERTAS))
        raise UnsupportedModel(f"model_type {kind!r}, expected one of {known}")
    if kind == "distilbert":
        config = {**config, "type_vocab_size": 1, **{name: config.get(own) for name, own in DISTILBERT.items()}}
        width = config["hidden_size"]
        state = {**state, "distilbert.embeddings.token_type_embeddings.weight": torch.zeros(1, int(str(width)))}
    _check_layers(config)
    unused = FIRST_POSITION if kind in ROBERTAS else 0
    tensors = _without_first_positions(_renamed(state), unused)
    shape = _shape(config)
    shape = replace(shape, positions=shape.positions - unused)
    with torch.device("meta"):
        transformer = Transformer(shape)
    return transformer, shape, _load(transformer, tensors)


def _check_layers(config: Mapping[str, object]) -> None:
    """Raise UnsupportedModel for what a config may say of its layers and ours do not do."""
    for name, ours in (("hidden_act", "gelu"), ("position_embedding_type", "absolute")):
        if config.get(name) not in (None, ours):
            raise UnsupportedModel(f"{name} {config.get(name)!r}, expected {ours!r}")


def _shape(config: Mapping[str, object]) -> Shape:
    try:
        return Shape.of_config(config)
    except (KeyError, ValueError) as error:
        raise UnsupportedModel(f"config.json does not say the model's shape: {error}") from error


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    tensors = rename_checkpoint(state)
    for table in ("embeddings.position.weight", "embeddings.segment.weight"):
        if table not in tensors:
            raise UnsupportedModel(f"the checkpoint has no {table}")
    return tensors


def _without_first_positions(tensors: Mapping[str, Tensor], unused: int) -> dict[str, Tensor]:
    return {**tensors, "embeddings.position.weight": tensors["embeddings.position.weight"][unused:]}


def _load(body: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Load the body's tensors into it; the others. Raises UnsupportedModel where they do not fit."""
    own = {name: tensor for name, tensor in tensors.items() if name.startswith(("embeddings.", "blocks."))}
    try:
        body.load_state_dict(own, assign=True)
    except RuntimeError as error:
        raise UnsupportedModel(f"the checkpoint does not fit its config: {error}") from error
    return {name: tensor for name, tensor in tensors.items() if name not in own}


def _reach(config: Mapping[str, object], layers: int) -> tuple[int, ...]:
    """Half of each layer's window: Hugging Face counts both sides."""
    window = config["attention_window"]
    windows: list[object] = window if isinstance(window, list) else [window] * layers
    halves = [size // 2 for size in windows if isinstance(size, int) and size > 0 and size % 2 == 0]
    if len(windows) != layers or len(halves) != layers:
        raise UnsupportedModel(f"attention_window {window!r}: expected even numbers, one for each of {layers} layers")
    return tuple(halves)
