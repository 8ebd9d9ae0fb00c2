"""Parsing in processes of its own: what a file does to its parser stays there.

A worker that goes past its caps is killed and its file refused; one that crashes takes its file with it and nothing
else. Replies come as frames that cannot carry code (`retriever.parsing.wire`).
"""

import fcntl
import json
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import retriever
from retriever.errors import LimitExceeded, ParserFailed, ParsersClosed, ParsingError, UnreadableFile
from retriever.parsing.limits import Caps, Limits
from retriever.parsing.normalization import normalize
from retriever.parsing.wire import LENGTHS, OUT_OF_MEMORY, BrokenReply, Defect, framed, outcome, sizes
from retriever.types import ParsedDocument

logger = logging.getLogger(__name__)

START_SECONDS = 30.0  # that a worker may take to start: 0.2 on an idle machine
START_AGAIN_SECONDS = 1.0  # between two tries to start one
IDLE_SECONDS = 30.0  # after which a worker is ended that was not needed, unless it is the only one
_STEP = 1 << 20
_PIPE_BYTES = 1 << 20  # what a pipe holds, so that a large file needs fewer turns
_WATCH_SECONDS = 0.05  # between two looks at a worker's memory
_MUCH = 0.25  # of the memory cap: a worker that had so much when it was ended by a library was out of memory
# How libraries end a process, often because they got no memory.
_ABORTS = frozenset({signal.SIGABRT, signal.SIGTRAP, signal.SIGILL, signal.SIGSEGV, signal.SIGBUS})
_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "LD_PRELOAD", "SYSTEMROOT")


class _Ended(Exception):
    """The worker's process has ended or closed its pipes."""


class _TooLong(Exception):
    """The worker has not answered in time."""


class Parsers:
    """Parses files in at most `workers` processes at once, each of which reads one file at a time.

    One is always there, started in the background; others come when several files do, and go again. The system kills
    them when this process ends, however it does. Use it from any thread, and `close` it.
    """

    def __init__(self, *, limits: Limits = Limits(), caps: Caps = Caps(), workers: int = 4) -> None:
        if workers < 1:
            raise ValueError(f"workers must be at least 1, got {workers}")
        self._limits = limits
        self._caps = caps
        self._most = workers
        self._changed = threading.Condition()
        self._idle: list[_Worker] = []  # the one that was asked last is asked next, so that the others may go
        self._busy: set[_Worker] = set()
        self._waiting = 0  # threads that want a worker
        self._failures = 0  # how often none could be started
        self._failure: ParserFailed | None = None  # the last
        self._closed = False
        # The system ends a worker together with the *thread* that started it, so that has to be one that stays.
        self._keeper = threading.Thread(target=self._keep, name="parsers", daemon=True)
        self._keeper.start()

    def parse(self, data: bytes, *, filename: str | None = None, media_type: str | None = None) -> ParsedDocument:
        """As `retriever.parsing.parse`.

        Raises LimitExceeded past a cap too, UnreadableFile where a parser crashed, ParserFailed for a defect of one,
        and ParsersClosed.
        """
        return self._parsed({"text": False, "filename": filename, "media_type": media_type}, data)

    def parse_text(self, text: str, *, media_type: str = "text/plain") -> ParsedDocument:
        """As `retriever.parsing.parse_text`; raises as `parse` does."""
        data = normalize(text).encode("utf-8")
        return self._parsed({"text": True, "filename": None, "media_type": media_type}, data)

    def close(self) -> None:
        """End all workers. Files that are being parsed raise ParsersClosed."""
        with self._changed:
            self._closed = True
            for worker in [*self._idle, *self._busy]:
                worker.kill()
            self._changed.notify_all()
        self._keeper.join()
        for worker in self._idle:
            worker.reap()
        self._idle.clear()

    @property
    def processes(self) -> list[int]:
        """The ids of the workers' processes."""
        with self._changed:
            return sorted(worker.pid for worker in [*self._idle, *self._busy])

    def _parsed(self, head: dict[str, Any], data: bytes) -> ParsedDocument:
        worker = self._taken()
        keep = False
        try:
            found = worker.ask(head, data)
            keep = not worker.is_worn
        except ParsingError:
            self._check_open()  # it may have been ended by `close`
            raise
        finally:
            self._give_back(worker, keep=keep)
        if isinstance(found, ParsedDocument):
            return found
        if isinstance(found, Defect):
            raise ParserFailed(found.kind, places=found.places)
        raise found

    def _taken(self) -> "_Worker":
        """A worker, as soon as there is one. Raises ParsersClosed, ParserFailed."""
        with self._changed:
            failures = self._failures
            self._waiting += 1
            self._changed.notify_all()
            try:
                self._changed.wait_for(lambda: self._closed or self._has_idle() or self._failures > failures)
            finally:
                self._waiting -= 1
            self._check_open()
            if not self._idle and self._failure is not None:
                raise ParserFailed(self._failure.kind, places=self._failure.places)
            worker = self._idle.pop()
            self._busy.add(worker)
            return worker

    def _give_back(self, worker: "_Worker", *, keep: bool) -> None:
        with self._changed:
            self._busy.discard(worker)
            if keep and not self._closed:
                worker.idle_since = time.monotonic()
                self._idle.append(worker)
            else:
                worker.kill()
                worker.reap()
            self._changed.notify_all()

    def _keep(self) -> None:
        """Start workers while there are fewer than wanted, and end those that nobody needs; until `close`."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._is_short(), IDLE_SECONDS)
                if self._closed:
                    return
                if not self._is_short():
                    self._end_idle()
                    continue
            try:
                worker = _Worker(self._limits, self._caps)
            except ParserFailed as error:
                logger.error("a parser cannot be started: %s", error)
                with self._changed:
                    self._failures, self._failure = self._failures + 1, error
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: self._closed, START_AGAIN_SECONDS)
                continue
            with self._changed:
                self._idle.insert(0, worker)
                if self._closed:
                    worker.kill()
                self._changed.notify_all()

    def _is_short(self) -> bool:
        """Whether another worker is to be started: there is none, or files wait and there may be more."""
        self._has_idle()
        there = len(self._idle) + len(self._busy)
        return there == 0 or (self._waiting > len(self._idle) and there < self._most)

    def _has_idle(self) -> bool:
        """Whether a worker is free, once those are gone that somebody else has ended."""
        for worker in [each for each in self._idle if not each.is_alive]:
            self._idle.remove(worker)
            worker.reap()
        return bool(self._idle)

    def _end_idle(self) -> None:
        """End the workers that were not needed for a while, but one."""
        now = time.monotonic()
        while len(self._idle) + len(self._busy) > 1 and self._idle and now - self._idle[0].idle_since > IDLE_SECONDS:
            worker = self._idle.pop(0)
            worker.kill()
            worker.reap()

    def _check_open(self) -> None:
        if self._closed:
            raise ParsersClosed("parsing has ended")


class _Worker:
    """One process, and what is known of it. One thread at a time asks it."""

    def __init__(self, limits: Limits, caps: Caps) -> None:
        self._limits = limits
        self._caps = caps
        told = {"parent": os.getpid(), "limits": asdict(limits), "caps": asdict(caps)}
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-P", "-s", "-m", "retriever.parsing.worker", json.dumps(told)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd="/",
            env=_environment(),
        )
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        assert self._process.stdout is not None  # noqa: S101
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        for descriptor in (self._in, self._out):
            os.set_blocking(descriptor, False)
            _widen(descriptor)
        self._deadline = time.monotonic() + START_SECONDS
        self.idle_since = time.monotonic()
        self._asked = 0
        self._peak = 0  # bytes of memory that it was seen to have for the file at hand
        self._first = 0  # and those that it had before its first file
        try:
            self._reply()
        except (_Ended, _TooLong, BrokenReply) as error:
            self.kill()
            raise ParserFailed("Start", places=(f"exit status {self.reap()}",)) from error
        self._first = self._memory()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    @property
    def is_worn(self) -> bool:
        """Whether a new one should take its place."""
        return self._asked >= self._caps.documents or self._memory() > self._first + self._caps.kept

    def ask(self, head: dict[str, Any], data: bytes) -> ParsedDocument | ParsingError | Defect:
        """What it makes of a file. Raises LimitExceeded, UnreadableFile where it ended; it must not be asked again."""
        self._asked += 1
        self._peak = 0
        allowed = self._caps.patience * self._caps.seconds
        self._deadline = time.monotonic() + allowed
        try:
            for part in framed(head, data):
                self._write(part)
            return outcome(*self._reply(), limits=self._limits)
        except _TooLong:
            self.kill()
            self._told("time", self.reap())
            raise LimitExceeded(f"parsing it took more than {allowed:g} seconds") from None
        except BrokenReply as error:
            self.kill()
            self._told(f"a reply that is none: {error}", self.reap())
            raise UnreadableFile("its parser did not give a document") from None
        except _Ended:
            self._raise_end()

    def kill(self) -> None:
        """End it now."""
        self._process.kill()

    def reap(self) -> int:
        """Wait for its end; its exit status, minus the signal's number for one that was ended by a signal."""
        status = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        return status

    def _raise_end(self) -> NoReturn:
        """What its end means to the file that it had."""
        status = self.reap()
        self._told("its own end", status)
        if status == -signal.SIGXCPU:
            raise LimitExceeded(f"parsing it took more than {self._caps.seconds} seconds of processor time")
        full = -status in _ABORTS and self._peak > _MUCH * self._caps.memory
        if full or status in (OUT_OF_MEMORY, -signal.SIGKILL):  # the last by the system, which has no more either
            raise LimitExceeded(f"parsing it took more than {self._caps.memory // 1_000_000:,} MB of memory")
        raise UnreadableFile("the file is broken in a way that its parser does not survive")

    def _told(self, why: str, status: int) -> None:
        logger.warning("a parser was ended by %s: exit status %d, %d MB", why, status, self._peak // 1_000_000)

    def _reply(self) -> tuple[bytes, bytes]:
        head, body = sizes(self._read(LENGTHS.size), limits=self._limits)
        return self._read(head), self._read(body)

    def _read(self, size: int) -> bytes:
        parts: list[bytes] = []
        while size:
            self._wait(self._out, select.POLLIN)
            try:
                part = os.read(self._out, min(size, _STEP))
            except BlockingIOError:
                continue
            if not part:
                raise _Ended
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            self._wait(self._in, select.POLLOUT)
            try:
                left = left[os.write(self._in, left[:_STEP]) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise _Ended from None

    def _wait(self, descriptor: int, event: int) -> None:
        """Wait until a pipe is ready or has ended, watching time and memory. Raises _TooLong."""
        poll = select.poll()
        poll.register(descriptor, event)
        while not poll.poll(1_000 * _WATCH_SECONDS):
            self._peak = max(self._peak, self._memory() - self._first)
            if time.monotonic() > self._deadline:
                raise _TooLong

    def _memory(self) -> int:
        """The bytes of memory that it has now; 0 where the system does not tell."""
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE
        except (OSError, IndexError):
            return 0


_PAGE = os.sysconf("SC_PAGE_SIZE")


def _environment() -> dict[str, str]:
    """What a worker is told of the environment: where Python's modules are, and no secrets."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    home = str(Path(retriever.__file__).resolve().parents[1])
    places: Sequence[str] = [home, *(str(Path(each).resolve()) for each in sys.path if each)]
    return {**kept, "PYTHONPATH": os.pathsep.join(dict.fromkeys(places)), "PYTHONDONTWRITEBYTECODE": "1"}


def _widen(descriptor: int) -> None:
    """Make a pipe hold more, where the system can."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except (AttributeError, OSError):
        return
