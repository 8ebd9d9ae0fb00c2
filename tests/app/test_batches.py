import json
import signal

import pytest
from fastapi.testclient import TestClient

from app import jobs
from app.main import create_app
from app.settings import Settings
from retriever.errors import LimitExceeded, StorageFull
from tests.app.held import held
from tests.app.served import Server
from tests.app.test_documents_api import PUMPS, add, assert_problem

LINES = {"content-type": "application/x-ndjson"}


def body(*documents, end="\n"):
    lines = (each if isinstance(each, bytes) else json.dumps(each).encode() for each in documents)
    return b"".join(line + end.encode() for line in lines)


def send(client, *documents, **headers):
    return client.post("/documents/batch", content=body(*documents), headers={**LINES, **headers})


def result(client, reply):
    assert reply.status_code == 202, reply.text
    job = client.get(reply.headers["location"], params={"wait": 30}).json()
    assert (job["kind"], job["status"], job["problem"]) == ("batch", "succeeded", None)
    return job["result"]


def test_a_batch_is_a_job_with_a_result_for_each_line(client):
    reply = send(
        client, {"text": PUMPS, "title": "Pumps"}, {"text": "Second.", "collection": "b", "metadata": {"n": 2}}
    )
    accepted = reply.json()
    assert set(accepted) == {"job", "status", "progress"}
    assert reply.headers["location"] == f"/jobs/{accepted['job']}"
    found = result(client, reply)
    assert (found["succeeded"], found["failed"]) == (2, 0)
    assert [(each["line"], each["status"], each["problem"]) for each in found["results"]] == [
        (1, 201, None),
        (2, 201, None),
    ]
    first, second = (client.get(f"/documents/{each['id']}").json() for each in found["results"])
    assert (first["title"], first["version"]) == ("Pumps", found["results"][0]["version"])
    assert (second["collection"], second["metadata"], second["status"]) == ("b", {"n": 2}, "indexed")
    assert client.post("/search", json={"query": "pump filter"}).json()["hits"]
    assert client.get(f"/jobs/{accepted['job']}").json()["progress"] == {"done": 2, "total": 2, "unit": "lines"}


def test_a_bad_line_fails_alone_with_its_number_and_problem(client):
    lines = [
        {"text": "One."},
        b"{",
        b"",
        {"text": ""},
        {"text": "x", "colour": 1},
        b"[]",
        b'"x"',
        b"\xff",
        {"text": "Two."},
    ]
    found = result(client, send(client, *lines))
    told = [(each["line"], each["status"], (each["problem"] or {}).get("code")) for each in found["results"]]
    assert told == [
        (1, 201, None),
        (2, 400, "malformed"),
        (4, 422, "invalid"),
        (5, 422, "invalid"),
        (6, 422, "invalid"),
        (7, 422, "invalid"),
        (8, 400, "malformed"),
        (9, 201, None),
    ]
    assert found["results"][2]["problem"]["errors"][0]["loc"] == ["text"]
    assert (found["succeeded"], found["failed"]) == (2, 6)
    assert len(client.get("/documents").json()["documents"]) == 2


def test_a_document_that_is_there_already_is_known_again(client):
    made = add(client)
    found = result(client, send(client, {"text": PUMPS}, {"text": "New."}, {"text": "New."}))
    assert [each["status"] for each in found["results"]] == [200, 201, 200]
    assert found["results"][0]["id"] == made["id"]
    assert found["results"][1]["id"] == found["results"][2]["id"]
    many = result(client, send(client, *({"text": f"Twice {n // 2}."} for n in range(40))))
    assert [each["status"] for each in many["results"]] == [201, 200] * 20


@pytest.mark.parametrize("end", ["\r\n", "\n\n", "\n"])
def test_line_ends_of_all_kinds_and_none_at_the_end(client, end):
    content = body({"text": "One."}, {"text": "Two."}, end=end).rstrip()
    assert result(client, client.post("/documents/batch", content=content, headers=LINES))["succeeded"] == 2


def test_lines_may_come_in_pieces_of_any_size(client):
    content = body({"text": "Första. 😀"}, {"text": "Two."})
    pieces = (content[n : n + 3] for n in range(0, len(content), 3))
    found = result(client, client.post("/documents/batch", content=pieces, headers=LINES))
    texts = {client.get(f"/documents/{each['id']}/text").json()["text"] for each in found["results"]}
    assert texts == {"Första. 😀", "Two."}


def test_a_batch_that_cannot_be_is_refused(client):
    assert_problem(client.post("/documents/batch", content=b"", headers=LINES), 422, "invalid")
    assert_problem(client.post("/documents/batch", content=b"\n \r\n", headers=LINES), 422, "invalid")
    assert_problem(client.post("/documents/batch", content=b"{}\n" * 10_001, headers=LINES), 422, "invalid")
    assert_problem(client.post("/documents/batch", json={"text": "x"}), 415, "unsupported")
    assert client.get("/jobs").json()["jobs"] == []


def test_a_batch_over_the_limit_is_refused_while_it_streams_in(tmp_path, make_lectern):
    settings = Settings(data_dir=tmp_path / "data", max_body_bytes=20_000)
    with TestClient(create_app(settings, make=make_lectern)) as client:
        line = body({"text": "words " * 100})
        read = []

        def lines():
            for number in range(100_000):
                read.append(number)
                yield line

        assert_problem(client.post("/documents/batch", content=lines(), headers=LINES), 413, "too_large")
        assert client.get("/jobs").json()["jobs"] == []


def test_a_batch_goes_on_with_one_worker_and_however_full_the_queue_is(tmp_path, make_lectern):
    settings = Settings(data_dir=tmp_path / "data", job_workers=1, max_queued_jobs=1)
    with TestClient(create_app(settings, make=make_lectern)) as client:
        found = result(client, send(client, *({"text": f"Number {n}."} for n in range(20))))
        assert found["succeeded"] == 20


def test_a_tenants_quota_of_documents_holds_for_each_line(tmp_path, make_lectern):
    settings = Settings(data_dir=tmp_path / "data", max_documents=2)
    with TestClient(create_app(settings, make=make_lectern)) as client:
        found = result(client, send(client, *({"text": f"Number {n}."} for n in range(4))))
        assert [each["status"] for each in found["results"]] == [201, 201, 429, 429]


def test_a_full_disk_fails_no_line_of_a_batch_that_was_accepted(client, monkeypatch):
    monkeypatch.setattr(jobs, "STORE_RETRY_SECONDS", 0.01)
    store = client.app.state.lectern.store
    accept, refused = store.accept, []

    def refuse_at_first(*arguments, **named):
        if len(refused) < 3:
            refused.append(1)
            raise StorageFull("disk")
        return accept(*arguments, **named)

    monkeypatch.setattr(store, "accept", refuse_at_first)
    found = result(client, send(client, {"text": "One."}, {"text": "Two."}))
    assert (found["succeeded"], len(refused)) == (2, 3)


def test_a_batch_can_be_cancelled_and_leaves_no_lines_behind(client):
    reply = send(client, *({"text": f"Number {n}."} for n in range(2_000)))
    assert client.delete(reply.headers["location"]).status_code == 200
    job = client.get(reply.headers["location"], params={"wait": 30}).json()
    assert job["status"] == "cancelled"
    assert client.app.state.lectern.store.line_results("default", job["id"]) == []


def test_a_line_whose_document_cannot_be_read_fails_alone_and_leaves_nothing_behind(client, monkeypatch):
    parsers = client.app.state.lectern.ingesting._parsers
    real = parsers.parse_text

    def parse_text(text, *, media_type):
        if "bomb" in text:
            raise LimitExceeded("too much of it")
        return real(text, media_type=media_type)

    monkeypatch.setattr(parsers, "parse_text", parse_text)
    found = result(client, send(client, {"text": "One."}, {"text": "A bomb."}, {"text": "Two."}))
    assert [each["status"] for each in found["results"]] == [201, 422, 201]
    assert found["results"][1]["problem"]["code"] == "limits"
    assert len(client.get("/documents").json()["documents"]) == 2


def assert_whole(found, documents, count):
    """Every line has one document, in order, and nothing is there twice."""
    results = found["result"]["results"]
    assert [(each["line"], each["status"]) for each in results] == [(n, 201) for n in range(1, count + 1)]
    assert sorted(each["id"] for each in documents) == sorted(each["id"] for each in results)
    assert {each["status"] for each in documents} == {"indexed"}


def test_a_batch_that_a_stop_interrupts_goes_on_at_the_next_start(tmp_path, make_lectern, monkeypatch):
    monkeypatch.setattr(jobs, "REPORT_SECONDS", 0)
    count, settings = 150, Settings(data_dir=tmp_path / "data")
    with TestClient(create_app(settings, make=held)) as client:
        job = send(client, *({"text": f"The pump number {n} is red."} for n in range(count))).json()["job"]
        while not client.get(f"/jobs/{job}", params={"wait": 0.2}).json()["progress"]["done"]:
            pass
        assert client.get(f"/jobs/{job}").json()["status"] == "running"
    with TestClient(create_app(settings, make=make_lectern)) as client:
        found = client.get(f"/jobs/{job}", params={"wait": 60}).json()
        assert_whole(found, client.get("/documents", params={"limit": 1_000}).json()["documents"], count)


def test_a_batch_whose_process_is_killed_goes_on_where_it_was(tmp_path):
    count = 150
    server = Server(tmp_path / "data", module="tests.app.held")
    job = send(server.client, *({"text": f"The pump number {n} is red."} for n in range(count))).json()["job"]
    while not (before := server.client.get(f"/jobs/{job}", params={"wait": 0.2}).json())["progress"]["done"]:
        pass
    assert before["status"] == "running"
    server.stop(signal.SIGKILL)

    again = Server(tmp_path / "data")
    found = again.client.get(f"/jobs/{job}", params={"wait": 60}).json()
    assert_whole(found, again.client.get("/documents", params={"limit": 1_000}).json()["documents"], count)
    assert len(again.client.get("/jobs", params={"limit": 1_000}).json()["jobs"]) == count + 1  # none was sent twice
    again.stop()
