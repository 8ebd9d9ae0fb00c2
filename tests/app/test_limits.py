"""What one client may send, and for how long: raw sockets against a real server process."""

import base64
import contextlib
import json
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.bodies import MAX_VALUES, parse_json
from app.middleware import HEADER_BYTES, URL_BYTES
from tests.app.served import Server
from tests.app.test_documents_api import assert_problem

LIMIT = 100_000  # bytes of a body
SHORT = 0.4  # seconds that a server waits for a head, a body or a reader, where a test is about being cut off
AMPLE = 60.0  # where it is about anything else: on a busy machine 0.4 seconds may pass between any two steps
PATIENCE = 10.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = limited(tmp_path_factory.mktemp("data"), timeout=SHORT)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = limited(tmp_path_factory.mktemp("patient"), timeout=AMPLE)
    yield server
    server.stop()


def limited(data: Path, *, timeout: float) -> Server:
    settings = {"head_timeout": str(timeout), "body_timeout": str(timeout), "max_body_bytes": str(LIMIT)}
    return Server(data, **settings, max_connections="24")


def connected(server: Server, **options: int) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    plain = socket.socket()
    if "receive" in options:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, options["receive"])
    plain.settimeout(PATIENCE)
    plain.connect((host, int(port)))
    return plain


def rest(connection: socket.socket) -> bytes:
    """What the server sends until it ends the connection."""
    found = b""
    while part := connection.recv(65_536):
        found += part
    return found


def alive(connection: socket.socket) -> bool:
    """Ask whether the server lives, and read the reply to its end."""
    connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    found = b""
    while not found.endswith(b'{"alive":true}'):
        part = connection.recv(65_536)
        assert part, found
        found += part
    return found.startswith(b"HTTP/1.1 200 ")


def problem(answer: bytes, status: int, code: str) -> dict:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert b"application/problem+json" in head.lower()
    found = json.loads(body)
    assert (found["status"], found["code"]) == (status, code)
    assert f"x-request-id: {found['request_id']}".encode() in head.lower()
    return found


def exchange(server: Server, sent: bytes) -> bytes:
    with connected(server) as connection:
        connection.sendall(sent)
        return rest(connection)


def trickle(connection: socket.socket, piece: bytes) -> bytes:
    """Send a piece again and again, far more often than the server's patience lasts, until it answers or ends."""
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE:
        if select.select([connection], [], [], SHORT / 8)[0]:
            return rest(connection)
        connection.sendall(piece)
    raise AssertionError("the server waits without end")


@pytest.mark.parametrize("begun", [b"", b"GET /livez HTTP/1.1\r\nHost: x\r\n", b"GET /li"])
def test_a_client_that_does_not_finish_its_head_is_dropped(server: Server, begun: bytes) -> None:
    with connected(server) as connection:
        connection.sendall(begun)
        assert rest(connection) == b""  # or a timeout, when the test's own patience ends


def test_a_head_that_drips_in_is_dropped_too(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n")
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):  # where a piece crosses the end
            assert trickle(connection, b"X-A: b\r\n") == b""


def test_an_idle_connection_outlives_the_time_for_a_head_and_its_next_head_has_its_own(server: Server) -> None:
    with connected(server) as connection:
        assert alive(connection)
        assert not select.select([connection], [], [], 2 * SHORT)[0]  # neither data nor an end
        assert alive(connection)
        connection.sendall(b"GET /li")
        assert rest(connection) == b""


def upload(server: Server, text: str) -> dict[str, str]:
    """A document and its job. On a busy machine its body may take longer than this server waits for one."""
    for _ in range(20):
        made = server.client.post("/documents?wait=0", json={"text": text})
        if made.status_code == 202:
            return dict(made.json())
        assert made.status_code == 400, made.text
    raise AssertionError("every upload was cut off")


def test_a_request_that_takes_longer_than_a_head_may_is_not_cut_off(server: Server) -> None:
    job = upload(server, "The mill. " * 9_000)["job"]
    with connected(server) as connection:
        connection.sendall(f"GET /jobs/{job}?wait={3 * SHORT} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert b"200 OK" in connection.recv(65_536)


HEAD = b"POST /documents HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "begun", [HEAD + b"Content-Length: 999\r\n\r\n{", HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"]
)
def test_a_body_that_stops_or_drips_is_refused(server: Server, begun: bytes) -> None:
    problem(exchange(server, begun), 400, "malformed")
    with connected(server) as connection:
        connection.sendall(begun)
        piece = b"1\r\n \r\n" if b"chunked" in begun else b" "
        problem(trickle(connection, piece), 400, "malformed")


def test_a_body_that_arrives_in_pieces_at_a_fair_rate_is_taken(server: Server) -> None:
    """All of it takes longer than the server waits; so may one piece, where the machine is busy: then once more."""
    for _ in range(20):
        answer = in_pieces(server, json.dumps({"text": "The mill stands. " * 900}).encode())
        if answer.startswith(b"HTTP/1.1 201 "):
            return
        assert answer.startswith(b"HTTP/1.1 400 "), answer
    raise AssertionError("every body was cut off")


def in_pieces(server: Server, body: bytes) -> bytes:
    """The answer to a document that is sent in twice the time that the server waits for anything new of it."""
    with connected(server) as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body))
        for first in range(0, len(body), 1_000):
            connection.sendall(body[first : first + 1_000])
            if select.select([connection], [], [], SHORT / 8)[0]:
                break
        return connection.recv(65_536)


def test_chunks_over_the_limit_are_refused_while_they_arrive(patient: Server) -> None:
    chunk = b"1000\r\n" + b" " * 4_096 + b"\r\n"
    answer = exchange(patient, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * (LIMIT // 4_096 + 1))
    problem(answer, 413, "too_large")


def test_large_bodies_that_are_held_open_are_bounded_together(patient: Server) -> None:
    held = [connected(patient) for _ in range(12)]
    for connection in held:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % LIMIT + b" " * (LIMIT - 5_000))
    waiting, refused = list(held), []
    while len(refused) < 3:
        answered = select.select(waiting, [], [], PATIENCE)[0]
        assert answered, "too few are refused"
        refused += [connection.recv(65_536) for connection in answered]
        waiting = [connection for connection in waiting if connection not in answered]
    for connection in held:
        connection.close()
    assert {answer.split()[1] for answer in refused} == {b"503"}
    assert patient.client.post("/documents", json={"text": "There is room again."}).status_code == 201


def test_a_client_that_does_not_read_its_reply_is_cut_off(server: Server) -> None:
    made = upload(server, "The mill stands. " * 5_000)
    assert server.client.get(f"/jobs/{made['job']}", params={"wait": 60}).json()["status"] == "succeeded"
    ask = f"GET /documents/{made['id']}/text HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with connected(server, receive=4_096) as connection:
        connection.sendall(ask * 80)  # more than the buffers between the two hold
        watch = select.poll()
        watch.register(connection, select.POLLHUP | select.POLLERR)
        assert watch.poll(PATIENCE * 1_000), "the server waits without end"
    assert server.client.get("/livez").status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /livez?" + b"q" * (URL_BYTES + 1) + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-A: " + b"q" * HEADER_BYTES + b"\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + b"X-A: qqqqqqqq\r\n" * 4_000 + b"\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX-A: " + b"q" * 500_000,
        b"GET /" + b"q" * 500_000,
        b"qqqqqqqq\r\n\r\n",
        b"\x16\x03\x01\x00\xf8\x01\x00\x00\xf4" + b"q" * 99 + b"\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n\r\n",
        b"POST /ask HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /ask HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    ],
)
def test_heads_that_are_too_long_or_no_http_are_problems(patient: Server, sent: bytes) -> None:
    assert "qqq" not in json.dumps(problem(exchange(patient, sent), 400, "malformed"))


def test_the_longest_url_and_headers_are_served(patient: Server) -> None:
    path = b"/livez?" + b"q" * (URL_BYTES - 7)
    sent = b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-A: %s\r\n\r\n" % (path, b"q" * (HEADER_BYTES - 40))
    assert exchange(patient, sent).startswith(b"HTTP/1.1 200 ")


def test_a_broken_chunk_ends_the_connection_and_nothing_else(patient: Server) -> None:
    answer = exchange(patient, HEAD + b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"tex\r\nzz\r\n\r\n')
    problem(answer, 400, "malformed")
    assert patient.client.get("/livez").status_code == 200
    failed = [line["error"][0]["kind"] for line in patient.log if line["level"] == "error"]
    assert set(failed) <= {"QueueFull"}  # the bodies that were too many together


def test_more_clients_than_are_allowed_are_told_to_come_back(patient: Server) -> None:
    held = [connected(patient) for _ in range(25)]
    answer = rest(held[-1])
    for connection in held:
        connection.close()
    assert problem(answer, 503, "busy")
    assert b"retry-after" in answer.lower()
    while patient.client.get("/livez").status_code != 200:
        pass


# What is in a body


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    "body",
    [
        b'{"question": "x", "documents": [' + b"[]," * (MAX_VALUES + 1) + b"1]}",
        b'{"question": "x", "documents": [' + b'"",' * (4 * MAX_VALUES) + b"1]}",
        b'{"question": "x", "a": {' + b'"\\"\\\\":1,' * (MAX_VALUES + 1) + b'"z": 1}}',
        b'{"question": "x", "a": ' + b"[" * 65 + b"]" * 65 + b"}",
        b'{"question": "x", "a": ' + b'{"a":' * 65 + b"1" + b"}" * 65 + b"}",
    ],
)
def test_json_of_too_many_or_too_deep_values_is_malformed_before_it_is_made(client, body: bytes) -> None:
    assert_problem(client.post("/ask", content=body, headers=JSON), 400, "malformed")


def test_a_text_of_many_commas_quotes_and_brackets_is_only_a_text() -> None:
    value = {"text": 'a "quoted" \\ list: [1, 2], {3}\n' * MAX_VALUES}
    assert parse_json(json.dumps(value).encode()) == value


LONG = "x" * 3_000


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/ask", {"question": LONG}),
        ("POST", "/ask", {"questions": ["x"] * 65}),
        ("POST", "/ask", {"question": "x", "documents": ["a"] * 1_001}),
        ("POST", "/ask", {"question": "x", "collection": "c" * 129}),
        ("POST", "/ask", {"question": "x", "top_k": 65}),
        ("POST", "/ask", {"question": "x", "alternatives": 11}),
        ("POST", "/ask", {"question": "x", "filters": {f"f{n}": 1 for n in range(33)}}),
        ("POST", "/ask", {"question": "x", "filters": {"f": list(range(1_001))}}),
        ("POST", "/ask", {"question": "x", "filters": {"f" * 129: 1}}),
        ("POST", "/search", {"query": LONG}),
        ("POST", "/search", {"query": "x", "top_k": 201}),
        ("POST", "/summarize", {"query": LONG}),
        ("POST", "/summarize", {"length": {"words": 10**7}}),
        ("POST", "/documents", {"text": "x", "title": LONG}),
        ("POST", "/documents", {"text": "x", "metadata": {"a": "x" * 70_000}}),
        ("POST", "/documents", {"text": "x", "metadata": {"k" * 129: 1}}),
        ("POST", "/documents", {"text": "x", "metadata": {"a": [[[[[[[[[1]]]]]]]]]}}),
        ("PUT", "/documents/" + "d" * 129, {"text": "x"}),
        ("PATCH", "/documents/any", {"title": LONG}),
        ("PUT", "/collections/" + "c" * 129, {}),
        ("GET", "/documents?limit=1001", None),
        ("GET", "/jobs?limit=1001", None),
    ],
)
def test_fields_and_lists_over_their_length_are_invalid(client, method: str, path: str, body: dict | None) -> None:
    reply = client.request(method, path, json=body)
    assert_problem(reply, 422, "invalid")
    assert "xxx" not in reply.text


@pytest.mark.parametrize("cursor", [b"[" * 4_000, b"1", b"[1,2]", b'["a"]', b"\xff", b'{"a":1}'])
def test_what_is_no_cursor_is_invalid_whatever_it_is(client, cursor: bytes) -> None:
    for path in ("/documents", "/jobs"):
        reply = client.get(path, params={"cursor": base64.urlsafe_b64encode(cursor).decode()})
        assert_problem(reply, 422, "invalid")
