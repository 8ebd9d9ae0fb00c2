"""Whether the files of a sparse index are as they were written.

tantivy ends each file of a segment with its own CRC-32, but not `meta.json`, which it also rewrites by itself when a
merge in the background is over. So what that file says is held against the files that it names: their checksums, how
many passages they have, and how many of these are deleted. `applied.json` is ours and has a checksum.
"""

import json
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retriever.durable import replace_file, sealed, unsealed
from retriever.errors import IndexCorrupt

FORMAT = 2  # of the schema, of how terms are made, and of `applied.json`: another one is rebuilt
APPLIED = "applied.json"
META = "meta.json"
KINDS = ("idx", "pos", "term", "store", "fast", "fieldnorm")  # the files that every segment has
FIELDS_WITH_LENGTHS = 2  # `document` and `body`: a segment's `fieldnorm` has a byte for each passage and field
LEFT = re.compile(r"[0-9a-f]{32}\.|\.tmp")  # the names of a segment's files, and of drafts
FOOTER_MAGIC = 1337  # tantivy ends each file with a JSON footer, its length and this number


def write_applied(folder: Path, applied: int) -> None:
    """Note the last change that is committed. Raises OSError."""
    replace_file(folder / APPLIED, sealed({"format": FORMAT, "applied": applied}))


def checked(folder: Path) -> int:
    """The last change that the index in this folder has, 0 for none. Raises IndexCorrupt."""
    try:
        meta = json.loads((folder / META).read_bytes())
        applied = _applied(folder)
        for segment in meta["segments"]:
            _check_segment(folder, segment, last=int(meta["opstamp"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IndexCorrupt(f"the sparse index in {folder.name!r} has a broken {META} or lacks a file") from error
    return applied


def sweep(folder: Path) -> None:
    """Remove what no commit names: files that a crash or a full disk cut short. Call it while nobody writes.

    tantivy counts on from the last commit and would meet the same names again, and never writes over a file.
    """
    segments = json.loads((folder / META).read_bytes())["segments"] if (folder / META).exists() else []
    names = {segment["segment_id"].replace("-", ""): segment["deletes"] for segment in segments}
    named = {f"{name}.{kind}" for name in names for kind in KINDS}
    named |= {f"{name}.{deletes['opstamp']}.del" for name, deletes in names.items() if deletes is not None}
    for file in folder.iterdir():
        if file.name not in named and LEFT.match(file.name):
            file.unlink(missing_ok=True)


def _applied(folder: Path) -> int:
    if not (folder / APPLIED).exists():
        return 0  # the process ended between the first commit and this file: all changes apply again
    try:
        known = unsealed((folder / APPLIED).read_bytes())
    except ValueError as error:
        raise IndexCorrupt(f"the sparse index file {APPLIED!r} does not match its checksum") from error
    if known["format"] != FORMAT:
        raise IndexCorrupt(f"the sparse index in {folder.name!r} has format {known['format']}, not {FORMAT}")
    return int(known["applied"])


def _check_segment(folder: Path, segment: Mapping[str, Any], *, last: int) -> None:
    """Raises IndexCorrupt, and OSError or ValueError where something is not there or is not of its form."""
    name = segment["segment_id"].replace("-", "")
    bodies = {kind: _body(folder / f"{name}.{kind}") for kind in KINDS}
    size = _passages(bodies["fieldnorm"])
    deletes = segment["deletes"]
    alive = size
    if deletes is not None:
        alive = _alive(_body(folder / f"{name}.{deletes['opstamp']}.del"))
    deleted, stamp = (0, 0) if deletes is None else (deletes["num_deleted_docs"], deletes["opstamp"])
    if (segment["max_doc"], size - alive) != (size, deleted) or stamp > last:
        raise IndexCorrupt(f"the sparse index's {META} says otherwise than the files of segment {name}")


def _body(path: Path) -> memoryview:
    """A file of tantivy's without its footer: {"version": ..., "crc": n}, length, magic. Raises IndexCorrupt."""
    data = path.read_bytes()
    size, magic = (int.from_bytes(data[place : place + 4], "little") for place in (len(data) - 8, len(data) - 4))
    if len(data) >= 8 and magic == FOOTER_MAGIC and size <= len(data) - 8:
        body = memoryview(data)[: len(data) - 8 - size]
        try:
            if json.loads(data[len(body) : -8])["crc"] == zlib.crc32(body):
                return body
        except (ValueError, KeyError, TypeError):  # the footer itself is damaged
            pass
    raise IndexCorrupt(f"the sparse index file {path.name!r} does not match its checksum")


def _passages(lengths: memoryview) -> int:
    """How many passages a `fieldnorm` file is of: it ends with a table of the fields, and the table's length."""
    table = int.from_bytes(lengths[-4:], "little")
    return (len(lengths) - 4 - table) // FIELDS_WITH_LENGTHS


def _alive(bits: memoryview) -> int:
    """How many passages a `del` file says are there: a count of bits, then the bits."""
    return int.from_bytes(bits[4:], "little").bit_count()
