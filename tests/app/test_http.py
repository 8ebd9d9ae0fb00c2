import asyncio
import json
import logging
import subprocess
import sys

import pytest
from fastapi.testclient import TestClient

from app import telemetry
from app.desk import Desk
from app.errors import QueueFull
from app.main import create_app
from app.settings import Settings
from retriever.errors import StorageFull, StoreUnavailable
from tests.app.served import ROOT
from tests.app.test_documents_api import PUMPS, add, assert_problem

JSON = {"content-type": "application/json"}


def test_a_sane_request_id_is_the_callers_and_any_other_is_replaced(client):
    assert client.get("/livez", headers={"X-Request-ID": "abc-1.2_3"}).headers["x-request-id"] == "abc-1.2_3"
    for bad in ("a b", "x" * 129, "", "a\tb", "é".encode().decode("latin-1")):
        found = client.get("/livez", headers={"X-Request-ID": bad.encode("latin-1")}).headers["x-request-id"]
        assert found != bad
        assert len(found) == 32


def test_the_request_id_is_in_problems_and_in_the_log_and_no_text_is(client, caplog):
    with caplog.at_level(logging.INFO, logger="lectern"):
        reply = client.post(
            "/ask",
            json={"question": "plantedquestion?", "text": "plantedtext", "top_k": 99},
            headers={"X-Request-ID": "rid"},
        )
        add(client, "plantedtext of a document")
        client.post("/ask", json={"question": "plantedquestion?"})
    assert reply.json()["request_id"] == "rid"
    lines = [telemetry.JsonLines().format(record) for record in caplog.records]
    assert any(json.loads(line)["event"] == "request" for line in lines)
    assert "planted" not in "".join(lines) + reply.text


def test_a_log_line_of_an_error_has_its_place_and_not_its_message():
    try:
        raise ValueError("plantedtext")
    except ValueError as error:
        record = logging.LogRecord("lectern", 40, __file__, 1, "failed", (), (ValueError, error, error.__traceback__))
    line = telemetry.JsonLines().format(record)
    assert "plantedtext" not in line
    assert json.loads(line)["error"][0]["kind"] == "ValueError"
    assert "test_http.py" in json.loads(line)["error"][0]["at"][0]


def test_what_asyncio_says_of_a_task_that_nobody_waits_for_is_a_line_without_the_message():
    script = (
        "import asyncio, gc; from app import telemetry\n"
        "telemetry.configure('info')\n"
        "async def fail(): raise ValueError('plantedtext')\n"
        "async def main():\n"
        "    asyncio.create_task(fail(), name='lost'); await asyncio.sleep(0); await asyncio.sleep(0); gc.collect()\n"
        "asyncio.run(main())"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    line = json.loads(done.stderr)
    assert (line["event"], line["error"][0]["kind"]) == ("Task exception was never retrieved", "ValueError")
    assert "planted" not in done.stderr


def test_unknown_paths_and_methods_are_problems(client):
    assert_problem(client.get("/nope"), 404, "not_found")
    assert_problem(client.get("/documents/"), 404, "not_found")
    reply = client.put("/ask")
    assert_problem(reply, 405, "method")
    assert reply.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"question": NaN}',
        b'{"question": "x", "target_error": 1e999}',
        b'{"question": "\xff"}',
        b'{"question": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' * 100 + b"1" + b"}" * 100,
        b'{"question": "x", "top_k": ' + b"9" * 5_000 + b"}",
    ],
)
def test_what_is_not_json_is_malformed(client, body):
    assert_problem(client.post("/ask", content=body, headers=JSON), 400, "malformed")


def test_a_byte_order_mark_before_json_is_no_error(client):
    assert client.post("/ask", content=b'\xef\xbb\xbf{"question": "x"}', headers=JSON).status_code == 200


def test_json_under_another_name_is_unsupported(client):
    assert_problem(
        client.post("/ask", content=b'{"question": "x"}', headers={"content-type": "text/plain"}), 415, "unsupported"
    )


def test_lone_surrogates_in_a_question_do_no_harm(client):
    reply = client.post("/ask", content=b'{"question": "what\\ud800?", "text": "a \\udfff b"}', headers=JSON)
    assert reply.status_code == 200


@pytest.fixture
def small(tmp_path, make_lectern):
    settings = Settings(data_dir=tmp_path / "data", max_body_bytes=2_000)
    with TestClient(create_app(settings, make=make_lectern)) as client:
        yield client


def test_a_body_over_the_limit_is_refused_by_its_declared_length(small):
    assert_problem(small.post("/ask", json={"question": "x", "text": "y " * 2_000}), 413, "too_large")


def test_a_body_over_the_limit_is_refused_while_it_streams_in_before_it_is_whole(small):
    chunks = (b"x" * 1_000 for _ in range(1_000))
    assert_problem(small.post("/documents", content=chunks, headers=JSON), 413, "too_large")


def test_a_multipart_body_over_the_limit_is_refused(small):
    assert_problem(small.post("/documents", files={"file": ("a.txt", b"x" * 3_000)}), 413, "too_large")


def test_a_body_at_the_limit_is_taken(small):
    body = json.dumps({"question": "x", "text": "y"})
    padded = body + " " * (2_000 - len(body))
    assert small.post("/ask", content=padded, headers=JSON).status_code == 200
    assert_problem(small.post("/ask", content=padded + " ", headers=JSON), 413, "too_large")


def test_a_full_queue_is_busy_and_says_when_to_try_again(tmp_path, make_lectern):
    settings = Settings(data_dir=tmp_path / "data", request_threads=1, request_queue=0)
    with TestClient(create_app(settings, make=make_lectern)) as client:
        desk: Desk = client.app.state.lectern.desk
        import threading

        hold = threading.Event()
        held = desk.submit(hold.wait)
        reply = client.post("/ask", json={"question": "x"})
        hold.set()
        held.result(10)
        assert_problem(reply, 503, "busy")
        assert int(reply.headers["retry-after"]) > 0
        assert client.post("/ask", json={"question": "x"}).status_code == 200


def test_a_desk_takes_what_fits_and_refuses_the_rest():
    desk = Desk(threads=1, queue=1)
    import threading

    hold = threading.Event()
    first, second = desk.submit(hold.wait), desk.submit(lambda: 2)
    with pytest.raises(QueueFull):
        desk.submit(lambda: 3)
    hold.set()
    assert (first.result(10), second.result(10)) == (True, 2)
    desk.close()


def test_a_place_at_the_desk_is_free_before_its_reply_is_told():
    desk = Desk(threads=1, queue=0)
    taken = []

    def work(attached):
        attached.future.add_done_callback(lambda _: taken.append(desk.taken))
        return {}

    _, result = asyncio.run(desk.begin(work, wait=60))
    assert (result, taken) == ({}, [0])
    desk.close()


@pytest.mark.parametrize(("error", "status"), [(StorageFull("disk"), 507), (StoreUnavailable("locked"), 503)])
def test_a_store_that_cannot_write_is_said_so(client, monkeypatch, error, status):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(client.app.state.lectern.store, "accept", refuse)
    problem = assert_problem(client.post("/documents", json={"text": "x"}), status, "storage")
    assert "disk" not in problem["detail"]
    assert "locked" not in problem["detail"]


def test_readyz_is_503_while_the_store_cannot_be_reached(client, monkeypatch):
    while client.get("/readyz").json()["indexes"] == "opening":
        pass
    models = client.get("/readyz").json()["models"]
    assert models.pop("summarizer")
    assert models == {"encoder": "hashing@1", "reader": "overlap@000000000000"}

    def refuse():
        raise StoreUnavailable("gone")

    monkeypatch.setattr(client.app.state.lectern.store, "ping", refuse)
    reply = client.get("/readyz")
    assert (reply.status_code, reply.json()["ready"], reply.json()["store"]) == (503, False, "unavailable")


def test_a_defect_is_a_500_without_a_trace(client, monkeypatch):
    def break_down(*_, **__):
        raise RuntimeError("plantedtext")

    monkeypatch.setattr(client.app.state.lectern.finder, "search", break_down)
    reply = client.post("/search", json={"query": "x"})
    assert_problem(reply, 500, "internal")
    assert "planted" not in reply.text


def test_a_file_that_is_refused_is_no_error_of_the_service(client, caplog):
    with caplog.at_level(logging.INFO, logger="lectern"):
        reply = client.post("/documents", files={"file": ("a.txt", b" ", "text/plain")})
    assert_problem(reply, 422, "no_text")
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_a_broken_citation_withholds_the_reply(client, monkeypatch):
    from app import answering

    add(client)
    real = answering.cite
    monkeypatch.setattr(answering, "cite", lambda source, start, end, **more: real(source, start + 1, end + 1, **more))
    assert_problem(client.post("/ask", json={"question": "What does the filter of the pump cost?"}), 500, "internal")


def test_version_and_live_answer(client):
    assert client.get("/version").json()["name"] == "lectern"
    assert client.get("/livez").json() == {"alive": True}


def test_openapi_describes_every_route_with_its_errors(client):
    document = client.get("/openapi.json").json()
    names = set(document["components"]["schemas"])
    assert {"AskRequest", "AskReply", "Problem", "DocumentUpload"} <= names
    references = set()

    def walk(node):
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                references.add(node["$ref"].rsplit("/", 1)[-1])
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(document)
    assert references <= names
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for status in ("405", "500", "503"):
                assert status in operation["responses"], (method, path)
    assert "413" in document["paths"]["/ask"]["post"]["responses"]
    assert "HTTPValidationError" not in names


def test_locations_honour_the_root_path(tmp_path, make_lectern):
    app = create_app(Settings(data_dir=tmp_path / "data"), make=make_lectern)
    with TestClient(app, root_path="/lectern") as client:
        reply = client.post("/documents?wait=0", json={"text": PUMPS})
        assert reply.headers["location"] == f"/lectern/jobs/{reply.json()['job']}"
        assert client.get("/openapi.json").json()["servers"] == [{"url": "/lectern"}]
