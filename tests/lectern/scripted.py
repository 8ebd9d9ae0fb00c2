"""A small real server on loopback that replies by a script, whatever it is asked, and keeps what it was asked."""

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Line:
    """One reply. `dropped`: the connection ends without one; `cut`: a stream that does not end as it should."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    events: str | None = None
    dropped: bool = False
    cut: bool = False


@dataclass(frozen=True, kw_only=True)
class Asked:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    port: int  # the client's, another for each connection


class Scripted(ThreadingHTTPServer):
    """Replies with one line after the other, with the last one for ever."""

    daemon_threads = True

    def __init__(self, *lines: Line) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lines, self.asked = list(lines), list[Asked]()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def next(self) -> Line:
        return self.lines.pop(0) if len(self.lines) > 1 else self.lines[0]


class Handler(BaseHTTPRequestHandler):
    server: Scripted
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        named = {name.lower(): value for name, value in self.headers.items()}
        port = self.client_address[1]
        self.server.asked.append(Asked(method=self.command, path=self.path, headers=named, body=body, port=port))
        line = self.server.next()
        self.close_connection = line.dropped or line.events is not None
        if line.dropped:
            self.connection.shutdown(socket.SHUT_RDWR)
        elif line.events is not None:
            self._stream(line)
        else:
            self._reply(line)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do

    def _reply(self, line: Line) -> None:
        content = line.body.encode() if isinstance(line.body, str) else json.dumps(line.body).encode()
        self.send_response(line.status)
        for name, value in line.headers.items():
            self.send_header(name, value)
        if line.status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if line.status != 204:
            self.wfile.write(content)

    def _stream(self, line: Line) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        data = (line.events or "").encode()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        if not line.cut:
            self.wfile.write(b"0\r\n\r\n")


@contextmanager
def scripted(*lines: Line) -> Iterator[Scripted]:
    """The server in a thread of its own."""
    server = Scripted(*lines)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join(20)
        server.server_close()


def problem(status: int, code: str, **more: Any) -> Line:
    """A problem as the service tells of it; `retry_after` becomes the header."""
    headers = {"Content-Type": "application/problem+json"}
    if (asked := more.pop("retry_after", None)) is not None:
        headers["Retry-After"] = str(asked)
    body = {"type": "about:blank", "title": code, "status": status, "detail": "no", "code": code, "request_id": "r1"}
    return Line(status=status, body={**body, "errors": [], **more}, headers=headers)
