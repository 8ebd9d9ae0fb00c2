"""A training run that is killed in the middle, for every recipe alike."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from model.training.progress import Progress


class Killed(Exception):
    """Stands for SIGKILL: nothing of the run goes on behind it."""


@contextmanager
def killed_after(steps: int) -> Iterator[None]:
    """Whatever trains inside is killed at the end of the step after so many, before that step is noted."""
    real, left = Progress.record, iter(range(steps))

    def record(self: Progress, step: int, **rest: Any) -> None:
        if next(left, None) is None:
            raise Killed
        real(self, step, **rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Progress, "record", record)
        with pytest.raises(Killed):
            yield
