"""No kill, wherever it hits, costs an acknowledged write, shows a deleted passage or breaks a citation.

Twenty kills of a running service; `make chaos` does two hundred. A failure names its seed, round and data directory.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.nursery import Nursery, nursery
from tests.chaos.points import SERVING
from tests.chaos.rounds import ANY_MOMENT, STARTING, Rounds

SEED = 11


@pytest.fixture(scope="module")
def nest() -> Iterator[Nursery]:
    with nursery() as opened:
        yield opened


def test_twenty_kills_at_every_named_point_and_at_any_moment_cost_nothing(nest: Nursery, tmp_path: Path) -> None:
    rounds = Rounds(nest, tmp_path, seed=SEED)
    rounds.run(ANY_MOMENT)
    for point in SERVING:
        rounds.run(point)
    rounds.run(STARTING)
    rounds.finish()
    tally = rounds.tally
    assert tally.kills.total() == len(SERVING) + 2 == 20
    assert tally.missed.total() <= 3, tally.missed
    assert tally.acknowledged > 20
    assert max(tally.starts_s) < 30
