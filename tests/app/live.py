"""A server in a thread of this process: real connections, and its parts within reach."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn
from fastapi import FastAPI

from app.main import Server


@contextmanager
def live(app: FastAPI) -> Iterator[tuple[httpx.Client, Server]]:
    """The app on a free loopback port, with a client; stopped at the end as SIGTERM stops it."""
    for name in ("uvicorn", "uvicorn.error"):  # what an earlier test sent to a stream that is closed by now
        logging.getLogger(name).handlers.clear()
    config = uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=20)
    server = Server(config, leaving=lambda: app.state.lectern.jobs.dismiss())
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False) as client:
        try:
            yield client, server
        finally:
            server.should_exit = True
            thread.join(30)
    assert not thread.is_alive()
