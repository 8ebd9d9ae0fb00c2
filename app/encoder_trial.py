"""An encoder with layers that were learned from a collection, and the collection's passages as it embeds them.

Nothing of it is in the store or the indexes until it is promoted: a run that is cancelled or killed leaves nothing.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from app.adaptation_sets import Asked
from app.encoders import Encoders
from app.errors import NotTried
from app.inference import TextEncoder
from model.types import Pairs
from retriever.dense import DenseIndex
from retriever.store import Embedded, Store
from retriever.tuning import Tuning
from retriever.types import Passage

MOST_EMBEDDED = 50_000  # passages: their vectors, 40 MB, are in memory at once
SAMPLE = 32  # passages that are embedded first, to know how long all will take
SLICE = 256  # passages embedded between two looks at the time
EMBEDDING = 0.5  # of the budget that embedding may take by that estimate
READY = 0.8  # of the budget by which all is embedded
TRAINING = 0.65  # of the budget by which it is, less what embedding takes
NICENESS = 10  # of the thread that trains: searches go before it

Result = TypeVar("Result")


class Budget(Protocol):
    """The seconds that a run may take."""

    @property
    def seconds(self) -> float:
        """All of them."""

    def left(self, until: float, *, force: bool = False) -> bool:
        """Whether this share is not used up yet. Raises Cancelled and Stopping."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A tuning with layers of its own, the vectors of all passages by them, and these as an index in memory."""

    tuning: Tuning
    embedded: Embedded
    index: DenseIndex
    learned: int


class Trying:
    """Makes the trial of one collection."""

    def __init__(self, store: Store, encoders: Encoders, budget: Budget) -> None:
        self._store, self._encoders, self._budget = store, encoders, budget

    def run(self, tenant: str, collection: str, asked: Sequence[Asked], before: Tuning) -> Trial:
        """Learn layers from these questions and their first relevant passage; embed all passages by them.

        Raises NotTried where it cannot be done, or not in the time, and as the budget does.
        """
        encoder = self._encoders.of(None, "bulk")
        trainable = self._encoders.trainable
        if trainable is None:
            raise NotTried(f"{encoder.version} cannot be trained here: only the encoder that comes with Lectern can")
        ids = self._store.matching(tenant, collection=collection)
        found = self._store.visible_passages(tenant, ids, encoder=encoder.version, collection=collection)
        passages = [passage for passage, _ in found]
        share = self._share(encoder, passages)
        texts = {passage.key: passage.text for passage in passages}
        pairs = _pairs(asked, texts)
        until = TRAINING - share
        layers, learned = _aside(lambda: trainable.learn(pairs, report=lambda _: self._budget.left(until)))
        tuning = Tuning(encoder=encoder.version, mix=before.mix, layers=layers)
        embedded = self._embedded(self._encoders.of(tuning, "bulk"), passages)
        index = DenseIndex(None, encoder.dimension)
        entries = [(passage.key, str(passage.document_id)) for passage in passages]
        index.apply(1, {}, entries, embedded.vectors.astype(np.float32))
        index.commit()
        return Trial(tuning=tuning, embedded=embedded, index=index, learned=learned)

    def _share(self, encoder: TextEncoder, passages: Sequence[Passage]) -> float:
        """The share of the budget that embedding all passages will take. Raises NotTried."""
        if len(passages) > MOST_EMBEDDED:
            raise NotTried(f"the collection has {len(passages)} passages: at most {MOST_EMBEDDED} are embedded anew")
        sample = [passage.text for passage in passages[:: max(1, len(passages) // SAMPLE)]][:SAMPLE]
        begun = time.monotonic()
        encoder.encode_passages(sample)
        seconds = (time.monotonic() - begun) * len(passages) / len(sample)
        if seconds > EMBEDDING * self._budget.seconds:
            needed = round(seconds / EMBEDDING)
            raise NotTried(f"embedding {len(passages)} passages anew takes too long: it needs about {needed} s in all")
        return seconds / self._budget.seconds

    def _embedded(self, encoder: TextEncoder, passages: Sequence[Passage]) -> Embedded:
        vectors = np.zeros((len(passages), encoder.dimension), dtype=np.float16)
        for first in range(0, len(passages), SLICE):
            if not self._budget.left(READY):
                raise NotTried(f"the budget ended with {first} of {len(passages)} passages embedded anew")
            some = passages[first : first + SLICE]
            vectors[first : first + len(some)] = encoder.encode_passages([passage.text for passage in some])
        return Embedded(encoder=encoder.version, keys=[passage.key for passage in passages], vectors=vectors)


def _pairs(asked: Sequence[Asked], texts: dict[int, str]) -> Pairs:
    """Each question with its first relevant passage, those of passages that are still there. Raises NotTried."""
    known = [(one.text, min(one.relevant)) for one in asked if min(one.relevant) in texts]
    if not known:
        raise NotTried("no question could be made of the collection to learn from")
    keys = sorted({key for _, key in known})
    place = {key: row for row, key in enumerate(keys)}
    return Pairs(
        questions=[question for question, _ in known],
        passages=[texts[key] for key in keys],
        positive=[place[key] for _, key in known],
    )


def _aside(work: Callable[[], Result]) -> Result:
    """What the work gives or raises, from a thread that gives way to all others."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="training", initializer=_give_way) as pool:
        return pool.submit(work).result()


def _give_way() -> None:
    if sys.platform == "linux":  # elsewhere a priority is the whole process's
        os.setpriority(os.PRIO_PROCESS, 0, min(19, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS))
