"""When a call is sent again, for how long, and what a client makes of replies that are not as they should be.

A small real server replies by a script; what a real service does is in `test_live.py`.
"""

import asyncio
import inspect
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, get_args

import httpx
import pytest

import lectern
from app.problems import Code
from lectern import calls, steps
from lectern.errors import BY_CODE
from lectern.options import AdaptOptions, AskOptions, Changes, SearchOptions, SummarizeOptions
from lectern.steps import Patience, Pause, Send
from tests.app.served import ROOT
from tests.lectern.both import connected
from tests.lectern.scripted import Line, Scripted, problem, scripted

ANSWER = {
    "answer": None,
    "answerable": False,
    "confidence": 0.9,
    "citations": [],
    "read": {"passages": 0, "characters": 0, "documents": 0},
    "model": {"reader": "r@1", "critic": "c@1"},
    "timings_ms": {},
    "mood": "newer than this client",
}
PROGRESS = {"done": 1, "total": None, "unit": None}
JOB = {"id": "j1", "kind": "ask", "progress": PROGRESS, "created_at": "a", "updated_at": "b"}
RUNNING = Line(body={**JOB, "status": "running", "result": None, "problem": None})
DOCUMENT = {"id": "d1", "version": "v1", "status": "indexed", "collection": "c", "title": "t", "media_type": "m"}
DOCUMENT |= {"characters": 1, "pages": 0, "passages": 1, "created_at": "a", "metadata": {}, "warnings": []}
ACCEPTED = Line(status=202, body={"job": "j1", "status": "queued", "progress": PROGRESS})


def over(status: str = "succeeded", **more: Any) -> Line:
    return Line(body={**JOB, "status": status, "result": None, "problem": None, **more})


@pytest.fixture
def against(kind: str) -> Iterator[Any]:
    """A client of a scripted server, and the server."""
    opened: list[Any] = []

    def open_(*lines: Line, **options: Any) -> tuple[Any, Scripted]:
        server = scripted(*lines)
        found = server.__enter__()
        client = connected(kind, found.url, **options)
        opened.extend((server, client))
        return client.__enter__(), found

    yield open_
    for each in reversed(opened):
        each.__exit__(None, None, None)


@pytest.mark.parametrize(
    "refusal", [problem(503, "busy", retry_after=0), problem(429, "rate_limited", retry_after=0), Line(dropped=True)]
)
def test_a_question_is_sent_again_until_it_is_answered(against, refusal: Line):
    client, server = against(refusal, refusal, Line(body=ANSWER))
    assert client.ask("Why?").answerable is False
    assert [each.path for each in server.asked] == ["/ask"] * 3


def test_tries_are_counted(against):
    client, server = against(problem(503, "busy", retry_after=0), retries=2)
    with pytest.raises(lectern.Busy) as error:
        client.search("why")
    assert (len(server.asked), error.value.retry_after) == (3, 0)


def test_a_pause_that_is_longer_than_anybody_waits_is_not_made(against):
    client, server = against(problem(429, "rate_limited", retry_after=3_600))
    with pytest.raises(lectern.RateLimited) as error:
        client.documents.add(text="A mill.")
    assert (len(server.asked), error.value.retry_after) == (1, 3_600)
    client, server = against(problem(503, "busy", retry_after=30), deadline=10)
    with pytest.raises(lectern.Busy):
        client.ask("Why?")
    assert len(server.asked) == 1


def test_what_cannot_be_mended_by_trying_again_is_not_tried_again(against):
    for status, code in ((422, "invalid"), (404, "not_found"), (500, "internal"), (503, "storage")):
        client, server = against(problem(status, code))
        with pytest.raises(BY_CODE[code]):
            client.ask("Why?")
        assert len(server.asked) == 1


def test_an_upload_carries_a_key_and_keeps_it_when_it_is_sent_again(against, tmp_path):
    (tmp_path / "lease.txt").write_text("A mill.")
    client, server = against(Line(dropped=True), Line(status=201, body=DOCUMENT))
    assert client.documents.add(path=tmp_path / "lease.txt", metadata={"n": 1}).id == "d1"
    first, again = server.asked
    assert first.headers["idempotency-key"] == again.headers["idempotency-key"] != ""
    assert b"A mill." in again.body
    client.documents.add(text="A mill.")
    assert server.asked[-1].headers["idempotency-key"] != first.headers["idempotency-key"]


def test_a_batch_carries_a_key_too(against):
    client, server = against(Line(dropped=True), ACCEPTED, over(result={"results": [], "succeeded": 0, "failed": 0}))
    assert client.documents.batch([{"text": "A"}, {"text": "Ü"}]).failed == 0
    first, again = server.asked[:2]
    assert first.headers["idempotency-key"] == again.headers["idempotency-key"]
    assert again.body.decode() == '{"text":"A"}\n{"text":"Ü"}'


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.collections.adapt("c"),
        lambda client: client.collections.rollback("c"),
        lambda client: client.documents.put("d1", text="A mill.", if_match="v0"),
        lambda client: client.documents.patch("d1", title="T"),
        lambda client: client.jobs.ask("Why?"),
    ],
)
def test_what_may_have_been_done_is_not_done_twice(against, call):
    client, server = against(Line(dropped=True), Line(body=DOCUMENT))
    with pytest.raises(lectern.NoConnection):
        call(client)
    assert len(server.asked) == 1


def test_a_conditional_change_that_was_refused_is_sent_again(against):
    client, server = against(problem(503, "busy", retry_after=0), Line(body=DOCUMENT))
    client.documents.put("d1", text="A mill.", if_match="v0")
    assert [each.headers["if-match"] for each in server.asked] == ['"v0"', '"v0"']


def test_a_deletion_whose_reply_was_lost_is_done_when_there_is_nothing_left(against):
    client, server = against(Line(dropped=True), problem(404, "not_found"))
    client.documents.delete("d1")
    assert len(server.asked) == 2
    with pytest.raises(lectern.NotFound):
        client.documents.delete("d1")


def test_a_service_that_is_not_there_is_told_in_one_line_after_some_tries(kind: str):
    with scripted(RUNNING) as server:
        gone = server.url
    with connected(kind, gone, retries=1) as client, pytest.raises(lectern.NoConnection, match=f"cannot reach {gone}"):
        client.collections.rollback("c")


def test_a_question_that_becomes_a_job_is_followed_to_its_answer_across_a_restart(against):
    stopping = [Line(dropped=True)] * 6
    client, server = against(ACCEPTED, RUNNING, *stopping, problem(503, "busy", retry_after=0), over(result=ANSWER))
    assert client.ask("Why?").confidence == 0.9
    assert len(server.asked) == 10
    assert {each.path.split("?")[0] for each in server.asked[1:]} == {"/jobs/j1"}


def test_a_job_s_problem_is_raised_as_if_it_were_the_reply(against):
    told = {"status": 422, "code": "no_text", "detail": "pages 1 to 3 have no text"}
    client, _ = against(Line(status=202, body={**DOCUMENT, "job": "j1"}), over("failed", problem=told))
    with pytest.raises(lectern.NoText, match="pages 1 to 3"):
        client.documents.add(text="A mill.")
    client, _ = against(ACCEPTED, over("cancelled"))
    with pytest.raises(lectern.JobCancelled) as error:
        client.summarize()
    assert error.value.job == "j1"


def test_after_the_deadline_the_job_is_named_that_goes_on(against):
    client, _ = against(ACCEPTED, RUNNING)
    with pytest.raises(lectern.DeadlineExceeded) as error:
        client.ask("Why?", deadline=0.05)
    assert error.value.job == "j1"


def test_what_a_newer_service_adds_is_kept(against):
    client, _ = against(Line(body=ANSWER))
    answer = client.ask("Why?")
    assert answer.mood == "newer than this client"
    assert answer.model.critic == "c@1"
    client, _ = against(over("paused"), problem(418, "teapot"))
    assert client.jobs.get("j1").status == "paused"
    with pytest.raises(lectern.Problem, match="no") as error:
        client.version()
    assert (type(error.value), error.value.status, error.value.code) == (lectern.Problem, 418, "teapot")


@pytest.mark.parametrize("body", ["<h1>Welcome to nginx</h1>", [], {"answer": "secret"}])
def test_what_is_not_lectern_s_reply_is_told_without_what_was_in_it(against, body):
    client, _ = against(Line(body=body))
    with pytest.raises(lectern.UnexpectedReply) as error:
        client.ask("Why?")
    assert "secret" not in str(error.value)
    assert "nginx" not in str(error.value)


def test_a_gateway_s_own_errors_are_no_problems_of_lectern_and_a_read_is_tried_again(against):
    client, server = against(Line(status=502, body="<h1>Bad gateway</h1>"), Line(body=ANSWER))
    assert client.ask("Why?").answerable is False
    client, server = against(Line(status=502, body="<h1>Bad gateway</h1>"), retries=1)
    with pytest.raises(lectern.UnexpectedReply, match="502"):
        client.version()
    assert len(server.asked) == 2


def test_a_key_does_not_follow_a_redirection(against):
    client, server = against(Line(status=308, headers={"Location": "/elsewhere"}), key="lct_secret")
    with pytest.raises(lectern.UnexpectedReply, match="another address"):
        client.ask("Why?")
    assert len(server.asked) == 1


def test_a_redirected_stream_leaves_its_connection_to_the_next_call(against):
    client, server = against(Line(status=308, headers={"Location": "/elsewhere"}, body="moved"), Line(body=ANSWER))
    with pytest.raises(lectern.UnexpectedReply, match="another address"):
        list(client.stream_answers("Why?"))
    client.ask("Why?")
    assert len({each.port for each in server.asked}) == 1


def test_a_service_that_is_not_ready_says_so_without_an_error(against):
    body = {"ready": False, "store": "ok", "indexes": "building", "models": {}}
    client, server = against(Line(status=503, body=body))
    assert client.ready().indexes == "building"
    assert len(server.asked) == 1


def event(name: str, data: Any, identifier: str = "") -> str:
    return f"event: {name}\n" + (f"id: {identifier}\n" if identifier else "") + f"data: {json.dumps(data)}\n\n"


STATE = {**PROGRESS, "status": "running"}


def test_a_job_s_events_are_followed_on_from_the_last_one_that_was_seen(against):
    first = ": silence\n\n" + event("progress", STATE, "t1") + ": silence\n\n" + "event: progress\nid: t2\ndata: {"
    more = "retry: 2000\n" + event("news", {"of": "a newer service"}, "t2") + event("done", over().body, "t3")
    client, server = against(Line(events=first, cut=True), Line(dropped=True), Line(events=more))
    progress, job = client.jobs.events("j1")
    assert (progress.status, progress.done, job.status) == ("running", 1, "succeeded")
    assert [each.headers.get("last-event-id") for each in server.asked] == [None, "t1", "t1"]


def test_a_stream_that_a_stopping_service_ends_is_opened_again_and_one_with_nothing_left_is_over(against):
    client, server = against(Line(events=event("progress", STATE, "t1")), Line(status=204))
    assert [each.status for each in client.jobs.events("j1")] == ["running"]
    assert server.asked[1].headers["last-event-id"] == "t1"


def test_a_job_whose_events_break_off_again_and_again_is_given_up(against):
    client, server = against(Line(events=": silence\n\n", cut=True), retries=2)
    with pytest.raises(lectern.NoConnection, match="broke off"):
        list(client.jobs.events("j1"))
    assert len(server.asked) == 3


def test_a_streamed_answer_that_breaks_off_is_an_error_not_an_end(against):
    for cut in (True, False):
        client, server = against(Line(events=event("hits", {"question": 0, "hits": []}), cut=cut))
        events = client.stream_answers("Why?")
        assert next(events).hits == []
        with pytest.raises(lectern.NoConnection):
            next(events)
        assert len(server.asked) == 1


def test_an_error_event_is_raised_as_its_problem(against):
    client, _ = against(Line(events=event("error", problem(503, "busy").body)))
    with pytest.raises(lectern.Busy) as error:
        list(client.stream_summary())
    assert error.value.request_id == "r1"


@pytest.mark.parametrize("shape", [{"status": "high"}, {"errors": 7}, {"errors": [{"loc": 7}, "x"]}])
def test_a_problem_of_an_odd_shape_is_a_problem_still(against, shape):
    client, _ = against(Line(status=404, body={**problem(404, "not_found").body, **shape}))
    with pytest.raises(lectern.NotFound, match="no"):
        client.version()
    client, _ = against(Line(events=event("error", ["no"])))
    with pytest.raises(lectern.UnexpectedReply):
        list(client.stream_summary())


def test_a_stream_is_opened_again_while_it_is_refused_and_must_be_one(against):
    lines = event("answer", ANSWER) + event("done", {})
    client, _ = against(problem(503, "busy", retry_after=0), Line(events=lines))
    (answer,) = client.stream_answers("Why?")
    assert answer.confidence == 0.9
    client, _ = against(Line(body=ANSWER))
    with pytest.raises(lectern.UnexpectedReply):
        list(client.stream_answers("Why?"))


def test_the_key_is_sent_and_shown_nowhere(against):
    client, server = against(problem(401, "unauthenticated"), key="lct_secret")
    with pytest.raises(lectern.Unauthenticated) as error:
        client.version()
    assert server.asked[0].headers["authorization"] == "Bearer lct_secret"
    assert "lct_secret" not in f"{error.value!r} {lectern.Client(server.url, key='lct_secret')._sender.where!r}"


def test_a_key_from_a_file_is_sent_without_its_line_end_and_what_cannot_be_sent_is_not_shown(against, monkeypatch):
    client, server = against(Line(body={"name": "lectern", "version": "1"}), key="lct_secret\n")
    client.version()
    assert server.asked[0].headers["authorization"] == "Bearer lct_secret"
    for wrong in ("lct_sec\nret", "lct_sécret", "lct_secret two"):
        monkeypatch.setenv("LECTERN_KEY", wrong)
        with pytest.raises(ValueError, match="the key is not one") as error:
            against(Line(body=ANSWER))
        assert "lct" not in str(error.value)


def test_a_large_batch_is_not_encoded_on_the_event_loop():
    threads = set()

    def rows() -> Iterator[dict[str, str]]:
        threads.add(threading.current_thread())
        yield {"text": "a"}

    async def run(url: str) -> None:
        async with lectern.AsyncClient(url, transport=httpx.AsyncHTTPTransport()) as client:
            assert (await client.jobs.batch(rows())).id == "j1"
            with pytest.raises(lectern.UnexpectedReply):
                await client.documents.batch(rows())

    with scripted(ACCEPTED, over(), ACCEPTED, over()) as server:
        asyncio.run(run(server.url))
    assert threads
    assert threading.current_thread() not in threads


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "ünder", "?x"])
def test_a_name_stays_one_part_of_a_path(against, name: str):
    client, server = against(problem(404, "not_found"))
    if name in ("", ".", ".."):
        with pytest.raises(ValueError, match="is not an id or a name"):
            client.documents.get(name)
        assert server.asked == []
        return
    with pytest.raises(lectern.NotFound):
        client.documents.get(name)
    assert server.asked[0].path.count("/") == 2
    assert "?" not in server.asked[0].path


@pytest.mark.parametrize("content", [{}, {"text": "a", "path": "b"}, {"data": b"a"}])
def test_a_document_has_one_source(against, content: dict[str, Any]):
    client, _ = against(Line(body=DOCUMENT))
    with pytest.raises(ValueError, match=r"exactly one of|needs a filename"):
        client.documents.add(**content)


def test_an_address_under_a_path_is_kept(kind: str):
    with (
        scripted(Line(body={"name": "lectern", "version": "1"})) as server,
        connected(kind, server.url + "/lectern/") as client,
    ):
        client.version()
        assert server.asked[0].path == "/lectern/version"


def test_every_operation_of_the_contract_can_be_called_openai_s_apart():
    content, no = {"text": "A"}, None
    known = [
        *(calls.ask("A", {}), calls.summarize({}), calls.search("A", {}), calls.verify([]), calls.batch([], key=no)),
        *(calls.add(content, wait=no, key=no), calls.put("x", content, if_match=no, wait=no), calls.document("x")),
        *(calls.patch("x", {}, if_match=no), calls.documents(collection=no, limit=1, cursor=no), calls.file("x")),
        *(calls.text("x", start=0, end=no, version=no), calls.outline("x", version=no)),
        *(calls.delete_document("x", if_match=no), calls.collections(limit=1, cursor=no), calls.collection("x")),
        *(calls.put_collection("x", {}), calls.delete_collection("x"), calls.adapt("x", {}), calls.rollback("x")),
        *(calls.job("x"), calls.jobs(limit=1, cursor=no), calls.cancel("x"), calls.job_events("x")),
        *(calls.alive(), calls.ready(), calls.version(), calls.metrics()),
    ]
    paths = json.loads((ROOT / "tests" / "contract" / "openapi.json").read_text())["paths"]
    there = {(method.upper(), re.sub(r"{\w+}", "x", path)) for path, methods in paths.items() for method in methods}
    assert {(call.method, call.path) for call in known} == {each for each in there if not each[1].startswith("/v1/")}


def test_every_option_of_the_contract_can_be_said():
    schemas = json.loads((ROOT / "tests" / "contract" / "openapi.json").read_text())["components"]["schemas"]
    for name, options, own in (
        ("AskRequest", AskOptions, {"question", "questions", "stream"}),
        ("SummarizeRequest", SummarizeOptions, {"stream"}),
        ("SearchRequest", SearchOptions, {"query"}),
        ("AdaptRequest", AdaptOptions, set()),
        ("DocumentPatch", Changes, set()),
    ):
        assert set(schemas[name]["properties"]) == set(options.__annotations__) | own, name


def test_every_problem_code_of_the_service_has_a_class_of_its_own():
    assert set(BY_CODE) == set(get_args(Code))
    assert len(set(BY_CODE.values())) == len(BY_CODE)


def test_pauses_are_at_least_what_was_asked_for_and_differ_from_client_to_client():
    patience = Patience(until=time.monotonic() + 1_000, timeout=5, retries=9, backoff=0.5)
    pauses = [patience.pause(2, asked=7) for _ in range(100)]
    assert min(pauses) >= 8  # 7 and half of 0.5 * 2**2
    assert max(pauses) <= 9
    assert len(set(pauses)) > 50
    assert max(patience.pause(30) for _ in range(100)) <= steps.SLOWEST


def test_a_date_to_come_back_at_is_as_good_as_seconds():
    work = steps.sent(calls.version(), Patience(until=time.monotonic() + 99, timeout=5, retries=1, backoff=0.0))
    assert isinstance(next(work), Send)
    at = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 20))
    pause = work.send(httpx.Response(503, headers={"Retry-After": at}, json={}))
    assert isinstance(pause, Pause)
    assert 18 <= pause.seconds <= 20


def test_a_reply_may_be_silent_for_as_long_as_it_was_asked_to_wait_and_no_longer_than_the_deadline():
    patience = Patience(until=time.monotonic() + 100, timeout=5, retries=0, backoff=0.0)
    assert next(steps.sent(calls.ask("Why?", {"wait": 20}), patience)).timeout == 25
    assert next(steps.sent(calls.ask("Why?", {"wait": 300}), patience)).timeout <= 100


def test_both_clients_take_the_same_and_say_the_same():
    groups = [
        (lectern.Client, lectern.AsyncClient),
        *(
            (getattr(lectern.client, name), getattr(lectern.async_client, f"Async{name}"))
            for name in ("Documents", "Collections", "Jobs")
        ),
    ]
    for plain, other in groups:
        for name, method in inspect.getmembers(plain, inspect.isfunction):
            if not name.startswith("_"):
                twin = getattr(other, name)
                assert inspect.signature(method).parameters == inspect.signature(twin).parameters, name
                assert inspect.getdoc(method) == inspect.getdoc(twin)


def test_the_client_loads_nothing_heavy():
    script = (
        "import sys, lectern; lectern.Client('http://127.0.0.1:9').close()\n"
        "heavy = {'torch', 'numpy', 'faiss', 'transformers', 'sqlalchemy', 'fastapi', 'app', 'model', 'retriever'}\n"
        "sys.exit(f'imported: {heavy & set(sys.modules)}' if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
