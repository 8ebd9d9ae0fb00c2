"""Every method of both clients, once, against a live server process."""

import hashlib
import json
from pathlib import Path

import pytest

import lectern
from tests.app.served import ROOT, Server
from tests.lectern.both import connected

LEASE = "# Lease\n\nThe mill stands at Stony Ford.\n\n## Rent\n\nThe yearly rent of the mill is barley.\n"
RENT, WHO = "What is the yearly rent of the mill?", "Who painted Guernica?"


def test_a_question_is_answered_with_a_citation_that_holds(client):
    document = client.documents.add(text=LEASE, media_type="text/markdown", metadata={"year": 1820})
    answer = client.ask(RENT, filters={"year": {"gte": 1800}}, top_k=3, alternatives=1)
    assert isinstance(answer, lectern.Answer)
    (citation,) = answer.citations
    assert (answer.answer, answer.answerable, citation.document_id) == ("barley", True, document.id)
    assert LEASE[citation.start : citation.end] == citation.quote == "barley"
    assert client.ask(WHO).answer is None
    assert client.ask(RENT, text=LEASE).citations[0].document_id is None
    assert [each.answer for each in client.ask_many([RENT, WHO])] == ["barley", None]


def test_citations_are_verified_also_as_they_came(client):
    document = client.documents.add(text=LEASE)
    (citation,) = client.ask(RENT).citations
    client.documents.put(document.id, text="Preface.\n\n" + LEASE, if_match=document.version)
    moved, false = client.verify([citation, {**citation.model_dump(), "quote": "gold", "end": citation.start + 4}])
    assert (moved.status, moved.start, false.status) == ("moved", citation.start + 10, "false")


def test_a_summary_a_search_and_what_they_stand_on(client):
    document = client.documents.add(text=LEASE, collection="mills")
    summary = client.summarize(document=document.id, length={"sentences": 1}, query="rent")
    assert [each.text for each in summary.sentences] == [summary.summary]
    assert summary.coverage.characters_read == summary.coverage.characters_total == len(LEASE)
    found = client.search("yearly rent", collection="mills", mode="sparse", top_k=1)
    assert (len(found.hits), found.hits[0].document_id, found.hits[0].ranks) == (1, document.id, {"sparse": 1})


def test_documents_come_from_a_path_from_bytes_and_from_text_and_go(client, tmp_path: Path):
    path = tmp_path / "lease.md"
    path.write_text(LEASE)
    by_path = client.documents.add(path=path, title="The lease", collection="a", metadata={"n": 1})
    assert (by_path.title, by_path.media_type, by_path.metadata) == ("The lease", "text/markdown", {"n": 1})
    assert client.documents.file(by_path.id) == path.read_bytes()
    outline = client.documents.outline(by_path.id)
    assert [(each.title, each.depth) for each in outline.sections] == [("Lease", 1), ("Rent", 2)]
    by_data = client.documents.add(data=b"<p>The mill burns.</p>", filename="news.html", collection="a")
    assert by_data.media_type == "text/html"
    put = client.documents.put("own-id", text="The mill stands.", collection="a")
    assert client.documents.get("own-id") == put
    assert client.documents.text("own-id", start=4, end=8).text == "mill"
    patched = client.documents.patch("own-id", title="Standing", metadata={"n": 2}, if_match=put.version)
    assert (patched.title, patched.metadata, patched.version) == ("Standing", {"n": 2}, put.version)
    new = client.documents.put("own-id", data=b"The mill is gone.", filename="n.txt", collection="a", if_match="*")
    assert client.documents.text("own-id", version=put.version).text == "The mill stands."
    with pytest.raises(lectern.PreconditionFailed):
        client.documents.put("own-id", text="No.", if_match=put.version)
    assert {each.id for each in client.documents.all(collection="a", page_size=2)} == {by_path.id, by_data.id, new.id}
    assert len(client.documents.page(collection="a", limit=1).documents) == 1
    client.documents.delete("own-id", if_match=new.version)
    with pytest.raises(lectern.NotFound) as error:
        client.documents.get("own-id")
    assert (error.value.status, error.value.code, len(error.value.request_id)) == (404, "not_found", 32)


def test_a_text_is_taken_by_what_is_in_it_also_where_its_name_is_used_for_sounds(client):
    assert client.documents.add(data=b"The mill, a song.\n", filename="songs.m3u").media_type == "text/plain"


def test_a_batch_has_a_result_for_each_row(client):
    done = client.documents.batch({"text": text, "collection": "batch"} for text in ("One mill.", "Two mills.", " "))
    assert (done.succeeded, done.failed, [each.status for each in done.results]) == (2, 1, [201, 201, 422])
    job = client.jobs.batch([{"text": "Three mills."}])
    assert client.jobs.wait(job.id).result_as(lectern.BatchResult).succeeded == 1


def test_collections_are_made_described_counted_and_deleted(client):
    assert client.collections.put("mills", metadata={"of": "the river"}).documents == 0
    client.documents.add(text=LEASE, collection="mills")
    assert client.collections.get("mills").documents == 1
    assert [each.name for each in client.collections.all(page_size=1)] == ["default", "mills"]
    assert client.collections.page(limit=1).next_cursor is not None
    client.collections.delete("mills")
    with pytest.raises(lectern.NotFound):
        client.collections.get("mills")


def test_an_adaptation_is_followed_to_its_result_and_taken_back_only_where_there_was_one(client):
    client.documents.add(text=LEASE)
    adapted = client.collections.adapt("default", budget_seconds=1)
    assert isinstance(adapted, lectern.Adaptation)
    assert not adapted.promoted
    with pytest.raises(lectern.Conflict):
        client.collections.rollback("default")
    job = client.jobs.adapt("default", budget_seconds=1)
    assert client.jobs.result(job.id)["promoted"] is False


def test_work_that_becomes_a_job_is_followed_or_handed_back(client):
    pending = client.documents.add(text=LEASE, wait=0, follow=False)
    assert (pending.status, pending.job is None) == ("pending", False)
    assert client.jobs.wait(pending.job).status == "succeeded"
    assert client.documents.add(text=LEASE + "Again.", wait=0).status == "indexed"
    assert client.ask(RENT, wait=0).answer == "barley"
    assert client.summarize(wait=0, length={"sentences": 1}).sentences
    job = client.jobs.ask(RENT)
    assert client.jobs.wait(job.id).result_as(lectern.Answer).answer == "barley"
    many = client.jobs.ask_many([RENT])
    assert client.jobs.result(many.id)["answers"][0]["answer"] == "barley"
    told = client.jobs.summarize(length={"sentences": 1})
    assert client.jobs.wait(told.id).result_as(lectern.Summary).summary
    assert {job.id, many.id, told.id} <= {each.id for each in client.jobs.all(page_size=2)}
    assert client.jobs.page(limit=1).next_cursor
    assert client.jobs.cancel(job.id).status == "succeeded"
    assert client.jobs.get(job.id).over


def test_a_file_that_cannot_be_read_raises_its_problem_also_when_a_job_found_that_out(client):
    with pytest.raises(lectern.Unreadable):
        client.documents.add(data=b"%PDF-1.7\nnothing", filename="broken.pdf")
    with pytest.raises(lectern.Unreadable):
        client.documents.add(data=b"%PDF-1.7\nnothing at all", filename="broken.pdf", wait=0)


def test_streams_give_what_is_found_as_it_comes(client):
    client.documents.add(text=LEASE)
    found, answer = client.stream_answers(RENT)
    assert (type(found), found.question, type(answer)) == (lectern.Found, 0, lectern.Answer)
    assert answer.answer == "barley"
    assert [type(each) for each in client.stream_answers([RENT, WHO])] == [lectern.Found, lectern.Answer] * 2
    told = list(client.stream_summary(length={"sentences": 2}))
    assert [type(each) for each in told if not isinstance(each, lectern.Progress)] == [
        lectern.SummarySentence,
        lectern.SummarySentence,
        lectern.Summary,
    ]
    pending = client.documents.add(text=LEASE + "More.", wait=0, follow=False)
    states = list(client.jobs.events(pending.job))
    assert (states[-1].id, states[-1].status) == (pending.job, "succeeded")
    with pytest.raises(lectern.NotFound):
        list(client.stream_answers(RENT, documents=["nowhere"]))


def test_who_leaves_a_stream_early_can_go_on_with_the_client(client):
    client.documents.add(text=LEASE)
    events = client.stream_answers([RENT] * 8)
    assert isinstance(next(events), lectern.Found)
    events.close()
    assert client.version().name == "lectern"


def test_it_tells_whether_the_service_is_ready(client):
    assert client.alive()
    assert client.ready().ready
    assert "# TYPE " in client.metrics()
    assert client.version().version == lectern.__version__


def test_what_the_service_refuses_names_the_field(client):
    with pytest.raises(lectern.Invalid, match="top_k") as error:
        client.ask(RENT, top_k=99)
    assert error.value.errors[0].loc == ("top_k",)
    assert f"(invalid, request {error.value.request_id})" in str(error.value)


def test_address_and_key_come_from_the_environment_where_they_are_not_given(
    kind: str, service: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LECTERN_URL", service.url + "/")
    monkeypatch.setenv("LECTERN_KEY", "lct_nobody")
    with connected(kind, None) as client:
        assert client.version().name == "lectern"  # without keys it looks at none


def test_a_reply_has_the_fields_that_the_contract_gives_it() -> None:
    """Every field of a reply that OpenAPI has is one of the client's, and the other way round."""
    schemas = json.loads((ROOT / "tests" / "contract" / "openapi.json").read_text())["components"]["schemas"]
    named = {
        "AskReply": lectern.Answer,
        "SearchReply": lectern.Search,
        "SearchHit": lectern.Hit,
        "SummarizeReply": lectern.Summary,
        "PendingDocumentReply": lectern.Document,
        "TextReply": lectern.TextRange,
        "CollectionReply": lectern.Collection,
        "JobReply": lectern.Job,
        "RollbackReply": lectern.Rollback,
        "OutlineReply": lectern.Outline,
        "ReadyReply": lectern.Readiness,
        "VersionReply": lectern.Version,
        "Alternative": lectern.Alternative,
        "Citation": lectern.Citation,
        "Coverage": lectern.Coverage,
        "SummarySentence": lectern.SummarySentence,
        "Verified": lectern.Verified,
    }
    for name, model in named.items():
        assert set(schemas[name]["properties"]) == set(model.model_fields), name


def test_an_upload_that_is_sent_twice_under_one_key_is_one_document(client, kind: str):
    first, again = (client.documents.add(text=LEASE, idempotency_key=f"lease, {kind}", title="T") for _ in range(2))
    assert first == again
    assert first.version == "sha256:" + hashlib.sha256(LEASE.encode()).hexdigest()
