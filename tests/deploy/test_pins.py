"""constraints.txt pins everything that an installation holds: what the project asks for, and what that brings along."""

import importlib.metadata
import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.app.served import ROOT


def pins() -> dict[str, str]:
    lines = [line.split("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    return {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in lines if line}


def asked_for() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [each for group in project["optional-dependencies"].values() for each in group]
    wanted = [Requirement(each) for each in project["dependencies"] + extras]
    return [each for each in wanted if each.name != "lectern"]


def closure() -> set[str]:
    """The names of all that is asked for, directly or not, on this platform."""
    seen: set[tuple[str, str]] = set()
    waiting = [(each.name, extra) for each in asked_for() for extra in ("", *each.extras)]
    while waiting:
        name, extra = waiting.pop()
        if (canonicalize_name(name), extra) in seen:
            continue
        seen.add((canonicalize_name(name), extra))
        for line in importlib.metadata.requires(name) or []:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                waiting.extend((needed.name, more) for more in ("", *needed.extras))
    return {name for name, _ in seen}


def test_every_direct_and_indirect_dependency_is_pinned() -> None:
    missing = {name for name in closure() if name not in pins() and not name.startswith(("nvidia-", "triton"))}
    assert missing == set(), "add them to constraints.txt as pip freeze names them"


def test_nothing_is_pinned_that_nothing_needs() -> None:
    assert set(pins()) - closure() - {"setuptools"} == set()


def test_what_is_installed_is_what_is_pinned() -> None:
    wrong = {
        name: importlib.metadata.version(name)
        for name in closure()
        if Version(importlib.metadata.version(name)).public != pins().get(name)
    }
    assert wrong == {}, "run 'make test', which installs the pinned set"


def test_torch_is_pinned_without_a_build_so_that_any_wheel_of_the_version_will_do() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", pins()["torch"])
