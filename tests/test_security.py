"""SECURITY.md names what holds each of its promises."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SECURITY = (ROOT / "SECURITY.md").read_text()


def test_each_promise_names_tests_that_are_there() -> None:
    rows = [line for line in SECURITY.splitlines() if line.startswith("| ") and not line.startswith("| promise")]
    assert len(rows) > 10
    for row in rows:
        named = re.findall(r"`(tests/[\w./]+)`", row)
        assert named, row
        assert all((ROOT / path).exists() for path in named), row


def test_the_open_routes_are_those_of_the_table() -> None:
    from app.security import OPEN, ROUTES

    told = SECURITY.split("The open routes tell nothing")[1].split("\n\n")[0]
    opened = {path for path, methods in ROUTES.items() if OPEN in methods.values()}
    assert set(re.findall(r"`(/[\w./{}]*)`", told)) == opened


def test_the_readme_leads_to_it() -> None:
    assert "(SECURITY.md)" in (ROOT / "README.md").read_text()
