"""Writing files so that a crash at any moment leaves the old one or the new one, whole; and holding folders."""

import fcntl
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from retriever.errors import StoreUnavailable


def replace_file(path: Path, data: bytes) -> None:
    """Write a file in place of what is there; durable when it returns. Raises OSError."""
    draft = path.with_name(path.name + ".tmp")
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)  # half a file on a full disk would keep others from the room that it takes
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable: a file's own fsync says nothing of the folder that it stands in."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sealed(content: Mapping[str, Any]) -> bytes:
    """JSON with its own checksum; `unsealed` reads it."""
    body = json.dumps(content)
    return json.dumps({"sha256": hashlib.sha256(body.encode()).hexdigest(), "content": body}).encode()


def unsealed(data: bytes) -> dict[str, Any]:
    """The inverse of `sealed`. Raises ValueError when a bit of it is not as it was written."""
    try:
        outer = json.loads(data)
        body, digest = outer["content"], outer["sha256"]
        if hashlib.sha256(body.encode()).hexdigest() == digest:
            return dict(json.loads(body))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("the checksum is missing") from error
    raise ValueError("the content does not match its checksum")


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
