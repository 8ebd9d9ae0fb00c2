import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from retriever.store import receipts
from tests.app.served import Server
from tests.app.test_asking_api import COST
from tests.app.test_batches import LINES, body
from tests.app.test_documents_api import PUMPS, add, assert_problem

KEY = {"Idempotency-Key": "mine-1"}


def documents(client):
    return client.get("/documents").json()["documents"]


def test_the_same_key_and_body_get_the_same_reply_and_do_nothing_again(client):
    first = client.post("/documents", json={"text": PUMPS, "title": "Pumps"}, headers=KEY)
    changed = client.patch(f"/documents/{first.json()['id']}", json={"title": "Changed since"})
    again = client.post("/documents", json={"title": "Pumps", "text": PUMPS}, headers=KEY)
    assert (again.status_code, again.json()) == (first.status_code, first.json()) == (201, first.json())
    for name in ("location", "etag"):
        assert again.headers[name] == first.headers[name]
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    # Without the key the same bytes would have set the title again.
    assert documents(client) == [changed.json()]
    assert len(client.get("/jobs").json()["jobs"]) == 1


def test_a_form_sent_again_has_other_boundaries_and_is_the_same(client):
    def send(words=b"words", **form):
        file = {"file": ("a.txt", words, "text/plain")}
        return client.post("/documents", files=file, data=form, headers=KEY)

    first, again = send(metadata='{"a": 1, "b": 2}'), send(metadata='{"b": 2, "a": 1}')
    assert first.request.headers["content-type"] != again.request.headers["content-type"]
    assert again.json() == first.json()
    assert_problem(send(b"other"), 422, "invalid")
    assert_problem(send(metadata='{"a": 1}'), 422, "invalid")


def test_the_same_key_with_another_body_is_refused(client):
    client.post("/documents", json={"text": PUMPS}, headers=KEY)
    for other in ({"text": "x"}, {"text": PUMPS, "title": "x"}, {"text": PUMPS, "collection": "x"}):
        problem = assert_problem(client.post("/documents", json=other, headers=KEY), 422, "invalid")
        assert "Idempotency-Key" in problem["detail"]
    assert len(documents(client)) == 1


def test_what_was_refused_at_once_may_be_mended_under_the_same_key(client):
    assert_problem(client.post("/documents", json={"text": ""}, headers=KEY), 422, "invalid")
    assert client.post("/documents", json={"text": PUMPS}, headers=KEY).status_code == 201


def test_a_file_that_could_not_be_read_stays_refused_under_its_key(client):
    file = {"file": ("a.txt", b" ", "text/plain")}
    first = client.post("/documents", files=file, headers=KEY)
    again = client.post("/documents", files=file, headers=KEY)
    assert_problem(first, 422, "no_text")
    assert_problem(again, 422, "no_text")
    assert {**again.json(), "request_id": ""} == {**first.json(), "request_id": ""}
    assert len(client.get("/jobs").json()["jobs"]) == 1


def test_after_a_202_the_same_key_tells_how_it_ended(client):
    first = client.post("/documents?wait=0", json={"text": PUMPS}, headers=KEY)
    again = client.post("/documents", json={"text": PUMPS}, headers=KEY)
    assert (first.status_code, again.status_code) == (202, 201)
    assert again.json()["id"] == first.json()["id"]
    assert again.json()["status"] == "indexed"


def test_many_at_once_with_one_key_make_one_document(client):
    with ThreadPoolExecutor(12) as pool:
        calls = [pool.submit(client.post, "/documents", json={"text": PUMPS}, headers=KEY) for _ in range(12)]
        replies = [call.result() for call in calls]
    assert {reply.status_code for reply in replies} == {201}
    assert len({reply.json()["id"] for reply in replies}) == 1
    assert len(client.get("/jobs").json()["jobs"]) == 1


def test_the_document_of_a_key_that_was_deleted_is_not_made_again_and_nothing_of_it_is_kept(client):
    made = client.post("/documents", json={"text": PUMPS, "title": "Secret"}, headers=KEY).json()
    client.delete(f"/documents/{made['id']}")
    assert_problem(client.post("/documents", json={"text": PUMPS, "title": "Secret"}, headers=KEY), 404, "not_found")
    assert documents(client) == []
    with client.app.state.lectern.store._db.read() as connection:
        assert connection.exec_driver_sql("SELECT reply FROM receipts").scalars().all() == [None]


def test_a_key_is_forgotten_after_a_day(client, monkeypatch):
    client.post("/documents", json={"text": PUMPS}, headers=KEY)
    monkeypatch.setattr(receipts, "KEPT", timedelta(0))
    assert client.post("/documents", json={"text": "Another."}, headers=KEY).status_code == 201


def test_keys_are_each_tenants_own(client):
    from retriever.store import Receipt

    client.post("/documents", json={"text": PUMPS}, headers=KEY)
    store = client.app.state.lectern.store
    receipt = Receipt(scope="documents", key="mine-1", fingerprint="another")
    assert store.kept("another tenant", receipt) is None


def test_a_batch_with_a_key_is_one_job(client):
    lines = body({"text": "One."}, {"text": "Two."})
    headers = {**LINES, **KEY}
    first, again = (client.post("/documents/batch", content=lines, headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.headers["location"] == first.headers["location"]
    assert_problem(client.post("/documents/batch", content=lines + b"{}", headers=headers), 422, "invalid")


@pytest.mark.parametrize(("path", "body"), [("/ask", {"question": COST}), ("/summarize", {})])
def test_a_question_or_summary_that_became_a_job_is_not_begun_again(client, path, body):
    add(client)
    first = client.post(path, json={**body, "wait": 0}, headers=KEY)
    again = client.post(path, json={**body, "wait": 20}, headers=KEY)
    assert (first.status_code, again.status_code) == (202, 200)
    result = client.get(first.headers["location"]).json()["result"]
    assert again.json() == {**result, "request_id": again.headers["x-request-id"]}
    assert len(client.get("/jobs").json()["jobs"]) == 2  # the ingest, and one of these
    other = client.post(path, json={**body, "wait": 0, "collection": "default"}, headers=KEY)
    assert_problem(other, 422, "invalid")


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "é".encode().decode("latin-1")])
def test_a_key_that_cannot_be_is_refused(client, key):
    reply = client.post("/documents", json={"text": "x"}, headers={"Idempotency-Key": key.encode("latin-1")})
    assert_problem(reply, 422, "invalid")


def test_a_key_works_after_the_process_was_killed(tmp_path):
    server = Server(tmp_path / "data")
    first = server.client.post("/documents", json={"text": PUMPS}, headers=KEY)
    server.stop(signal.SIGKILL)
    again = Server(tmp_path / "data")
    assert again.client.post("/documents", json={"text": PUMPS}, headers=KEY).json() == first.json()
    again.stop()
