"""What a file may cost before it is refused."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The most that one file may hold; past any of them parsing raises LimitExceeded.

    `characters` is of extracted text, `pages` of a PDF, `expanded_bytes` of a zip's members together and `ratio` of
    expanded to packed bytes (looked at above 1 MB expanded only), `depth` of nested elements in HTML and XML.
    """

    characters: int = 20_000_000
    pages: int = 10_000
    expanded_bytes: int = 500_000_000
    ratio: int = 200
    depth: int = 500
