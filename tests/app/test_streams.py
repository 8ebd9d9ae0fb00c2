import asyncio
import logging
import threading
import time

import pytest
from fastapi.testclient import TestClient

from app.errors import Cancelled
from app.main import create_app
from app.settings import Settings
from app.streams import Channel
from app.wiring import build
from tests.app.events import Event, events, read
from tests.app.live import live
from tests.app.test_asking_api import COST
from tests.app.test_documents_api import PUMPS, add, assert_problem
from tests.fakes import HashingEncoder, OverlapReader

LONG = "\n\n".join(f"The river number {n} has many fishes and flows to the sea past town {n}." for n in range(900))


class Gated(HashingEncoder):
    """An encoder that waits at each batch of passages until it is let on."""

    def __init__(self) -> None:
        super().__init__()
        self.go, self.entered = threading.Semaphore(0), threading.Semaphore(0)

    def encode_passages(self, texts, /):
        self.entered.release()
        assert self.go.acquire(timeout=20)
        return super().encode_passages(texts)

    def encode_queries(self, texts, /):
        return super().encode_passages(texts)


@pytest.fixture
def gated(tmp_path):
    """A live service whose encoder waits; small heartbeats."""
    encoder = Gated()
    settings = Settings(data_dir=tmp_path / "data", heartbeat=0.05)
    app = create_app(settings, make=lambda it: build(it, encoder=encoder, reader=OverlapReader()))
    try:
        with live(app) as (client, server):
            yield client, encoder, app, server
    finally:
        encoder.go.release(1_000)


def until(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline


def test_a_streamed_answer_is_hits_answer_done_and_the_answer_is_the_whole_reply(client):
    made = add(client)
    reply = client.post("/ask", json={"question": COST, "stream": True})
    assert reply.status_code == 200
    assert (reply.headers["cache-control"], reply.headers["x-accel-buffering"]) == ("no-store", "no")
    hits, answer, done = read(reply)
    assert [each.name for each in (hits, answer, done)] == ["hits", "answer", "done"]
    assert hits.data["hits"][0]["document_id"] == made["id"]
    assert PUMPS[hits.data["hits"][0]["start"] : hits.data["hits"][0]["end"]] == hits.data["hits"][0]["text"]
    plain = client.post("/ask", json={"question": COST}).json()
    volatile = {"timings_ms": None, "request_id": None}
    assert {**answer.data, **volatile} == {**plain, **volatile}
    assert done.data == {"request_id": reply.headers["x-request-id"]}
    assert answer.data["request_id"] == reply.headers["x-request-id"]


def test_a_list_of_questions_streams_an_answer_each_in_order(client):
    add(client)
    questions = [COST, "Who won the marathon?"]
    found = read(client.post("/ask", json={"questions": questions, "stream": True}))
    assert [each.name for each in found] == ["hits", "answer", "hits", "answer", "done"]
    assert [each.data["question"] for each in found if each.name == "hits"] == [0, 1]
    assert [each.data["answer"] for each in found if each.name == "answer"] == ["euros", None]


def test_a_streamed_summary_is_progress_sentences_summary_done(client):
    found = read(client.post("/summarize", json={"text": LONG, "length": {"sentences": 3}, "stream": True}))
    names = [each.name for each in found]
    progress = [each.data for each in found if each.name == "progress"]
    assert names == ["progress"] * len(progress) + ["sentence"] * 3 + ["summary", "done"]
    assert progress[0] == {"done": 0, "total": 900, "unit": "sentences"}
    assert progress[-1]["done"] == 900
    assert len(progress) > 3
    assert [each.data for each in found if each.name == "sentence"] == found[-2].data["sentences"]


@pytest.mark.parametrize("path", ["/ask", "/summarize"])
def test_what_fails_before_the_first_event_is_an_error_like_any_other(client, path):
    question = {"question": "x?"} if path == "/ask" else {}
    body = {"collection": "nope", "stream": True, **question}
    assert_problem(client.post(path, json=body), 404, "not_found")


def test_what_fails_later_is_an_error_event_with_a_problem_and_ends_the_stream(client, monkeypatch):
    def break_down(*_, **__):
        raise RuntimeError("plantedtext")

    add(client)
    monkeypatch.setattr(client.app.state.lectern.answering, "_read", break_down)
    reply = client.post("/ask", json={"question": COST, "stream": True})
    hits, error = read(reply)
    assert (hits.name, error.name) == ("hits", "error")
    assert (error.data["status"], error.data["code"]) == (500, "internal")
    assert error.data["request_id"] == reply.headers["x-request-id"]
    assert "planted" not in reply.text


def test_a_full_queue_refuses_a_stream_with_its_status(tmp_path, make_lectern):
    settings = Settings(data_dir=tmp_path / "data", request_threads=1, request_queue=0)
    with TestClient(create_app(settings, make=make_lectern)) as client:
        hold = threading.Event()
        held = client.app.state.lectern.desk.submit(hold.wait)
        reply = client.post("/ask", json={"question": "x", "stream": True})
        hold.set()
        held.result(10)
    assert_problem(reply, 503, "busy")


def test_silence_is_filled_with_comments_and_events_arrive_while_the_next_is_to_come(gated):
    client, encoder, _, _ = gated
    with client.stream("POST", "/summarize", json={"text": LONG, "stream": True}) as reply:
        found = events(reply.iter_lines())
        assert next(each for each in found if isinstance(each, Event)).data["total"] == 900
        assert [next(found), next(found)] == [": ping", ": ping"]
        encoder.go.release(1_000)
        assert [each.name for each in found if isinstance(each, Event)][-1] == "done"


@pytest.fixture
def left(monkeypatch):
    """Set once the service knows that a client has left."""
    left = threading.Event()
    monkeypatch.setattr(Channel, "close", lambda channel, close=Channel.close: (close(channel), left.set()))
    return left


def test_a_client_that_leaves_a_stream_stops_its_work_and_is_no_error(gated, left, caplog):
    client, encoder, app, _ = gated
    caplog.set_level(logging.INFO, logger="lectern")
    with client.stream("POST", "/summarize", json={"text": LONG, "stream": True}) as reply:
        assert next(each for each in events(reply.iter_lines()) if isinstance(each, Event)).name == "progress"
        assert app.state.lectern.desk.taken == 1
    assert encoder.entered.acquire(timeout=20)
    assert left.wait(20)
    # One batch of sentences is under way: it is finished, and no other is begun.
    encoder.go.release(1_000)
    until(lambda: app.state.lectern.desk.taken == 0)
    assert encoder.encoded <= 256
    until(lambda: any(record.getMessage() == "request" for record in caplog.records))
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_a_client_that_leaves_before_its_turn_frees_its_thread_without_any_work(gated, left, monkeypatch):
    client, _, app, _ = gated
    worked = []
    monkeypatch.setattr(app.state.lectern.finder, "find", lambda *_, **__: worked.append(1) or [])
    lectern = app.state.lectern
    hold = threading.Event()
    held = [lectern.desk.submit(hold.wait) for _ in range(lectern.settings.request_threads)]
    with client.stream("POST", "/ask", json={"question": "x?", "stream": True}) as reply:
        assert next(reply.iter_lines()) == ": ping"
        assert lectern.desk.taken == len(held) + 1
    assert left.wait(20)
    hold.set()
    until(lambda: lectern.desk.taken == 0)
    assert worked == []


def test_a_channel_nobody_listens_to_stops_its_work():
    async def main():
        channel = Channel(heartbeat=1)
        await asyncio.to_thread(channel.tell, "hits", {"hits": ["\ud800"]})
        assert b"event: hits" in await channel.next()
        channel.close()
        with pytest.raises(Cancelled):
            await asyncio.to_thread(channel.tell, "answer", {})

    asyncio.run(main())


def test_a_job_can_be_followed_to_its_end(client):
    accepted = client.post("/documents?wait=0", json={"text": LONG}).json()
    reply = client.get(f"/jobs/{accepted['job']}/events")
    found = read(reply)
    assert {each.name for each in found[:-1]} <= {"progress"}
    assert (found[-1].name, found[-1].data) == ("done", client.get(f"/jobs/{accepted['job']}").json())
    assert found[-1].data["status"] == "succeeded"
    assert all(each.id for each in found)
    assert len({each.id for each in found}) == len(found)


def test_a_job_is_followed_from_where_the_client_was(gated):
    client, encoder, _, _ = gated
    job = client.post("/summarize", json={"text": LONG, "wait": 0}).json()["job"]
    assert encoder.entered.acquire(timeout=20)  # what it says before its first batch is said
    with client.stream("GET", f"/jobs/{job}/events") as reply:
        found = (each for each in events(reply.iter_lines()) if isinstance(each, Event))
        first = next(each for each in found if each.data["status"] == "running")
    again = {"Last-Event-ID": first.id}
    with client.stream("GET", f"/jobs/{job}/events", headers=again) as reply:
        found = events(reply.iter_lines())
        assert next(found) == ": ping"  # nothing new
        encoder.go.release(1_000)
        rest = [each for each in found if isinstance(each, Event)]
    assert first.id not in {each.id for each in rest}
    assert (rest[-1].name, rest[-1].data["status"]) == ("done", "succeeded")
    # Who has seen the end is told to stop coming back.
    over = client.get(f"/jobs/{job}/events", headers={"Last-Event-ID": rest[-1].id})
    assert (over.status_code, over.content) == (204, b"")
    assert [each.name for each in read(client.get(f"/jobs/{job}/events", headers=again))] == ["done"]


def test_a_cancelled_job_ends_its_events(gated):
    client, encoder, _, _ = gated
    job = client.post("/summarize", json={"text": LONG, "wait": 0}).json()["job"]
    with client.stream("GET", f"/jobs/{job}/events") as reply:
        found = (each for each in events(reply.iter_lines()) if isinstance(each, Event))
        assert encoder.entered.acquire(timeout=20)
        client.delete(f"/jobs/{job}")
        encoder.go.release(1_000)
        assert [each.data["status"] for each in found][-1] == "cancelled"


def test_the_events_of_an_unknown_job_are_not_found(client):
    assert_problem(client.get("/jobs/nope/events"), 404, "not_found")


def test_a_stop_lets_go_of_those_who_follow_a_job_or_wait_for_it(gated):
    client, encoder, app, server = gated
    job = client.post("/summarize", json={"text": LONG, "wait": 0}).json()["job"]
    replies: list = []
    waiting = threading.Thread(target=lambda: replies.append(client.get(f"/jobs/{job}", params={"wait": 60})))
    waiting.start()
    with client.stream("GET", f"/jobs/{job}/events") as reply:
        found = events(reply.iter_lines())
        next(found)
        until(lambda: len(app.state.lectern.jobs._listeners.get(job, ())) == 2)
        server.should_exit = True
        assert all(isinstance(each, str) or each.name == "progress" for each in found)  # it ends
    waiting.join(20)
    assert replies[0].json()["status"] in ("queued", "running")
    encoder.go.release(1_000)
