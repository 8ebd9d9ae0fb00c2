"""The named points: places between two steps of a write where a process can be told to kill itself.

They are put in from outside, around functions that are there anyway: the code that runs for people knows none of this.
"""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app import adapting, encoder_trial, ingesting, telemetry
from app.adapted import Tunings
from retriever import dense, durable, indexes, sparse, sparse_files
from retriever.dense import DenseIndex
from retriever.indexes import Indexes
from retriever.sparse import SparseIndex
from retriever.store import Store, backup, engine, ingests, migrations

MERGED = 8  # segments of like size: tantivy's default, past which it begins a merge


class Passing:
    """Counts how often the process passes through the point once it is armed; at the nth time it is over."""

    def __init__(self, nth: int) -> None:
        self._left, self._lock = nth, threading.Lock()
        self.armed = False

    def __call__(self) -> None:
        with self._lock:
            self._left -= self.armed
            if self._left == 0:
                kill()


def kill() -> None:
    """The end, without a word to anybody."""
    os.kill(os.getpid(), signal.SIGKILL)
    threading.Event().wait()  # the signal may take a moment to arrive


def make_small() -> None:
    """What happens at a size happens at a small one: segments, merges, rebuilds, slices of an ingest."""
    DenseIndex.__init__.__kwdefaults__["seal"] = 12  # type: ignore[index]
    indexes.DELETED_MATTER = 8
    ingesting.SLICE = 2


def tell_all() -> None:
    """Log the messages of errors too, which the service keeps to itself: what is in these stores is no secret."""
    kinds = telemetry.describe

    def describe(error: BaseException) -> list[dict[str, Any]]:
        causes, current = [], error
        while current is not None:
            causes.append(repr(current))
            current = current.__cause__ or current.__context__
        return [*kinds(error), {"messages": causes}]

    telemetry.describe = describe


def before(owner: Any, name: str, passing: Passing, *, when: Callable[..., bool] = lambda *a, **k: True) -> None:
    """Pass through the point before each call of a function."""
    original = getattr(owner, name)

    def called(*arguments: Any, **named: Any) -> Any:
        if when(*arguments, **named):
            passing()
        return original(*arguments, **named)

    setattr(owner, name, called)


def after(owner: Any, name: str, passing: Passing, *, when: Callable[..., bool] = lambda *a, **k: True) -> None:
    """Pass through the point after each call of a function, before its caller goes on."""
    original = getattr(owner, name)

    def called(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        if when(*arguments, **named):
            passing()
        return result

    setattr(owner, name, called)


def arm(point: str, nth: int, *, at_once: bool) -> None:
    """Make this process kill itself when it passes through the point for the nth time, at once or from SIGUSR1 on."""
    passing = Passing(nth)
    passing.armed = at_once
    POINTS[point](passing)
    signal.signal(signal.SIGUSR1, lambda *_: setattr(passing, "armed", True))


def _inside_a_transaction(passing: Passing) -> None:
    original = engine.Database.write

    @contextmanager
    def write(database: engine.Database) -> Iterator[Any]:
        with original(database) as connection:
            yield connection
            passing()

    engine.Database.write = write  # type: ignore[method-assign]


def _half_a_file(passing: Passing) -> None:
    def half(path: Path, data: bytes) -> None:
        path.with_name(path.name + ".tmp").write_bytes(data[: len(data) // 2])
        passing()
        durable.replace_file(path, data)

    for module in (sparse_files, dense, indexes):
        module.replace_file = half  # type: ignore[attr-defined]


def _during_a_merge(passing: Passing) -> None:
    """After a commit that gives tantivy enough segments for a merge: as soon as the merge has written a file."""
    original = SparseIndex.commit

    def commit(index: SparseIndex) -> None:
        original(index)
        folder = index._path
        segments = json.loads((folder / "meta.json").read_bytes())["segments"]
        if len(segments) < MERGED:
            return
        known = {segment["segment_id"].replace("-", "") for segment in segments}
        for _ in range(2_000):
            files = {path.name.split(".")[0] for path in folder.glob("*.idx")}
            if files - known:  # being written now
                passing()
                return

    SparseIndex.commit = commit  # type: ignore[method-assign]


def _is_switch(path: Path, _: bytes) -> bool:
    return path.name == "current" and path.exists()


def _half_packed(passing: Passing) -> None:
    original = backup._pack

    def pack(copy: Path, manifest: Any, draft: Path) -> None:
        original(copy, manifest, draft)
        os.truncate(draft, draft.stat().st_size // 2)
        passing()

    backup._pack = pack


def _last_step(passing: Passing) -> None:
    step = migrations.MIGRATIONS[-1]

    def run(connection: Any) -> None:
        step.run(connection)
        passing()

    last = migrations.Migration(to=step.to, what=step.what, run=run)
    migrations.MIGRATIONS = (*migrations.MIGRATIONS[:-1], last)


# While it serves.
SERVING: dict[str, Callable[[Passing], None]] = {
    "inside any transaction": _inside_a_transaction,
    "upload accepted, before its reply": lambda p: after(Store, "accept", p),
    "text and passages written, before any vector": lambda p: after(Store, "start_revision", p),
    "some vectors written, before the others": lambda p: after(Store, "put_vectors", p),
    "new version in the indexes, before it is visible": lambda p: after(Indexes, "_stage", p),
    "inside the version flip": lambda p: after(ingests, "_flip", p),
    "version flipped in the store, before the indexes know": lambda p: after(Store, "publish", p),
    "indexes committed, before the job is over": lambda p: before(Store, "finish_job", p),
    "deleted from the store, before the indexes know": lambda p: after(Store, "delete_document", p),
    "sparse index committed, before its number is noted": lambda p: before(sparse, "write_applied", p),
    "sparse index committed, before the dense one": lambda p: after(SparseIndex, "commit", p),
    "during a merge of the sparse index": _during_a_merge,
    "snapshot written, before the manifest names it": lambda p: after(dense, "_write", p),
    "manifest written, before merged snapshots are removed": lambda p: before(dense, "_sweep", p),
    "half a file written": _half_a_file,
    "file renamed, before its folder is synced": lambda p: before(durable, "sync_folder", p),
    "index rebuilt, before the switch": lambda p: before(indexes, "replace_file", p, when=_is_switch),
    "index switched, before the old one is removed": lambda p: after(indexes, "replace_file", p, when=_is_switch),
}
MIGRATING: dict[str, Callable[[Passing], None]] = {
    "while the store is copied": lambda p: before(engine, "copy_database", p),
    "store copied, before it is changed": lambda p: after(engine.Database, "copy_beside", p),
    "inside the migration": _last_step,
}
REINDEXING = {point: SERVING[point] for point in SERVING if point.startswith("index ")}
ADAPTING: dict[str, Callable[[Passing], None]] = {
    "learned, before it is judged": lambda p: before(adapting.Run, "_judge", p),
    "promoted, before the job is over": lambda p: after(Tunings, "promote", p),
}
ADAPTING_FULLY: dict[str, Callable[[Passing], None]] = {
    "encoder learned, before its passages are embedded": lambda p: before(encoder_trial.Trying, "_embedded", p),
    "encoder and vectors in the store, before the indexes know": lambda p: after(Store, "put_learned", p),
    "indexes have the encoder's vectors, before searches do": lambda p: after(Indexes, "keep_own", p),
}
BACKING_UP: dict[str, Callable[[Passing], None]] = {
    "store copied, before it is packed": lambda p: before(backup, "_pack", p),
    "half of a backup written": _half_packed,
    "backup written, before it has its name": lambda p: after(backup, "_pack", p),
}
RESTORING: dict[str, Callable[[Passing], None]] = {
    "restored copy written, before the store is set aside": lambda p: before(backup, "_set_aside", p),
    "store set aside, before the restored one has its place": lambda p: after(backup, "_set_aside", p),
}
POINTS = {**SERVING, **MIGRATING, **ADAPTING, **ADAPTING_FULLY, **BACKING_UP, **RESTORING}
