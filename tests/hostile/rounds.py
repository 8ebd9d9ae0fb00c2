"""Sends the corpus to a real service, and looks after each file whether it lives, answers and has grown."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.app.served import Server
from tests.hostile.corpus import INDEXED, Hostile

QUESTION = {"question": "How old is the lighthouse of Gull Point?", "documents": ["harbour"]}
HARBOUR = {"text": "The lighthouse of Gull Point was built in 1871. It stands on a rock."}
PATIENCE = 300.0  # seconds for one file


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a file: its code, whether that is one of its codes, seconds, and what failed afterwards."""

    name: str
    code: str
    right: bool
    seconds: float
    after: str = ""


@dataclass
class Rounds:
    """A service on an empty directory, with one sound document that can be asked all the time."""

    server: Server
    outcomes: list[Outcome] = field(default_factory=list)
    worker_peak: int = 0  # bytes: of any process that parsed, as it was seen after a file

    def __post_init__(self) -> None:
        self.server.client.timeout = httpx.Timeout(PATIENCE)
        self.server.client.put("/documents/harbour", json=HARBOUR).raise_for_status()

    def send(self, hostile: Hostile) -> Outcome:
        """Send one file, wait for what becomes of it, and see that nothing else became of the service."""
        began = time.monotonic()
        file = (hostile.filename, hostile.make(), hostile.media_type)
        reply = self.server.client.post("/documents", params={"wait": PATIENCE}, files={"file": file})
        body = reply.json()
        code = INDEXED if reply.status_code in (200, 201) else str(body.get("code", reply.status_code))
        seconds = time.monotonic() - began
        self.worker_peak = max([self.worker_peak, *map(peak, children(self.server.process.pid))])
        outcome = Outcome(
            name=hostile.name, code=code, right=code in hostile.codes, seconds=seconds, after=self._after()
        )
        self.outcomes.append(outcome)
        return outcome

    def run(self, files: Sequence[Hostile]) -> list[Outcome]:
        """Send all; those that ended wrongly, or left the service in a bad way."""
        return [outcome for outcome in map(self.send, files) if not outcome.right or outcome.after]

    def _after(self) -> str:
        """What is wrong with the service now; empty where nothing is."""
        client = self.server.client
        if self.server.process.poll() is not None:
            return f"it ended with {self.server.process.returncode}"
        alive = client.get("/livez", timeout=5)
        answered = client.post("/ask", json=QUESTION, timeout=5)
        if alive.status_code != httpx.codes.OK or answered.status_code != httpx.codes.OK:
            return f"/livez {alive.status_code}, /ask {answered.status_code}"
        return "" if answered.json()["read"]["passages"] == 1 else "it no longer reads its own document"

    @property
    def service_peak(self) -> int:
        """The most bytes of memory that the service has held."""
        return peak(self.server.process.pid)

    @property
    def defects(self) -> list[str]:
        """The kinds of errors in its log that were no refusals."""
        return [line["error"][-1]["kind"] for line in self.server.log if line["level"] == "error" and line.get("error")]


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended since they were listed
            found += map(int, (task / "children").read_text().split())
    return found


def peak(pid: int) -> int:
    """The most bytes of memory that a process has held; 0 where it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0)
