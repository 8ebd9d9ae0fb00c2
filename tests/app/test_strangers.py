"""What a client meets that was written from the contract alone."""

import pytest

from tests.app.test_documents_api import PUMPS, add, assert_problem


def test_a_result_names_a_request_whether_a_job_made_it_or_not(client):
    started = client.post("/ask", json={"question": "What does the pump cost?", "text": PUMPS, "wait": 0}).json()
    job = client.get(f"/jobs/{started['job']}?wait=60").json()
    assert job["result"]["request_id"] == job["id"]


def test_a_result_that_is_given_again_is_this_request_s(client):
    asked = {"questions": ["What does the pump cost?", "Where is it?"], "text": PUMPS}
    key = {"Idempotency-Key": "once"}
    client.get(f"/jobs/{client.post('/ask', json={**asked, 'wait': 0}, headers=key).json()['job']}?wait=60")
    again = client.post("/ask", json={**asked, "wait": 60}, headers=key)
    identifier = again.headers["x-request-id"]
    assert again.json()["request_id"] == identifier
    assert {answer["request_id"] for answer in again.json()["answers"]} == {identifier}


def test_a_job_that_failed_and_a_line_that_was_refused_name_the_job(client):
    started = client.post("/documents?wait=0", files={"file": ("a.pdf", b"%PDF-1.4 broken")}).json()
    job = client.get(f"/jobs/{started['job']}?wait=60").json()
    assert (job["problem"]["code"], job["problem"]["request_id"]) == ("unreadable", job["id"])
    lines = {"content": b'{"text": ""}\n', "headers": {"Content-Type": "application/x-ndjson"}}
    batch = client.get(f"/jobs/{client.post('/documents/batch', **lines).json()['job']}?wait=60").json()
    assert batch["result"]["results"][0]["problem"]["request_id"] == batch["id"]


def test_a_document_that_failed_says_why(client):
    document = client.post("/documents?wait=0", files={"file": ("a.pdf", b"%PDF-1.4 broken")}).json()
    problem = client.get(f"/jobs/{document['job']}?wait=60").json()["problem"]
    assert client.get(f"/documents/{document['id']}").json()["warnings"] == [problem["detail"]]
    assert client.put(f"/documents/{document['id']}?wait=60", json={"text": PUMPS}).json()["warnings"] == []


def test_a_replacement_stays_in_its_collection_unless_it_names_another(client):
    made = add(client, collection="pumps")
    kept = client.put(f"/documents/{made['id']}", json={"text": "Another text."}).json()
    assert kept["collection"] == "pumps"
    moved = client.put(f"/documents/{made['id']}", json={"text": "A third text.", "collection": "valves"}).json()
    assert moved["collection"] == "valves"
    new = client.put("/documents/new", json={"text": "A text."}).json()
    assert new["collection"] == "default"


@pytest.mark.parametrize(
    "path", ["/documents?colection=pumps", "/jobs?status=failed", "/collections/default?x=1", "/jobs/none?Wait=3"]
)
def test_a_query_parameter_that_is_not_there_is_refused_by_name(client, path):
    problem = assert_problem(client.get(path), 422, "invalid")
    assert problem["errors"] == [{"loc": [path.split("?")[1].split("=")[0]], "msg": "there is no such query parameter"}]


def test_head_is_what_get_would_say_without_its_body(client):
    made = add(client)
    for path in ("/livez", "/", f"/documents/{made['id']}", f"/documents/{made['id']}/file", "/documents/none"):
        got, head = client.get(path), client.head(path)
        assert (head.status_code, head.content) == (got.status_code, b"")
        assert head.headers.get("etag") == got.headers.get("etag")
        assert head.headers["content-type"] == got.headers["content-type"]
    assert client.head("/ask").status_code == 405
    assert client.post("/livez").headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("name", ["topK", "Top_K", "Str"])
def test_an_unknown_field_is_named_however_it_is_written(client, name):
    problem = assert_problem(client.post("/ask", json={"question": "x", name: 1}), 422, "invalid")
    assert [error["loc"] for error in problem["errors"]] == [[name]]


def test_no_class_of_ours_is_in_a_message(client):
    problem = assert_problem(client.post("/ask", json=[1]), 422, "invalid")
    assert problem["errors"] == [{"loc": [], "msg": "must be an object"}]
