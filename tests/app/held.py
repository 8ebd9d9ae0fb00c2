"""The service with fakes, whose encoder halts until the service is told to stop: a job that it is part of is not over.

    python -m tests.app.held

serves like `tests.app.served`, and writes down all progress at once: there is none to wait for later.
"""

import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app import jobs
from app.main import serve
from app.settings import Settings, load_settings
from app.wiring import Lectern, build
from tests.fakes import HashingEncoder, OverlapReader

LET_THROUGH = 100  # passages: something was done when the end comes


class Held(HashingEncoder):
    """Waits at every batch after some."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def encode_passages(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        if self.encoded >= LET_THROUGH:
            self.go_on.wait()
        return super().encode_passages(texts)


def held(settings: Settings) -> Lectern:
    encoder = Held()
    lectern = build(settings, encoder=encoder, reader=OverlapReader())
    stop = lectern.jobs.stop

    def stop_and_go_on() -> None:
        stop()
        encoder.go_on.set()

    lectern.jobs.stop = stop_and_go_on  # type: ignore[method-assign]
    return lectern


if __name__ == "__main__":
    jobs.REPORT_SECONDS = 0
    serve(load_settings(), make=held)
