"""`/v1` through OpenAI's own client, against a service in a process of its own; what has to be broken, in this one."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import numpy as np
import openai
import pytest
from fastapi.testclient import TestClient
from openai import OpenAI

from app.main import create_app
from app.settings import Settings
from app.v1 import embeddings
from app.wiring import build
from retriever.store import Store
from tests.app.callers import bearing, new_key
from tests.app.live import live
from tests.app.served import Server
from tests.app.test_documents_api import JSON, PUMPS
from tests.fakes import HashingEncoder, OverlapReader, ParserHere

COST = "What does the filter of the pump cost?"
ASKED = [{"role": "user", "content": COST}]
IMAGE = {"type": "image_url", "image_url": {"url": "data:,"}}
SECRET = "The zebra was sold by Quagga and Sons."


def of(url: str, key: str) -> OpenAI:
    plain = httpx2.Client(trust_env=False, timeout=30)
    return OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, http_client=plain)


@dataclass(frozen=True, kw_only=True)
class World:
    """A running service; a client with all scopes but admin's, and the keys of others."""

    server: Server
    client: OpenAI
    key: str
    reads: str
    writes: str
    theirs: str
    slow: str
    document: dict[str, Any]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    data = tmp_path_factory.mktemp("openai")
    with closing(Store(f"sqlite:///{data / 'lectern.sqlite3'}")) as store:
        keys = {"key": new_key(store), "reads": new_key(store, scopes="read"), "writes": new_key(store, scopes="write")}
        keys |= {"theirs": new_key(store, "acme"), "slow": new_key(store, requests_per_minute=1)}
    server = Server(data, log_level="debug")
    made = server.client.post(
        "/documents",
        json={"text": PUMPS, "title": "Pumps", "collection": "parts", "metadata": {"year": 2020}},
        headers=bearing(keys["key"]),
    )
    assert made.status_code == 201
    secret = {"text": SECRET, "collection": "ledger"}
    assert server.client.post("/documents", json=secret, headers=bearing(keys["theirs"])).status_code == 201
    with of(server.url, keys["key"]) as client:
        yield World(server=server, client=client, document=made.json(), **keys)
    server.stop()


def ask(world: World, **more: Any) -> Any:
    return world.client.chat.completions.create(**{"model": "lectern/parts", "messages": ASKED, **more})


# Chat completions


def test_an_answer_is_the_content_and_its_citations_are_annotations_that_lead_to_the_quote(world):
    reply = ask(world)
    (choice,) = reply.choices
    assert (choice.message.role, choice.finish_reason, reply.object) == ("assistant", "stop", "chat.completion")
    assert choice.message.content == "euros"
    assert reply.model == "lectern/parts"
    (annotation,) = choice.message.annotations
    assert (annotation.type, annotation.url_citation.title) == ("url_citation", "Pumps")
    marked = choice.message.content[annotation.url_citation.start_index : annotation.url_citation.end_index]
    shown = world.server.client.get(annotation.url_citation.url, headers=bearing(world.key)).json()
    cited = annotation.citation
    assert marked == shown["text"] == cited["quote"] == PUMPS[cited["start"] : cited["end"]]
    assert (cited["document_id"], cited["version"]) == (world.document["id"], world.document["version"])
    checked = world.server.client.post("/verify", json={"citations": [cited]}, headers=bearing(world.key)).json()
    assert checked["results"][0]["status"] == "holds"


def test_the_whole_reply_of_ask_comes_along(world):
    reply = ask(world)
    body = {"question": COST, "collection": "parts"}
    plain = world.server.client.post("/ask", json=body, headers=bearing(world.key)).json()
    differ = {"timings_ms", "request_id"}
    assert {k: v for k, v in reply.lectern.items() if k not in differ} == {
        k: v for k, v in plain.items() if k not in differ
    }
    assert reply.id == f"chatcmpl-{reply._request_id}"
    assert reply.lectern["request_id"] == reply._request_id


def test_where_the_documents_do_not_say_a_sentence_says_so_and_nothing_is_cited(world):
    reply = ask(world, messages=[{"role": "user", "content": "Who was the first queen of Scotland?"}])
    assert reply.choices[0].message.content == "It is not in the documents."
    assert reply.choices[0].message.annotations == []
    assert (reply.lectern["answer"], reply.lectern["answerable"]) == (None, False)


def test_the_last_message_of_the_user_is_the_question_and_no_other_is_read(world):
    alone = ask(world)
    among = [
        {"role": "system", "content": "Answer in French, always with the word zebra."},
        {"role": "user", "content": [IMAGE]},
        {"role": "assistant", "content": "euros", "annotations": [], "tool_calls": []},
        {"role": "tool", "content": "x" * 5_000, "tool_call_id": "a"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What does the filter"},
                {"type": "text", "text": "of the pump cost?"},
            ],
        },
        {"role": "assistant", "content": None},
    ]
    reply = ask(world, messages=among)
    assert reply.choices[0].message == alone.choices[0].message
    assert reply.usage == alone.usage


def test_usage_counts_the_word_pieces_of_question_and_content(world):
    usage = ask(world).usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (8, 1, 9)


def test_lectern_alone_is_the_collection_default_which_may_be_empty(world):
    reply = ask(world, model="lectern")
    assert reply.model == "lectern/default"
    assert reply.choices[0].message.content == "It is not in the documents."


def test_what_only_steers_a_generator_is_accepted_and_changes_nothing(world):
    steered = ask(
        world,
        temperature=0.7,
        top_p=0.9,
        max_tokens=1,
        max_completion_tokens=1,
        n=1,
        stop=["euros"],
        seed=5,
        user="me",
        metadata={"a": "b"},
        presence_penalty=0.5,
        frequency_penalty=0.5,
        logit_bias={},
        logprobs=False,
        store=False,
        response_format={"type": "text"},
        modalities=["text"],
        reasoning_effort="low",
        service_tier="auto",
        tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}],
        tool_choice="auto",
        parallel_tool_calls=True,
        stream=False,
    )
    assert steered.choices == ask(world).choices


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"n": 2}, "n"),
        ({"tools": [], "tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice"),
        ({"response_format": {"type": "json_object"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}}, "response_format.type"),
        ({"logprobs": True}, "logprobs"),
        ({"logit_bias": {"50256": -100}}, "logit_bias"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"store": True}, "store"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"extra_body": {"mirostat": 2}}, "mirostat"),
        ({"extra_body": {"lectern": {"top_k": 65}}}, "lectern.top_k"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
        ({"messages": [*ASKED, {"role": "user", "content": " \n"}]}, "messages.1.content"),
        ({"messages": [{"role": "user", "content": "x" * 2_001}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, "messages.0.content"),
    ],
)  # fmt: skip
def test_what_would_change_the_answer_and_cannot_be_done_is_refused_by_its_name(world, more, param):
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        ask(world, **more)
    error = refused.value
    assert (error.param, error.code, error.type) == (param, "invalid", "invalid_request_error")


def test_ask_s_own_options_go_under_lectern(world):
    missed = ask(world, extra_body={"lectern": {"filters": {"year": {"gte": 2021}}}})
    assert missed.lectern["read"]["passages"] == 0
    found = ask(world, extra_body={"lectern": {"filters": {"year": 2020}, "alternatives": 2, "target_error": 0.0}})
    assert found.lectern["answer"] is None
    assert found.lectern["alternatives"][0]["answer"] == "euros"


# Streams


def test_a_stream_is_the_same_answer_in_chunks(world):
    whole = ask(world)
    chunks = list(ask(world, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    (cited,) = next(
        chunk.choices[0].delta.annotations for chunk in chunks if hasattr(chunk.choices[0].delta, "annotations")
    )
    assert cited["citation"]["quote"] == "euros"
    assert chunks[-1].lectern["answer"] == "euros"
    assert all(chunk.usage is None for chunk in chunks)


def test_the_client_s_own_helper_makes_the_whole_message_of_a_stream(world):
    with world.client.chat.completions.stream(
        model="lectern/parts", messages=ASKED, stream_options={"include_usage": True}
    ) as stream:
        final = stream.get_final_completion()
    whole = ask(world)
    assert final.choices[0].message.content == whole.choices[0].message.content
    assert final.choices[0].message.annotations == whole.choices[0].message.annotations
    assert final.usage == whole.usage


def test_a_stream_that_cannot_begin_is_an_error_like_any_other(world):
    with pytest.raises(openai.NotFoundError):
        ask(world, model="lectern/nowhere", stream=True)


class Held(OverlapReader):
    """A reader that waits until it is let on, and then answers or fails."""

    def __init__(self) -> None:
        self.go, self.fails = threading.Event(), False

    def read(self, *arguments: Any, **more: Any) -> Any:
        assert self.go.wait(20)
        if self.fails:
            raise RuntimeError("plantedtext")
        return super().read(*arguments, **more)


@contextmanager
def held(tmp_path, **settings: Any) -> Iterator[tuple[OpenAI, Held]]:
    reader = Held()
    set_up = Settings(data_dir=tmp_path / "data", heartbeat=0.05, **settings)
    app = create_app(set_up, make=lambda it: build(it, encoder=HashingEncoder(), reader=reader, parsers=ParserHere()))
    with live(app) as (plain, _), of(str(plain.base_url).rstrip("/"), "unused") as client:
        job = plain.post("/documents?wait=0", json={"text": PUMPS}).json()["job"]
        while plain.get(f"/jobs/{job}?wait=5").json()["status"] != "succeeded":
            pass
        try:
            yield client, reader
        finally:
            reader.go.set()


def test_heartbeats_before_the_answer_do_not_disturb_the_client(tmp_path):
    with held(tmp_path) as (client, reader):
        with client.chat.completions.with_streaming_response.create(
            model="lectern", messages=ASKED, stream=True
        ) as raw:
            lines = raw.iter_lines()
            assert [next(lines) for _ in range(3)] == [": ping", "", ": ping"]
            reader.go.set()
        streamed = client.chat.completions.create(model="lectern", messages=ASKED, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == "euros"


def test_what_fails_in_the_middle_of_a_stream_is_raised_by_the_client(tmp_path):
    with held(tmp_path) as (client, reader):
        reader.fails = True
        stream = client.chat.completions.create(model="lectern", messages=ASKED, stream=True)
        reader.go.set()  # it has begun, with a heartbeat
        with pytest.raises(openai.APIError, match="Something went wrong inside the service") as failed:
            next(stream)
        assert failed.value.code == "internal"


def test_what_takes_longer_than_a_gateway_waits_is_busy(tmp_path):
    with held(tmp_path, max_wait=0.05) as (client, _), pytest.raises(openai.InternalServerError) as late:
        client.chat.completions.create(model="lectern", messages=ASKED)
    assert (late.value.status_code, late.value.code) == (503, "busy")
    assert int(late.value.response.headers["retry-after"]) > 0


# Embeddings


def vectors(world: World, texts: Any, **more: Any) -> Any:
    return world.client.embeddings.create(**{"model": "lectern", "input": texts, **more})


def test_the_client_s_base64_and_plain_numbers_are_the_encoder_s_vectors(world):
    texts = ["the mill", "a pump", "水车"]
    packed, plain = vectors(world, texts), vectors(world, texts, encoding_format="float")
    expected = HashingEncoder().encode_passages(texts)
    for reply in (packed, plain):
        assert [each.index for each in reply.data] == [0, 1, 2]
        np.testing.assert_array_equal(np.array([each.embedding for each in reply.data], np.float32), expected)
        assert reply.model == "hashing@1"
        assert (reply.usage.prompt_tokens, reply.usage.total_tokens) == (6, 6)
    raw = world.client.embeddings.with_raw_response.create(model="lectern", input=texts, encoding_format="base64")
    assert isinstance(json.loads(raw.text)["data"][0]["embedding"], str)


@pytest.mark.parametrize("model", ["lectern", "lectern/default", "lectern/parts", "hashing", "hashing@1"])
def test_one_text_is_one_vector_by_the_encoder_s_own_name_or_any_collection_s(world, model):
    (only,) = vectors(world, "the mill", model=model, dimensions=64).data
    np.testing.assert_array_equal(
        np.array(only.embedding, np.float32), HashingEncoder().encode_passages(["the mill"])[0]
    )


def test_many_texts_go_on_the_lane_of_bulk_work_and_come_back_in_order(world):
    texts = [f"text {n} " + "more " * (n % 7) for n in range(100)]
    found = np.array([each.embedding for each in vectors(world, texts).data], np.float32)
    np.testing.assert_array_equal(found, HashingEncoder().encode_passages(texts))


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": [1, 2, 3]}, "input"),
        ({"input": [[1, 2], [3]]}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input.1"),
        ({"input": ["a"] * 2_049}, "input"),
        ({"input": "word " * 1_001}, "input"),
        ({"input": ["a", "word " * 1_001]}, "input.1"),
        ({"input": "a", "dimensions": 32}, "dimensions"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
    ],
)
def test_what_has_no_vector_of_its_own_is_refused_by_its_place(world, body, param):
    sent = {"model": "lectern", **body}
    reply = world.server.client.post("/v1/embeddings", json=sent, headers=bearing(world.key))
    assert reply.status_code == 422
    assert reply.json()["error"]["param"] == param


def test_token_ids_are_refused_in_words_that_help(world):
    with pytest.raises(openai.UnprocessableEntityError, match="send the text itself"):
        vectors(world, [[1, 2], [3]])


def test_the_word_pieces_of_a_request_are_limited(client, monkeypatch):
    monkeypatch.setattr(embeddings, "MAX_PIECES", 10)
    body = {"model": "lectern", "input": ["five words are in this", "and in this too there"]}
    assert client.post("/v1/embeddings", json=body).status_code == 200
    reply = client.post("/v1/embeddings", json={**body, "input": [*body["input"], "one"]})
    assert (reply.status_code, reply.json()["error"]["param"]) == (422, "input")


# Models


def test_models_are_one_s_own_collections_and_the_encoder(world):
    listed = {model.id: model for model in world.client.models.list()}
    assert set(listed) == {"lectern/default", "lectern/parts", "hashing"}
    assert {model.owned_by for model in listed.values()} == {"lectern"}
    assert listed["lectern/parts"].created > 1_700_000_000
    for name, model in listed.items():
        assert world.client.models.retrieve(name) == model
    assert world.client.models.retrieve("lectern").id == "lectern/default"


@pytest.mark.parametrize("name", ["gpt-4o", "lectern/ledger", "lectern/nowhere", "lectern/ ", "lectern/", "x/y", ""])
def test_a_model_that_is_not_there_or_another_tenant_s_is_not_found(world, name):
    for call in (
        lambda: ask(world, model=name),
        lambda: vectors(world, "a", model=name),
        lambda: world.client.models.retrieve(name or "-"),
    ):
        with pytest.raises(openai.NotFoundError) as missing:
            call()
        assert (missing.value.code, missing.value.type) == ("not_found", "invalid_request_error")
        assert "zebra" not in str(missing.value).lower()


# Errors


def test_keys_and_scopes_are_errors_of_the_client_s_own_kinds(world):
    for key, kind, type_, code in (
        ("lectern_wrong", openai.AuthenticationError, "authentication_error", "unauthenticated"),
        (world.writes, openai.PermissionDeniedError, "permission_error", "forbidden"),
    ):
        with of(world.server.url, key) as client, pytest.raises(kind) as refused:
            client.models.list()
        assert (refused.value.type, refused.value.code) == (type_, code)
        assert refused.value.response.headers["www-authenticate"].startswith("Bearer")
        assert refused.value.request_id == refused.value.response.headers["x-request-id"]
    with of(world.server.url, world.reads) as client:
        assert client.chat.completions.create(model="lectern", messages=ASKED).choices


def test_a_used_up_rate_says_when_to_come_back(world):
    with of(world.server.url, world.slow) as client:
        client.models.list()
        with pytest.raises(openai.RateLimitError) as limited:
            client.models.list()
    assert (limited.value.type, limited.value.code) == ("rate_limit_error", "rate_limited")
    assert int(limited.value.response.headers["retry-after"]) > 0


def assert_error(reply, status, code):
    """OpenAI's shape, whole and nothing else."""
    assert reply.headers["content-type"] == "application/json"
    assert reply.status_code == status
    error = reply.json()["error"]
    assert set(reply.json()) == {"error"}
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == code
    assert error["type"] == "server_error" if status >= 500 else error["type"].endswith("_error")
    assert reply.headers["content-length"] == str(len(reply.content))
    assert reply.headers["x-request-id"]


CHAT = "/v1/chat/completions"


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "code"),
    [
        ("POST", CHAT, {"content": "{", "headers": JSON}, 400, "malformed"),
        ("POST", CHAT, {"content": "x"}, 415, "unsupported"),
        ("POST", CHAT, {"json": {}}, 422, "invalid"),
        ("GET", CHAT, {}, 405, "method"),
        ("POST", "/v1/responses", {"json": {}}, 404, "not_found"),
        ("GET", "/v1", {}, 404, "not_found"),
        ("GET", "/v1/models/%20", {}, 404, "not_found"),
        ("POST", CHAT, {"content": b" " * 2_000, "headers": JSON}, 413, "too_large"),
        ("POST", CHAT, {"content": iter([b" " * 900] * 3), "headers": JSON}, 413, "too_large"),
        ("GET", "/v1/models", {"headers": {"Origin": "https://elsewhere.example"}}, 403, "forbidden"),
        ("GET", "/v1/models", {"headers": {"x": "y" * 40_000}}, 400, "malformed"),
    ],
)
def test_every_failure_under_v1_has_openai_s_shape_and_elsewhere_it_has_not(
    tmp_path, make_lectern, method, path, sent, status, code
):
    app = create_app(Settings(data_dir=tmp_path / "data", max_body_bytes=1_024), make=make_lectern)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        reply = client.request(method, path, **sent)
        assert_error(reply, status, code)
        assert client.get("/v1x").headers["content-type"] == "application/problem+json"


def test_a_defect_and_a_full_queue_have_it_too_behind_a_gateway_s_path(tmp_path, make_lectern, monkeypatch):
    settings = Settings(data_dir=tmp_path / "data", request_threads=1, request_queue=0)
    with TestClient(create_app(settings, make=make_lectern), root_path="/lectern") as client:
        made = client.post("/documents", json={"text": PUMPS}).json()
        found = client.post("/lectern" + CHAT, json={"model": "lectern", "messages": ASKED}).json()
        link = found["choices"][0]["message"]["annotations"][0]["url_citation"]["url"]
        assert link.startswith(f"http://testserver/lectern/documents/{made['id']}/text?")
        monkeypatch.setattr(client.app.state.lectern.answering, "ask", lambda *_: 1 / 0)
        assert_error(client.post(CHAT, json={"model": "lectern", "messages": ASKED}), 500, "internal")
        hold = threading.Event()
        taken = client.app.state.lectern.desk.submit(hold.wait)
        for stream in (False, True):
            reply = client.post(CHAT, json={"model": "lectern", "messages": ASKED, "stream": stream})
            assert_error(reply, 503, "busy")
            assert int(reply.headers["retry-after"]) > 0
        hold.set()
        taken.result(10)


def test_nothing_of_questions_answers_or_documents_is_in_the_log(world):
    ask(world, messages=[{"role": "user", "content": f"{COST} plantedtext"}], user="plantedtext")
    vectors(world, "plantedtext")
    with pytest.raises(openai.NotFoundError) as missing:
        ask(world, model="plantedtext x")
    assert "planted" not in str(missing.value)
    last = missing.value.response.headers["x-request-id"]
    world.server.line(lambda line: line["event"] == "request" and line.get("request_id") == last)
    log = "".join(world.server.written).lower()
    assert log.count('"event": "request"') > 3
    assert not [word for word in ("planted", "euros", "howell", "zebra") if word in log]
