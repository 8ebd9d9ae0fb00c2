"""constraints.txt pins everything that an installation holds: what the project asks for, and what that brings along."""

import importlib.metadata
import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from deploy.packages import CUDA, closure
from tests.app.served import ROOT


def pins() -> dict[str, str]:
    lines = [line.split("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    return {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in lines if line}


def asked_for() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [each for group in project["optional-dependencies"].values() for each in group]
    wanted = [Requirement(each) for each in project["dependencies"] + extras]
    return [each for each in wanted if each.name != "lectern"]


def test_every_direct_and_indirect_dependency_is_pinned() -> None:
    missing = {name for name in closure(asked_for()) if name not in pins() and not name.startswith(CUDA)}
    assert missing == set(), "add them to constraints.txt as pip freeze names them"


def test_nothing_is_pinned_that_nothing_needs() -> None:
    assert set(pins()) - closure(asked_for()) - {"setuptools"} == set()


def test_what_is_installed_is_what_is_pinned() -> None:
    wrong = {
        name: importlib.metadata.version(name)
        for name in closure(asked_for())
        if Version(importlib.metadata.version(name)).public != pins().get(name)
    }
    assert wrong == {}, "run 'make test', which installs the pinned set"


def test_torch_is_pinned_without_a_build_so_that_any_wheel_of_the_version_will_do() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", pins()["torch"])
