"""No file takes the service down: each gets a documented status, and the next question its answer."""

from collections.abc import Iterator

import pytest

from tests.app.served import Server
from tests.hostile import packages, pdfs, texts
from tests.hostile.rounds import Rounds, children

CORPUS = {"texts": texts.SMALL, "packages": packages.SMALL, "pdfs": pdfs.SMALL}
MEMORY = 400_000_000  # bytes that a parser may take here
GROWTH = 500_000_000  # bytes that the service itself may grow by over the whole corpus


@pytest.fixture(scope="module")
def rounds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rounds]:
    settings = {"parser_seconds": "3", "parser_memory": str(MEMORY), "max_characters": "20000000"}
    server = Server(tmp_path_factory.mktemp("data"), **settings)
    yield Rounds(server)
    server.stop()


@pytest.mark.parametrize("kind", CORPUS)
def test_every_hostile_file_gets_its_status_and_the_service_goes_on(rounds: Rounds, kind: str) -> None:
    before = rounds.service_peak
    assert rounds.run(CORPUS[kind]) == []
    assert rounds.defects == []
    assert rounds.service_peak < before + GROWTH
    assert rounds.worker_peak < MEMORY + 100_000_000
    assert len(children(rounds.server.process.pid)) <= 4
