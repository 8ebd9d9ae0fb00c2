"""Two tenants in one service: whatever one of them sends of the other's, it is answered as if that did not exist.

Each operation of the OpenAPI document is tried by one tenant with ids, names, versions and cursors of the other, and
then with some that nobody ever had: the replies, and for a 404 the statements to the database too, must be the same.
"""

import base64
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response
from sqlalchemy import event

from app.main import create_app
from app.settings import Settings
from tests.app.callers import bearing, new_key

TEXT = "The zebra was sold by Quagga and Sons. The yearly rent of the zebra is barley."
OWN = "The gnu lives at Stony Ford."
MARKS = ("zebra", "quagga", "barley", "aardvark", "okapi", "numbat", "ibex")  # in everything that is the other tenant's
QUESTION = "What is the yearly rent of the zebra?"


@dataclass(frozen=True, kw_only=True)
class Names:
    """What a request can name: a tenant's own, or made up."""

    document: str
    collection: str
    job: str
    version: str
    documents_cursor: str
    jobs_cursor: str


Call = Callable[[TestClient, Names, dict[str, str]], list[Response]]


def get(path: str, **params: str) -> Call:
    def call(client: TestClient, names: Names, headers: dict[str, str]) -> list[Response]:
        filled = {name: value.format(n=names) for name, value in params.items()}
        return [client.get(path.format(n=names), params=filled, headers=headers)]

    return call


def send(method: str, path: str, *bodies: Callable[[Names], dict[str, Any]], headers: str = "") -> Call:
    def call(client: TestClient, names: Names, key: dict[str, str]) -> list[Response]:
        sent = key | ({"If-Match": headers.format(n=names)} if headers else {})
        made = [body(names) for body in bodies] or [None]
        return [client.request(method, path.format(n=names), json=body, headers=sent) for body in made]

    return call


def both(*calls: Call) -> Call:
    return lambda client, names, headers: [reply for call in calls for reply in call(client, names, headers)]


def sources(**body: Any) -> tuple[Callable[[Names], dict[str, Any]], ...]:
    """A request about the other's documents, collection and, over all that is one's own, metadata."""
    return (
        lambda names: {**body, "documents": [names.document]},
        lambda names: {**body, "collection": names.collection},
        lambda names: {**body, "filters": {"client": "Ibex"}},
        lambda names: body,
    )


def cited(names: Names) -> dict[str, Any]:
    place = {"document_id": names.document, "version": names.version, "start": 0, "end": 9, "quote": TEXT[:9]}
    return {"citations": [place]}


def chat(names: Names) -> dict[str, Any]:
    return {"model": f"lectern/{names.collection}", "messages": [{"role": "user", "content": QUESTION}]}


def as_lines(client: TestClient, names: Names, headers: dict[str, str]) -> list[Response]:
    line = json.dumps({"text": OWN, "collection": names.collection})
    sent = headers | {"Content-Type": "application/x-ndjson"}
    return [client.post("/documents/batch", content=line, headers=sent)]


EMBEDDINGS = (
    lambda _: {"model": "lectern", "input": "gnu"},
    lambda names: {"model": f"lectern/{names.collection}", "input": "gnu"},
)
SUMMARIES = (*sources()[:2], lambda names: {"document": names.document})
CASES: dict[tuple[str, str], Call] = {
    ("POST", "/ask"): send("POST", "/ask", *sources(question=QUESTION)),
    ("POST", "/summarize"): send("POST", "/summarize", *SUMMARIES),
    ("POST", "/search"): both(
        *(send("POST", "/search", *sources(query=QUESTION, mode=mode)) for mode in ("sparse", "dense", "hybrid"))
    ),
    ("POST", "/verify"): send("POST", "/verify", cited),
    ("POST", "/documents"): send("POST", "/documents", lambda names: {"text": OWN, "collection": names.collection}),
    ("GET", "/documents"): both(
        get("/documents", collection="{n.collection}"), get("/documents", cursor="{n.documents_cursor}")
    ),
    ("POST", "/documents/batch"): as_lines,
    ("GET", "/documents/{document_id}"): get("/documents/{n.document}"),
    ("PUT", "/documents/{document_id}"): both(
        send("PUT", "/documents/{n.document}", lambda _: {"text": OWN}, headers='"{n.version}"'),
        send("PUT", "/documents/{n.document}", lambda _: {"text": OWN}),
    ),
    ("PATCH", "/documents/{document_id}"): send("PATCH", "/documents/{n.document}", lambda _: {"title": "Mine"}),
    ("DELETE", "/documents/{document_id}"): both(
        send("DELETE", "/documents/{n.document}", headers='"{n.version}"'), send("DELETE", "/documents/{n.document}")
    ),
    ("GET", "/documents/{document_id}/text"): both(
        get("/documents/{n.document}/text"), get("/documents/{n.document}/text", version="{n.version}")
    ),
    ("GET", "/documents/{document_id}/outline"): both(
        get("/documents/{n.document}/outline"), get("/documents/{n.document}/outline", version="{n.version}")
    ),
    ("GET", "/documents/{document_id}/file"): get("/documents/{n.document}/file"),
    ("GET", "/collections"): get("/collections"),
    ("GET", "/collections/{name}"): get("/collections/{n.collection}"),
    ("PUT", "/collections/{name}"): send("PUT", "/collections/{n.collection}", lambda _: {"metadata": {}}),
    ("DELETE", "/collections/{name}"): send("DELETE", "/collections/{n.collection}"),
    ("POST", "/collections/{name}/adapt"): send("POST", "/collections/{n.collection}/adapt"),
    ("POST", "/collections/{name}/adapt/rollback"): send("POST", "/collections/{n.collection}/adapt/rollback"),
    ("GET", "/jobs"): both(get("/jobs"), get("/jobs", cursor="{n.jobs_cursor}")),
    ("GET", "/jobs/{job_id}"): both(get("/jobs/{n.job}"), get("/jobs/{n.job}", wait="1")),
    ("DELETE", "/jobs/{job_id}"): send("DELETE", "/jobs/{n.job}"),
    ("GET", "/jobs/{job_id}/events"): get("/jobs/{n.job}/events"),
    ("GET", "/metrics"): get("/metrics"),
    ("POST", "/v1/chat/completions"): send("POST", "/v1/chat/completions", chat),
    ("POST", "/v1/embeddings"): send("POST", "/v1/embeddings", *EMBEDDINGS),
    ("GET", "/v1/models"): get("/v1/models"),
    ("GET", "/v1/models/lectern/{name}"): get("/v1/models/lectern/{n.collection}"),
    ("GET", "/v1/models/{name}"): get("/v1/models/{n.collection}"),
    ("GET", "/livez"): get("/livez"),
    ("GET", "/readyz"): get("/readyz"),
    ("GET", "/version"): get("/version"),
}


@dataclass(frozen=True, kw_only=True)
class World:
    """A service with two tenants, one of which is called by the other's names."""

    client: TestClient
    theirs: dict[str, str]
    mine: dict[str, str]
    names: Names

    def state(self) -> Any:
        """All that the other tenant sees of its own."""
        client, headers = self.client, self.theirs
        paths = ["/documents", "/collections", "/jobs", f"/documents/{self.names.document}/text"]
        return [client.get(path, headers=headers).json() for path in paths]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    from app.wiring import build
    from tests.fakes import HashingEncoder, OverlapReader

    settings = Settings(data_dir=tmp_path_factory.mktemp("tenants"))
    app = create_app(settings, make=lambda s: build(s, encoder=HashingEncoder(), reader=OverlapReader()))
    with TestClient(app) as client:
        store = client.app.state.lectern.store
        theirs, mine = bearing(new_key(store, "acme")), bearing(new_key(store, "globex"))
        made = client.put(
            "/documents/aardvark",
            files={"file": ("numbat.txt", TEXT.encode())},
            data={"title": "Aardvark ledger", "metadata": json.dumps({"client": "Ibex"}), "collection": "okapi"},
            headers=theirs,
        ).json()
        for number in range(2):
            text = {"text": f"{TEXT} {number}", "title": "Aardvark", "metadata": {"client": "Ibex"}}
            assert client.post("/documents", json=text, headers=theirs).status_code == 201
        jobs = client.get("/jobs?limit=1", headers=theirs).json()
        names = Names(
            document="aardvark",
            collection="okapi",
            job=jobs["jobs"][0]["id"],
            version=made["version"],
            documents_cursor=client.get("/documents?limit=1", headers=theirs).json()["next_cursor"],
            jobs_cursor=jobs["next_cursor"],
        )
        yield World(client=client, theirs=theirs, mine=mine, names=names)


@pytest.fixture
def fresh(world: World) -> Iterator[World]:
    """The caller's tenant has one document of its own, and nothing more when the test is over."""
    store = world.client.app.state.lectern.store
    assert world.client.post("/documents", json={"text": OWN}, headers=world.mine).status_code == 201
    yield world
    for collection in store.collections("globex"):
        store.delete_collection("globex", collection.name)


def made_up(names: Names) -> Names:
    """Names of the same kinds that nobody has."""

    def moved(cursor: str) -> str:
        at, _ = json.loads(base64.urlsafe_b64decode(cursor + "=="))
        return base64.urlsafe_b64encode(json.dumps([at, "a" * 16]).encode()).decode().rstrip("=")

    return Names(
        document="nothing0",
        collection="empty",
        job="a" * 16,
        version="sha256:" + "0" * 64,
        documents_cursor=moved(names.documents_cursor),
        jobs_cursor=moved(names.jobs_cursor),
    )


VOLATILE = {"id", "job", "request_id", "timings_ms", "created_at", "updated_at", "created", "version", "next_cursor"}


def plain(reply: Response, names: Names) -> tuple[int, Any]:
    """A reply without what differs between any two requests, the names that were sent taken out."""
    text = reply.text
    for each in (names, made_up(names)):  # a list of jobs names what the calls before have made
        for value in (each.document, each.collection, each.job, each.version):
            text = text.replace(value, "NAME")
    text = re.sub(r"[a-z2-7]{16}(\.1\.0)?", "ID", text)
    try:
        return reply.status_code, stable(json.loads(text))
    except ValueError:
        return reply.status_code, re.sub(r"\d[\d.e+\-]*", "0", text)


def stable(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: None if name in VOLATILE else stable(inner) for name, inner in value.items()}
    return [stable(inner) for inner in value] if isinstance(value, list) else value


BEHIND = ("job-", "batch", "lectern-indexes")  # threads that do what requests have left to do: at any time


@pytest.fixture
def statements(world: World) -> Iterator[list[str]]:
    found: list[str] = []
    engine = world.client.app.state.lectern.store._db._engine

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if threading.current_thread().name.startswith(BEHIND):
            return
        if "FROM keys" not in statement and statement != "BEGIN":  # the key is looked up now and then
            found.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield found
    event.remove(engine, "before_cursor_execute", note)


def operations() -> list[tuple[str, str]]:
    paths = create_app(Settings()).openapi()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


@pytest.mark.parametrize("operation", operations(), ids=" ".join)
def test_what_is_another_tenant_s_is_answered_as_what_never_was(
    fresh: World, statements: list[str], operation: tuple[str, str], record_property: Callable[[str, int], None]
) -> None:
    assert operation in CASES, "say here how another tenant's names could be sent to this route"
    call = CASES[operation]
    before = fresh.state()
    unknown = made_up(fresh.names)
    call(fresh.client, unknown, fresh.mine)  # what is opened at first use is open then
    forget(fresh)
    statements.clear()
    expected = [plain(reply, fresh.names) for reply in call(fresh.client, unknown, fresh.mine)]
    asked = statements.copy()
    forget(fresh)
    statements.clear()
    replies = call(fresh.client, fresh.names, fresh.mine)
    answered = [plain(reply, fresh.names) for reply in replies]
    record_property("tenants.routes", 1)
    record_property("tenants.requests", len(replies))
    record_property("tenants.told_apart", sum(one != other for one, other in zip(answered, expected, strict=True)))
    assert answered == expected
    if {reply.status_code for reply in replies} == {404}:
        assert statements == asked
    sent = (fresh.names.document, fresh.names.collection)
    for reply in replies:
        told = reply.text.lower()
        for value in sent:
            told = told.replace(value, "")
        assert not [mark for mark in MARKS if mark in told]
    assert fresh.state() == before


def forget(world: World) -> None:
    """What a call made of its own is gone again."""
    store = world.client.app.state.lectern.store
    for document in store.documents("globex", limit=99)[0]:
        if document.id in ("nothing0", "aardvark") or document.collection != "default":
            store.delete_document("globex", document.id)
    for collection in store.collections("globex"):
        if collection.name != "default":
            store.delete_collection("globex", collection.name)


def test_the_cases_do_reach_what_they_name_when_it_is_one_s_own(world: World) -> None:
    reached = [
        operation
        for operation in operations()
        if operation[0] == "GET" and "{" in operation[1]
        for reply in CASES[operation](world.client, world.names, world.theirs)
        if reply.status_code == 200
    ]
    assert {path for _, path in reached} >= {
        "/documents/{document_id}",
        "/documents/{document_id}/text",
        "/documents/{document_id}/outline",
        "/documents/{document_id}/file",
        "/collections/{name}",
        "/jobs/{job_id}",
    }
    found = world.client.post("/ask", json={"question": QUESTION}, headers=world.theirs).json()
    assert found["answer"] == "barley"


def test_the_same_bytes_are_another_document_in_another_tenant(fresh: World) -> None:
    before = fresh.state()
    made = fresh.client.post("/documents", json={"text": f"{TEXT} 0"}, headers=fresh.mine)
    assert made.status_code == 201
    again = fresh.client.post("/documents", json={"text": f"{TEXT} 0"}, headers=fresh.mine)
    assert (again.status_code, again.json()["id"]) == (200, made.json()["id"])
    assert made.json()["id"] not in {each["id"] for each in before[0]["documents"]}
    assert fresh.state() == before


def test_an_idempotency_key_of_another_tenant_is_neither_replayed_nor_known(fresh: World) -> None:
    theirs = fresh.theirs | {"Idempotency-Key": "the-same"}
    sent = {"text": f"{TEXT} 9", "collection": "okapi"}
    first = fresh.client.post("/documents", json=sent, headers=theirs)
    assert first.status_code == 201
    assert fresh.client.post("/documents", json=sent, headers=theirs).headers["idempotent-replayed"]
    before = fresh.state()
    for text, status in ((f"{TEXT} 9", 201), ("something else", 422)):  # the key is reused then, but by oneself
        mine = fresh.mine | {"Idempotency-Key": "the-same"}
        reply = fresh.client.post("/documents", json={"text": text}, headers=mine)
        assert reply.status_code == status
        assert "idempotent-replayed" not in reply.headers
        assert first.json()["id"] not in reply.text
    assert fresh.state() == before


def test_a_cursor_of_another_tenant_shows_one_s_own_documents_only(fresh: World) -> None:
    cursor = fresh.names.documents_cursor
    page = fresh.client.get("/documents", params={"cursor": cursor}, headers=fresh.mine).json()
    assert [each["title"] for each in page["documents"]] == [each["id"] for each in page["documents"]]
    assert len(page["documents"]) == 1
    own = fresh.client.get("/documents?limit=1", headers=fresh.theirs).json()["next_cursor"]
    assert own == cursor


def test_what_a_tenant_deletes_under_an_id_of_its_own_stays_in_the_other(fresh: World) -> None:
    before = fresh.state()
    assert fresh.client.put("/documents/aardvark", json={"text": OWN}, headers=fresh.mine).status_code == 201
    assert fresh.client.get("/documents/aardvark/text", headers=fresh.mine).json()["text"] == OWN
    assert fresh.state() == before
    assert fresh.client.delete("/documents/aardvark", headers=fresh.mine).status_code == 204
    assert fresh.client.put("/collections/okapi", json={}, headers=fresh.mine).status_code == 201
    assert fresh.client.delete("/collections/okapi", headers=fresh.mine).status_code == 204
    assert fresh.state() == before
    hits = fresh.client.post("/search", json={"query": "zebra", "collection": "okapi"}, headers=fresh.theirs).json()
    assert hits["hits"]
