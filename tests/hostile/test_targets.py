"""What `make fuzz` begins with keeps the promises that it looks for; and it would see one that is broken."""

import subprocess
import sys
from pathlib import Path

import pytest

from retriever.parsing.wire import BrokenReply
from tests.hostile import fuzz, targets
from tests.hostile.targets import TARGETS


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("fuzz") / "inputs"
    fuzz.plant(folder)
    return [path.read_bytes() for path in sorted(folder.iterdir())]


def test_every_input_that_fuzzing_begins_with_is_a_document_that_holds_or_a_refusal(planted: list[bytes]) -> None:
    names = list(TARGETS)
    assert {names[data[0]] for data in planted} >= set(names) - {"parse .rs", "parse ."}
    for data in planted:
        TARGETS[names[data[0]]](data[1:])


def test_a_document_that_does_not_hold_would_be_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    parse = targets.parse
    monkeypatch.setattr(targets, "parse", lambda *a, **k: _without_its_last_section(parse(*a, **k)))
    with pytest.raises((AssertionError, BrokenReply)):
        TARGETS["parse .md"](b"# A\n\nmill\n\n# B\n\nford\n")


def _without_its_last_section(document):  # type: ignore[no-untyped-def]
    from dataclasses import replace

    return replace(document, sections=document.sections[:-1])


def test_a_finding_is_written_down_once_for_each_place(tmp_path: Path) -> None:
    seen: set[str] = set()
    for data in (b"\x00one", b"\x00two"):
        try:
            raise KeyError("x")
        except KeyError as error:
            fuzz.note(tmp_path, "parse .txt", data, error, seen)
    kept = sorted(tmp_path.iterdir())
    assert [path.suffix for path in kept] == ["", ".txt"]
    assert kept[0].read_bytes() == b"\x00one"
    assert kept[1].read_text().startswith("parse .txt\n")


def test_nothing_that_is_fuzzed_is_imported_before_it_can_be_instrumented() -> None:
    asked = "import sys, tests.hostile.fuzz as f; print([n for n in sys.modules if n.split('.')[0] in f.PREFIXES])"
    loaded = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
