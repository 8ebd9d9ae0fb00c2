"""The server's side of one connection: what HTTP itself allows a client to do for ever ends here.

uvicorn waits without end for the rest of a request's head, and for a client that does not read its reply.
"""

import asyncio
import socket
import struct

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from app import problems, telemetry
from app.errors import AppError, Malformed, QueueFull
from app.middleware import DRAIN_SECONDS, encode

HEAD_BYTES = 65_536  # of an unfinished head, or of the head of a chunk


def protocol(*, head_timeout: float, stall_timeout: float, connections: int) -> type[H11Protocol]:
    """The protocol of a server that gives a client `head_timeout` seconds for each request's head.

    A client that takes nothing of a reply for `stall_timeout` seconds is cut off; of more than `connections` clients
    at a time the last is told to try again.
    """

    class Protocol(H11Protocol):
        _head: asyncio.TimerHandle | None = None
        _stall: asyncio.TimerHandle | None = None
        _unsent = 0
        _ended = False

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)  # type: ignore[arg-type]
            if len(self.connections) > connections:
                self._answer(QueueFull("too many clients are connected"), linger=0.0)
            else:
                self._watch_head()

        def connection_lost(self, exc: Exception | None) -> None:
            for timer in (self._head, self._stall):
                if timer is not None:
                    timer.cancel()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._ended or self.transport.is_closing():
                return
            super().data_received(data)
            self._watch_head()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._unsent = self.transport.get_write_buffer_size()
            self._stall = self.loop.call_later(stall_timeout, self._check_stall)

        def resume_writing(self) -> None:
            super().resume_writing()
            if self._stall is not None:
                self._stall.cancel()

        def send_400_response(self, msg: str) -> None:
            self._answer(Malformed("the request is not valid HTTP, or its head is too long"))

        def _watch_head(self) -> None:
            """The clock of a head starts with its first byte, or with the connection, and ends with its last."""
            if self._ended:
                return
            if self.cycle is not None and not self.cycle.response_complete:
                if self._head is not None:
                    self._head.cancel()
                    self._head = None
            elif self._head is None:
                self._head = self.loop.call_later(head_timeout, self.transport.close)

        def _check_stall(self) -> None:
            unsent = self.transport.get_write_buffer_size()
            if unsent >= self._unsent:
                # Reset, so that the system's own buffers do not wait for the client either.
                linger = struct.pack("ii", 1, 0)
                self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.transport.abort()
            else:
                self._unsent = unsent
                self._stall = self.loop.call_later(stall_timeout, self._check_stall)

        def _answer(self, error: AppError, *, linger: float = DRAIN_SECONDS) -> None:
            """Answer outside of any request with a problem, and end the connection.

            What the client still sends is dropped for `linger` seconds: a reset could overtake the answer.
            """
            self._ended = True
            identifier = telemetry.new_request_id()
            body = problems.problem_of(error, request_id=identifier)
            content = encode(body)
            headers = {
                "Content-Type": problems.MEDIA_TYPE,
                "Content-Length": str(len(content)),
                "Connection": "close",
                "X-Request-ID": identifier,
                **problems.headers_of(error),
            }
            try:
                for event in (
                    h11.Response(status_code=body["status"], headers=list(headers.items())),
                    h11.Data(data=content),
                    h11.EndOfMessage(),
                ):
                    self.transport.write(self.conn.send(event) or b"")
            except h11.LocalProtocolError:
                linger = 0.0  # a reply is on its way already: all that is left is to end it
            if linger and self.transport.can_write_eof():
                self.transport.write_eof()
                self._head = self.loop.call_later(linger, self.transport.close)
            else:
                self.transport.close()

    return Protocol
