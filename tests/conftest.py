"""Fixtures for all tests: the service in this process, with small fakes or with the real models."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.fakes import HashingEncoder, OverlapReader

# The environment of whoever runs the tests must not change what they test.
for _name in [name for name in os.environ if name.startswith("LECTERN_") and name != "LECTERN_DATA"]:
    del os.environ[_name]


LOGGERS = ("lectern", "retriever", "model", "uvicorn", "uvicorn.error", "uvicorn.access")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A test that serves in this process sends the logs to its own standard error, which is gone afterwards."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(each.handlers[:], each.propagate, each.level) for each in loggers]
    yield
    for logger, (handlers, propagate, level) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.fixture(scope="session")
def data_sets() -> Path:
    """The folder of public data sets; tests that need it are skipped where it is absent."""
    named = os.environ.get("LECTERN_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no data sets at '{folder}': name their folder in LECTERN_DATA")
    return folder


@pytest.fixture(scope="session")
def real_encoder():  # type: ignore[no-untyped-def]
    """MiniLM, loaded once for all tests."""
    from model.encoder import MiniLMEncoder

    return MiniLMEncoder.load()


@pytest.fixture(scope="session")
def real_reader():  # type: ignore[no-untyped-def]
    """The reader that ships, loaded once; tests that need it are skipped while there are no weights."""
    from model.errors import WeightsMissing
    from model.reader import LongformerReader

    try:
        return LongformerReader.load()
    except WeightsMissing as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def parsers() -> Iterator:  # type: ignore[type-arg]
    """The processes that parse, started once for all tests."""
    from retriever.parsing.pool import Parsers

    with closing(Parsers(workers=2)) as opened:
        yield opened


@pytest.fixture
def make_lectern(parsers) -> Callable:  # type: ignore[type-arg]
    """Builds a Lectern with fakes where the models would be: `make=make_lectern` of `create_app`."""
    from app.wiring import build

    return lambda settings: build(settings, encoder=HashingEncoder(), reader=OverlapReader(), parsers=parsers)


@pytest.fixture
def lectern(tmp_path: Path, make_lectern) -> Iterator:  # type: ignore[no-untyped-def, type-arg]
    """All parts on a temporary data directory, with fakes and with running jobs; no HTTP."""
    from app.settings import Settings

    parts = make_lectern(Settings(data_dir=tmp_path / "data"))
    parts.jobs.start()
    yield parts
    parts.close()
