"""Trains the reader on mined groups: `python -m model.training.reader --help`.

One plain loop on accelerate, deterministic by seed, resumable at any step: run the same command again after a kill.
It fits two CPU cores and runs unchanged on a GPU.
"""

import argparse
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from model.encoder import load_tokenizer, minilm_folder, word_embeddings
from model.layers import Shape, rename_checkpoint
from model.longformer import GlobalBlock
from model.network import WORDS, ReaderNetwork
from model.training.groups import Batch, batches, count_batches, read_groups
from model.training.losses import relevance_loss, span_loss
from model.training.progress import Progress, new_accelerator, plot_curve, warm_up_then_linear


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides the weights; it is written into the manifest beside them."""

    init: Path  # a folder with an earlier reader, or with a checkpoint of MiniLM's shape
    groups: tuple[Path, ...]  # a file of mined groups for each epoch: easier ones may come first
    out: Path
    steps: int | None = None  # stop after so many, with the learning rate at zero by then; None: after the epochs
    batch_pieces: int = 4_096
    learning_rate: float = 6e-5
    head_factor: float = 5.0
    warmup: float = 0.06
    weight_decay: float = 0.01
    clip: float = 1.0
    dropout: float = 0.0
    relevance: float = 0.25
    own_global: bool = False
    averaging: float = 0.999  # the weights that are kept are a running mean over about 1 / (1 - this) steps
    seed: int = 0
    save_every: int = 100


def starting_network(folder: Path, *, own_global: bool) -> ReaderNetwork:
    """A reader with the weights of an earlier reader (`reader.safetensors`) or of a BERT-shaped checkpoint.

    Heads that the checkpoint lacks start at zero; global projections that it lacks, as copies of the local ones. Word
    embeddings are the encoder's, and stay so: that halves the file that ships. Raises ValueError where it does not fit.
    """
    state = {**_read_state(folder), WORDS: word_embeddings()}
    network = ReaderNetwork(
        Shape.of_config(json.loads((minilm_folder() / "config.json").read_text())), own_global=own_global
    )
    for head in (network.span, network.relevance):
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
    missing, unexpected = network.load_state_dict(state, strict=False)
    fresh = [name for name in missing if not name.startswith(("span.", "relevance.")) and "_global." not in name]
    if fresh or unexpected:
        raise ValueError(f"'{folder}' does not fit: missing {fresh}, unexpected {unexpected}")
    if any("_global." in name for name in missing):
        for block in network.longformer.blocks:
            if isinstance(block, GlobalBlock):
                block.copy_projections()
    network.longformer.embeddings.word.requires_grad_(False)
    return network


def _read_state(folder: Path) -> dict[str, torch.Tensor]:
    own = folder / "reader.safetensors"
    if own.is_file():
        return {name: tensor.float() for name, tensor in load_file(own).items()}
    renamed = rename_checkpoint(load_file(folder / "model.safetensors"))
    return {
        name if name.startswith("span.") else f"longformer.{name}": tensor.float() for name, tensor in renamed.items()
    }


def train(recipe: Recipe) -> ReaderNetwork:
    """Runs the recipe, going on from the last checkpoint in `recipe.out` where there is one.

    What comes back are the averaged weights.
    """
    set_seed(recipe.seed)
    accelerator = new_accelerator()
    tokenizer = load_tokenizer()
    epochs = [_Epoch(path, pieces=recipe.batch_pieces, seed=recipe.seed + n) for n, path in enumerate(recipe.groups)]
    total = sum(epoch.batches for epoch in epochs)
    total = min(total, recipe.steps or total)
    network = starting_network(recipe.init, own_global=recipe.own_global)
    averaging = get_ema_multi_avg_fn(recipe.averaging)  # type: ignore[no-untyped-call]
    averaged = AveragedModel(network, multi_avg_fn=averaging)
    optimizer = torch.optim.AdamW(_parameter_groups(network, recipe), fused=True)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, warm_up_then_linear(total, recipe.warmup))
    network, optimizer, scheduler = accelerator.prepare(network, optimizer, scheduler)
    averaged.to(accelerator.device)
    accelerator.register_for_checkpointing(averaged)
    progress = Progress(recipe.out, total=total)
    if progress.step:
        progress.load(accelerator)
    left = islice(_steps(epochs, tokenizer, done=progress.step), total - progress.step)
    for step, batch in left:
        losses = _backward(network, batch.to(accelerator.device), accelerator=accelerator, recipe=recipe)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        averaged.update_parameters(accelerator.unwrap_model(network))
        progress.record(step, pieces=batch.pieces, **losses)
        if step % recipe.save_every == 0 or step == total:
            progress.save(accelerator)
    plot_curve(progress, recipe.out / "curve.png")
    return cast(ReaderNetwork, averaged.module)


class _Epoch:
    """One pass over one file, read when it is its turn."""

    def __init__(self, path: Path, *, pieces: int, seed: int) -> None:
        self._path, self._pieces, self._seed = path, pieces, seed
        self.batches = count_batches(read_groups(path), pieces=pieces, seed=seed)

    def read(self, tokenizer: Tokenizer, *, skip: int) -> Iterator[Batch]:
        return batches(read_groups(self._path), tokenizer, pieces=self._pieces, seed=self._seed, skip=skip)


def _steps(epochs: Sequence[_Epoch], tokenizer: Tokenizer, *, done: int) -> Iterator[tuple[int, Batch]]:
    """The batches of all epochs, numbered from 1, without those that are done."""
    before = 0
    for epoch in epochs:
        skip = max(done - before, 0)
        if skip < epoch.batches:
            yield from enumerate(epoch.read(tokenizer, skip=skip), start=before + skip + 1)
        before += epoch.batches


def _backward(network: nn.Module, batch: Batch, *, accelerator: Accelerator, recipe: Recipe) -> dict[str, float]:
    with accelerator.autocast():
        logits = network(batch.layout, dropout=recipe.dropout)
    span, relevance = span_loss(logits, batch.spans), relevance_loss(logits, batch)
    accelerator.backward(span + recipe.relevance * relevance)
    accelerator.clip_grad_norm_(network.parameters(), recipe.clip)
    return {"span": float(span.detach()), "relevance": float(relevance.detach())}


def _parameter_groups(network: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Heads learn faster than the body; biases and norms are not decayed."""
    chosen: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        rate = recipe.learning_rate * (recipe.head_factor if name.startswith(("span.", "relevance.")) else 1.0)
        decay = recipe.weight_decay if parameter.ndim > 1 else 0.0
        if parameter.requires_grad:
            chosen.setdefault((rate, decay), []).append(parameter)
    return [{"params": found, "lr": rate, "weight_decay": decay} for (rate, decay), found in chosen.items()]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: an option for each field of the recipe."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("accelerate").setLevel(logging.WARNING)  # it tells of every file of a checkpoint
    parser = argparse.ArgumentParser(description=__doc__)
    for field in fields(Recipe):
        name, required = "--" + field.name.replace("_", "-"), field.default is MISSING
        kind: Any = int if field.name == "steps" else field.type
        if field.name == "groups":
            parser.add_argument(name, type=Path, nargs="+", required=True, help="a file for each epoch")
        elif kind is bool:
            parser.add_argument(name, action="store_true")
        else:
            parser.add_argument(name, type=kind, required=required, default=None if required else field.default)
    options = vars(parser.parse_args(arguments))
    recipe = Recipe(**{**options, "groups": tuple(options["groups"])})
    network = train(recipe)
    save_file(
        {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items() if name != WORDS},
        recipe.out / "reader.safetensors",
    )
    (recipe.out / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1, default=str))


if __name__ == "__main__":
    main()
