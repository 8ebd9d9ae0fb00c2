"""What must hold once the service runs again after a kill."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path

import httpx

from tests.chaos.clients import Trouble, check_hits
from tests.chaos.world import COLLECTIONS, EVERYWHERE, Entry, Possible, State, World, version_of

EVERYTHING = 200  # the most hits of one reply


def check(client: httpx.Client, store: Path, world: World) -> None:
    """Raise Trouble unless every acknowledged write is there and found on both sides, and all else whole or absent.

    What the clients did not know (their last request got no reply) is known afterwards.
    """
    listed = _listed(client)
    for key, entry in world.entries().items():
        if entry.settled:
            _must_be(client, key, listed.get(key), entry.states)
    _finish_jobs(client, store)
    listed = _listed(client)
    _name(client, listed, world)
    for key, entry in world.entries().items():
        entry.states, entry.settled = [_must_be(client, key, listed.get(key), entry.states)], True
    if strangers := listed.keys() - world.entries().keys():
        raise Trouble(f"documents that nobody sent: {sorted(strangers)}")
    for collection in COLLECTIONS:
        _check_searches(client, world, collection, listed)


def _must_be(client: httpx.Client, key: str, shown: dict | None, possible: Iterable[Possible]) -> Possible:
    """The one of the possible states that the document is in."""
    if shown is None:
        if None in possible:
            return None
        raise Trouble(f"document {key} is lost")
    reply = client.get(f"/documents/{key}/text")
    if reply.status_code != httpx.codes.OK:
        raise Trouble(f"document {key} is there, its text is not: {reply.status_code}, {shown['status']}")
    text = reply.json()["text"]
    state = State(text, shown["collection"], shown["metadata"].get("note"))
    if state not in possible:
        raise Trouble(f"document {key} is in a state that nobody sent: {shown}")
    told = (shown["version"], shown["characters"], shown["status"])
    if told != (version_of(text), len(text), "indexed") or reply.json()["version"] != shown["version"]:
        raise Trouble(f"document {key} does not fit its text: {shown}")
    return state


def _name(client: httpx.Client, listed: dict[str, dict], world: World) -> None:
    """Give the documents of unanswered POSTs to the clients that sent them."""
    known = world.entries()
    for key in sorted(listed.keys() - known.keys()):
        text = client.get(f"/documents/{key}/text").json()["text"]
        for ledger in world.ledgers:
            for state in [each for each in ledger.unnamed if each.text == text]:
                ledger.entries[key] = Entry([state])
                ledger.unnamed.remove(state)
    for ledger in world.ledgers:
        ledger.unnamed.clear()  # absent, then


def _check_searches(client: httpx.Client, world: World, collection: str, listed: dict[str, dict]) -> None:
    """Both sides find all passages of all documents, and nothing else; each hit is a slice of the stored text."""
    expected = {key: shown for key, shown in listed.items() if shown["collection"] == collection}
    count = sum(shown["passages"] for shown in expected.values())
    if count > EVERYTHING:
        raise Trouble(f"{count} passages: the clients hold too much for this check")
    for mode in ("sparse", "dense"):
        body = {"query": EVERYWHERE, "mode": mode, "top_k": EVERYTHING, "collection": collection}
        reply = client.post("/search", json=body)
        if reply.status_code == httpx.codes.NOT_FOUND and not expected:
            continue
        if reply.status_code != httpx.codes.OK:
            raise Trouble(f"a search got {reply.status_code}: {reply.text}")
        hits = reply.json()["hits"]
        check_hits(world, hits)
        found: dict[str, int] = {}
        for hit in hits:
            found[hit["document_id"]] = found.get(hit["document_id"], 0) + 1
        wanted = {key: shown["passages"] for key, shown in expected.items()}
        if found != wanted:
            raise Trouble(f"the {mode} index of {collection!r} finds {found}, the store has {wanted}")
        for hit in hits[:2]:
            place = {"start": hit["start"], "end": hit["end"], "version": hit["version"]}
            if client.get(f"/documents/{hit['document_id']}/text", params=place).json()["text"] != hit["text"]:
                raise Trouble(f"a citation of {hit['document_id']} does not hold")


def _listed(client: httpx.Client) -> dict[str, dict]:
    return {each["id"]: each for each in client.get("/documents", params={"limit": 1000}).json()["documents"]}


def _finish_jobs(client: httpx.Client, store: Path) -> None:
    """Wait until the work that a kill interrupted is done."""
    for job in _unfinished(store):
        told = client.get(f"/jobs/{job}", params={"wait": 60}).json()
        if told["status"] not in ("succeeded", "cancelled"):
            raise Trouble(f"a job that a kill interrupted is {told['status']}: {told['problem']}")


def _unfinished(store: Path) -> list[str]:
    connection = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
    try:
        rows = connection.execute("SELECT id FROM jobs WHERE status IN ('queued', 'running')")
        return [row[0] for row in rows]
    finally:
        connection.close()
