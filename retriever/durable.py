"""Writing files so that a crash at any moment leaves the old one or the new one, whole; and holding folders."""

import fcntl
import os
from pathlib import Path
from typing import IO

from retriever.errors import StoreUnavailable


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


def hold(path: Path) -> IO[bytes]:
    """Take the lock file at `path` for this process, and with it the folder that it stands in.

    Released when the file is closed, or the process ends in whatever way. Raises StoreUnavailable when another has it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise StoreUnavailable(
            f"another Lectern uses {str(path.parent)!r}: stop it first, or name another folder"
        ) from error
    return file
