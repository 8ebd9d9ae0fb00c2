"""One server process for the tests of the client, and both clients of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app.served import Server
from tests.lectern.both import KINDS, connected


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(Path(tmp_path_factory.mktemp("served")) / "data", heartbeat="0.2")
    yield server
    server.stop()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(kind: str, service: Server) -> Iterator[Any]:
    """A client of the service, whose collections this test leaves behind are gone afterwards."""
    with connected(kind, service.url) as client:
        yield client
        for each in client.collections.all():
            client.collections.delete(each.name)
