"""What one tenant may have: documents, bytes and waiting jobs, and that none of it is taken from another."""

import json
import threading

import pytest
from fastapi.testclient import TestClient

from app.jobs import Jobs
from app.main import create_app
from app.settings import Settings
from retriever.errors import OverQuota
from retriever.store import Quota, Store
from tests.app.callers import bearing, new_key
from tests.app.test_documents_api import assert_problem


@pytest.fixture
def served(tmp_path, make_lectern):
    """Starts a service with these settings; returns its client."""
    clients = []

    def begin(**settings) -> TestClient:
        app = create_app(Settings(data_dir=tmp_path / "data", **settings), make=make_lectern)
        clients.append(TestClient(app).__enter__())
        return clients[-1]

    yield begin
    for client in clients:
        client.__exit__(None, None, None)


def test_a_tenant_has_as_many_documents_as_it_may_and_room_again_when_one_is_deleted(served):
    client = served(max_documents=2)
    first = client.post("/documents", json={"text": "one"}).json()["id"]
    client.put("/documents/second", json={"text": "two"})
    refused = client.post("/documents", json={"text": "three"})
    assert_problem(refused, 429, "rate_limited")
    assert int(refused.headers["retry-after"]) > 0
    assert_problem(client.put("/documents/third", json={"text": "three"}), 429, "rate_limited")
    assert client.post("/documents", json={"text": "one"}).status_code == 200  # the same bytes are no further document
    assert client.put("/documents/second", json={"text": "two, new"}).status_code == 200  # nor is a new version
    assert len(client.get("/documents").json()["documents"]) == 2
    client.delete(f"/documents/{first}")
    assert client.post("/documents", json={"text": "three"}).status_code == 201


def test_bytes_are_counted_over_all_documents_and_what_is_replaced_gives_its_own_back(served):
    client = served(max_stored_bytes=100)
    assert client.put("/documents/a", json={"text": "a" * 60}).status_code == 201
    refused = client.post("/documents", json={"text": "b" * 41})
    assert_problem(refused, 429, "rate_limited")
    assert refused.json()["detail"].startswith("40 of 100 bytes are left")
    assert client.put("/documents/a", json={"text": "c" * 100}).status_code == 200
    assert_problem(client.put("/documents/a", json={"text": "d" * 101}), 429, "rate_limited")
    assert client.get("/documents/a/text").json()["text"] == "c" * 100
    client.delete("/documents/a")
    assert client.post("/documents", json={"text": "b" * 100}).status_code == 201


def test_a_key_s_own_quota_counts_instead_of_the_service_s_and_is_nobody_else_s(served):
    client = served(max_documents=1)
    store = client.app.state.lectern.store
    small, large = new_key(store, "acme"), new_key(store, "globex", documents=2, bytes=50)
    for text, status in (("one", 201), ("two", 429)):
        assert client.post("/documents", json={"text": text}, headers=bearing(small)).status_code == status
    for text, status in (("one", 201), ("x" * 48, 429), ("two", 201), ("three", 429)):
        assert client.post("/documents", json={"text": text}, headers=bearing(large)).status_code == status


def test_a_batch_is_held_to_the_quota_of_the_key_that_sent_it_line_by_line_and_as_a_whole(served):
    client = served(max_documents=1)
    key = bearing(new_key(client.app.state.lectern.store, "acme", documents=2, bytes=200))

    def send(*texts: str):
        lines = "\n".join(json.dumps({"text": text}) for text in texts)
        return client.post("/documents/batch", content=lines, headers={**key, "Content-Type": "application/x-ndjson"})

    job = client.get(f"/jobs/{send('one', 'two', 'three').json()['job']}?wait=20", headers=key).json()
    assert [line["status"] for line in job["result"]["results"]] == [201, 201, 429]
    assert_problem(send("x" * 200), 429, "rate_limited")
    assert len(client.get("/documents", headers=key).json()["documents"]) == 2


def test_a_tenant_with_a_full_queue_is_refused_and_another_is_not(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'store.db'}", quota=Quota(jobs=2))
    jobs = [store.create_job("acme", "work", {}) for _ in range(2)]
    with pytest.raises(OverQuota, match="2 jobs are waiting"):
        store.create_job("acme", "work", {})
    with pytest.raises(OverQuota):
        upload(store, "acme")
    assert store.documents("acme", limit=9) == ([], None)
    assert upload(store, "globex").job_id
    store.cancel_job("acme", jobs[0].id)
    assert upload(store, "acme").job_id
    store.close()


def upload(store: Store, tenant: str):
    return store.accept(
        tenant,
        collection="default",
        data=b"text",
        filename=None,
        media_type="text/plain",
        title=None,
        metadata={},
        deduplicate=False,
    )


def test_a_full_queue_is_429_over_http_and_says_when_to_try_again(served):
    client = served(max_queued_jobs=1)
    lectern = client.app.state.lectern
    lectern.store.create_job("default", "nobody's", {})  # of a kind that nobody runs, so that it stays
    refused = client.post("/documents?wait=0", json={"text": "one"})
    assert_problem(refused, 429, "rate_limited")
    assert refused.headers["retry-after"] == "5"


def test_one_tenant_s_long_jobs_leave_a_thread_to_the_others(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'store.db'}")
    hold, begun = threading.Event(), threading.Semaphore(0)

    def work(job, context):
        begun.release()
        if job.tenant == "acme":
            assert hold.wait(20)
        return {}

    jobs = Jobs(store, {"work": work}, workers=3)
    long = [jobs.submit("acme", "work", {}) for _ in range(6)]
    jobs.start()
    assert begun.acquire(timeout=10)
    assert begun.acquire(timeout=10)
    quick = jobs.submit("globex", "work", {})
    assert jobs.wait("globex", quick.id, timeout=10).status == "succeeded"
    assert sorted(store.job("acme", job.id).status for job in long) == ["queued"] * 4 + ["running"] * 2
    hold.set()
    assert {jobs.wait("acme", job.id, timeout=10).status for job in long} == {"succeeded"}
    jobs.close()
    store.close()
