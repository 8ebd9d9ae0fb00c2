"""What the clients have sent and were told: what must hold, and what may, after a kill."""

import hashlib
import random
import threading
from dataclasses import dataclass, field

COLLECTIONS = ("default", "other")
WORDS = ("pump", "valve", "filter", "harbour", "engine", "quay", "lantern", "rudder", "anchor", "winch", "mast", "keel")
EVERYWHERE = "common"  # stands in every sentence: a search for it finds all there is


@dataclass(frozen=True)
class State:
    """A document as a client sent it. `note` is its metadata."""

    text: str
    collection: str
    note: int


Gone = None
Possible = State | None  # None: the document is not there


def version_of(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@dataclass
class Entry:
    """One document. `states` are those that it may be in: one, unless the last request got no reply.

    `settled`: the reply said that it is done, not only that it is accepted.
    """

    states: list[Possible]
    settled: bool = True


@dataclass
class Ledger:
    """What one client knows. Each document belongs to one client, which sends one request at a time."""

    entries: dict[str, Entry] = field(default_factory=dict)
    unnamed: list[State] = field(default_factory=list)  # sent by POST without a reply: no id is known
    acknowledged: int = 0


class World:
    """All that was ever sent, and the ledger of each client."""

    def __init__(self, seed: int, clients: int) -> None:
        self.seed = seed
        self.ledgers = [Ledger() for _ in range(clients)]
        self._texts: dict[str, str] = {}
        self._lock = threading.Lock()
        self._count = 0

    def compose(self, chance: random.Random) -> str:
        """A new text of one to five passages; no two are alike."""
        with self._lock:
            self._count += 1
            mark = f"zq{self.seed}x{self._count}"
        sentences = [
            f"{EVERYWHERE.capitalize()} {mark} {' '.join(chance.choices(WORDS, k=chance.randint(6, 14)))} number {n}."
            for n in range(chance.randint(3, 40))
        ]
        text = " ".join(sentences)
        with self._lock:
            self._texts[version_of(text)] = text
        return text

    def text_of(self, version: str) -> str | None:
        """The text of a version that was once sent."""
        with self._lock:
            return self._texts.get(version)

    @property
    def acknowledged(self) -> int:
        """How many writes got a 2xx."""
        return sum(ledger.acknowledged for ledger in self.ledgers)

    def entries(self) -> dict[str, Entry]:
        """All documents of all clients."""
        return {key: entry for ledger in self.ledgers for key, entry in ledger.entries.items()}
