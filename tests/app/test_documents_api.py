import json

import pytest

JSON = {"content-type": "application/json"}
PUMPS = "The pump is made by Bell & Howell.\r\n\r\nThe filter of the pump costs 12 euros. 😀 泵很好。"


def add(client, text=PUMPS, **fields):
    reply = client.post("/documents", json={"text": text, **fields})
    assert reply.status_code in (200, 201), reply.text
    return reply.json()


def assert_problem(reply, status, code):
    assert reply.headers["content-type"] == "application/problem+json"
    body = reply.json()
    assert (reply.status_code, body["status"], body["code"]) == (status, status, code)
    assert set(body) == {"type", "title", "status", "detail", "code", "request_id", "errors"}
    assert body["request_id"] == reply.headers["x-request-id"]
    return body


def test_a_json_document_is_created_indexed_and_read_back(client):
    reply = client.post("/documents", json={"text": PUMPS, "title": "Pumps", "metadata": {"year": 2020}})
    made = reply.json()
    assert reply.status_code == 201
    assert reply.headers["location"] == f"/documents/{made['id']}"
    assert reply.headers["etag"] == f'"{made["version"]}"'
    assert set(made) >= {"id", "version", "status", "collection", "title", "media_type", "characters", "pages"}
    assert (made["status"], made["collection"], made["title"]) == ("indexed", "default", "Pumps")
    assert (made["characters"], made["metadata"], made["warnings"]) == (len(PUMPS), {"year": 2020}, [])
    assert client.get(f"/documents/{made['id']}").json() == made
    assert client.get("/documents").json() == {"documents": [made], "next_cursor": None}


def test_a_file_is_created_by_multipart(client):
    reply = client.post(
        "/documents",
        files={"file": ("Über pumps.md", b"# Pumps\n\nThe pump is red.", "text/markdown")},
        data={"collection": "parts", "metadata": json.dumps({"lang": "en"})},
    )
    made = reply.json()
    assert reply.status_code == 201
    assert (made["collection"], made["metadata"], made["media_type"]) == ("parts", {"lang": "en"}, "text/markdown")
    file = client.get(f"/documents/{made['id']}/file")
    assert file.content == b"# Pumps\n\nThe pump is red."
    assert file.headers["content-disposition"].startswith("attachment;")
    assert "filename*=UTF-8''%C3%9Cber%20pumps.md" in file.headers["content-disposition"]
    assert file.headers["x-content-type-options"] == "nosniff"


def test_text_ranges_are_code_points_and_are_clipped(client):
    made = add(client)
    path = f"/documents/{made['id']}/text"
    at = PUMPS.index("😀")
    expected = {"text": "😀 泵", "start": at, "end": at + 3, "version": made["version"]}
    assert client.get(path, params={"start": at, "end": at + 3}).json() == expected
    assert client.get(path).json()["text"] == PUMPS
    assert client.get(path, params={"start": 10_000}).json()["text"] == ""
    assert_problem(client.get(path, params={"start": 5, "end": 4}), 422, "invalid")
    assert_problem(client.get(path, params={"start": -1}), 422, "invalid")
    assert_problem(client.get(path, params={"version": "sha256:0"}), 404, "not_found")


def test_the_same_bytes_are_the_same_document_with_the_title_and_metadata_as_sent_now(client):
    first = add(client, title="Old", metadata={"a": 1})
    reply = client.post("/documents", json={"text": PUMPS, "title": "New", "metadata": {"b": 2}})
    assert reply.status_code == 200
    again = reply.json()
    assert (again["id"], again["version"]) == (first["id"], first["version"])
    assert (again["title"], again["metadata"]) == ("New", {"b": 2})
    assert add(client, collection="other")["id"] != first["id"]


def test_put_creates_then_replaces_and_never_merges_two_ids(client):
    created = client.put("/documents/mine", json={"text": PUMPS})
    assert (created.status_code, created.json()["id"]) == (201, "mine")
    assert client.put("/documents/other", json={"text": PUMPS}).status_code == 201
    replaced = client.put("/documents/mine", json={"text": "The pump is gone."})
    assert replaced.status_code == 200
    assert replaced.json()["version"] != created.json()["version"]
    assert [document["id"] for document in client.get("/documents").json()["documents"]] == ["mine", "other"]


def test_an_old_version_can_still_be_read_after_the_document_is_replaced(client):
    old = client.put("/documents/mine", json={"text": PUMPS}).json()["version"]
    client.put("/documents/mine", json={"text": "Another text."})
    reply = client.get("/documents/mine/text", params={"version": old, "start": 0, "end": 8})
    assert reply.json()["text"] == "The pump"
    assert client.get("/documents/mine/text").json()["text"] == "Another text."


def test_a_replacement_that_fails_leaves_the_old_version_in_place(client):
    client.put("/documents/mine", json={"text": PUMPS})
    bad = client.put("/documents/mine", files={"file": ("a.pdf", b"%PDF-1.7 broken", "application/pdf")})
    assert_problem(bad, 422, "unreadable")
    assert client.get("/documents/mine").json()["status"] == "indexed"
    assert client.get("/documents/mine/text").json()["text"] == PUMPS


def test_if_match_guards_put_patch_and_delete(client):
    version = client.put("/documents/mine", json={"text": PUMPS}).json()["version"]
    stale, current = {"If-Match": '"sha256:0"'}, {"If-Match": f'"{version}"'}
    assert_problem(client.put("/documents/mine", json={"text": "x"}, headers=stale), 412, "precondition")
    assert_problem(client.patch("/documents/mine", json={"title": "x"}, headers=stale), 412, "precondition")
    assert_problem(client.delete("/documents/mine", headers=stale), 412, "precondition")
    assert_problem(client.put("/documents/new", json={"text": "x"}, headers=current), 412, "precondition")
    assert_problem(client.delete("/documents/mine", headers={"If-Match": f'W/"{version}"'}), 412, "precondition")
    assert client.patch("/documents/mine", json={"title": "x"}, headers=current).status_code == 200
    assert client.put("/documents/mine", json={"text": "x"}, headers=current).status_code == 200
    assert client.delete("/documents/mine", headers={"If-Match": "*"}).status_code == 204


def test_patch_changes_title_and_metadata_and_nothing_else(client):
    made = add(client, title="Old", metadata={"a": 1})
    changed = client.patch(f"/documents/{made['id']}", json={"title": "New"}).json()
    assert {**changed, "updated_at": ""} == {**made, "title": "New", "updated_at": ""}
    assert client.patch(f"/documents/{made['id']}", json={"metadata": {}}).json()["metadata"] == {}
    assert_problem(client.patch(f"/documents/{made['id']}", json={}), 422, "invalid")


def test_a_deleted_document_is_gone_everywhere(client):
    made = add(client)
    assert client.delete(f"/documents/{made['id']}").status_code == 204
    for path in ("", "/text", "/outline", "/file"):
        assert_problem(client.get(f"/documents/{made['id']}{path}"), 404, "not_found")
    assert_problem(client.delete(f"/documents/{made['id']}"), 404, "not_found")
    assert client.post("/search", json={"query": "pump"}).json()["hits"] == []
    assert client.get("/collections/default").json()["documents"] == 0


def test_documents_are_listed_in_pages_and_by_collection(client):
    ids = [add(client, f"Text number {n}.", collection="c" if n % 2 else "d")["id"] for n in range(5)]
    first = client.get("/documents", params={"limit": 3}).json()
    rest = client.get("/documents", params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [each["id"] for each in first["documents"] + rest["documents"]] == ids
    assert rest["next_cursor"] is None
    assert len(client.get("/documents", params={"collection": "d"}).json()["documents"]) == 3
    assert_problem(client.get("/documents", params={"cursor": "nonsense"}), 422, "invalid")
    assert_problem(client.get("/documents", params={"limit": 0}), 422, "invalid")
    assert_problem(client.get("/documents", params={"collection": "unknown"}), 404, "not_found")


def test_without_waiting_the_upload_is_a_job_to_follow(client):
    reply = client.post("/documents?wait=0", json={"text": PUMPS})
    body = reply.json()
    assert (reply.status_code, reply.headers["location"]) == (202, f"/jobs/{body['job']}")
    assert (body["status"], body["version"]) == ("pending", None)
    job = client.get(reply.headers["location"], params={"wait": 10}).json()
    assert (job["kind"], job["status"], job["problem"]) == ("ingest", "succeeded", None)
    assert job["result"]["document"] == body["id"]
    assert job["progress"] == {"done": 1, "total": 1, "unit": "passages"}
    assert client.get(f"/documents/{body['id']}").json()["status"] == "indexed"


@pytest.mark.parametrize(
    ("name", "data", "kind", "status", "code"),
    [
        ("a.bin", bytes(range(256)) * 40, "application/octet-stream", 415, "unsupported"),
        ("a.pdf", b"%PDF-1.7 and then nothing of the kind", "application/pdf", 422, "unreadable"),
        ("empty.txt", b"", "text/plain", 422, "no_text"),
        ("blank.txt", b" \r\n\t ", "text/plain", 422, "no_text"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_and_leaves_nothing_behind(client, name, data, kind, status, code):
    assert_problem(client.post("/documents", files={"file": (name, data, kind)}), status, code)
    assert client.get("/documents").json()["documents"] == []


def test_a_refused_file_can_be_sent_again_once_it_is_mended(client):
    broken = {"file": ("a.txt", b"", "text/plain")}
    assert client.post("/documents", files=broken).status_code == 422
    assert client.post("/documents", files=broken).status_code == 422
    assert client.post("/documents", files={"file": ("a.txt", b"words", "text/plain")}).status_code == 201


def test_an_upload_that_fails_after_its_202_stays_visible_as_failed(client):
    reply = client.post("/documents?wait=0", files={"file": ("a.txt", b"", "text/plain")})
    job = client.get(reply.headers["location"], params={"wait": 10}).json()
    assert (job["status"], job["problem"]["code"], job["result"]) == ("failed", "no_text", None)
    document = reply.json()["id"]
    assert client.get(f"/documents/{document}").json()["status"] == "failed"
    assert_problem(client.post("/ask", json={"question": "what?", "documents": [document]}), 409, "conflict")


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({}, ["text"]),
        ({"text": ""}, ["text"]),
        ({"text": "  \n "}, ["text"]),
        ({"text": 5}, ["text"]),
        ({"text": "x", "tilte": "y"}, ["tilte"]),
        ({"text": "x", "collection": "a/b"}, ["collection"]),
        ({"text": "x", "collection": ""}, ["collection"]),
        ({"text": "x", "metadata": []}, ["metadata"]),
        ({"text": "x", "metadata": {"": 1}}, ["metadata"]),
        ({"text": "x", "metadata": {"a": "b" * 70_000}}, ["metadata"]),
        ({"text": "x", "title": "t" * 1001}, ["title"]),
        ([], []),
    ],
)
def test_an_invalid_document_is_refused_with_the_place(client, body, loc):
    problem = assert_problem(client.post("/documents", json=body), 422, "invalid")
    assert loc in [error["loc"] for error in problem["errors"]]


def test_an_invalid_form_is_refused(client):
    file = {"file": ("a.txt", b"words", "text/plain")}
    assert_problem(client.post("/documents", data={"title": "x"}, files={"other": ("a", b"")}), 422, "invalid")
    assert_problem(client.post("/documents", files=file, data={"metadata": "{"}), 422, "invalid")
    assert_problem(client.post("/documents", files=file, data={"metadata": "[1]"}), 422, "invalid")
    assert_problem(client.post("/documents", files=file, data={"unknown": "1"}), 422, "invalid")
    form = {"content-type": "multipart/form-data; boundary=x"}
    assert_problem(client.post("/documents", content=b"not a form", headers=form), 400, "malformed")
    no_boundary = {"content-type": "multipart/form-data"}
    assert_problem(client.post("/documents", content=b"not a form", headers=no_boundary), 400, "malformed")


def test_a_body_of_another_type_is_unsupported(client):
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        reply = client.post("/documents", content=b"words", headers={"content-type": kind})
        assert_problem(reply, 415, "unsupported")


def test_ids_that_cannot_be_are_refused_on_put_and_unknown_elsewhere(client):
    assert_problem(client.put("/documents/a%20b", json={"text": "x"}), 422, "invalid")
    assert_problem(client.put(f"/documents/{'a' * 129}", json={"text": "x"}), 422, "invalid")
    assert_problem(client.get("/documents/a%20b"), 404, "not_found")
    assert_problem(client.get("/documents/%00"), 404, "not_found")


def test_nul_and_lone_surrogates_in_json_are_replaced_one_for_one(client):
    reply = client.post(
        "/documents",
        content=b'{"text": "a\\u0000b\\ud800c d", "title": "t\\udfff", "metadata": {"k\\ud800": "v\\ud800"}}',
        headers={"content-type": "application/json"},
    )
    made = reply.json()
    assert reply.status_code == 201
    assert client.get(f"/documents/{made['id']}/text").json()["text"] == "a\ufffdb\ufffdc d"
    assert (made["title"], made["metadata"]) == ("t\ufffd", {"k\ufffd": "v\ufffd"})


def test_collections_come_to_be_with_their_first_document_and_can_be_described_and_purged(client):
    assert [each["name"] for each in client.get("/collections").json()["collections"]] == ["default"]
    made = add(client, collection="parts")
    parts = client.get("/collections/parts").json()
    assert (parts["documents"], parts["passages"], parts["characters"]) == (1, made["passages"], len(PUMPS))
    assert client.put("/collections/parts", json={"metadata": {"owner": "x"}}).status_code == 200
    assert client.get("/collections/parts").json()["metadata"] == {"owner": "x"}
    assert client.put("/collections/empty").status_code == 201
    assert client.delete("/collections/parts").status_code == 204
    assert_problem(client.get("/collections/parts"), 404, "not_found")
    assert_problem(client.delete("/collections/parts"), 404, "not_found")
    assert_problem(client.get(f"/documents/{made['id']}"), 404, "not_found")
    assert_problem(client.put("/collections/a%20b"), 422, "invalid")


def test_a_collection_can_have_a_chinese_name(client):
    add(client, collection="合同")
    assert client.get("/collections/合同").json()["documents"] == 1
    assert client.post("/search", json={"query": "pump", "collection": "合同"}).json()["hits"]


def test_collections_are_listed_in_pages_by_name_with_default_among_them(client):
    for name in ("b", "e", "a", "合同"):
        client.put(f"/collections/{name}")
    names, cursor = [], None
    while names == [] or cursor:
        page = client.get("/collections", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        assert len(page["collections"]) <= 2
        names += [each["name"] for each in page["collections"]]
        cursor = page["next_cursor"]
    assert names == ["a", "b", "default", "e", "合同"]
    add(client)
    again = client.get("/collections").json()
    assert ([each["name"] for each in again["collections"]], again["next_cursor"]) == (names, None)
    assert_problem(client.get("/collections", params={"cursor": "x"}), 422, "invalid")
    assert_problem(client.get("/collections", params={"limit": 0}), 422, "invalid")


def test_whole_numbers_may_be_written_with_a_point(client):
    add(client)
    assert client.post("/search", content=b'{"query": "pump", "top_k": 1.0}', headers=JSON).status_code == 200
    assert_problem(client.post("/search", content=b'{"query": "pump", "top_k": 1.5}', headers=JSON), 422, "invalid")


def test_a_path_of_its_own_is_not_taken_for_an_id(client):
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        reply = client.request(method, "/documents/batch")
        assert_problem(reply, 405, "method")
        assert reply.headers["allow"] == "POST"
