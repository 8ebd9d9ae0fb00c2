"""The files that a command line means."""

from collections.abc import Iterable
from pathlib import Path


def files_under(paths: Iterable[Path]) -> list[Path]:
    """The files that are named, and for a directory all in it, sorted; what begins with a dot is passed over.

    Raises FileNotFoundError.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = (each for each in sorted(path.rglob("*")) if each.is_file())
            found.extend(each for each in inside if not any(p.startswith(".") for p in each.relative_to(path).parts))
        elif path.exists():
            found.append(path)
        else:
            raise FileNotFoundError(f"no file '{path}'")
    return list(dict.fromkeys(found))
