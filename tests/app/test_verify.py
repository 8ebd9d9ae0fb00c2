import pytest

from tests.app.test_documents_api import assert_problem

FIRST = "The pump costs 12 euros. The filter costs 12 euros. The valve costs 12 euros."


def put(client, text, name="mine"):
    reply = client.put(f"/documents/{name}", json={"text": text})
    assert reply.status_code in (200, 201)
    return reply.json()["version"]


def cited(text, quote, version, *, which=0, name="mine"):
    start = -1
    for _ in range(which + 1):
        start = text.index(quote, start + 1)
    return {"document_id": name, "version": version, "start": start, "end": start + len(quote), "quote": quote}


def verify(client, *citations):
    reply = client.post("/verify", json={"citations": list(citations)})
    assert reply.status_code == 200, reply.text
    assert reply.json()["request_id"] == reply.headers["x-request-id"]
    return reply.json()["results"]


def test_a_citation_of_the_current_version_holds_or_is_false(client):
    version = put(client, FIRST)
    good = cited(FIRST, "12 euros", version, which=1)
    bad = [
        {**good, "quote": "13 euros"},
        {**good, "start": 0},
        {**good, "end": 10_000},
        {**good, "version": "sha256:0"},
    ]
    holds, *false = verify(client, good, *bad)
    assert holds == {"status": "holds", "version": version, "start": good["start"], "end": good["end"]}
    assert false == [{"status": "false", "version": version, "start": None, "end": None}] * 4


def test_an_old_citation_is_found_at_its_own_new_place_among_equal_strings(client):
    old = put(client, FIRST)
    text = "Prices of May. The pump costs 12 euros. The valve costs 12 euros. The filter is sold out."
    new = put(client, text)
    results = verify(client, *(cited(FIRST, "12 euros", old, which=which) for which in range(3)))
    places = [text.index("12 euros"), text.rindex("12 euros")]
    assert results == [
        {"status": "moved", "version": new, "start": places[0], "end": places[0] + 8},
        {"status": "gone", "version": new, "start": None, "end": None},
        {"status": "moved", "version": new, "start": places[1], "end": places[1] + 8},
    ]
    assert client.get("/documents/mine/text", params={"start": places[1], "end": places[1] + 8}).json()["text"] == (
        "12 euros"
    )


def test_a_citation_that_stays_in_its_place_holds_in_the_new_version(client):
    old = put(client, FIRST)
    new = put(client, FIRST + " The hose costs 12 euros.")
    (found,) = verify(client, cited(FIRST, "filter", old))
    assert found == {
        "status": "holds",
        "version": new,
        "start": FIRST.index("filter"),
        "end": FIRST.index("filter") + 6,
    }


def test_an_old_version_that_never_had_the_quote_is_false_even_if_the_current_one_has_it(client):
    old = put(client, FIRST)
    put(client, FIRST.replace("12", "15"))
    citation = cited(FIRST.replace("12", "15"), "15 euros", old)
    assert verify(client, citation)[0]["status"] == "false"


def test_positions_are_code_points(client):
    text = "😀😀 The pump is red. 泵很好。"
    old = put(client, text)
    put(client, "😀" + text)
    (found,) = verify(client, cited(text, "泵很好", old))
    assert (found["status"], found["start"]) == ("moved", text.index("泵很好") + 1)


def test_an_answers_citations_can_be_sent_back_as_they_are(client):
    put(client, FIRST)
    asked = client.post("/ask", json={"question": "What does the filter cost?"}).json()
    assert asked["citations"]
    assert {each["status"] for each in verify(client, *asked["citations"])} == {"holds"}


def test_citations_of_a_deleted_document_are_gone(client):
    version = put(client, FIRST)
    client.delete("/documents/mine")
    assert verify(client, cited(FIRST, "pump", version)) == [
        {"status": "gone", "version": None, "start": None, "end": None}
    ]


def test_a_version_that_is_no_longer_kept_is_not_called_false(tmp_path, make_lectern):
    from fastapi.testclient import TestClient

    from app.main import create_app
    from app.settings import Settings

    settings = Settings(data_dir=tmp_path / "data", keep_versions=1)
    with TestClient(create_app(settings, make=make_lectern)) as client:
        old = put(client, FIRST)
        for text in ("Another text.", "A third one.", f"Again. {FIRST} The pump."):
            put(client, text)
        assert_problem(client.get("/documents/mine/text", params={"version": old}), 404, "not_found")
        found = verify(client, cited(FIRST, "filter", old), cited(FIRST, "12 euros", old))
        assert [each["status"] for each in found] == ["moved", "gone"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"citations": []},
        {"citations": [{}]},
        {"citations": [{"document_id": None, "version": "v", "start": 0, "end": 1, "quote": "x"}]},
        {"citations": [{"document_id": "a", "version": "v", "start": -1, "end": 1, "quote": "x"}]},
        {"citations": [{"document_id": "a", "version": "v", "start": 0, "end": 1, "quote": ""}]},
        {"citations": [{"document_id": "a", "version": "v", "start": 0, "end": 1, "quote": "x", "more": 1}]},
        {"citations": [{"document_id": "a", "version": "v", "start": 0, "end": 1, "quote": "x"}] * 257},
    ],
)
def test_an_invalid_citation_is_refused(client, body):
    assert_problem(client.post("/verify", json=body), 422, "invalid")


def test_whatever_a_reply_says_of_a_citation_may_come_along():
    from app.schemas import Citation, CitedQuote

    assert set(Citation.model_fields) <= set(CitedQuote.model_fields)
