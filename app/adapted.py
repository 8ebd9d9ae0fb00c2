"""What collections have learned about how they are searched: kept in the store, held in memory, swapped whole.

The store is the record: an asset of the collection has the tuning in use and the one before, in one row, so that a
promotion or a rollback is one transaction. Searches take the tuning of the moment that they begin.
"""

import threading

from app import telemetry
from retriever.errors import Conflict, NotFound, StoreCorrupt
from retriever.store import DEFAULT_COLLECTION, Store
from retriever.tuning import Tuning, TuningState

ASSET = "retriever"


class Tunings:
    """The tuning of each tenant's collections. Safe to use from many threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
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

    def promote(self, tenant: str, collection: str, number: int, tuning: Tuning) -> None:
        """Let searches go by this tuning from now on, and keep the one before for a rollback.

        `number` is the collection's when the tuning was begun. Raises NotFound where it has been deleted since.
        """
        with self._lock:
            if self._store.collection_number(tenant, collection) != number:
                raise NotFound(f"no collection {collection!r}")
            self._put(tenant, collection, number, self._read(tenant, collection).promoted(tuning))

    def rollback(self, tenant: str, collection: str) -> TuningState:
        """Go back to what was before the last promotion. Raises NotFound, and Conflict where nothing was."""
        with self._lock:
            number = self._number(tenant, collection)
            state = self._read(tenant, collection)
            if number is None or not state.revertible:
                raise Conflict("there is no promotion to take back: only the last one can be")
            return self._put(tenant, collection, number, state.rolled_back())

    def _put(self, tenant: str, collection: str, number: int, state: TuningState) -> TuningState:
        version = None if state.current is None else state.current.version
        self._store.put_asset(tenant, collection, ASSET, state.to_bytes(), metadata={"retriever": version})
        self._known[number] = state
        return state

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
