"""The indexes of all collections: opened when first asked for, kept in step with the store, rebuilt when broken.

    root/instance                        the store that everything here was derived from
    root/lock                            held by the process that uses the folder
    root/COLLECTION/current              names the generation in use
    root/COLLECTION/GENERATION/sparse    a tantivy index
    root/COLLECTION/GENERATION/dense-*   a FAISS index for each encoder
    root/COLLECTION/GENERATION/own-*     a FAISS index for each version of it that is the collection's own

COLLECTION is the collection's number, which is never given again: what a deleted collection left can't be mistaken.
"""

import errno
import hashlib
import logging
import shutil
import threading
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from retriever.dense import DenseIndex
from retriever.durable import hold, replace_file
from retriever.errors import IndexCorrupt, NotFound, StorageFull, StoreUnavailable
from retriever.sparse import ALL_KEYS, SparseIndex
from retriever.store import Change, Store
from retriever.tuning import ASSET, OWN, VECTORS
from retriever.types import Passage

Found = Iterator[tuple[Passage, NDArray[np.float32] | None]]

logger = logging.getLogger(__name__)

DOCUMENTS_A_COMMIT = 500  # while catching up: bounds the memory, and what a crash in the middle has to do again
PASSAGES_A_BATCH = 2_000
DELETED_SHARE = 0.3  # of a sparse index, before it is built anew: tantivy counts deleted passages in its statistics
FULL = ("No space left", "File too large", "Disk quota")  # how tantivy's messages name it
REFUSED = ("os error", "IoError", "io::Error")  # the last: in a thread of the writer, which was killed by it
NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
DELETED_MATTER = 1_000  # passages; below it nobody would see the difference


class _Pair:
    """The two indexes of one collection in one generation. `lock` is for whoever changes them; searches need none."""

    def __init__(self, folder: Path, *, tenant: str, name: str, encoder: str, dimension: int) -> None:
        self.folder, self.tenant, self.name = folder, tenant, name
        self.lock = threading.Lock()
        self.retired = False
        # Documents whose next revision is indexed before it is visible: id -> (revision, its first key).
        self.staged: dict[str, tuple[int, int]] = {}
        self.maintenance: Future[None] | None = None
        dense = "dense-" + hashlib.sha256(encoder.encode()).hexdigest()[:12]
        self.sparse = _opened(lambda: SparseIndex(folder / "sparse"), folder / "sparse")
        self.dense = _opened(lambda: DenseIndex(folder / dense, dimension), folder / dense)
        self.encoder, self.dimension = encoder, dimension
        self.own: dict[str, DenseIndex] = {}  # by the version of the encoder; replaced whole, searches read it

    @property
    def denses(self) -> dict[str, DenseIndex]:
        """All dense indexes by the version of the encoder."""
        return {self.encoder: self.dense, **self.own}

    @property
    def applied(self) -> int:
        """The last change that all have."""
        return min(self.sparse.applied, *(dense.applied for dense in self.denses.values()))

    @property
    def newest(self) -> int:
        """The last change that any has."""
        return max(self.sparse.applied, *(dense.applied for dense in self.denses.values()))

    def keep(self, versions: Collection[str]) -> None:
        """Have an index for each of these versions, and for no other that is the collection's own."""
        places = {version: self.folder / _own_folder(version) for version in versions}
        own = {version: index for version, index in self.own.items() if version in places}
        for version in places.keys() - own.keys():
            own[version] = self._opened_own(
                places[version]
            )  # empty: applying all changes to it forgets what was staged
        self.own = own
        for left in self.folder.glob("own-*"):
            if left not in places.values():
                shutil.rmtree(left)

    def _opened_own(self, folder: Path) -> DenseIndex:
        return _opened(lambda: DenseIndex(folder, self.dimension), folder)

    def close(self) -> None:
        self.retired = True
        self.sparse.close()
        for dense in self.denses.values():
            dense.close()


def _own_folder(version: str) -> str:
    return "own-" + hashlib.sha256(version.encode()).hexdigest()[:12]


class Indexes:
    """The derived indexes under one folder. Safe to use from many threads; one process at a time."""

    def __init__(self, root: Path, store: Store, *, encoder: str, dimension: int) -> None:
        """`encoder` is the version whose vectors are indexed, of length `dimension`.

        Raises StoreUnavailable when another process uses the folder.
        """
        self._root, self._store, self._encoder, self._dimension = root, store, encoder, dimension
        self._pairs: dict[int, _Pair] = {}
        self._guard, self._rebuilding = threading.Lock(), threading.Lock()
        self._gates: dict[int, threading.Lock] = {}  # for each collection: who opens or removes its folder
        self._closed = False
        self._no_vectors = np.zeros((0, dimension), dtype=np.float32)
        self._held = hold(root / "lock")
        self._background = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lectern-indexes")
        if not (root / "instance").exists() or (root / "instance").read_bytes() != store.instance.encode():
            if _numbered(root):
                logger.warning("the indexes are not of this store: building them anew from it")
            for folder in _numbered(root):
                shutil.rmtree(folder)
            replace_file(root / "instance", store.instance.encode())
        self._sweep()

    def of(self, tenant: str, collection: str) -> tuple[SparseIndex, DenseIndex]:
        """The two indexes of a collection, as of the last refresh. Raises NotFound while nothing was ever in it."""
        pair = self._pair(tenant, collection)
        return pair.sparse, pair.dense

    def own(self, tenant: str, collection: str, version: str) -> DenseIndex | None:
        """The vectors of a version of the encoder that is the collection's own; None where it is so no longer."""
        return self._pair(tenant, collection).own.get(version)

    def keep_own(self, tenant: str, collection: str) -> None:
        """Have the dense indexes that the collection's retriever needs, as the store has it now, and no others.

        When it returns they hold all that is visible. Raises NotFound, and as `refresh`.
        """
        while True:
            pair = self._pair(tenant, collection)
            with pair.lock:
                if pair.retired:
                    continue  # a rebuilt one took its place
                self._catch_up(pair)
            return

    def refresh(self, tenant: str, collection: str) -> int:
        """Apply all changes up to now; when it returns they are searchable, and durable in the sparse index.

        Returns the sequence number applied. Callers that wait for each other share one commit. Raises StorageFull,
        StoreUnavailable; what is in the store is not lost by that, the next refresh applies it.
        """
        while True:
            try:
                pair = self._pair(tenant, collection)
            except NotFound:
                return 0  # the collection is gone, and its indexes with it
            wanted = self._store.last_seq(tenant, collection)
            with pair.lock:
                if pair.retired:
                    continue  # a rebuilt one took its place
                if pair.applied < wanted:  # else the one that waited before applied this change too
                    self._apply(pair)
            self._maintain(pair)
            return pair.applied

    def reindex(self, tenant: str, collection: str | None = None) -> None:
        """Build the indexes of a collection, or of all of the tenant's, anew from the store, then swap them in.

        Searches and writes go on meanwhile. Raises NotFound for a collection that never was.
        """
        names = [collection] if collection is not None else [each.name for each in self._store.collections(tenant)]
        for name in names:
            try:
                self._rebuild(self._pair(tenant, name))
            except NotFound:
                if collection is not None and collection != "default":
                    raise

    def publish(
        self, tenant: str, document_id: str, revision: int, *, made_for: tuple[str, str | None] | None = None
    ) -> int:
        """Make a revision visible and searchable; returns the change's sequence number. Raises as the store's own.

        A replacement is indexed before it becomes visible, so there is no moment at which neither version is found;
        in the collection that it goes to, as another upload may move the document meanwhile.
        """
        before = self._store.document(tenant, document_id)
        if before.version is not None:
            self._stage(tenant, self._store.destination(tenant, document_id, revision), document_id, revision)
        seq = self._store.publish(tenant, document_id, revision, made_for=made_for)
        for name in {before.collection, self._store.document(tenant, document_id).collection}:
            self.refresh(tenant, name)
        return seq

    def catch_up(self) -> int:
        """Open the indexes of all collections, so that no search has to wait for it; returns how many there are."""
        known = self._store.collection_numbers()
        for tenant, name in known.values():
            self.refresh(tenant, name)
        return len(known)

    def sizes(self) -> dict[str, int]:
        """Bytes on the disk of all sparse and of all dense indexes, those that are being built included."""
        found = {"sparse": 0, "dense": 0}
        for folder in _numbered(self._root):
            for path in folder.rglob("*"):
                with suppress(FileNotFoundError):  # merged away, or dropped, since it was listed
                    kind = path.relative_to(folder).parts[1:2]
                    if path.is_file() and kind:
                        found["sparse" if kind[0] == "sparse" else "dense"] += path.stat().st_size
        return found

    def drop(self, tenant: str, collection: str) -> None:
        """Remove the indexes of a collection; a later search builds them anew if the store has it still."""
        number = self._store.collection_number(tenant, collection)
        if number is not None and (self._root / str(number)).exists():
            self._remove(number)
        self._sweep()

    def close(self) -> None:
        """Finish what is under way and let go of all files; the indexes are not used after that."""
        self._closed = True
        self._background.shutdown(wait=True, cancel_futures=True)
        for pair in list(self._pairs.values()):
            with pair.lock:
                pair.close()
        self._pairs.clear()
        self._held.close()

    def _pair(self, tenant: str, collection: str) -> _Pair:
        number = self._store.collection_number(tenant, collection)
        if number is None:
            raise NotFound(f"no collection {collection!r}")
        pair = self._pairs.get(number)
        if pair is not None:
            return pair
        with self._gate(number):
            if self._closed:
                raise StoreUnavailable("the indexes are closed")
            if number not in self._pairs:
                self._pairs[number] = self._open(number, tenant, collection)
            return self._pairs[number]

    def _gate(self, number: int) -> threading.Lock:
        with self._guard:
            return self._gates.setdefault(number, threading.Lock())

    def _open(self, number: int, tenant: str, name: str) -> _Pair:
        folder = self._root / str(number)
        folder.mkdir(exist_ok=True)
        generation = _generation(folder)
        for other in folder.iterdir():  # of a rebuild that a crash cut short, or that took the place of this one
            if other.is_dir() and other.name != generation:
                shutil.rmtree(other)
        pair = self._new_pair(folder / generation, tenant, name)
        if pair.newest > self._store.last_seq(tenant, name):
            logger.warning("the indexes of collection %d are ahead of the store: building them anew", number)
            pair = self._fresh(pair)
        self._catch_up(pair)
        if not self._is_complete(pair):
            logger.warning("the sparse index of collection %d has not what the store has: building it anew", number)
            pair = self._fresh(pair)
            self._catch_up(pair)
        return pair

    def _new_pair(self, folder: Path, tenant: str, name: str) -> _Pair:
        folder.mkdir(exist_ok=True)
        pair = _Pair(folder, tenant=tenant, name=name, encoder=self._encoder, dimension=self._dimension)
        pair.keep(self._versions(pair))
        return pair

    def _versions(self, pair: _Pair) -> list[str]:
        """The versions of our encoder that are the collection's own, by its retriever as the store has it."""
        kept = {asset.name: asset.metadata for asset in self._store.assets(pair.tenant, pair.name)}
        versions = kept.get(ASSET, {}).get(VECTORS, [])
        return [version for version in versions if version.startswith(self._encoder + OWN)]

    def _catch_up(self, pair: _Pair) -> None:
        """As `_apply`, with the indexes that the collection's retriever needs now."""
        with _written(pair):
            pair.keep(self._versions(pair))
        self._apply(pair)

    def _fresh(self, pair: _Pair) -> _Pair:
        pair.close()
        shutil.rmtree(pair.folder)
        return self._new_pair(pair.folder, pair.tenant, pair.name)

    def _is_complete(self, pair: _Pair) -> bool:
        """Whether the sparse index has as many passages as the store shows; a lost file need not fail a checksum."""
        counted = self._store.collection(pair.tenant, pair.name).passages
        still = self._store.last_seq(pair.tenant, pair.name) == pair.sparse.applied
        return not still or pair.sparse.passages >= counted  # passages too many are never shown

    def _apply(self, pair: _Pair) -> None:
        """Bring a pair up to the store. The caller holds its lock, or has the only reference."""
        changes = self._store.changes(pair.tenant, pair.name, after=pair.applied)
        with _written(pair):
            for first in range(0, len(changes), DOCUMENTS_A_COMMIT):
                self._apply_some(pair, changes[first : first + DOCUMENTS_A_COMMIT])

    def _apply_some(self, pair: _Pair, changes: Sequence[Change]) -> None:
        ids = [change.document_id for change in changes]
        shown = self._store.visible_revisions(pair.tenant, ids, collection=pair.name)
        removed: dict[str, range] = {}
        for document in ids:
            revision, first = pair.staged.pop(document, (None, 0))
            ready = revision is not None and shown.get(document) == revision
            removed[document] = range(first) if ready else ALL_KEYS
        whole = {document for document, keys in removed.items() if keys == ALL_KEYS}
        for_sparse = {change.document_id for change in changes if change.seq > pair.sparse.applied}
        pair.sparse.apply(0, {each: removed[each] for each in for_sparse}, ())
        seq = changes[-1].seq
        turns = {}
        for version, dense in pair.denses.items():
            turns[version] = {change.document_id for change in changes if change.seq > dense.applied}
            dense.apply(0, {each: removed[each] for each in turns[version]}, (), self._no_vectors)
        for version, for_dense in turns.items():
            words = for_sparse if version == self._encoder else set()
            wanted = sorted(whole & (words | for_dense))
            found = self._store.visible_passages(pair.tenant, wanted, encoder=version, collection=pair.name)
            self._add(pair, found, version, for_sparse=words, for_dense=for_dense)
        if for_sparse:
            pair.sparse.apply(seq, {}, ())
            pair.sparse.commit()
        for dense in pair.denses.values():
            dense.apply(seq, {}, (), self._no_vectors)
            dense.commit()

    def _add(
        self, pair: _Pair, found: Found, version: str, *, for_sparse: Container[str], for_dense: Container[str]
    ) -> None:
        """Add passages to the sparse index and to the dense one of the version, those whose turn it is."""
        for some in _batches(found, PASSAGES_A_BATCH):
            pair.sparse.apply(0, {}, [passage for passage, _ in some if passage.document_id in for_sparse])
            dense = [(p, vector) for p, vector in some if vector is not None and p.document_id in for_dense]
            if dense:
                entries = [(passage.key, str(passage.document_id)) for passage, _ in dense]
                pair.denses[version].apply(0, {}, entries, np.stack([vector for _, vector in dense]))

    def _stage(self, tenant: str, collection: str, document_id: str, revision: int) -> None:
        """Index a revision that is not visible yet; searches drop its passages until it is."""
        if self._store.collection_number(tenant, collection) is None:
            return  # it comes to be with this revision: nobody searches it yet
        pair = self._pair(tenant, collection)
        with pair.lock:
            if pair.retired:
                return  # the new pair will find it among the changes
            keys = self._store.coming_keys(tenant, document_id, revision)
            if not keys:
                return  # a run that was cut short made it visible, or a later revision was faster
            self._catch_up(pair)  # what its collection learned just now has to find it too
            with _written(pair):
                # A run that was cut short may have left some of them.
                pair.sparse.apply(0, {document_id: keys}, ())
                for version, dense in pair.denses.items():
                    dense.apply(0, {document_id: keys}, (), self._no_vectors)
                    found = self._store.revision_passages(tenant, document_id, revision, encoder=version)
                    words = {document_id} if version == self._encoder else set()
                    self._add(pair, found, version, for_sparse=words, for_dense={document_id})
                    dense.commit()
                pair.sparse.commit()
            pair.staged[document_id] = (revision, keys.start)

    def _rebuild(self, pair: _Pair) -> None:
        folder = pair.folder.parent
        number = int(folder.name)
        with self._rebuilding:
            fresh = outdated = self._new_pair(_next_generation(folder), pair.tenant, pair.name)
            try:
                self._apply(fresh)
                while any(dense.maintain() for dense in fresh.denses.values()):
                    pass
                with pair.lock:
                    if not pair.retired:  # else it was dropped, or rebuilt by another
                        self._catch_up(fresh)  # what came while it was built
                        replace_file(folder / "current", fresh.folder.name.encode())
                        self._pairs[number] = fresh
                        pair.retired, outdated = True, pair
            finally:  # also when the disk was full: half an index is of no use, and takes room
                outdated.close()
                # Searches that began before go on: their files are open.
                shutil.rmtree(outdated.folder, ignore_errors=True)

    def _maintain(self, pair: _Pair) -> None:
        """Merge in the background; at most one run a collection is waiting."""
        if self._closed or (pair.maintenance is not None and not pair.maintenance.done()):
            return
        pair.maintenance = self._background.submit(self._maintained, pair)
        pair.maintenance.add_done_callback(_report)

    def _maintained(self, pair: _Pair) -> None:
        try:
            while not (self._closed or pair.retired) and any(each.maintain() for each in pair.denses.values()):
                pass
            share = pair.sparse.deleted_share
            if share > DELETED_SHARE and share * pair.sparse.passages / (1 - share) > DELETED_MATTER:
                self._rebuild(pair)
        except (OSError, StorageFull, StoreUnavailable) as error:
            logger.warning("the indexes of collection %s cannot be merged now: %s", pair.folder.parent.name, error)

    def _sweep(self) -> None:
        """Remove what deleted collections left."""
        known = self._store.collection_numbers()
        for folder in _numbered(self._root):
            if int(folder.name) not in known:
                self._remove(int(folder.name))

    def _remove(self, number: int) -> None:
        pair = self._pairs.get(number)
        with pair.lock if pair is not None else nullcontext(), self._gate(number):
            if self._pairs.get(number) is pair:  # else it was rebuilt or opened meanwhile: the next sweep finds it
                self._pairs.pop(number, None)
                if pair is not None:
                    pair.close()
                shutil.rmtree(self._root / str(number), ignore_errors=True)


Index = TypeVar("Index", SparseIndex, DenseIndex)
Item = TypeVar("Item")


def _opened(make: Callable[[], Index], folder: Path) -> Index:
    """An index, made empty when what is on disk cannot be trusted: catching up then fills it from the store."""
    try:
        return make()
    except IndexCorrupt as error:
        logger.warning("%s: building it anew from the store", error)
        shutil.rmtree(folder)
        return make()


@contextmanager
def _written(pair: _Pair) -> Iterator[None]:
    """What fails in a write leaves the pair to be opened again: tantivy's writer is of no use after an error.

    Raises StorageFull or StoreUnavailable for what the disk refused: the change is in the store, and comes again.
    """
    try:
        yield
    except (OSError, ValueError, IndexCorrupt) as error:
        pair.sparse.reopen()
        said = f"{error} {error.__cause__}"
        if (isinstance(error, OSError) and error.errno in NO_ROOM) or any(sign in said for sign in FULL):
            raise StorageFull("no space is left for the indexes; the store has everything") from error
        if isinstance(error, OSError) or any(sign in said for sign in REFUSED):
            raise StoreUnavailable("the indexes cannot be written now; the store has everything") from error
        raise


def _numbered(root: Path) -> list[Path]:
    return [folder for folder in root.iterdir() if folder.is_dir() and folder.name.isdigit()]


def _generation(folder: Path) -> str:
    """The name of the generation in use; a first one where there is none, or where its name was damaged."""
    current = folder / "current"
    if current.exists():
        name = current.read_bytes()
        if name.isdigit() and (folder / name.decode()).is_dir():
            return name.decode()
        logger.warning("collection %s names an index that is not there: building it anew from the store", folder.name)
        for left in folder.iterdir():
            if left.is_dir():
                shutil.rmtree(left)
    (folder / "1").mkdir(exist_ok=True)
    replace_file(current, b"1")
    return "1"


def _next_generation(folder: Path) -> Path:
    return folder / str(1 + max(int(each.name) for each in _numbered(folder)))


def _report(done: Future[None]) -> None:
    """Nobody waits for background work: what went wrong there would never be seen."""
    error = None if done.cancelled() else done.exception()
    if error is not None:
        logger.error("merging indexes in the background failed", exc_info=error)


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of up to `size` items, in order."""
    some: list[Item] = []
    for item in items:
        some.append(item)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some
