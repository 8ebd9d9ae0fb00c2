import threading

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from app.wiring import build
from tests.app.test_documents_api import PUMPS, add, assert_problem
from tests.fakes import HashingEncoder, OverlapReader

COST = "What does the filter of the pump cost?"


def test_an_answer_is_cited_to_the_character(client):
    made = add(client, title="Pumps")
    reply = client.post("/ask", json={"question": COST, "alternatives": 3})
    body = reply.json()
    assert reply.status_code == 200
    assert (body["answer"], body["answerable"]) == ("euros", True)
    assert 0 < body["confidence"] <= 1
    citation = body["citations"][0]
    assert PUMPS[citation["start"] : citation["end"]] == citation["quote"] == body["answer"]
    assert (citation["document_id"], citation["title"], citation["version"]) == (made["id"], "Pumps", made["version"])
    assert citation["context"] == "The filter of the pump costs 12 euros."
    assert (citation["page"], citation["section"]) == (None, None)
    assert body["alternatives"][0]["citation"]["quote"] == body["alternatives"][0]["answer"]
    assert body["read"] == {"passages": 1, "characters": len(PUMPS), "documents": 1, "whole": False}
    assert body["model"]["reader"] == "overlap@000000000000"
    assert set(body["timings_ms"]) >= {"retrieve", "read", "total"}
    assert body["request_id"] == reply.headers["x-request-id"]


def test_what_the_documents_do_not_say_is_null(client):
    add(client)
    body = client.post("/ask", json={"question": "Who won the marathon?"}).json()
    assert (body["answer"], body["answerable"], body["citations"]) == (None, False, [])
    assert body["confidence"] == 1.0


def test_an_abstention_may_show_what_was_rejected(client):
    add(client)
    body = client.post("/ask", json={"question": COST, "target_error": 0.01, "alternatives": 2}).json()
    assert body["answer"] is None
    assert body["citations"] == []
    assert body["alternatives"][0]["answer"] == "euros"
    assert body["confidence"] == pytest.approx(1 - body["alternatives"][0]["confidence"])


def test_the_default_collection_can_be_asked_while_it_is_empty_and_others_must_exist(client):
    body = client.post("/ask", json={"question": "Anything?"}).json()
    assert (body["answer"], body["read"]["passages"]) == (None, 0)
    assert_problem(client.post("/ask", json={"question": "x?", "collection": "nope"}), 404, "not_found")
    assert_problem(client.post("/ask", json={"question": "x?", "documents": ["nope"]}), 404, "not_found")


def test_only_the_named_source_is_read(client):
    pumps = add(client, collection="a")
    skies = add(client, "The price of the filter of the pump is 99 dollars.", collection="b")
    ask = lambda **source: client.post("/ask", json={"question": COST, **source}).json()  # noqa: E731
    assert ask(collection="a")["citations"][0]["document_id"] == pumps["id"]
    assert ask(documents=[skies["id"]])["citations"][0]["document_id"] == skies["id"]
    assert ask(documents=[skies["id"], pumps["id"]])["read"]["documents"] == 2


def test_an_inline_text_is_read_and_not_stored(client):
    body = client.post("/ask", json={"question": COST, "text": PUMPS}).json()
    citation = body["citations"][0]
    assert (citation["document_id"], citation["title"]) == (None, None)
    assert PUMPS[citation["start"] : citation["end"]] == citation["quote"] == "euros"
    assert client.get("/documents").json()["documents"] == []


def test_a_long_inline_text_is_searched_first(client):
    filler = "\n\n".join(f"Paragraph {n} is about the river number {n} and its many fishes. " * 6 for n in range(60))
    text = f"{filler}\n\n{PUMPS}\n\n{filler}"
    body = client.post("/ask", json={"question": COST, "text": text, "top_k": 4}).json()
    assert body["answer"] == "euros"
    assert body["read"]["passages"] == 4
    assert text[body["citations"][0]["start"] : body["citations"][0]["end"]] == "euros"


def test_filters_choose_documents_by_their_metadata(client):
    add(client, metadata={"year": 2019, "lang": "en"})
    new = add(client, "The filter of the pump costs 15 francs.", metadata={"year": 2021, "lang": "en"})
    reply = client.post("/ask", json={"question": COST, "filters": {"year": {"gte": 2020}, "lang": "en"}}).json()
    assert reply["citations"][0]["document_id"] == new["id"]
    nothing = client.post("/ask", json={"question": COST, "filters": {"year": 1999}}).json()
    assert (nothing["answer"], nothing["read"]["passages"]) == (None, 0)
    hits = client.post("/search", json={"query": "pump", "filters": {"year": {"in": [2019]}}}).json()["hits"]
    assert len(hits) == 1


@pytest.mark.parametrize(
    ("filters", "years"),
    [
        ({"lang": "en"}, [2019, 2021]),
        ({"year": [2019, 2020]}, [2019, 2020]),
        ({"year": {"in": [2021, "2019"]}}, [2021]),
        ({"year": {"gt": 2019, "lte": 2021}}, [2020, 2021]),
        ({"year": {"gte": 2019, "lt": 2020}, "lang": "en"}, [2019]),
        ({"tags": "a"}, [2020]),
        ({"tags": {"exists": True}}, [2020]),
        ({"tags": {"exists": False}}, [2019, 2021]),
        ({"lang": None}, []),
        ({}, [2019, 2020, 2021]),
    ],
)
def test_filters_compare_by_equality_range_list_and_existence(client, filters, years):
    add(client, "The pump of nineteen.", metadata={"year": 2019, "lang": "en"})
    add(client, "The pump of twenty.", metadata={"year": 2020, "lang": "de", "tags": ["a", "b"]})
    add(client, "The pump of twenty-one.", metadata={"year": 2021, "lang": "en"})
    hits = client.post("/search", json={"query": "pump", "filters": filters}).json()["hits"]
    found = {client.get(f"/documents/{hit['document_id']}").json()["metadata"]["year"] for hit in hits}
    assert sorted(found) == years
    read = client.post("/ask", json={"question": "Which pump?", "filters": filters}).json()["read"]
    assert read["documents"] == len(years)


def test_a_list_of_questions_is_answered_in_order(client):
    add(client)
    questions = [COST, "Who won the marathon?", "Who is the pump made by?"]
    reply = client.post("/ask", json={"questions": questions})
    answers = reply.json()["answers"]
    assert [answer["answer"] for answer in answers] == ["euros", None, "Howell"]
    assert all(answer["request_id"] == reply.headers["x-request-id"] for answer in answers)


def test_one_document_is_read_whole_where_that_is_asked_for(client):
    client.put("/documents/mine", json={"text": "A preface.\n\n" + PUMPS})
    text = client.get("/documents/mine/text").json()["text"]
    for source in ({"text": text}, {"documents": ["mine"]}):
        body = client.post("/ask", json={"question": COST, "read": "document", **source}).json()
        assert body["answer"] == "euros"
        assert body["read"] == {"passages": 1, "characters": len(text), "documents": 1, "whole": True}
        (citation,) = body["citations"]
        assert text[citation["start"] : citation["end"]] == "euros"
        assert citation["passage_id"] is None


def test_what_cannot_be_read_whole_is_read_by_passages(client, monkeypatch):
    client.put("/documents/mine", json={"text": PUMPS})
    client.put("/documents/other", json={"text": "Nothing of the kind."})
    sources = ({"collection": "default"}, {"documents": ["mine", "other"]})
    for source in sources:
        body = client.post("/ask", json={"question": COST, "read": "document", **source}).json()
        assert (body["answer"], body["read"]["whole"]) == ("euros", False)
    monkeypatch.setattr("app.answering.LONGEST_DOCUMENT", 5)
    body = client.post("/ask", json={"question": COST, "read": "document", "text": PUMPS}).json()
    assert (body["answer"], body["read"]["whole"]) == ("euros", False)


def test_past_its_wait_a_question_becomes_a_job_with_the_same_answer(client):
    add(client)
    reply = client.post("/ask", json={"question": COST, "wait": 0})
    body = reply.json()
    assert (reply.status_code, reply.headers["location"]) == (202, f"/jobs/{body['job']}")
    assert set(body) == {"job", "status", "progress"}
    job = client.get(reply.headers["location"], params={"wait": 10}).json()
    assert (job["kind"], job["status"], job["result"]["answer"]) == ("ask", "succeeded", "euros")


def test_what_a_slow_question_has_begun_is_finished_by_its_job(tmp_path):
    go, reads = threading.Event(), []

    class Slow(OverlapReader):
        def read(self, question, passages, **options):
            reads.append(question)
            assert go.wait(10)
            return super().read(question, passages, **options)

    settings = Settings(data_dir=tmp_path / "data")
    app = create_app(settings, make=lambda it: build(it, encoder=HashingEncoder(), reader=Slow()))
    with TestClient(app) as client:
        add(client)
        reply = client.post("/ask", json={"question": COST, "wait": 0.05}, headers={"X-Request-ID": "first"})
        assert reply.status_code == 202
        go.set()
        job = client.get(reply.headers["location"], params={"wait": 10}).json()
        assert (job["status"], job["result"]["answer"]) == ("succeeded", "euros")
        assert job["result"]["request_id"] == "first"
    assert reads == [COST]


def test_a_question_about_a_replaced_document_is_answered_from_its_new_text(client):
    client.put("/documents/mine", json={"text": PUMPS})
    client.put("/documents/mine", json={"text": "The filter of the pump costs 7 crowns."})
    body = client.post("/ask", json={"question": COST}).json()
    assert body["answer"] == "crowns"
    assert len(body["citations"]) == 1


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({}, []),
        ({"question": ""}, ["question"]),
        ({"question": "   "}, ["question"]),
        ({"question": "x" * 2001}, ["question"]),
        ({"question": "x", "questions": ["y"]}, []),
        ({"questions": []}, ["questions"]),
        ({"questions": ["x"] * 65}, ["questions"]),
        ({"questions": ["x", ""]}, ["questions", 1]),
        ({"question": "x", "text": "a", "collection": "b"}, []),
        ({"question": "x", "text": ""}, ["text"]),
        ({"question": "x", "text": " "}, ["text"]),
        ({"question": "x", "documents": []}, ["documents"]),
        ({"question": "x", "document": "y"}, ["document"]),
        ({"question": "x", "top_k": 0}, ["top_k"]),
        ({"question": "x", "top_k": 65}, ["top_k"]),
        ({"question": "x", "top_k": "8"}, ["top_k"]),
        ({"question": "x", "target_error": 1.5}, ["target_error"]),
        ({"question": "x", "alternatives": 11}, ["alternatives"]),
        ({"question": "x", "wait": -1}, ["wait"]),
        ({"question": "x", "stream": "yes"}, ["stream"]),
        ({"question": "x", "filters": {"a": {}}}, ["filters", "a"]),
        ({"question": "x", "filters": {"a": {"like": 1}}}, ["filters", "a", "like"]),
        ({"question": "x", "filters": {"a": {"gte": None}}}, ["filters", "a", "gte"]),
        ({"question": "x", "text": "y", "filters": {"a": 1}}, []),
    ],
)
def test_an_invalid_question_is_refused_with_the_place(client, body, loc):
    problem = assert_problem(client.post("/ask", json=body), 422, "invalid")
    assert loc in [error["loc"] for error in problem["errors"]]


def test_search_gives_passages_with_their_ranks(client):
    made = add(client, title="Pumps")
    body = client.post("/search", json={"query": "filter pump", "top_k": 5}).json()
    hit = body["hits"][0]
    assert (hit["document_id"], hit["title"], hit["version"]) == (made["id"], "Pumps", made["version"])
    assert PUMPS[hit["start"] : hit["end"]] == hit["text"]
    assert hit["ranks"] == {"sparse": 1, "dense": 1}
    assert set(body) == {"hits", "model", "timings_ms", "request_id"}
    assert body["model"]["retriever"] == "hashing@1"


@pytest.mark.parametrize("mode", ["hybrid", "sparse", "dense"])
def test_search_has_three_modes_and_takes_an_inline_text(client, mode):
    add(client)
    assert client.post("/search", json={"query": "filter", "mode": mode}).json()["hits"]
    hit = client.post("/search", json={"query": "filter", "mode": mode, "text": PUMPS}).json()["hits"][0]
    assert (hit["document_id"], PUMPS[hit["start"] : hit["end"]]) == (None, hit["text"])


def test_a_reranked_search_names_the_reader_and_its_rank_of_each_hit(client):
    add(client)
    body = client.post("/search", json={"query": "filter pump", "rerank": True, "top_k": 1}).json()
    assert body["hits"][0]["ranks"]["reader"] >= 1
    assert body["model"]["reader"] == "overlap@000000000000"
    assert set(body["timings_ms"]) == {"retrieve", "read", "total"}
    assert len(body["hits"]) == 1
    inline = client.post("/search", json={"query": "filter", "rerank": True, "text": PUMPS}).json()
    assert all("reader" in hit["ranks"] for hit in inline["hits"])


def test_an_invalid_search_is_refused(client):
    for body in ({"query": ""}, {"query": "x", "top_k": 201}, {"query": "x", "mode": "magic"}, {"query": "x", "n": 1}):
        assert_problem(client.post("/search", json=body), 422, "invalid")


def test_a_summary_quotes_its_document_and_accounts_for_all_of_it(client):
    text = "\n\n".join(f"The river number {n} has many fishes. It flows to the sea past town {n}." for n in range(30))
    made = add(client, text, title="Rivers")
    body = client.post("/summarize", json={"document": made["id"], "length": {"sentences": 4}}).json()
    assert len(body["sentences"]) == 4
    for sentence in body["sentences"]:
        citation = sentence["citation"]
        assert text[citation["start"] : citation["end"]] == citation["quote"]
        assert citation["version"] == made["version"]
    assert body["coverage"]["characters_read"] == body["coverage"]["characters_total"] == len(text)
    assert body["request_id"]


def test_a_summary_can_be_a_job(client):
    reply = client.post("/summarize", json={"text": PUMPS, "wait": 0, "length": {"sentences": 1}})
    assert reply.status_code == 202
    job = client.get(reply.headers["location"], params={"wait": 10}).json()
    assert (job["kind"], job["status"]) == ("summarize", "succeeded")
    assert len(job["result"]["sentences"]) == 1


def test_an_invalid_summary_is_refused(client):
    for body in ({"text": "x", "document": "y"}, {"text": ""}, {"text": "x", "length": {}}, {"text": "x", "kind": "a"}):
        assert_problem(client.post("/summarize", json=body), 422, "invalid")
    both = {"text": "x", "length": {"sentences": 1, "words": 5}}
    assert_problem(client.post("/summarize", json=both), 422, "invalid")
    assert_problem(client.post("/summarize", json={"document": "nope"}), 404, "not_found")
    assert_problem(client.post("/summarize", json={"text": "x y.", "mode": "abstractive"}), 409, "conflict")


def test_jobs_are_listed_and_cancelled(client):
    add(client)
    jobs = client.get("/jobs").json()
    assert [job["kind"] for job in jobs["jobs"]] == ["ingest"]
    job = jobs["jobs"][0]["id"]
    assert client.delete(f"/jobs/{job}").json()["status"] == "succeeded"
    assert_problem(client.get("/jobs/nope"), 404, "not_found")
    assert_problem(client.delete("/jobs/nope"), 404, "not_found")
    assert_problem(client.get("/jobs", params={"cursor": "x"}), 422, "invalid")
    assert_problem(client.get(f"/jobs/{job}", params={"wait": "long"}), 422, "invalid")
