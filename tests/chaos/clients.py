"""Clients that create, replace, change, move and delete documents and search, until the service is gone."""

import random
import threading
import time
from collections.abc import Callable

import httpx

from tests.chaos.world import COLLECTIONS, EVERYWHERE, WORDS, Entry, Ledger, State, World

DOCUMENTS = 7  # a client's, at most: all passages of a collection must fit into one reply
MODES = ("hybrid", "sparse", "dense")


class Trouble(AssertionError):
    """The service did what it must not do, or said so."""


class Writer:
    """One client's writes, in an order that follows from its seed alone."""

    def __init__(self, url: str, world: World, number: int, seed: str, *, documents: int = DOCUMENTS) -> None:
        self._client = httpx.Client(base_url=url, timeout=60, trust_env=False)
        self._world, self._ledger, self._number = world, world.ledgers[number], number
        self._chance = random.Random(seed)
        self._made, self._most = 0, documents

    def run(self, until: threading.Event | None = None) -> None:
        """Write until there is no answer, or until told."""
        with self._client:
            try:
                while until is None or not until.is_set():
                    self._step()
            except httpx.TransportError:
                return  # the kill

    def _step(self) -> None:
        live = [key for key, entry in self._ledger.entries.items() if entry.states[-1] is not None]
        gone = [key for key, entry in self._ledger.entries.items() if entry.states[-1] is None]
        chance = self._chance.random()
        if len(live) < 2 or (chance < 0.3 and len(live) < self._most):
            if self._chance.random() < 0.4:
                self._create()
            else:
                self._put(self._chance.choice(gone) if gone and chance < 0.1 else self._new_id())
        elif chance < 0.7:
            self._put(self._chance.choice(live))
        elif chance < 0.8:
            self._patch(self._chance.choice(live))
        else:
            self._delete(self._chance.choice(live))

    def _new_id(self) -> str:
        self._made += 1
        return f"c{self._number}-{self._chance.getrandbits(48):x}-{self._made}"

    def _state(self, collection: str | None = None) -> State:
        chosen = collection or self._chance.choice(COLLECTIONS)
        return State(self._world.compose(self._chance), chosen, self._chance.randrange(1_000_000))

    def _create(self) -> None:
        state = self._state()
        self._ledger.unnamed.append(state)
        reply = self._client.post("/documents", json=_body(state), params=self._wait())
        self._ledger.unnamed.remove(state)
        self._ledger.entries[self._told(reply, 201, 202)["id"]] = Entry([state], settled=reply.status_code != 202)

    def _put(self, key: str) -> None:
        state = self._state()
        entry = self._ledger.entries.setdefault(key, Entry([None]))
        before = entry.states[-1:]
        entry.states, entry.settled = [*before, state], False
        reply = self._client.put(f"/documents/{key}", json=_body(state), params=self._wait())
        self._told(reply, 200, 201, 202)
        entry.states, entry.settled = [state], reply.status_code != 202

    def _patch(self, key: str) -> None:
        entry = self._ledger.entries[key]
        before = entry.states[-1]
        assert before is not None
        state = State(before.text, before.collection, self._chance.randrange(1_000_000))
        settled = entry.settled
        entry.states, entry.settled = [before, state], False
        self._told(self._client.patch(f"/documents/{key}", json={"metadata": {"note": state.note}}), 200)
        entry.states, entry.settled = [state], settled

    def _delete(self, key: str) -> None:
        entry = self._ledger.entries[key]
        entry.states, entry.settled = [entry.states[-1], None], False
        self._told(self._client.delete(f"/documents/{key}"), 204)
        entry.states, entry.settled = [None], True

    def _wait(self) -> dict[str, str]:
        return {"wait": "0"} if self._chance.random() < 0.2 else {}

    def _told(self, reply: httpx.Response, *expected: int) -> dict:
        if reply.status_code not in expected:
            raise Trouble(f"{reply.request.method} got {reply.status_code}: {reply.text}")
        self._ledger.acknowledged += 1
        return reply.json() if reply.content else {}


class Searcher:
    """A client that searches, and looks at every hit."""

    def __init__(self, url: str, world: World, seed: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=60, trust_env=False)
        self._world, self._chance = world, random.Random(seed)
        self.searches = 0
        self.seconds: list[float] = []

    def run(self, until: threading.Event | None = None) -> None:
        """Search until there is no answer, or until told."""
        with self._client:
            try:
                while until is None or not until.is_set():
                    self.step()
            except httpx.TransportError:
                return  # the kill

    def step(self) -> None:
        """One search: every hit is a passage of one version that was sent, and no document shows two versions."""
        words = " ".join([EVERYWHERE, *self._chance.choices(WORDS, k=2)])
        body = {"query": words, "mode": self._chance.choice(MODES), "top_k": self._chance.choice((8, 200))}
        begun = time.monotonic()
        reply = self._client.post("/search", json=body | {"collection": self._chance.choice(COLLECTIONS)})
        if reply.status_code == httpx.codes.NOT_FOUND:
            return  # nothing was ever in it
        if reply.status_code != httpx.codes.OK:
            raise Trouble(f"search got {reply.status_code}: {reply.text}")
        self.seconds.append(time.monotonic() - begun)
        hits = reply.json()["hits"]
        check_hits(self._world, hits)
        if body["mode"] != "hybrid" and len(hits) < body["top_k"]:
            check_whole(self._world, hits)  # the reply has all that there was
        self.searches += 1


def check_hits(world: World, hits: list[dict]) -> None:
    """Raises Trouble for a hit that no version has, a hit twice, or two versions of one document."""
    versions: dict[str, str] = {}
    for hit in hits:
        text = world.text_of(hit["version"])
        if text is None or text[hit["start"] : hit["end"]] != hit["text"]:
            raise Trouble(f"a hit of {hit['document_id']} is not a passage of its version")
        if versions.setdefault(hit["document_id"], hit["version"]) != hit["version"]:
            raise Trouble(f"two versions of {hit['document_id']} in one reply")
    if len({hit["passage_id"] for hit in hits}) != len(hits):
        raise Trouble("a passage twice in one reply")


def check_whole(world: World, hits: list[dict]) -> None:
    """Raises Trouble when of a document that is found some passage is missing: passages tile their text."""
    ranges: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for hit in hits:
        ranges.setdefault((hit["document_id"], hit["version"]), []).append((hit["start"], hit["end"]))
    for (document, version), found in ranges.items():
        text, end = world.text_of(version), 0
        assert text is not None
        for start, stop in sorted(found):
            if text[end:start].strip():
                raise Trouble(f"a passage of {document} before {start} is missing")
            end = max(end, stop)
        if text[end:].strip():
            raise Trouble(f"a passage of {document} after {end} is missing")


def at_once(runs: list[Callable[[], None]]) -> tuple[list[threading.Thread], list[BaseException]]:
    """Run each in a thread of its own; what they raise is put into the list that is returned."""
    raised: list[BaseException] = []

    def guarded(run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as error:  # noqa: BLE001 - told by whoever joins
            raised.append(error)

    threads = [threading.Thread(target=guarded, args=(run,), daemon=True) for run in runs]
    for thread in threads:
        thread.start()
    return threads, raised


def _body(state: State) -> dict:
    return {"text": state.text, "collection": state.collection, "metadata": {"note": state.note}}


def ledger_size(ledger: Ledger) -> int:
    """Documents that are there, as far as the client knows."""
    return sum(entry.states[-1] is not None for entry in ledger.entries.values())
