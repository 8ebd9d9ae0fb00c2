"""What a file may cost before it is refused."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The most that one file may hold; past any of them parsing raises LimitExceeded.

    `characters` is of extracted text, `pages` of a PDF, `expanded_bytes` of a zip's members together and `ratio` of
    expanded to packed bytes (looked at above 1 MB expanded only), `depth` of nested elements in HTML and XML.
    """

    characters: int = 50_000_000
    pages: int = 10_000
    expanded_bytes: int = 500_000_000
    ratio: int = 200
    depth: int = 500


@dataclass(frozen=True, kw_only=True)
class Caps:
    """What the process that parses a file may take, whatever its parser believes; past any it is killed.

    `memory` is in bytes beyond what an idle one has. `seconds` are of processor time, so that a busy machine refuses
    nothing that an idle one takes; by the clock a file gets `patience` times as long. A process reads `documents` files
    and is then replaced, and earlier where it has kept more than `kept` bytes of memory beyond what it began with.
    """

    memory: int = 1_000_000_000
    seconds: int = 120
    patience: float = 4.0
    documents: int = 200
    kept: int = 100_000_000
