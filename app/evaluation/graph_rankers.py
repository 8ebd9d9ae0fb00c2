"""TextRank and LexRank within a cap of time: in a process of their own, which is killed when the cap is over."""

import json
import selectors
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

GraphSystem = Literal["textrank", "lexrank"]


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """All sentences of a document, best first, and the seconds that ranking them took."""

    ranking: tuple[int, ...]
    seconds: float


class GraphRanker:
    """Ranks sentences by TextRank or LexRank within a cap. Not thread-safe; `close` ends its process."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def rank(self, system: GraphSystem, sentences: Sequence[str], *, cap_seconds: float) -> Ranked | None:
        """The ranking, or None if it took longer than the cap."""
        process = self._process or self._start()
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        process.stdin.write(json.dumps({"system": system, "sentences": list(sentences)}).encode() + b"\n")
        process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if not selector.select(cap_seconds):
                self.close()
                return None
        line = process.stdout.readline()
        if not line:
            code = process.wait()
            self.close()
            raise RuntimeError(f"the process that computes {system} ended with code {code}")
        reply = json.loads(line)
        return Ranked(ranking=tuple(reply["ranking"]), seconds=reply["seconds"])

    def close(self) -> None:
        """End the process, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "app.evaluation.graph_worker"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603
        # The first line is for the imports: their time is not the first document's.
        assert self._process.stdout is not None  # noqa: S101
        self._process.stdout.readline()
        return self._process
