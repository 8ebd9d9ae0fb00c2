"""The encoder of each collection: the service's own for most, that with learned layers for one that was adapted so."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from app.inference import Inference, Lane, LaneEncoder, TextEncoder
from model.types import Layers, Pairs
from retriever.tuning import Tuning

KEPT = 8  # encoders in memory, each with 7 MB of bf16 of its own: two layers of MiniLM


@runtime_checkable
class Trainable(Protocol):
    """An encoder whose layers can be learned; `model.encoder.MiniLMEncoder` is one."""

    def learn(self, pairs: Pairs, *, report: Callable[[int], bool]) -> tuple[Layers, int]:
        """Layers that bring questions nearer to their passages, and how many pairs they were learned from.

        `report` is told the step; where it says false, training ends there. It may raise.
        """

    def with_layers(self, layers: Layers, *, version: str) -> TextEncoder:
        """An encoder of that version with these layers in place of its own."""


class Encoders:
    """Encoders by what a collection has learned. Safe to use from many threads."""

    def __init__(self, inference: Inference, encoder: TextEncoder) -> None:
        """`encoder` is the service's own; all of them wait in the queue of `inference`."""
        self._inference, self._encoder = inference, encoder
        self._lock = threading.Lock()
        self._made: OrderedDict[str, TextEncoder] = OrderedDict()  # by version, the last used one last

    @property
    def trainable(self) -> Trainable | None:
        """The service's own encoder, where its layers can be learned."""
        return self._encoder if isinstance(self._encoder, Trainable) else None

    def of(self, tuning: Tuning | None, lane: Lane) -> LaneEncoder:
        """The encoder that this tuning's vectors are of, as seen from one lane. Raises WeightsCorrupt."""
        if tuning is None or tuning.layers is None:
            return self._inference.encoder(lane)
        trainable = self.trainable
        if trainable is None:
            raise ValueError(f"{self._encoder.version} has no layers that could be learned")
        with self._lock:
            if tuning.vectors not in self._made:
                self._made[tuning.vectors] = trainable.with_layers(tuning.layers, version=tuning.vectors)
            self._made.move_to_end(tuning.vectors)
            while len(self._made) > KEPT:
                self._made.popitem(last=False)
            return self._inference.encoder(lane, self._made[tuning.vectors])
