"""The dense index: inner products of unit vectors, kept by FAISS; derived from the store.

Vectors stand in blocks that never change, newest last. What is applied becomes a small block in memory; blocks of like
size are merged, so that there are few. Past a size they are sealed: one checksummed file, named by a manifest that
says up to which change the files hold everything; what came after is applied again from the store at the next start.
Deleting marks a vector in its block, and a merge drops it.

Vectors are kept as the store has them, in float16, so every score is exact. Blocks beyond EXACT_LIMIT are searched
through an inverted file, which may miss candidates; measured recall stands beside it.
"""

import hashlib
import logging
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from retriever.block import Block, merged
from retriever.durable import replace_file, sealed, unsealed
from retriever.errors import IndexCorrupt
from retriever.sparse import Scored

logger = logging.getLogger(__name__)

FORMAT = 2
MANIFEST = "manifest.json"
SEAL = 4_096  # vectors in memory before they become a file: at most so many are read from the store at a start
GROWTH = 2  # a block is merged into the one before it once that is not at least this many times as large
DEAD_SHARE = 0.25  # of a file's vectors, before it is written anew without the deleted ones


class Encoder(Protocol):
    """What makes vectors of texts; `model/encoder.py` satisfies it by shape."""

    @property
    def version(self) -> str:
        """Names the weights: vectors of two versions are never compared."""
        ...

    @property
    def dimension(self) -> int:
        """D, the length of a vector."""
        ...

    def encode_passages(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Unit rows [N, D]."""
        ...

    def encode_queries(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Unit rows [N, D]."""
        ...


class DenseIndex:
    """Unit vectors of one collection's passages. One writer at a time; a search sees one commit, whole."""

    def __init__(self, path: Path | None, dimension: int, *, seal: int = SEAL) -> None:
        """Open the index in this folder, or make it; None keeps it in memory. Raises IndexCorrupt."""
        self._path, self._dimension, self._seal = path, dimension, seal
        self._writing, self._merging = threading.Lock(), threading.Lock()
        self._sealed: tuple[Block, ...] = ()  # in files
        self._fresh: tuple[Block, ...] = ()  # in memory
        self._seen = self._held = 0  # the last change applied, and the last one that the files hold
        self._pending = False  # something was applied and is not committed
        if path is not None:
            path.mkdir(parents=True, exist_ok=True)
            self._sealed, self._held = _load(path, dimension)
            self._seen = self._held
        # What searches see: replaced whole, never changed.
        self._applied, self._view = self._seen, (*self._sealed, *self._fresh)

    @property
    def applied(self) -> int:
        """The sequence number up to which searches see all changes."""
        return self._applied

    @property
    def passages(self) -> int:
        """How many vectors searches see."""
        return sum(block.alive for block in self._view)

    def apply(
        self,
        seq: int,
        removed: Mapping[str, range],
        entries: Sequence[tuple[int, str]],
        vectors: NDArray[np.float32],
    ) -> None:
        """Take out the removed documents' vectors (those with keys in the range), then add these.

        Searches see it after `commit`. `entries` are (key, document id), one a row of `vectors` [N, D]. A change up to
        `applied` must not come again: the files hold it, and would lose to a crash what was moved back to memory.
        """
        if vectors.shape != (len(entries), self._dimension):
            raise ValueError(f"{len(entries)} entries need vectors of {self._dimension}, not {vectors.shape}")
        with self._writing:
            self._sealed = tuple(block.without(removed) for block in self._sealed)
            fresh = [block.without(removed) for block in self._fresh]
            if entries:
                fresh.append(Block.of(entries, vectors))
            self._fresh = _compact(fresh)
            self._seen, self._pending = max(self._seen, seq), True

    def commit(self) -> None:
        """Let searches see what was applied; seals what is in memory once it is large."""
        with self._writing:
            if self._path is not None and sum(block.alive for block in self._fresh) >= self._seal:
                try:
                    self._seal_fresh(self._path)
                except OSError as error:  # nothing is lost: it stays in memory, and the next commit tries again
                    logger.warning("the dense index cannot be written: %s", error)
            self._pending = False
            self._publish()

    def maintain(self) -> bool:
        """Merge files that are too many or too full of deleted vectors; says whether there was anything to do.

        Searches and commits go on meanwhile; what they delete is carried over. Raises OSError.
        """
        if self._path is None:
            return False
        with self._merging:
            before = self._sealed
            first = _first_to_merge(before)
            if first is None:
                return False
            full = [block for block in before[first:] if block.alive]
            written = [_write(self._path, merged(full))] if full else []
            with self._writing:
                # Only `apply` and sealing went on meanwhile: the blocks are the same, perhaps with more deleted. What
                # was deleted before may be there again under its key, in another of these blocks.
                now = self._sealed
                pairs = zip(before[first:], now[first : len(before)], strict=True)
                lost = [key for old, new in pairs for key in set(new.dead_keys()) - set(old.dead_keys())]
                self._sealed = (*now[:first], *(block.without_keys(lost) for block in written), *now[len(before) :])
                _write_manifest(self._path, self._dimension, self._held, self._sealed)
                if not self._pending:  # else the next commit shows it, with what was applied meanwhile
                    self._publish()
                _sweep(self._path, self._sealed)  # not while a commit writes a file that no manifest names yet
            return True

    def search(self, query: NDArray[np.float32], k: int, *, documents: Collection[str] | None = None) -> list[Scored]:
        """The k passages nearest to the unit vector `query` [D], of these documents if given; ties by key."""
        if k < 1:
            return []
        found = [
            Scored(key=key, score=score) for block in self._view for key, score in block.search(query, k, documents)
        ]
        return sorted(found, key=lambda each: (-each.score, each.key))[:k]

    def score(self, query: NDArray[np.float32], keys: Collection[int]) -> dict[int, float]:
        """The exact score of each key; keys that are not in the index are left out."""
        wanted = np.array(sorted(keys), dtype=np.int64)
        return {key: score for block in self._view for key, score in block.score(query, wanted)}

    def close(self) -> None:
        """Nothing is lost by not closing: what is in memory is in the store."""

    def _publish(self) -> None:
        self._applied, self._view = self._seen, (*self._sealed, *self._fresh)

    def _seal_fresh(self, path: Path) -> None:
        sealed = (*self._sealed, _write(path, merged(self._fresh)))
        _write_manifest(path, self._dimension, self._seen, sealed)
        self._sealed, self._fresh, self._held = sealed, (), self._seen


def _compact(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """Merge from the end until each block is GROWTH times as large as the next: few blocks, and cheap to keep so."""
    left = [block for block in blocks if block.alive]
    while len(left) > 1 and left[-2].alive < GROWTH * left[-1].alive:
        left[-2:] = [merged(left[-2:])]
    return tuple(left)


def _first_to_merge(blocks: Sequence[Block]) -> int | None:
    """The first of the blocks to merge, up to the last; None: they are few and full enough."""
    full = [place for place, block in enumerate(blocks) if len(block.keys) - block.alive > DEAD_SHARE * len(block.keys)]
    first = full[0] if full else None
    below = 0
    for place in range(len(blocks) - 1, -1, -1):
        if below and blocks[place].alive < GROWTH * below:
            first = place if first is None else min(first, place)
        below += blocks[place].alive
    return first


def _write(path: Path, block: Block) -> Block:
    """Write a block's file, durable but not named by the manifest yet."""
    data = block.to_bytes()
    digest = hashlib.sha256(data).hexdigest()
    name = f"{digest[:32]}.block"
    replace_file(path / name, data)
    return replace(block, file=name, sha256=digest)


def _write_manifest(path: Path, dimension: int, held: int, blocks: Sequence[Block]) -> None:
    named = [{"file": block.file, "sha256": block.sha256, "dead": block.dead_keys()} for block in blocks]
    manifest = {"format": FORMAT, "dimension": dimension, "applied": held, "blocks": named}
    replace_file(path / MANIFEST, sealed(manifest))


def _load(path: Path, dimension: int) -> tuple[tuple[Block, ...], int]:
    """The blocks that the manifest names, and the last change they hold. Raises IndexCorrupt."""
    if not (path / MANIFEST).exists():  # nothing was ever sealed, or the manifest is lost: all is read from the store
        _sweep(path, ())
        return (), 0
    try:
        manifest = unsealed((path / MANIFEST).read_bytes())
        if (manifest["format"], manifest["dimension"]) != (FORMAT, dimension):
            raise IndexCorrupt(f"the dense index has another format or dimension than {FORMAT}, {dimension}")
        blocks = tuple(_read(path, each["file"], each["sha256"], each["dead"]) for each in manifest["blocks"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise IndexCorrupt("the dense index's manifest does not match its checksum, or lacks a file") from error
    _sweep(path, blocks)
    return blocks, int(manifest["applied"])


def _read(path: Path, name: str, digest: str, dead: Sequence[int]) -> Block:
    data = (path / name).read_bytes()
    if hashlib.sha256(data).hexdigest() != digest:
        raise IndexCorrupt(f"the dense index file {name!r} does not match its checksum")
    return Block.read(data, file=name, sha256=digest).without_keys(dead)


def _sweep(path: Path, blocks: Sequence[Block]) -> None:
    """Delete the files that no manifest names: of merged blocks, and of writes that a crash cut short."""
    named = {MANIFEST, *(block.file for block in blocks)}
    for file in path.iterdir():
        if file.name not in named:
            file.unlink()
