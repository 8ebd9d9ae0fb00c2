"""All model calls of a process go through here: one bounded queue, one worker thread, two lanes.

The interactive lane (questions, searches, inline texts) goes before the bulk lane (ingest, long summaries). Long calls
are cut into slices and take turns, so that none holds up the others for longer than one slice takes.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from app import metrics
from app.errors import QueueFull, ShuttingDown
from model.sentence_table import Query, SentenceTable, Turn, at_once
from model.types import Reading

Lane = Literal["interactive", "bulk"]
LANES: tuple[Lane, ...] = ("interactive", "bulk")
Vectors = NDArray[np.float32]

QUIET_SLICE = 32  # passages at once while nobody asks: about what a batch needs to keep two cores busy
BUSY_SLICE = 8  # and while someone does, at most
SLICE_SECONDS = 0.06  # and what such a slice may take, by the pace of those before: a search waits for it, however slow
BUSY_SECONDS = 10.0  # how long after a question others are expected
QUERY_BATCH = 64  # queries of concurrent questions that are encoded together
PATIENCE = 32  # interactive turns in a row, after which a waiting bulk slice gets one: bulk work never starves


class TextEncoder(Protocol):
    """What the service needs of an encoder; `model.encoder.MiniLMEncoder` is one."""

    @property
    def version(self) -> str:
        """Name and hash of the weights."""

    @property
    def dimension(self) -> int:
        """The length of a vector."""

    @property
    def longest(self) -> int:
        """Word pieces of a text up to which it is read whole; what comes after is cut off."""

    def encode_passages(self, texts: Sequence[str], /) -> Vectors:
        """Unit rows [N, D]."""

    def encode_queries(self, texts: Sequence[str], /) -> Vectors:
        """Unit rows [N, D]."""

    def count_word_pieces(self, texts: Sequence[str], /) -> list[int]:
        """Word pieces of each text."""


class Reader(Protocol):
    """What the service needs of a reader; `model.reader.LongformerReader` is one."""

    @property
    def name(self) -> str:
        """Name and hash of the weights."""

    def read(
        self, question: str, passages: Sequence[str], *, target_error: float | None = None, answers: int = 5
    ) -> Reading:
        """One question, its passages read together."""

    def read_again(
        self,
        question: str,
        reading: Reading,
        passages: Sequence[str],
        closer: Sequence[str],
        *,
        target_error: float | None = None,
        answers: int = 5,
    ) -> Reading:
        """A reading of passages after each text around its likeliest answer was read alone too."""

    def read_document(
        self, question: str, text: str, *, target_error: float | None = None, answers: int = 5
    ) -> Reading:
        """One question, a whole text read in one sequence."""


class SalienceModel(Protocol):
    """How much each sentence of a text matters; `model.salience.TransformerXLSalience` is one."""

    @property
    def name(self) -> str:
        """What the reply shows as the summarizer."""

    def score(self, table: SentenceTable, query: Query | None = None, *, turn: Turn = at_once) -> Vectors:
        """Log-odds [N] of the sentences; `turn` carries out each step."""


@dataclass(eq=False, kw_only=True)
class _Passages:
    """Texts to encode, longest first, a slice a turn."""

    encoder: TextEncoder
    texts: Sequence[str]
    order: list[int]
    vectors: Vectors
    done: int = 0
    since: float = field(default_factory=time.monotonic)
    future: "Future[Vectors]" = field(default_factory=Future)


@dataclass(eq=False, kw_only=True)
class _Queries:
    encoder: TextEncoder
    texts: Sequence[str]
    since: float = field(default_factory=time.monotonic)
    future: "Future[Vectors]" = field(default_factory=Future)


@dataclass(eq=False, kw_only=True)
class _Call:
    """Any other call of a model, made in one turn."""

    call: Callable[[], Any]
    since: float = field(default_factory=time.monotonic)
    future: "Future[Any]" = field(default_factory=Future)


_Work = _Passages | _Queries | _Call


class Inference:
    """The queue in front of the encoders and one reader. Its callers block until their turn is over."""

    def __init__(
        self,
        encoder: TextEncoder,
        reader: Reader,
        *,
        limit: int = 512,
        quiet_slice: int = QUIET_SLICE,
        busy_slice: int = BUSY_SLICE,
        slice_seconds: float = SLICE_SECONDS,
    ) -> None:
        if limit < 1:
            raise ValueError(f"limit must be at least 1, got {limit}")
        self._encoder = encoder
        self._reader = reader
        self._limit = limit
        self._slices, self._slice_seconds = (quiet_slice, busy_slice), slice_seconds
        self._pace = 0.0  # seconds a passage, as of the last slices
        self._lanes: dict[Lane, deque[_Work]] = {"interactive": deque(), "bulk": deque()}
        self._wake = threading.Condition()
        self._closing = False
        self._last_interactive = float("-inf")
        self._turns = 0
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Calls in the queue."""
        return sum(map(len, self._lanes.values()))

    def waiting_in(self, lane: Lane) -> int:
        """Calls in the queue of one lane."""
        return len(self._lanes[lane])

    def encoder(self, lane: Lane, encoder: TextEncoder | None = None) -> "LaneEncoder":
        """The encoder, or another one, as seen from one lane."""
        return LaneEncoder(self, encoder or self._encoder, lane)

    def reader(self, lane: Lane = "interactive") -> "LaneReader":
        """The reader, as seen from one lane."""
        return LaneReader(self, self._reader, lane)

    def salience(self, model: SalienceModel, lane: Lane) -> "LaneSalience":
        """A salience model, as seen from one lane."""
        return LaneSalience(self, model, lane)

    def close(self) -> None:
        """Finish the slice at hand, refuse what waits with ShuttingDown, and stop the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        self._thread.join()

    def submit(self, work: _Work, lane: Lane) -> None:
        """Put work into its lane. Raises QueueFull and ShuttingDown; the worker sets the work's future."""
        with self._wake:
            if self._closing:
                raise ShuttingDown("the service is stopping")
            if len(self._lanes[lane]) >= self._limit:
                raise QueueFull(f"{self._limit} calls of the models are already waiting")
            self._lanes[lane].append(work)
            if lane == "interactive":
                self._last_interactive = time.monotonic()
            self._wake.notify()

    def call(self, step: Callable[[], Any], lane: Lane) -> Any:
        """What a call of a model makes, in one turn of its lane. Raises QueueFull and ShuttingDown."""
        work = _Call(call=step)
        self.submit(work, lane)
        return work.future.result()

    def _run(self) -> None:
        while (turn := self._next()) is not None:
            lane, works = turn
            begun = time.monotonic()
            for work in works:
                if not isinstance(work, _Passages) or not work.done:  # else it had a turn before
                    metrics.MODEL_WAIT_SECONDS.labels(lane).observe(begun - work.since)
            try:
                self._work(lane, works)
            except Exception as error:  # noqa: BLE001 - whatever a model raises belongs to its callers, not to this loop
                for work in works:
                    work.future.set_exception(error)
            finally:
                metrics.MODEL_BUSY_SECONDS.labels(lane).inc(time.monotonic() - begun)

    def _next(self) -> tuple[Lane, list[_Work]] | None:
        """Wait for work; the next turn, or None at the end."""
        with self._wake:
            while not self._closing and not self.waiting:
                self._wake.wait()
            if self._closing:
                for waiting in self._lanes.values():
                    for work in waiting:
                        work.future.set_exception(ShuttingDown("the service is stopping"))
                    waiting.clear()
                return None
            interactive, bulk = self._lanes["interactive"], self._lanes["bulk"]
            lane: Lane = "bulk" if not interactive or (bulk and self._turns >= PATIENCE) else "interactive"
            self._turns = self._turns + 1 if lane == "interactive" else 0
            first = self._lanes[lane].popleft()
            return lane, self._with_queries(first, interactive) if isinstance(first, _Queries) else [first]

    @staticmethod
    def _with_queries(first: _Queries, waiting: deque[_Work]) -> list[_Work]:
        """Dynamic batching: the queries of all the questions that wait go through the encoder together."""
        batch: list[_Work] = [first]
        texts = len(first.texts)
        for work in [each for each in waiting if isinstance(each, _Queries) and each.encoder is first.encoder]:
            if texts + len(work.texts) > QUERY_BATCH:
                break
            texts += len(work.texts)
            waiting.remove(work)
            batch.append(work)
        return batch

    def _work(self, lane: Lane, works: list[_Work]) -> None:
        first = works[0]
        if isinstance(first, _Call):
            first.future.set_result(first.call())
        elif isinstance(first, _Passages):
            self._encode_slice(first, lane)
        else:
            queries = [work for work in works if isinstance(work, _Queries)]
            vectors = queries[0].encoder.encode_queries([text for work in queries for text in work.texts])
            start = 0
            for work in queries:
                work.future.set_result(vectors[start : start + len(work.texts)])
                start += len(work.texts)

    def _encode_slice(self, work: _Passages, lane: Lane) -> None:
        quiet, busy = self._slices
        begun = time.monotonic()
        if begun - self._last_interactive < BUSY_SECONDS:
            size = min(busy, max(1, int(self._slice_seconds / self._pace))) if self._pace else busy
        else:
            size = quiet
        rows = work.order[work.done : work.done + size]
        work.vectors[rows] = work.encoder.encode_passages([work.texts[row] for row in rows])
        pace = (time.monotonic() - begun) / len(rows)
        self._pace = (self._pace + pace) / 2 if self._pace else pace
        work.done += len(rows)
        if work.done >= len(work.order):
            work.future.set_result(work.vectors)
            return
        with self._wake:
            self._lanes[lane].append(work)  # to the end: calls of one lane take turns


class LaneEncoder:
    """An encoder whose calls wait in one lane of the queue. Raises QueueFull and ShuttingDown."""

    def __init__(self, inference: Inference, encoder: TextEncoder, lane: Lane) -> None:
        self._inference = inference
        self._encoder = encoder
        self._lane: Lane = lane

    @property
    def version(self) -> str:
        """Name and hash of the weights."""
        return self._encoder.version

    @property
    def dimension(self) -> int:
        """The length of a vector."""
        return self._encoder.dimension

    @property
    def longest(self) -> int:
        """Word pieces of a text up to which it is read whole."""
        return self._encoder.longest

    def encode_passages(self, texts: Sequence[str], /) -> Vectors:
        """Unit rows [N, D], in the texts' order; sorted by length inside, so that slices hold like lengths."""
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        if not texts:
            return vectors
        order = sorted(range(len(texts)), key=lambda row: (-len(texts[row]), row))
        work = _Passages(encoder=self._encoder, texts=texts, order=order, vectors=vectors)
        self._inference.submit(work, self._lane)
        return work.future.result()

    def encode_queries(self, texts: Sequence[str], /) -> Vectors:
        """Unit rows [N, D]; calls that wait at the same time are encoded as one batch."""
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        work = _Queries(encoder=self._encoder, texts=texts)
        self._inference.submit(work, "interactive")
        return work.future.result()

    def count_word_pieces(self, texts: Sequence[str], /) -> list[int]:
        """Word pieces of each text; tokenizing needs no turn, it happens in the caller's thread."""
        return self._encoder.count_word_pieces(texts)


class LaneReader:
    """A reader whose calls wait in one lane of the queue. Raises QueueFull and ShuttingDown."""

    def __init__(self, inference: Inference, reader: Reader, lane: Lane) -> None:
        self._inference = inference
        self._reader = reader
        self._lane: Lane = lane

    @property
    def name(self) -> str:
        """Name and hash of the weights."""
        return self._reader.name

    def read(
        self, question: str, passages: Sequence[str], *, target_error: float | None = None, answers: int = 5
    ) -> Reading:
        """One question, its passages read together."""
        read = self._reader.read
        reading: Reading = self._inference.call(
            lambda: read(question, passages, target_error=target_error, answers=answers), self._lane
        )
        return reading

    def read_again(
        self,
        question: str,
        reading: Reading,
        passages: Sequence[str],
        closer: Sequence[str],
        *,
        target_error: float | None = None,
        answers: int = 5,
    ) -> Reading:
        """A reading of passages after each text around its likeliest answer was read alone too: one turn."""
        read = self._reader.read_again
        after: Reading = self._inference.call(
            lambda: read(question, reading, passages, closer, target_error=target_error, answers=answers), self._lane
        )
        return after

    def read_document(
        self, question: str, text: str, *, target_error: float | None = None, answers: int = 5
    ) -> Reading:
        """One question, a whole text read in one sequence: one turn, which may take seconds."""
        read = self._reader.read_document
        reading: Reading = self._inference.call(
            lambda: read(question, text, target_error=target_error, answers=answers), self._lane
        )
        return reading


class LaneSalience:
    """A salience model whose calls wait in one lane of the queue. Raises QueueFull and ShuttingDown."""

    def __init__(self, inference: Inference, salience: SalienceModel, lane: Lane) -> None:
        self._inference = inference
        self._salience = salience
        self._lane: Lane = lane

    @property
    def name(self) -> str:
        """Name and hash of the weights."""
        return self._salience.name

    def score(self, table: SentenceTable, query: Query | None = None, *, turn: Turn = at_once) -> Vectors:
        """Log-odds [N] of the sentences. Ten thousand take seconds, in steps of some milliseconds that wait each."""
        return self._salience.score(
            table, query, turn=lambda step: turn(partial(self._inference.call, step, self._lane))
        )
