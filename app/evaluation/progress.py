"""How far a measurement is, and a line on a terminal that says so."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

_INTERVAL_ON_A_TERMINAL = 0.2  # seconds between two rewritten lines
_INTERVAL_IN_A_LOG = 10.0  # seconds between two lines where nothing can be rewritten


@dataclass(frozen=True, kw_only=True)
class Progress:
    """`done` of `total` things of a kind after `elapsed_s` seconds; `note` is the running value of a measure."""

    done: int
    total: int
    unit: str
    elapsed_s: float
    note: str = ""

    @property
    def rate(self) -> float:
        """Things a second so far; 0 before the first second counts."""
        return self.done / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def remaining_s(self) -> float | None:
        """Seconds left at this rate, None while there is no rate."""
        return (self.total - self.done) / self.rate if self.rate > 0 else None

    def line(self) -> str:
        """One line for people, such as `120/2000 questions, 7.9/s, 3:58 left, F1 81.2`."""
        left = "" if self.remaining_s is None else f", {_clock(self.remaining_s)} left"
        note = f", {self.note}" if self.note else ""
        return f"{self.done}/{self.total} {self.unit}, {self.rate:.1f}/s{left}{note}"


ProgressCallback = Callable[[Progress], None]


def ignore_progress(_: Progress) -> None:
    """The callback of callers who do not watch."""


class ProgressLine:
    """A callback that rewrites one line on a terminal, and writes a line every ten seconds elsewhere."""

    def __init__(self, stream: TextIO = sys.stderr, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._tty = stream.isatty()
        self._last: float | None = None
        self._open = False

    def __call__(self, progress: Progress) -> None:
        """Show the state, unless a line was shown a moment ago; the end of a count is always shown."""
        now = self._clock()
        interval = _INTERVAL_ON_A_TERMINAL if self._tty else _INTERVAL_IN_A_LOG
        finished = progress.done >= progress.total
        if not finished and self._last is not None and now - self._last < interval:
            return
        self._last = None if finished else now
        self._stream.write(f"\r\x1b[K{progress.line()}" if self._tty else f"{progress.line()}\n")
        self._open = self._tty
        if finished:
            self.close()
        self._stream.flush()

    def close(self) -> None:
        """End the line, so that what follows starts on its own."""
        if self._open:
            self._stream.write("\n")
            self._open = False


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
