"""The gateway's configuration in a real nginx on loopback, in front of a real service and of a scripted upstream."""

import contextlib
import http.client
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from app.settings import Settings
from tests.app.events import Event, events, read
from tests.app.served import ROOT, Server

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/bin")
CONFIGURATION = ROOT / "deploy" / "nginx"
LIMIT = Settings().max_body_bytes

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed: apt-get install nginx-light")


def reserved() -> socket.socket:
    """A port that nobody else is given while the socket is open, but for nginx, which says that it shares it."""
    port = socket.socket()
    port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    port.bind(("127.0.0.1", 0))
    return port


def number(port: socket.socket) -> int:
    return int(port.getsockname()[1])


def replaced(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, f"{old!r} is not in the configuration once"
    return text.replace(old, new)


class Gateway:
    """A running nginx with the shipped configuration; only addresses and folders are changed."""

    def __init__(
        self, folder: Path, upstream: str, *, tls: Path | None = None, buffering: bool = False, prefix: str = ""
    ) -> None:
        self._reserved = reserved(), reserved()
        self.port, self.tls_port = map(number, self._reserved)
        (folder / "lectern").mkdir(parents=True)
        main = replaced((CONFIGURATION / "nginx.conf").read_text(), "server lectern:8000;", f"server {upstream};")
        main = main.replace("/dev/stdout", str(folder / "access.log"))
        (folder / "nginx.conf").write_text(main.replace("worker_processes auto", "daemon off; worker_processes 1"))
        site = (CONFIGURATION / ("tls.conf" if tls else "http.conf")).read_text()
        site = replaced(site, "listen 8080;", f"listen 127.0.0.1:{self.port} reuseport;")
        if tls:
            site = replaced(site, "listen 8443 ", f"listen 127.0.0.1:{self.tls_port} reuseport ")
            site = site.replace("/etc/nginx/tls", str(tls))
        (folder / "lectern" / "site.conf").write_text(site)
        proxy = (CONFIGURATION / "proxy.conf").read_text()
        if buffering:
            proxy = replaced(proxy, "proxy_buffering off;", "proxy_buffering on;")
        if prefix:  # which this gateway strips: the service is told it by LECTERN_ROOT_PATH
            proxy = replaced(proxy, "location / {", f"location {prefix}/ {{")
            proxy = replaced(proxy, "proxy_pass http://lectern;", "proxy_pass http://lectern/;")
        (folder / "lectern" / "proxy.conf").write_text(proxy)
        self.upstream = upstream
        self.access_log = folder / "access.log"
        self.process = subprocess.Popen(
            [str(NGINX), "-p", str(folder), "-c", str(folder / "nginx.conf")], stderr=subprocess.PIPE, text=True
        )
        self._wait()
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60, trust_env=False)

    def _wait(self) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(self.process.communicate()[1])
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
        raise AssertionError("nginx does not listen")

    def close(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.communicate(timeout=20)
        for port in self._reserved:
            port.close()


class Scripted(BaseHTTPRequestHandler):
    """An upstream that shows what it was sent, and streams when it is asked to, waiting for a word between events."""

    protocol_version = "HTTP/1.1"
    proceed = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/stream":
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self._chunk(b"event: hits\n\n")
            self.proceed.wait(20)
            self._chunk(b"event: done\n\n")
            self._chunk(b"")
            return
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Request-ID", "the-upstream's")
        self.end_headers()
        self.wfile.write(body)

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    gateway = Gateway(tmp_path_factory.mktemp("gateway"), f"127.0.0.1:{server.server_port}")
    yield gateway
    gateway.close()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    server = Server(tmp_path_factory.mktemp("data"))
    gateway = Gateway(tmp_path_factory.mktemp("gateway"), server.url.removeprefix("http://"))
    yield gateway
    gateway.close()
    server.stop()
    assert server.process.stderr is not None
    server.process.stderr.close()


def test_a_document_goes_in_and_an_answer_comes_out_through_the_gateway(served: Gateway) -> None:
    text = "The mill stands at Stony Ford. The yearly rent of the mill is silver."
    created = served.client.post("/documents", json={"text": text}, headers={"X-Request-ID": "mine-1"})
    assert created.status_code == 201
    assert created.headers.get_list("X-Request-ID") == ["mine-1"]
    asked = served.client.post("/ask", json={"question": "What is the yearly rent of the mill?"})
    assert asked.json()["answer"] == "silver"
    assert asked.headers["X-Request-ID"] == asked.json()["request_id"]
    assert served.client.get("/readyz").status_code == 200


def test_errors_of_the_service_pass_through_untouched(served: Gateway) -> None:
    reply = served.client.get("/documents/absent")
    assert (reply.status_code, reply.json()["code"]) == (404, "not_found")
    assert reply.headers["Content-Type"].startswith("application/problem+json")


def test_the_gateway_takes_what_the_service_takes_and_refuses_one_byte_more(served: Gateway) -> None:
    head, tail = b'{"question": "Why?", "text": "', b'"}'
    body = head + b" " * (LIMIT - len(head) - len(tail)) + tail
    assert served.client.post("/ask", content=body, headers={"Content-Type": "application/json"}).status_code == 422
    over = served.client.post("/ask", content=body + b" ", headers={"X-Request-ID": "big"})
    assert over.status_code == 413
    problem = over.json()
    assert (problem["code"], problem["request_id"]) == ("too_large", "big")
    assert str(LIMIT) in problem["detail"]
    assert over.headers["Content-Type"] == "application/problem+json"


def test_urls_and_headers_that_are_too_long_are_the_same_problem_from_both(served: Gateway) -> None:
    for query, header in ("q" * 9_000, ""), ("q" * 20_000, ""), ("", "q" * 40_000), ("", "q" * 90_000):
        with contextlib.suppress(httpx.WriteError, httpx.ReadError):  # nginx ends the connection while it is sent
            reply = served.client.get(f"/livez?{query}", headers={"X-A": header})
            assert (reply.status_code, reply.json()["code"]) == (400, "malformed")


def test_the_limits_in_the_configuration_are_those_of_the_settings() -> None:
    proxy = (CONFIGURATION / "proxy.conf").read_text()
    settings = Settings()
    assert f"client_max_body_size {LIMIT // 1024**2}m;" in proxy
    assert LIMIT % 1024**2 == 0
    assert f"limit of {LIMIT} bytes" in proxy
    read = int(proxy.split("proxy_read_timeout ")[1].split("s;")[0])
    assert read > settings.max_wait
    main = (CONFIGURATION / "nginx.conf").read_text()
    assert int(main.split("keepalive_timeout ")[1].split("s;")[0]) < settings.keep_alive


def test_the_upstream_is_told_who_asks_and_believes_no_client(scripted: Gateway) -> None:
    claimed = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "Forwarded": "for=6.6.6.6"}
    seen = scripted.client.get("/", headers={**claimed, "Host": "lectern.example:8080"}).json()
    assert seen["x-forwarded-for"] == "127.0.0.1"
    assert seen["x-forwarded-proto"] == "http"
    assert seen["x-forwarded-host"] == seen["host"] == "lectern.example:8080"
    assert "forwarded" not in seen


def test_a_request_id_is_passed_on_if_sane_and_made_otherwise(scripted: Gateway) -> None:
    passed = scripted.client.get("/", headers={"X-Request-ID": "abc.DEF_1-2"})
    assert passed.json()["x-request-id"] == passed.headers["X-Request-ID"] == "abc.DEF_1-2"
    for bad in ("with blank", "x" * 129, "quote'\""):
        made = scripted.client.get("/", headers={"X-Request-ID": bad})
        assert made.json()["x-request-id"] == made.headers["X-Request-ID"]
        assert len(made.headers["X-Request-ID"]) == 32
    assert made.headers.get_list("X-Request-ID") == [made.headers["X-Request-ID"]]


def test_an_event_arrives_while_the_next_is_still_to_come(scripted: Gateway) -> None:
    Scripted.proceed.clear()
    connection = http.client.HTTPConnection("127.0.0.1", scripted.port, timeout=15)
    connection.request("GET", "/stream")
    reply = connection.getresponse()
    assert reply.readline() == b"event: hits\n"
    Scripted.proceed.set()
    assert b"event: done" in reply.read()
    connection.close()


@pytest.mark.parametrize("buffering", [False, True], ids=["the shipped gateway", "one that buffers"])
def test_a_job_is_followed_through_the_gateway_while_it_runs(served: Gateway, tmp_path: Path, buffering: bool) -> None:
    gateway = Gateway(tmp_path, served.upstream, buffering=buffering)
    text = "\n\n".join(f"The mill number {n} of the {buffering} row has {n} wheels and a weir." for n in range(20_000))
    job = served.client.post("/documents?wait=0", json={"text": text}).json()["job"]
    try:
        with gateway.client.stream("GET", f"/jobs/{job}/events") as reply:
            assert reply.headers["Content-Type"].startswith("text/event-stream")
            found = (each for each in events(reply.iter_lines()) if isinstance(each, Event))
            assert next(found).name == "progress"
            assert served.client.get(f"/jobs/{job}").json()["status"] in ("queued", "running")
            served.client.delete(f"/jobs/{job}")
            last = list(found)[-1]
    finally:
        gateway.close()
    assert (last.name, last.data["status"]) == ("done", "cancelled")


def test_an_answer_is_streamed_through_the_gateway(served: Gateway) -> None:
    text = "The mill stands at Stony Ford. The yearly rent of the mill is silver."
    ask = {"question": "What is the yearly rent of the mill?", "text": text, "stream": True}
    found = read(served.client.post("/ask", json=ask))
    assert [each.name for each in found] == ["hits", "answer", "done"]
    assert found[1].data["answer"] == "silver"


def test_a_service_that_is_away_is_busy_in_the_service_s_own_words(tmp_path: Path) -> None:
    with reserved() as away:  # and nobody listens
        gateway = Gateway(tmp_path, f"127.0.0.1:{number(away)}")
        try:
            reply = gateway.client.post("/ask", json={"question": "Why?"}, headers={"X-Request-ID": "away"})
        finally:
            gateway.close()
    assert (reply.status_code, reply.json()["code"], reply.json()["request_id"]) == (503, "busy", "away")
    assert reply.headers["Retry-After"] == "5"
    assert reply.headers["Content-Type"] == "application/problem+json"


def test_the_log_has_paths_and_no_queries(scripted: Gateway, tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "gateway", scripted.upstream)
    try:
        gateway.client.get("/", params={"secret": "hunter2"})
    finally:
        gateway.close()  # nginx writes a line after the reply: only when it has ended are all of them there
    log = gateway.access_log.read_text()
    assert [json.loads(line)["path"] for line in log.splitlines()] == ["/"]
    assert "hunter2" not in log


def test_with_tls_the_mounted_certificate_is_shown_and_plain_http_redirects(tmp_path: Path) -> None:
    tls = tmp_path / "tls"
    tls.mkdir()
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    make += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    make += ["-keyout", str(tls / "tls.key"), "-out", str(tls / "tls.crt")]
    subprocess.run(make, check=True, capture_output=True, timeout=60)
    with reserved() as away:
        gateway = Gateway(tmp_path / "gateway", f"127.0.0.1:{number(away)}", tls=tls)
        try:
            moved = gateway.client.post("/ask?x=1", json={})
            context = ssl.create_default_context(cafile=str(tls / "tls.crt"))
            secure = httpx.get(f"https://127.0.0.1:{gateway.tls_port}/livez", verify=context, trust_env=False)
        finally:
            gateway.close()
    assert (moved.status_code, moved.headers["Location"]) == (308, "https://127.0.0.1/ask?x=1")
    assert secure.status_code == 503  # nothing is behind it, but the handshake held
