"""A refresh in a process of its own with a tiny encoder, which can be told to die in the middle of it."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import torch

from app.refreshing import options
from model.encoder import Transformer, load_tokenizer
from model.layers import Shape
from model.realm import QueryAdapter
from model.towers import Towers, load_towers
from model.training.pairs import read_corpus
from retriever import versions

TINY = Shape(width=16, layers=1, heads=2, inner=16, positions=128)
DIES_AFTER = "REFRESH_DIES_AFTER"  # shards; kills itself as kill -9 does
WAITS_FOR = "REFRESH_WAITS_FOR"  # a file; nothing is embedded before it is there


def tiny_towers() -> Towers:
    torch.manual_seed(3)
    return Towers(Transformer(TINY), QueryAdapter(16, rank=8), load_tokenizer()).train_only("all")


def main() -> None:
    from app.refreshing import refresh, watched

    versions.SHARD = 4
    orphaned, given = watched(), options()
    towers = tiny_towers()
    load_towers(towers, given.towers)
    left = int(os.environ.get(DIES_AFTER, "1000000"))
    real = towers.passages
    path = os.environ.get(WAITS_FOR)
    with (Path(path) if path else Path(os.devnull)).open("rb") as gate:  # a named pipe opens once both ends are there
        gate.read(1)

    def passages(texts: Sequence[str]) -> torch.Tensor:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return real(texts)

    towers.passages = passages  # type: ignore[method-assign]
    refresh(towers, read_corpus(given.corpus), given.index, encoder="tiny", step=given.step, orphaned=orphaned)


if __name__ == "__main__":
    main()
