"""`GET /metrics`, as Prometheus reads it."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from retriever.errors import StoreUnavailable

TEXT = "The lamp was lit in 1871. The keeper was Anna Brandt.\n\n" + "The quay is long. " * 200


@pytest.fixture
def scraped(client):
    """What changed since the fixture was made: the counts are of the whole process, which other tests share."""

    def values():
        reply = client.get("/metrics")
        assert reply.status_code == 200
        assert reply.headers["content-type"].startswith("text/plain; version=")
        families = text_string_to_metric_families(reply.text)
        return {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }

    before = values()

    def read(name, **labels):
        key = (name, *sorted(labels.items()))
        return values()[key] - (before.get(key, 0.0) if name.endswith(("_total", "_count", "_sum")) else 0.0)

    return read


def test_requests_are_counted_by_their_route_and_never_by_the_path_that_was_sent(client, scraped):
    client.get("/documents/nothing-of-this-name")
    client.get("/no-such-path-at-all")
    found = scraped("lectern_requests_total", method="GET", route="/documents/{document_id}", status="404")
    assert found == 1
    assert scraped("lectern_requests_total", method="GET", route="none", status="404") == 1
    assert scraped("lectern_request_seconds_count", method="GET", route="/documents/{document_id}") == 1
    assert "nothing-of-this-name" not in client.get("/metrics").text


def test_answers_and_abstentions_are_counted_with_the_time_of_each_stage(client, scraped):
    client.post("/documents", json={"text": TEXT})
    assert client.post("/ask", json={"question": "Who was the keeper?"}).json()["answer"]
    assert client.post("/ask", json={"question": "zebra xylophone?"}).json()["answer"] is None
    assert scraped("lectern_answers_total", outcome="answered") == 1
    assert scraped("lectern_answers_total", outcome="abstained") == 1
    for stage in ("retrieve", "read", "cite"):
        assert scraped("lectern_stage_seconds_count", operation="ask", stage=stage) == 2
    for stage in ("parse", "split", "store", "encode", "index"):
        assert scraped("lectern_stage_seconds_count", operation="ingest", stage=stage) == 1
    assert scraped("lectern_job_seconds_count", kind="ingest", outcome="succeeded") == 1
    assert scraped("lectern_model_wait_seconds_count", lane="interactive") >= 4
    assert scraped("lectern_model_busy_seconds_total", lane="bulk") > 0


def test_a_second_summary_of_a_document_finds_the_vectors_of_the_first(client, scraped):
    document = client.post("/documents", json={"text": TEXT}).json()["id"]
    client.post("/summarize", json={"document": document})
    encoded = scraped("lectern_sentence_vectors_total", source="encoded")
    assert encoded == 3  # what is said again and again is one sentence
    assert scraped("lectern_sentence_vectors_total", source="kept") == 0
    client.post("/summarize", json={"document": document, "query": "the lamp"})
    assert scraped("lectern_sentence_vectors_total", source="encoded") == encoded
    assert scraped("lectern_sentence_vectors_total", source="kept") == encoded


def test_what_there_is_now_is_told_over_all_collections(client, scraped):
    passages = sum(
        client.post("/documents", json={"text": TEXT, "collection": name}).json()["passages"] for name in ("a", "b")
    )
    assert scraped("lectern_documents") == 2
    assert scraped("lectern_passages") == passages
    assert scraped("lectern_index_bytes", index="sparse") > 1_000
    assert scraped("lectern_index_bytes", index="dense") >= 0  # a small one is made anew at each start
    assert scraped("lectern_store_bytes") > 10_000
    assert scraped("lectern_model_calls_waiting", lane="bulk") == 0
    assert scraped("lectern_store_up") == 1


def test_jobs_that_wait_are_told_by_kind(client, scraped):
    client.app.state.lectern.jobs.close()  # nobody takes them any more
    client.app.state.lectern.store.create_job("default", "ask", {})
    assert scraped("lectern_jobs", kind="ask", status="queued") == 1


def test_a_store_that_cannot_be_read_is_told_instead_of_failing_the_scrape(client, scraped, monkeypatch):
    def fail():
        raise StoreUnavailable("gone")

    monkeypatch.setattr(client.app.state.lectern.store, "totals", fail)
    assert scraped("lectern_store_up") == 0


def test_the_models_are_named(client):
    text = client.get("/metrics").text
    models = client.get("/readyz").json()["models"]
    assert set(models) == {"encoder", "reader", "summarizer"}
    for kind, name in models.items():
        assert f'{kind}="{name}"' in text


def test_openmetrics_is_spoken_where_it_is_asked_for(client):
    reply = client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert reply.headers["content-type"].startswith("application/openmetrics-text")
    assert reply.text.endswith("# EOF\n")
