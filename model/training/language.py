"""Trains the small language model on texts: `python -m model.training.language --help`.

Texts are laid end to end in as many streams as a batch has rows, and each stream is read in segments with its memory
carried on. Resumable at any step, deterministic by seed, as model/training/reader.py is.

B batch, L length of a segment, T tokens of a stream
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import torch
from accelerate.utils import set_seed
from torch import Tensor

from model.encoder import load_tokenizer, word_embeddings
from model.language_model import LanguageModel, load_language_model, segments_of
from model.network import SEP
from model.training.loop import Loop, Measured, device_of
from model.training.manifests import commit, write_weights
from model.training.recipes import log_to_terminal, parser_of, recipe_of
from model.transformer_xl import Memory, XLShape

Segment = tuple[Tensor, Tensor]
"""Inputs and targets, [B, L] each."""

SHAPE = XLShape(width=256, layers=4, heads=4, inner=1_024)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides the weights; it is written into the manifest beside them."""

    texts: Path  # a folder of .txt files
    out: Path
    init: Path | None = None  # a folder with a language model to go on from, such as with a longer memory
    epochs: int = 2
    rows: int = 16
    segment: int = 128
    memory: int = 256
    learning_rate: float = 8e-4
    warmup: float = 0.05
    weight_decay: float = 0.02
    clip: float = 0.5
    dropout: float = 0.1
    seed: int = 0
    save_every: int = 100


class _Memory:
    """The memory that the next segment starts from, kept with every checkpoint."""

    def __init__(self) -> None:
        self.kept: Memory = ()

    def state_dict(self) -> dict[str, Tensor]:
        return {str(layer): kept for layer, kept in enumerate(self.kept)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.kept = tuple(state[str(layer)] for layer in range(len(state)))


def train(recipe: Recipe) -> LanguageModel:
    """Runs the recipe, going on from the last checkpoint in `recipe.out` where there is one."""
    texts = _tokenized(recipe.texts)
    each = -(-(_streams(texts, recipe, epoch=0).shape[1] - 1) // recipe.segment)  # segments of an epoch
    set_seed(recipe.seed)
    network = LanguageModel(SHAPE, word_embeddings())
    if recipe.init is not None:
        network.load_state_dict(load_language_model(recipe.init).state_dict())
    carried = _Memory()
    loop: Loop[LanguageModel, Segment] = Loop(
        module=network,
        total=each * recipe.epochs,
        out=recipe.out,
        learning_rate=recipe.learning_rate,
        warmup=recipe.warmup,
        weight_decay=recipe.weight_decay,
        clip=recipe.clip,
        carried=carried,
        seed=recipe.seed,
        save_every=recipe.save_every,
    )

    def measure(network: LanguageModel, step: int, segment: Segment) -> Measured:
        device = device_of(network)
        if (step - 1) % each == 0:
            carried.kept = ()  # an epoch lays the texts anew
        inputs, targets = (part.to(device) for part in segment)
        before = tuple(kept.to(device) for kept in carried.kept)
        nats, carried.kept = network(inputs, targets, before, memory_length=recipe.memory, dropout=recipe.dropout)
        loss = nats.mean()
        return Measured(loss=loss, pieces=targets.numel(), shown={"nats": float(loss.detach())})

    return loop.run(lambda done: _segments(texts, recipe, done=done, each=each), measure)


def _tokenized(folder: Path) -> list[list[int]]:
    """Each text as word pieces with [SEP] behind it. Raises ValueError for a folder without texts."""
    paths = sorted(folder.glob("*.txt"))
    if not paths:
        raise ValueError(f"no .txt files in '{folder}'")
    tokenizer = load_tokenizer()
    texts = [path.read_text(encoding="utf-8") for path in paths]
    return [[*encoding.ids, SEP] for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]


def _streams(texts: Sequence[Sequence[int]], recipe: Recipe, *, epoch: int) -> Tensor:
    """All texts in an order of this epoch's, cut into streams: [B, T]."""
    order = list(range(len(texts)))
    random.Random(recipe.seed + epoch).shuffle(order)  # noqa: S311 - an order, not a secret
    laid = [token for place in order for token in texts[place]]
    length = len(laid) // recipe.rows
    return torch.tensor(laid[: length * recipe.rows]).view(recipe.rows, length)


def _segments(texts: Sequence[Sequence[int]], recipe: Recipe, *, done: int, each: int) -> Iterator[Segment]:
    """The segments of all epochs without those that are done."""
    for epoch in range(done // each, recipe.epochs):
        parts = segments_of(_streams(texts, recipe, epoch=epoch), recipe.segment)
        yield from islice(parts, max(0, done - epoch * each), None)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: an option for each field of the recipe, and where the weights go."""
    log_to_terminal()
    parser = parser_of(Recipe, description=__doc__)
    parser.add_argument("--weights", type=Path, default=None, help="folder to write language.safetensors into")
    parser.add_argument("--data", action="append", default=[], metavar="NAME=LICENCE", help="what it was trained on")
    given = vars(parser.parse_args(arguments))
    recipe = recipe_of(Recipe, given)
    network = train(recipe)
    state = {name: tensor.detach().cpu().bfloat16().contiguous() for name, tensor in network.state_dict().items()}
    manifest = {
        "name": "lectern-language",
        "architecture": "transformer-xl-language",
        "file": "language.safetensors",
        "shape": asdict(SHAPE),
        "recipe": json.loads(json.dumps(asdict(recipe), default=str)),
        "commit": commit(),
        "data": dict(pair.split("=", 1) for pair in given["data"]),
    }
    write_weights(given["weights"] or recipe.out, "language", state, manifest)


if __name__ == "__main__":
    main()
