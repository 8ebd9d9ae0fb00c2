"""Nothing that a user wrote is in a log, a metric or an error: marks are planted everywhere and looked for.

Every operation of the OpenAPI document is called with marks in all places that a request has, in ways that succeed and
in ways that fail, on a real server; its log and all its errors are read to the last byte.
"""

import itertools
import json
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from app.main import create_app
from app.settings import Settings
from retriever.store import Store
from tests.app.callers import bearing, new_key
from tests.app.served import Server
from tests.retriever.pdfs import pdf

MARK = "zq9xj"  # in nothing that Lectern says of itself: no id of its making has a 9
FREE = f"Planted {MARK}free text; of a kind that no name has."
PATHS = [f"{MARK}/../x", f"{MARK} free", "%00" + MARK, f"{MARK}'; DROP TABLE documents; --", f"<{MARK}>"]

BODIES: list[Any] = [
    {"question": FREE},
    {"question": FREE, "text": FREE},
    {"question": FREE, "text": FREE, "collection": FREE},
    {"question": 5, FREE: FREE},
    {"question": FREE, "filters": {FREE: {"gte": [FREE]}}},
    {"question": FREE, "filters": {FREE: FREE}},
    {"question": FREE, "documents": [FREE]},
    {"questions": [FREE] * 65},
    {"question": FREE * 100},
    {"query": FREE},
    {"query": FREE, "mode": FREE},
    {"query": FREE, "text": FREE},
    {"text": FREE, "length": {"words": FREE}},
    {"text": FREE, "length": {"sentences": 1}},
    {"text": FREE, "title": FREE, "metadata": {FREE: FREE}},
    {"text": FREE, "title": FREE * 100},
    {"text": FREE, "collection": FREE},
    {"text": FREE, "metadata": FREE},
    {"text": FREE, "media_type": FREE},
    {"title": FREE, "metadata": {"a": FREE}},
    {"citations": [{"document_id": FREE, "version": FREE, "start": 0, "end": 9, "quote": FREE}]},
    {"citations": [{"document_id": "a", "version": "sha256:" + MARK, "start": 9, "end": 0, "quote": FREE}]},
    {"model": FREE, "messages": [{"role": FREE, "content": FREE}]},
    {"model": FREE, "input": [FREE]},
    {"metadata": {FREE: FREE}},
    [FREE],
    FREE,
]
RAW = [
    (b"", "application/json"),
    (f'{{"{FREE}": '.encode(), "application/json"),
    (FREE.encode(), f"text/{MARK}"),
    (FREE.encode(), "application/x-ndjson"),
    (f"--x\r\n{FREE}".encode(), f"multipart/form-data; boundary={MARK}"),
    (FREE.encode(), "multipart/form-data"),
]
FILES = [
    (f"{MARK} file.txt", FREE.encode(), "text/plain"),
    (f"{MARK}.pdf", f"%PDF-1.7 {FREE}".encode(), "application/pdf"),
    (f"{MARK}.pdf", pdf([[]], title=FREE), "application/pdf"),
    (f"{MARK}.docx", b"PK\x03\x04" + FREE.encode(), f"application/{MARK}"),
    (f"a.{MARK}", b"\x00\x01" + FREE.encode(), f"image/{MARK}"),
    (f"{MARK}.html", b"<p>" * 2_000 + FREE.encode(), "text/html"),
    (f"{MARK}.epub", FREE.encode(), "application/epub+zip"),
    (f"{MARK}.vtt", b"WEBVTT\n\n" + FREE.encode(), "text/vtt"),
    (f"{MARK}.jsonl", b'{"text": ' + FREE.encode(), "application/jsonl"),
    (f"{MARK}.py", f"def {MARK}(:\n  '{FREE}".encode(), "text/x-python"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    folder = tmp_path_factory.mktemp("data")
    store = Store(f"sqlite:///{folder / 'lectern.sqlite3'}")
    secret = new_key(store, scopes="admin", name=FREE, requests_per_minute=100_000)
    store.close()
    server = Server(folder, log_level="debug", answer_wait="5")
    server.client.headers.update(bearing(secret))
    yield server, secret
    if server.process.poll() is None:
        server.stop(signal.SIGKILL)


def operations() -> list[tuple[str, str]]:
    paths = create_app(Settings()).openapi()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


def filled(path: str, name: str) -> str:
    return "/".join(name if part.startswith("{") else part for part in path.split("/"))


def requests(method: str, path: str) -> Iterator[dict[str, Any]]:
    """Requests to an operation with marks in its path, its query, its headers and its body."""
    named = [filled(path, name) for name in ("known", *PATHS)] if "{" in path else [path]
    for body in ({"json": {"text": FREE}}, {"json": {"title": FREE}}) if method in ("PUT", "PATCH") else ({},):
        yield {"url": named[0], "headers": {"If-Match": f'"{FREE}"'}, **body}
    for place in named:
        yield {"url": place, "params": {"cursor": FREE, "collection": FREE, "limit": FREE, "wait": FREE}}
        yield {"url": place, "params": {"version": FREE, "start": "0", "end": FREE, "key": FREE}}
        yield {"url": place, "params": {"version": FREE, "start": "0"}}
        yield {"url": place, "params": {"collection": FREE}}
        yield {"url": place, "headers": {"X-Request-ID": FREE, "If-Match": f'"{FREE}"', "Last-Event-ID": FREE}}
        yield {"url": place, "headers": {"Authorization": f"Bearer {MARK}", "Cookie": FREE, "Origin": f"http://{MARK}"}}
        yield {"url": place, "headers": {"Idempotency-Key": FREE, "User-Agent": FREE}}
    if method in ("POST", "PUT", "PATCH"):
        for place, body in itertools.product(named[:2], BODIES):
            yield {"url": place, "json": body, "headers": {"Idempotency-Key": FREE}}
        for content, kind in RAW:
            yield {"url": named[0], "content": content, "headers": {"Content-Type": kind}}
        for file in FILES:
            yield {"url": named[0], "files": {"file": file}, "data": {"title": FREE, "metadata": json.dumps({FREE: 1})}}
            yield {"url": named[0], "files": {FREE: file}, "data": {"metadata": FREE, FREE: FREE}}


def told(reply: httpx.Response) -> str:
    """What an error says, with its headers; of a reply that is none, nothing: it may hold the user's own words."""
    if reply.status_code < 400:
        return ""
    return reply.text + str(reply.headers)


def test_nothing_that_a_user_wrote_is_in_an_error_or_in_the_log(
    server: tuple[Server, str], record_property: Callable[[str, int], None]
) -> None:
    running, secret = server
    client = running.client
    statuses: dict[int, int] = {}
    for method, path in operations():
        client.put("/documents/known", json={"text": FREE, "title": FREE, "metadata": {"a": FREE}})
        for request in requests(method, path):
            reply = client.request(method, **request)
            assert MARK not in told(reply).lower(), (method, path, request)
            statuses[reply.status_code] = statuses.get(reply.status_code, 0) + 1
    assert {200, 201, 400, 401, 404, 412, 415, 422} <= statuses.keys(), statuses
    assert not statuses.keys() & {500, 503, 507}, statuses
    for job in client.get("/jobs?limit=1000").json()["jobs"]:
        assert MARK not in json.dumps(job["problem"])
    assert MARK not in client.get("/metrics").text
    host, port = running.url.removeprefix("http://").split(":")
    for raw in (f"GET /{MARK} HTTP/9\r\n\r\n", f"{MARK} / HTTP/1.1\r\nHost: {MARK}\r\n\r\n", f"{MARK}\r\n\r\n"):
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(raw.encode())
            assert MARK not in connection.recv(65_536).decode()
    running.stop()
    log = "".join(running.written)
    record_property("marks.requests", sum(statuses.values()))
    record_property("marks.errors", sum(count for status, count in statuses.items() if status >= 400))
    record_property("marks.bytes_of_log", len(log))
    record_property("marks.found", log.lower().count(MARK))
    assert log.count('"event": "request"') > 1_000
    assert MARK not in log.lower()
    assert secret not in log
    assert secret.rsplit("_", 1)[1] not in log


def test_a_defect_and_a_full_disk_say_nothing_of_what_was_sent(client, monkeypatch, capfd) -> None:
    from app import telemetry

    telemetry.configure("debug")
    lectern = client.app.state.lectern
    client.post("/documents", json={"text": FREE})

    def broken(*_: object, **__: object) -> None:
        try:
            raise ValueError(FREE)
        except ValueError as error:
            raise RuntimeError(FREE) from error

    for part, name in ((lectern.store, "accept"), (lectern.store, "document"), (lectern.finder, "search")):
        monkeypatch.setattr(part, name, broken)
    monkeypatch.setattr(lectern.answering, "ask", broken)
    replies = [
        client.post("/documents", json={"text": FREE}),
        client.get("/documents/known"),
        client.post("/search", json={"query": FREE}),
        client.post("/ask", json={"question": FREE}),
        client.post("/ask", json={"question": FREE, "wait": 0}),
    ]
    assert [reply.status_code for reply in replies] == [500, 500, 500, 500, 202]
    job = client.get(f"/jobs/{replies[-1].json()['job']}?wait=10").json()
    assert job["status"] == "failed"
    assert MARK not in json.dumps(job) + "".join(told(reply) for reply in replies)
    logged = capfd.readouterr().err
    assert logged.count('"request failed"') >= 4
    assert MARK not in logged
