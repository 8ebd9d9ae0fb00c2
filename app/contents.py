"""Tables of contents and indexes: passages that say where something stands, not what it is."""

import re

from retriever.types import Hit

_LEADER = re.compile(r"(?:\. ?){5,}|(?:\u2026 ?){2,}")  # what leads from an entry to its page
LEADERS = 0.25  # the share of a passage's characters that leaders take in such a table: prose has none


def without_contents(hits: list[Hit]) -> list[Hit]:
    """The hits that say something themselves, in their order."""
    return [hit for hit in hits if not _is_contents(hit.passage.text)]


def _is_contents(text: str) -> bool:
    return sum(map(len, _LEADER.findall(text))) > LEADERS * len(text)
