"""Files that were made to hurt, each with what the service may say of them. All are generated.

`SMALL` runs with every `make test`; `LARGE`, as large as bodies may be, and what takes its time, with `make hostile`.
"""

from collections.abc import Callable
from dataclasses import dataclass

INDEXED = "indexed"
ANY = frozenset({INDEXED, "limits", "unreadable", "no_text", "unsupported"})  # documented, whichever it is
LIMITS = frozenset({"limits"})
UNREADABLE = frozenset({"unreadable"})
UNSUPPORTED = frozenset({"unsupported"})
TAKEN = frozenset({INDEXED})


@dataclass(frozen=True, kw_only=True)
class Hostile:
    """A file: how it is made, under which name it is sent, and the codes that are right for it.

    `media_type` is what its sender claims.
    """

    name: str
    filename: str
    make: Callable[[], bytes]
    codes: frozenset[str]
    media_type: str = "application/octet-stream"


def file(
    name: str, filename: str, make: Callable[[], bytes] | bytes, codes: frozenset[str] = ANY, *, media_type: str = ""
) -> Hostile:
    """One row of the corpus."""
    made = (lambda: make) if isinstance(make, bytes) else make
    return Hostile(
        name=name, filename=filename, make=made, codes=codes, media_type=media_type or "application/octet-stream"
    )
