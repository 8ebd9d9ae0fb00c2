"""What the image holds of other people's packages: `pins` for the lock, `licences` for the list of them.

python deploy/packages.py pins        name==version of all that the service needs, torch apart
python deploy/packages.py licences    LICENCES.md, from what the packages say of themselves
"""

import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
CUDA = ("nvidia-", "triton")  # what some builds of torch bring along
# Free of duties that reach beyond the package itself; MPL's are about changes to its own files.
KNOWN = frozenset(
    {"0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "CNRI-Python", "ISC"}
    | {"MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Zlib", "Apache-2.0 WITH LLVM-exception"}
)
# How packages without an SPDX expression put it.
SPELT = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache2.0": "Apache-2.0",
    "apache 2.0 license": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd license": "BSD",
    "bsd-3-clause, apache-2.0, dependency licenses": "BSD-3-Clause AND Apache-2.0",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mit, bsd": "MIT AND BSD",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
}


@dataclass(frozen=True, kw_only=True)
class Package:
    """An installed package: its version without a build's suffix, its licence as SPDX has it, and where it lives."""

    name: str
    version: str
    licence: str
    home: str


def needed() -> set[str]:
    """The names of all that the service needs, directly or not, on this platform; CUDA's own are left out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = closure(map(Requirement, project["dependencies"]))
    return {name for name in found if not name.startswith(CUDA)}


def closure(asked: Iterable[Requirement]) -> set[str]:
    """The names of what is asked for and of all that it needs, directly or not, on this platform."""
    waiting = [(each.name, extra) for each in asked for extra in ("", *each.extras)]
    seen: set[tuple[str, str]] = set()
    while waiting:
        name, extra = waiting.pop()
        if (canonicalize_name(name), extra) in seen:
            continue
        seen.add((canonicalize_name(name), extra))
        for line in importlib.metadata.requires(name) or []:
            needs = Requirement(line)
            if needs.marker is None or needs.marker.evaluate({"extra": extra}):
                waiting.extend((needs.name, more) for more in ("", *needs.extras))
    return {name for name, _ in seen}


def described(name: str) -> Package:
    """A package as its metadata tells of it; the licence as it stands there where it is not known."""
    metadata = importlib.metadata.metadata(name)
    classes = [
        line.rsplit("::", 1)[1].strip() for line in metadata.get_all("Classifier", []) if line.startswith("License ::")
    ]
    told = [metadata.get("License-Expression"), metadata.get("License"), *classes]
    readable = [SPELT.get(text.lower(), text) for text in told if text and len(text) < 200]
    known = [text for text in readable if is_known(text)]
    return Package(
        name=canonicalize_name(name),
        version=importlib.metadata.version(name).split("+")[0],
        licence=(known or readable or [""])[0],
        home=_home(name),
    )


def is_known(licence: str) -> bool:
    """Whether an expression names known licences only; of a choice, one is enough."""
    choices = [re.sub(r"[()]", "", choice).split(" AND ") for choice in licence.split(" OR ")]
    return any(all(part.strip() in KNOWN for part in choice) for choice in choices)


def listed() -> str:
    """The list as Markdown."""
    rows = [described(name) for name in sorted(needed())]
    lines = [
        "# Licences",
        "",
        "What the service stands on, by `make licences`. The weights have their own beside them.",
    ]
    lines += ["", "| package | version | licence | |", "|---|---|---|---|"]
    lines += [f"| {each.name} | {each.version} | {each.licence} | {each.home} |" for each in rows]
    return "\n".join(lines) + "\n"


def pins() -> str:
    """A line for each package that the lock holds. torch is not in it: its two sources have other files."""
    rows = [described(name) for name in sorted(needed() - {"torch"})]
    return "".join(f"{each.name}=={each.version}\n" for each in rows)


def _home(name: str) -> str:
    metadata = importlib.metadata.metadata(name)
    urls = dict(line.split(", ", 1) for line in metadata.get_all("Project-URL", []) if ", " in line)
    lower = {label.lower(): url for label, url in urls.items()}
    wanted = ("source", "source code", "repository", "github", "code", "homepage", "home")
    return next((lower[label] for label in wanted if label in lower), metadata.get("Home-page") or "")


if __name__ == "__main__":
    sys.stdout.write({"pins": pins, "licences": listed}[sys.argv[1]]())
