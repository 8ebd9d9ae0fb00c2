"""What collections have learned about how they are searched: kept in the store, held in memory, swapped whole.

The store is the record: an asset of the collection has the tuning in use and the one before, in one row, so that a
promotion or a rollback is one transaction, with the vectors of an encoder that is the collection's own. Searches take
the tuning of the moment that they begin; one with such vectors once the indexes have them.
"""

import threading
from collections.abc import Callable, Mapping

from app import telemetry
from retriever.errors import Conflict, NotFound, StoreCorrupt
from retriever.store import DEFAULT_COLLECTION, Embedded, Store
from retriever.tuning import ASSET, VECTORS, Tuning, TuningState

KeepOwn = Callable[[str, str], None]  # (tenant, collection): have the indexes that its retriever needs, and no others


class Tunings:
    """The tuning of each tenant's collections. Safe to use from many threads."""

    def __init__(self, store: Store, keep_own: KeepOwn) -> None:
        self._store, self._keep_own = store, keep_own
        self._lock = threading.Lock()
        self._own: dict[int, tuple[str, Mapping[str, Tuning]]] = {}  # by number: the asset's SHA-256, and its `own`
        # By the collection's number, which a deleted one's namesake does not get.
        self._known: dict[int, TuningState] = {}

    def current(self, tenant: str, collection: str) -> Tuning | None:
        """What searches of a collection go by; None for one that has learned nothing.

        A state that cannot be read is told in the log, and the collection searched by the default.
        """
        number = self._store.collection_number(tenant, collection)
        if number is None:
            return None
        state = self._known.get(number)
        if state is None:
            try:
                state = self._read(tenant, collection)
            except StoreCorrupt as error:
                telemetry.log("a collection's retriever cannot be read", level=40, error=error, collection=number)
                state = TuningState()
            with self._lock:
                state = self._known.setdefault(number, state)
        return state.current

    def state(self, tenant: str, collection: str) -> TuningState:
        """As the store has it. Raises NotFound for an unknown collection, StoreCorrupt."""
        self._number(tenant, collection)
        return self._read(tenant, collection)

    def own(self, tenant: str, collection: str) -> tuple[Mapping[str, Tuning], str | None]:
        """Versions of the encoder that are the collection's own, whose vectors a new passage needs; and for what asset.

        That is its SHA-256, None where there is none. A state that cannot be read needs no vectors.
        """
        number = self._store.collection_number(tenant, collection)
        digest = {asset.name: asset.sha256 for asset in self._store.assets(tenant, collection)}.get(ASSET)
        if number is None or digest is None:
            return {}, digest
        known = self._own.get(number)
        if known is None or known[0] != digest:
            try:
                known = (digest, self._read(tenant, collection).own)
            except StoreCorrupt:  # searches tell it in the log
                known = (digest, {})
            self._own[number] = known
        return known[1], digest

    def promote(
        self, tenant: str, collection: str, number: int, tuning: Tuning, *, embedded: Embedded | None = None
    ) -> list[tuple[int, str]]:
        """Let searches go by this tuning from now on, and keep the one before for a rollback; empty: it is done.

        `number` is the collection's when the tuning was begun; `embedded` its passages, where it has layers of its own
        that are new. Where passages are visible that are not among them, nothing is done, and these are returned.
        Raises NotFound where the collection has been deleted since.
        """
        with self._lock:
            if self._store.collection_number(tenant, collection) != number:
                raise NotFound(f"no collection {collection!r}")
            before = self._read(tenant, collection)
            return self._put(tenant, collection, number, before, before.promoted(tuning), embedded=embedded)

    def rollback(self, tenant: str, collection: str) -> TuningState:
        """Go back to what was before the last promotion. Raises NotFound, and Conflict where nothing was."""
        with self._lock:
            number = self._number(tenant, collection)
            before = self._read(tenant, collection)
            if number is None or not before.revertible:
                raise Conflict("there is no promotion to take back: only the last one can be")
            state = before.rolled_back()
            self._put(tenant, collection, number, before, state)
            return state

    def take_up(self, tenant: str, collection: str, number: int) -> None:
        """Let searches go by what the store has, where a promotion got no further than that."""
        with self._lock:
            self._keep_own(tenant, collection)
            self._known[number] = self._read(tenant, collection)

    def _put(
        self,
        tenant: str,
        collection: str,
        number: int,
        before: TuningState,
        state: TuningState,
        *,
        embedded: Embedded | None = None,
    ) -> list[tuple[int, str]]:
        version = None if state.current is None else state.current.version
        missing = self._store.put_learned(
            tenant,
            collection,
            number,
            ASSET,
            state.to_bytes(),
            metadata={"retriever": version, VECTORS: sorted(state.own)},
            embedded=embedded,
            dropped=before.own.keys() - state.own.keys(),
        )
        if missing:
            return missing
        if embedded is None:  # searches leave what goes before it does, and come to what is new when it is there
            self._known[number] = state
        self._keep_own(tenant, collection)
        self._known[number] = state
        for gone in self._known.keys() - self._store.collection_numbers().keys():
            self._known.pop(gone)
            self._own.pop(gone, None)
        return []

    def _read(self, tenant: str, collection: str) -> TuningState:
        try:
            return TuningState.from_bytes(self._store.asset(tenant, collection, ASSET))
        except NotFound:
            return TuningState()

    def _number(self, tenant: str, collection: str) -> int | None:
        number = self._store.collection_number(tenant, collection)
        if number is None and collection != DEFAULT_COLLECTION:
            raise NotFound(f"no collection {collection!r}")
        return number
