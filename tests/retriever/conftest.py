"""A library of its own for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.retriever.library import Library


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    opened = Library(tmp_path)
    yield opened
    opened.close()
