"""A real server process on a loopback port: started, killed, started again."""

import signal
import socket
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.app.served import Server

TEXT = "\n\n".join(
    f"The pump number {n} was made by company {n} in the year {1900 + n % 100}. It has a filter. 泵{n}很好。😀"
    for n in range(3_000)
)
QUESTION = "Who made the pump number 1234 in the year?"


@pytest.fixture
def start(tmp_path):
    servers = []

    def begin(**settings):
        servers.append(Server(tmp_path / "data", **settings))
        return servers[-1]

    yield begin
    for server in servers:
        if server.process.poll() is None:
            server.stop(signal.SIGKILL)


def in_progress(client: httpx.Client, job: str) -> dict:
    """Follows a job until it runs."""
    while (found := client.get(f"/jobs/{job}").json())["status"] == "queued":
        pass
    return found


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_an_ingest_that_the_end_of_the_process_interrupts_goes_on_at_the_next_start(start, how):
    server = start(module="tests.app.held")
    accepted = server.client.post("/documents?wait=0", json={"text": TEXT}).json()
    assert in_progress(server.client, accepted["job"])["status"] == "running"
    server.stop(how)
    stopped = [line for line in server.log if line["event"] == "stopped"]
    assert len(stopped) == (1 if how is signal.SIGTERM else 0)

    again = start()
    job = again.client.get(f"/jobs/{accepted['job']}", params={"wait": 60}).json()
    assert (job["status"], job["progress"]["done"]) == ("succeeded", job["progress"]["total"])
    assert again.client.get(f"/documents/{accepted['id']}/text").json()["text"] == TEXT
    hits = again.client.post("/search", json={"query": "pump number 1234", "mode": "sparse"}).json()["hits"]
    assert "number 1234 " in hits[0]["text"]
    assert next(line for line in again.log if line["event"] == "started")["requeued"] == 1


def test_two_hundred_requests_at_once_all_get_an_answer(start):
    server = start()
    assert server.client.post("/documents", json={"text": TEXT[:20_000], "title": "Pumps"}).status_code == 201
    limits = httpx.Limits(max_connections=200)
    with (
        httpx.Client(base_url=server.url, timeout=60, limits=limits, trust_env=False) as client,
        ThreadPoolExecutor(200) as pool,
    ):
        ask = {"question": "Who made the pump number 12?", "top_k": 2}
        calls = [pool.submit(client.post, "/ask", json=ask) for _ in range(200)]
        replies = [call.result(60) for call in calls]
    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.json()["answer"] for reply in replies}) == 1


def test_a_body_over_the_limit_gets_its_413_on_the_wire_before_it_is_sent_whole(start):
    server = start(max_body_bytes="100000")
    host, port = server.url.removeprefix("http://").split(":")
    for head in (
        b"Content-Length: 10000000000\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n186a1\r\n" + b"x" * 100_001 + b"\r\n",
    ):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(b"POST /documents HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + head)
            answer = connection.recv(65_536)
            assert answer.startswith(b"HTTP/1.1 413 ")
            assert b"application/problem+json" in answer
    assert server.client.post("/documents", content=b"x" * 5_000_000).status_code == 413
    assert server.client.get("/livez").status_code == 200


def test_a_second_process_on_the_same_data_directory_is_refused_in_one_line_until_the_first_is_gone(start, tmp_path):
    first = start()
    assert first.client.post("/documents", json={"text": "The pump has a filter."}).status_code == 201
    with pytest.raises(AssertionError) as refused:
        start()
    told = f"another Lectern uses '{tmp_path / 'data'}': stop it first, or name another folder"
    assert str(refused.value).strip() == f"lectern: {told}"
    assert first.client.get("/readyz").status_code == 200
    first.stop(signal.SIGKILL)
    assert start().client.get("/documents").json()["documents"][0]["passages"] == 1


def test_a_misspelt_setting_stops_the_start_with_its_name(tmp_path):
    with pytest.raises(AssertionError, match="LECTERN_WORKERS is not a setting: did you mean LECTERN_JOB_WORKERS"):
        Server(tmp_path, module="app.main", workers="2")
