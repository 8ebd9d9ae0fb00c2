"""The files that a command line means."""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from retriever.errors import UnreadableFile


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


def text_of(path: Path) -> str:
    r"""A path as text that can be kept and sent: of a name that is not UTF-8, a byte that is none becomes `\xNN`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def named_apart(paths: Iterable[Path]) -> dict[Path, str]:
    """Files with their names, as short as tells them apart: of a source tree each says in which package it is."""
    files = list(paths)
    names = {path: path.name for path in files}
    most = max((len(path.parts) for path in files), default=0)
    for size in range(2, most + 1):
        counted = Counter(names.values())
        again = [path for path in files if counted[names[path]] > 1 and len(path.parts) >= size]
        names |= {path: str(Path(*path.parts[-size:])) for path in again}
    return {path: text_of(Path(name)) for path, name in names.items()}


def read(path: Path) -> bytes:
    """What is in a file. Raises UnreadableFile, so that one file of many can be refused alone."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableFile(f"it cannot be read: {error.strerror or type(error).__name__}") from error
