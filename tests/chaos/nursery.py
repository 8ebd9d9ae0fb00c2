"""Processes of Lectern by the dozen: one process imports everything once and forks all others off itself.

    python -m tests.chaos.nursery

reads orders, a JSON object a line, and answers each with one. A child is a process of its own in every respect: its
files, threads, locks and end. What it saves is the three seconds that importing takes, so that a test can afford to
kill two hundred. Models are those of `tests/fakes.py`, and what happens at a size happens at a small one.
"""

import contextlib
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]
EVERYTHING = ("app.main", "app.cli", "app.local", "tests.fakes", "tests.chaos.points")
EVERYTHING += ("uvicorn.loops.auto", "uvicorn.protocols.http.auto", "uvicorn.lifespan.on", "multipart")
PATIENCE = 60.0  # seconds until a start that should take less than one is given up


@dataclass(frozen=True, kw_only=True)
class Child:
    """A process that was forked off. `url` is the server's, empty for a command."""

    nursery: "Nursery"
    pid: int
    log: Path
    url: str = ""
    started_s: float = 0.0

    def kill(self) -> None:
        """SIGKILL, now; it may have ended already."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def arm(self) -> None:
        """From now on it kills itself at its point; until then it passes through."""
        os.kill(self.pid, signal.SIGUSR1)

    def alive(self) -> bool:
        """Whether it runs still; one that ended is a zombie until `wait`."""
        return Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"

    def wait(self) -> int:
        """Its exit status once it has ended, minus the signal's number for one that was killed."""
        return int(self.nursery.order({"wait": self.pid})["status"])

    def lines(self) -> list[str]:
        """What it has written to its standard error and output."""
        return self.log.read_text(errors="replace").splitlines()


class Nursery:
    """Starts and awaits children; give each test session one."""

    def __init__(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LECTERN_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.nursery"],
            cwd=ROOT,
            env=environment | {"OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def order(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Send one order and return its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return dict(json.loads(self._process.stdout.readline()))

    def run(
        self, arguments: Sequence[str], *, log: Path, point: str | None = None, nth: int = 1, armed: bool = True
    ) -> Child:
        """Fork a `lectern` command, which kills itself when it passes through `point` for the nth time.

        Passing counts from the start, or, for one that is not armed, from `Child.arm` on.
        """
        log.touch()
        order = {"arguments": list(arguments), "log": str(log), "point": point, "nth": nth, "armed": armed}
        return Child(nursery=self, pid=self.order(order)["pid"], log=log)

    def serve(self, data: Path, *, log: Path, point: str | None = None, nth: int = 1) -> Child:
        """A server on a free port that is ready for requests, or has ended: then without a `url`."""
        begun = time.monotonic()
        child = self.run(["serve", "--data", str(data), "--port", "0"], log=log, point=point, nth=nth, armed=False)
        while time.monotonic() - begun < PATIENCE and child.alive():
            started = [line for line in child.lines() if " running on http://" in line]
            if started:
                url = "http://" + started[0].split(" running on http://")[1].split()[0]
                if _is_ready(url):
                    return Child(nursery=self, pid=child.pid, log=log, url=url, started_s=time.monotonic() - begun)
            time.sleep(0.01)
        return child

    def close(self) -> None:
        """End it, with whatever children are left."""
        self.order({"end": True})
        self._process.communicate(timeout=PATIENCE)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(url + "/readyz", timeout=PATIENCE, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def main() -> None:
    """The process that forks."""
    _import_everything()
    gc.freeze()  # what is there is never looked at again: pages stay shared with the children
    children: set[int] = set()
    for order in map(json.loads, sys.stdin):
        if "wait" in order:
            children.discard(order["wait"])
            answer = {"status": os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1])}
        elif "end" in order:
            for pid in children:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            answer = {"ended": len(children)}
        else:
            pid = os.fork()
            if pid == 0:
                _become(order)
            children.add(pid)
            answer = {"pid": pid}
        print(json.dumps(answer), flush=True)


def _import_everything() -> None:
    for name in EVERYTHING:
        importlib.import_module(name)


def _become(order: Mapping[str, Any]) -> None:
    """The child's life; never returns."""
    status = 1
    try:
        out = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for descriptor, target in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (out, 2)):
            os.dup2(descriptor, target)
        from app import cli
        from tests.chaos import points

        points.make_small()
        points.tell_all()
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        if order["point"] is not None:
            points.arm(order["point"], order["nth"], at_once=order["armed"])
        status = cli.main(order["arguments"], make=_with_fakes)
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else 1
    except BaseException:  # noqa: BLE001 - the log is all that will be seen of it
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _with_fakes(settings: Any) -> Any:
    from app.wiring import build
    from tests.fakes import HashingEncoder, OverlapReader, ParserHere

    return build(settings, encoder=HashingEncoder(), reader=OverlapReader(), parsers=ParserHere())


@contextlib.contextmanager
def nursery() -> Iterator[Nursery]:
    """A nursery that is closed at the end."""
    opened = Nursery()
    try:
        yield opened
    finally:
        opened.close()


if __name__ == "__main__":
    main()
