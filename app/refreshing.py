"""Embeds passages anew with a newer encoder, in a process of its own, while training and searches go on.

`python -m app.refreshing --towers FOLDER --corpus FILE --index FOLDER --step N` writes the next version of the index of
retriever/versions.py and lets it take the place of the one in use. Killed, it leaves that one, and goes on when it is
run again. It ends when the training that began it has: the next one asks for what it needs.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from app.errors import RefreshFailed
from model.towers import TOWERS, Towers, name_of, save_towers, starting_towers
from model.training.pairs import POOLED, read_corpus
from retriever.versions import Vectors, publish


class Refresher:
    """Starts a refresh without waiting for it; `module` is what is run, with the options above."""

    def __init__(
        self,
        towers: Towers,
        *,
        corpus: Path,
        index: Path,
        work: Path,
        rank: int = 16,
        module: str = "app.refreshing",
    ) -> None:
        self._towers, self._work, self._module = towers, work, module
        self._options = {"corpus": corpus, "index": index, "rank": rank}
        self._process: subprocess.Popen[bytes] | None = None
        self.begun: list[int] = []

    def __call__(self, step: int) -> None:
        """Have the passages embedded by the towers as they are now; nothing happens while a refresh is under way.

        Raises RefreshFailed where the one before ended with an error.
        """
        if not self.over():
            return
        folder = self._work / f"refresh-{step}"
        folder.mkdir(parents=True, exist_ok=True)
        save_towers(self._towers, folder)
        for old in self._work.glob("refresh-*"):
            if old != folder:
                shutil.rmtree(old)
        options = {**self._options, "towers": folder, "step": step}
        command = [sys.executable, "-m", self._module]
        command += [part for name, value in options.items() for part in (f"--{name}", str(value))]
        self._process = subprocess.Popen(command)  # noqa: S603 - our own module, with paths that we made
        self.begun.append(step)

    def over(self) -> bool:
        """Whether no refresh is under way. Raises RefreshFailed."""
        status = None if self._process is None else self._process.poll()
        if self._process is not None and status is None:
            return False
        self._process = None
        if status:
            raise RefreshFailed(f"a refresh of the index ended with {status}: its own messages say why")
        return True

    def wait(self, timeout: float | None = None) -> None:
        """Wait for the refresh that is under way, if one is. Raises RefreshFailed, TimeoutExpired."""
        if self._process is not None:
            self._process.wait(timeout)
        self.over()


def refresh(
    towers: Towers,
    corpus: Mapping[int, str],
    index: Path,
    *,
    encoder: str,
    step: int,
    orphaned: Callable[[], bool] = lambda: False,
) -> int:
    """Embed all passages with the towers and publish them; returns the number of the version in use.

    `encoder` names the towers by their content. Ends the process where it is `orphaned`.
    """

    def encode(texts: Sequence[str]) -> Vectors:
        if orphaned():
            raise SystemExit("the training that began this refresh is gone")
        with torch.inference_mode():
            parts = [towers.passages(texts[at : at + POOLED]) for at in range(0, len(texts), POOLED)]
            vectors: Vectors = torch.cat(parts).cpu().numpy()
        return vectors

    return publish(index, list(corpus.items()), encode, encoder=encoder, step=step)


def watched() -> Callable[[], bool]:
    """Tells whether the process that began this one is gone."""
    parent = os.getppid()
    return lambda: os.getppid() != parent


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of a refresh."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--towers", type=Path, required=True, help=f"a folder with {TOWERS}")
    parser.add_argument("--corpus", type=Path, required=True, help='lines of {"key", "text"}')
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--step", type=int, required=True)
    parser.add_argument("--rank", type=int, default=16, help="of the towers' adapter")
    return parser.parse_args(arguments)


def main() -> None:
    """The command line."""
    orphaned, given = watched(), options()
    towers = starting_towers(mode="full", trained="all", rank=given.rank, init=given.towers)
    corpus, encoder = read_corpus(given.corpus), name_of(given.towers)
    refresh(towers, corpus, given.index, encoder=encoder, step=given.step, orphaned=orphaned)


if __name__ == "__main__":
    main()
