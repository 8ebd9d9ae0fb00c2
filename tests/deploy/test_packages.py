"""What the image installs: every file by its hash, every package under a licence that asks for nothing far-reaching."""

import re
from pathlib import Path

import pytest

from deploy import packages
from tests.app.served import ROOT
from tests.deploy.test_pins import pins

# Of tests and evaluation alone, and never in an image: sumy asks for it.
NOT_SHIPPED = {"pycountry": "LGPL-2.1-only"}


def locked(name: str) -> dict[str, tuple[str, int]]:
    """Package -> its version and how many hashes it has, of a lock."""
    lines = (ROOT / name).read_text().replace("\\\n", " ").splitlines()
    found = {}
    for line in lines:
        requirement, *hashes = re.split(r"\s+--hash=", line.strip())
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes), line
        package, version = requirement.split(";")[0].strip().split("==")
        found[package] = (version, len(hashes))
    return found


def test_the_lock_holds_all_that_the_service_needs_in_the_pinned_versions_with_hashes() -> None:
    lock = locked("requirements.lock")
    assert lock.keys() == packages.needed() - {"torch"}, "run 'make lock'"
    assert {name: version for name, (version, _) in lock.items()} == {name: pins()[name] for name in lock}
    assert all(hashes > 0 for _, hashes in lock.values())


def test_the_lock_of_the_tools_has_hashes_and_holds_the_one_that_makes_the_sbom() -> None:
    lock = locked("deploy/tools.lock")
    assert "cyclonedx-bom" in lock
    assert all(hashes > 0 for _, hashes in lock.values())


@pytest.mark.parametrize("lock", ["requirements.lock", "deploy/tools.lock"])
def test_a_lock_names_no_index(lock: str) -> None:
    assert "://" not in (ROOT / lock).read_text()


def test_every_pinned_package_has_a_licence_that_is_known() -> None:
    wrong = {name: packages.described(name).licence for name in pins()}
    wrong = {name: licence for name, licence in wrong.items() if not packages.is_known(licence)}
    assert wrong == NOT_SHIPPED
    assert not wrong.keys() & packages.needed()


@pytest.mark.parametrize(
    ("licence", "known"),
    [
        ("MIT", True),
        ("MIT AND GPL-3.0-only", False),
        ("GPL-2.0-only OR MIT", True),
        ("Apache-2.0 AND (MIT)", True),
        ("AGPL-3.0", False),
        ("", False),
    ],
)
def test_of_a_choice_one_licence_must_be_known_and_of_a_sum_all(licence: str, known: bool) -> None:
    assert packages.is_known(licence) is known


def test_the_list_of_licences_is_what_the_packages_say() -> None:
    assert (ROOT / "LICENCES.md").read_text() == packages.listed(), "run 'make licences'"
    assert Path(packages.__file__).parent == ROOT / "deploy"
