"""Trains the reader on mined groups: `python -m model.training.reader --help`.

One plain loop on accelerate, deterministic by seed, resumable at any step: run the same command again after a kill.
It fits two CPU cores and runs unchanged on a GPU.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate.utils import set_seed
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from model.encoder import load_tokenizer, minilm_folder, word_embeddings
from model.layers import Shape, rename_checkpoint
from model.longformer import GlobalBlock
from model.network import WORDS, ReaderNetwork
from model.training.groups import Batch, batches, count_batches, read_groups
from model.training.loop import Loop, Measured, device_of
from model.training.losses import apart, distillation_loss, relevance_loss, span_loss
from model.training.recipes import given_recipe, write_recipe


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
    apart: bool = False  # each passage has a softmax of its own, instead of one over all passages of a question
    relevance: float = 0.25
    teachers: tuple[Path, ...] = ()  # folders with readers whose answers are learned beside the marked ones
    taught: float = 0.5  # the share of the span loss of answered groups that is about theirs
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
    tokenizer = load_tokenizer()
    epochs = [_Epoch(path, pieces=recipe.batch_pieces, seed=recipe.seed + n) for n, path in enumerate(recipe.groups)]
    total = sum(epoch.batches for epoch in epochs)
    teachers = [
        starting_network(folder, own_global=recipe.own_global).requires_grad_(False) for folder in recipe.teachers
    ]
    set_seed(recipe.seed)
    loop: Loop[ReaderNetwork, Batch] = Loop(
        module=starting_network(recipe.init, own_global=recipe.own_global),
        total=min(total, recipe.steps or total),
        out=recipe.out,
        learning_rate=recipe.learning_rate,
        rates={"span.": recipe.head_factor, "relevance.": recipe.head_factor},  # heads learn faster than the body
        warmup=recipe.warmup,
        weight_decay=recipe.weight_decay,
        clip=recipe.clip,
        averaging=recipe.averaging,
        seed=recipe.seed,
        save_every=recipe.save_every,
    )

    def measure(network: ReaderNetwork, _: int, batch: Batch) -> Measured:
        on_device = batch.to(device_of(network))
        logits = network(on_device.layout, dropout=recipe.dropout)
        spans = on_device.spans
        asked = apart(logits, spans, on_device.layout.mask.any(-1)) if recipe.apart else (logits, spans)
        span, relevance = span_loss(*asked), relevance_loss(logits, on_device)
        shown = {"span": float(span.detach()), "relevance": float(relevance.detach())}
        if teachers:
            with torch.no_grad():
                taught = [teacher.to(device_of(network))(on_device.layout) for teacher in teachers]
            # Where nothing answers, a teacher that answers all the same is wrong.
            answered = torch.unique(spans[:, 0])
            distilled = distillation_loss(logits, taught, answered)
            share = recipe.taught * len(answered) / len(logits.null_start)
            span = (1 - share) * span + share * distilled
            shown["taught"] = float(distilled.detach())
        return Measured(loss=span + recipe.relevance * relevance, pieces=batch.pieces, shown=shown)

    return loop.run(lambda done: _batches(epochs, tokenizer, done=done), measure)


class _Epoch:
    """One pass over one file, read when it is its turn."""

    def __init__(self, path: Path, *, pieces: int, seed: int) -> None:
        self._path, self._pieces, self._seed = path, pieces, seed
        self.batches = count_batches(read_groups(path), pieces=pieces, seed=seed)

    def read(self, tokenizer: Tokenizer, *, skip: int) -> Iterator[Batch]:
        return batches(read_groups(self._path), tokenizer, pieces=self._pieces, seed=self._seed, skip=skip)


def _batches(epochs: Sequence[_Epoch], tokenizer: Tokenizer, *, done: int) -> Iterator[Batch]:
    """The batches of all epochs without those that are done."""
    before = 0
    for epoch in epochs:
        skip = max(done - before, 0)
        if skip < epoch.batches:
            yield from epoch.read(tokenizer, skip=skip)
        before += epoch.batches


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: an option for each field of the recipe."""
    recipe = given_recipe(Recipe, arguments, description=__doc__)
    network = train(recipe)
    save_file(
        {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items() if name != WORDS},
        recipe.out / "reader.safetensors",
    )
    write_recipe(recipe.out, recipe)


if __name__ == "__main__":
    main()
