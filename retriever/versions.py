"""A versioned index of vectors on disk, made by one process and searched by others, that is swapped whole.

    root/current            names the version in use, by a sealed file that is replaced in one step
    root/N/manifest.json    sealed: the encoder's version, the step of training, and the SHA-256 of each shard
    root/N/00000.npz        a shard: keys and vectors in float16
    root/draft-HASH/        a version that is being made; its shards are whole or not there, so that making it goes on

A reader has its version in memory: that a newer one takes its place, or that old folders go, disturbs no search.
"""

import hashlib
import io
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retriever.durable import replace_file, sealed, sync_folder, unsealed
from retriever.errors import IndexCorrupt

logger = logging.getLogger(__name__)

Vectors = NDArray[np.float32]
Encode = Callable[[Sequence[str]], Vectors]

SHARD = 512  # passages: what a kill in the middle has to do again at most
FORMAT = 1
CURRENT, MANIFEST = "current", "manifest.json"


@dataclass(frozen=True, kw_only=True)
class Version:
    """Unit vectors [P, W] in float16 by ascending key [P], all of one encoder."""

    number: int
    encoder: str
    step: int
    keys: NDArray[np.int64]
    held: NDArray[np.float16]


class VersionedIndex:
    """The version in use, searched exactly; `reload` takes up a newer one. One thread at a time reloads."""

    def __init__(self, root: Path) -> None:
        """Raises IndexCorrupt where no whole version is there."""
        self._root = root
        self._version = _read(root)

    @property
    def version(self) -> Version:
        """What searches see."""
        return self._version

    @property
    def step(self) -> int:
        """The step of training whose encoder made what searches see."""
        return self._version.step

    def reload(self) -> bool:
        """Take up the version that is current now; whether it is another one. Raises IndexCorrupt."""
        if _current(self._root) == self._version.number:
            return False
        self._version = _read(self._root)
        return True

    def search(self, queries: Vectors, k: int) -> NDArray[np.int64]:
        """Keys [B, k] of the passages nearest to unit vectors [B, W], best first; -1 where there are none."""
        version = self._version
        found = np.full((len(queries), k), -1, dtype=np.int64)
        scores = queries @ version.held.astype(np.float32).T
        for row, each in enumerate(scores):
            best = np.lexsort((version.keys, -each))[:k]
            found[row, : len(best)] = version.keys[best]
        return found

    def vectors(self, keys: NDArray[np.int64]) -> Vectors:
        """Vectors [..., W] of keys [...]; zeros for a key that is not there."""
        version = self._version
        rows = np.searchsorted(version.keys, keys).clip(max=len(version.keys) - 1)
        there = version.keys[rows] == keys
        found: Vectors = np.where(there[..., None], version.held[rows], 0).astype(np.float32)
        return found


def publish(root: Path, passages: Sequence[tuple[int, str]], encode: Encode, *, encoder: str, step: int) -> int:
    """Embed all passages and let readers take up the result; returns the new version's number.

    A run that was killed goes on with the shards that it had finished, if encoder and passages are the same. What is
    in use stays so until the last step, which replaces one file; where it is of a later step of training by then, it
    stays altogether, and its number is returned. One process publishes at a time.
    """
    root.mkdir(parents=True, exist_ok=True)
    ordered = sorted(passages)
    told = hashlib.sha256(repr((FORMAT, encoder, step, ordered)).encode()).hexdigest()
    draft = root / f"draft-{told[:16]}"
    for left in root.glob("draft-*"):
        if left != draft:
            shutil.rmtree(left)
    draft.mkdir(exist_ok=True)
    digests = {}
    for number, first in enumerate(range(0, len(ordered), SHARD)):
        file = draft / f"{number:05d}.npz"
        if not file.exists():
            some = ordered[first : first + SHARD]
            replace_file(file, _shard([key for key, _ in some], encode([text for _, text in some])))
        digests[file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
    before = _current(root)
    if before is not None and _step(root, before) > step:
        shutil.rmtree(draft)
        return before
    replace_file(draft / MANIFEST, sealed({"format": FORMAT, "encoder": encoder, "step": step, "shards": digests}))
    version = 1 + max((int(folder.name) for folder in _numbered(root)), default=0)
    draft.rename(root / str(version))
    sync_folder(root)
    replace_file(root / CURRENT, sealed({"version": version}))
    for folder in _numbered(root):
        if int(folder.name) not in (version, before):  # a reader may be about to read the one before
            shutil.rmtree(folder)
    return version


def _shard(keys: Sequence[int], vectors: Vectors) -> bytes:
    file = io.BytesIO()
    np.savez(file, keys=np.array(keys, dtype=np.int64), vectors=vectors.astype(np.float16))
    return file.getvalue()


def _numbered(root: Path) -> list[Path]:
    return [folder for folder in root.iterdir() if folder.is_dir() and folder.name.isdigit()]


def _current(root: Path) -> int | None:
    """The number of the version in use; None where there is none yet. Raises IndexCorrupt."""
    if not (root / CURRENT).exists():
        return None
    try:
        return int(unsealed((root / CURRENT).read_bytes())["version"])
    except (ValueError, KeyError) as error:
        raise IndexCorrupt("which version of the index is in use cannot be read") from error


def _read(root: Path) -> Version:
    """The version in use; where another took its place and this one's folder went meanwhile, that one."""
    while True:
        number = _current(root)
        if number is None:
            raise IndexCorrupt(f"no version of an index at {root.name!r}: publish one first")
        try:
            return _load(root, number)
        except IndexCorrupt:
            if _current(root) == number:
                raise


def _step(root: Path, number: int) -> int:
    """The step of a version; -1 where its manifest cannot be read, so that anything takes its place."""
    try:
        return int(unsealed((root / str(number) / MANIFEST).read_bytes())["step"])
    except (OSError, ValueError, KeyError):
        return -1


def _load(root: Path, number: int) -> Version:
    try:
        manifest = unsealed((root / str(number) / MANIFEST).read_bytes())
        shards = [_checked(root / str(number) / name, digest) for name, digest in manifest["shards"].items()]
        return Version(
            number=number,
            encoder=str(manifest["encoder"]),
            step=int(manifest["step"]),
            keys=np.concatenate([keys for keys, _ in shards]),
            held=np.concatenate([vectors for _, vectors in shards]),
        )
    except (OSError, ValueError, KeyError) as error:
        raise IndexCorrupt(f"version {number} of the index does not match its manifest") from error


def _checked(file: Path, digest: str) -> tuple[NDArray[np.int64], NDArray[np.float16]]:
    data = file.read_bytes()
    if hashlib.sha256(data).hexdigest() != digest:
        raise ValueError(f"{file.name} does not match its checksum")
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return arrays["keys"], arrays["vectors"]
