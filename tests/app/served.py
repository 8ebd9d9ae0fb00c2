"""The service as a process of its own: `python -m tests.app.served` serves with fakes, `app.main` with the models."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]


class Server:
    """A running server on a free loopback port; its standard error is its log."""

    def __init__(
        self, data_dir: Path, *, module: str = "tests.app.served", under: Sequence[str] = (), **settings: str
    ) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LECTERN_")}
        environment |= {"LECTERN_DATA_DIR": str(data_dir), "LECTERN_PORT": "0", "OMP_NUM_THREADS": "1"}
        environment |= {f"LECTERN_{name.upper()}": value for name, value in settings.items()}
        self.process = subprocess.Popen(
            [*under, sys.executable, "-m", module], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
        )
        self.log: list[dict] = []
        self.written: list[str] = []  # all that it wrote there since it started, as it did
        self.url = self._started()
        self._grown = threading.Condition()
        # A pipe that nobody reads fills up, and the server would wait for room in it.
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()
        self.client = httpx.Client(base_url=self.url, timeout=60, trust_env=False)

    def _started(self) -> str:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if not line.startswith("{"):
                raise AssertionError(line + self.process.communicate()[1])
            self.log.append(json.loads(line))
            if " running on http://" in self.log[-1]["event"]:
                return "http://" + self.log[-1]["event"].split(" running on http://")[1].split()[0]
        self.process.communicate()
        raise AssertionError(f"the server ended with {self.process.returncode}: {self.log}")

    def line(self, holds: Callable[[dict], bool], *, timeout: float = 20) -> dict:
        """The first line of the log of which this holds. A request's line may come later than its reply."""
        with self._grown:
            assert self._grown.wait_for(lambda: any(map(holds, self.log)), timeout), self.log[-3:]
            return next(filter(holds, self.log))

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ends the process and reads the rest of its log; returns its exit status."""
        self.client.close()
        self.process.send_signal(how)
        status = self.process.wait(timeout=60)
        self._reading.join()
        return status

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                with self._grown:
                    self.written.append(line)
                    if line.startswith("{"):
                        self.log.append(json.loads(line))
                    self._grown.notify_all()


def main(arguments: Sequence[str] = ()) -> None:
    """Serve with fakes, with the settings of the environment."""
    from app.errors import AppError
    from app.main import serve
    from app.settings import load_settings
    from app.wiring import build
    from retriever.errors import RetrieverError
    from tests.fakes import HashingEncoder, OverlapReader

    try:
        serve(load_settings(), make=lambda settings: build(settings, encoder=HashingEncoder(), reader=OverlapReader()))
    except (AppError, RetrieverError) as error:  # as `app.main` does
        sys.exit(f"lectern: {error}")


if __name__ == "__main__":
    main()
