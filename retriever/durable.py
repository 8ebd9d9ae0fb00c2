"""Writing files so that a crash at any moment leaves the old one or the new one, whole."""

import os
from pathlib import Path


def replace_file(path: Path, data: bytes) -> None:
    """Write a file in place of what is there; durable when it returns. Raises OSError."""
    draft = path.with_name(path.name + ".tmp")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable: a file's own fsync says nothing of the folder that it stands in."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
