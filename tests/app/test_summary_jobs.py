"""Summaries as jobs of a real server: killed in the middle they go on, cancelled they stop."""

import re
import signal
from pathlib import Path
from typing import Any

from tests.app.served import Server

SENTENCES = 24_000  # progress is written every half second: reading them takes longer on any machine


def log(sentences: int) -> str:
    """A keeper's log in Markdown, of 100 sentences a month, none of which is there twice."""
    return "\n\n".join(
        f"# Month {month}\n\n"
        + " ".join(
            f"On day {day} of it keeper {month * day} wrote down gale number {month + day}." for day in range(100)
        )
        for month in range(sentences // 100)
    )


def begun(server: Server, sentences: int = SENTENCES) -> dict[str, Any]:
    """A job that summarizes a stored document of so many sentences, of which some are read by now."""
    sent = server.client.post(
        "/documents", params={"wait": 60}, json={"text": log(sentences), "media_type": "text/markdown"}
    )
    assert sent.status_code == 201, sent.text
    body = {"document": sent.json()["id"], "length": {"sentences": 3}, "wait": 0}
    job: dict[str, Any] = {"id": server.client.post("/summarize", json=body).json()["job"], "progress": None}
    while not (job["progress"] or {}).get("done"):
        job = server.client.get(f"/jobs/{job['id']}").json()
    return job


def counted(server: Server) -> dict[str, float]:
    """Sentences that were encoded, and that were found as they had been."""
    told = server.client.get("/metrics").text
    return {how: float(n) for how, n in re.findall(r'sentence_vectors_total\{[^}]*"(\w+)"\} (\S+)', told)}


def test_a_summary_that_is_killed_goes_on_with_what_it_had_read(tmp_path: Path) -> None:
    server = Server(tmp_path)
    job = begun(server)
    assert job["status"] == "running"
    assert job["progress"]["total"] == SENTENCES
    server.stop(signal.SIGKILL)
    server = Server(tmp_path)
    try:
        ended = server.client.get(f"/jobs/{job['id']}", params={"wait": 120}).json()
        assert ended["status"] == "succeeded"
        assert len(ended["result"]["sentences"]) == 3
        read = counted(server)
        assert read["kept"] >= job["progress"]["done"]
        assert read["kept"] + read["encoded"] == SENTENCES
    finally:
        server.stop()


def test_a_summary_that_is_cancelled_stops(tmp_path: Path) -> None:
    server = Server(tmp_path)
    try:
        job = begun(server)
        assert server.client.delete(f"/jobs/{job['id']}").status_code < 300
        ended = server.client.get(f"/jobs/{job['id']}", params={"wait": 60}).json()
        assert (ended["status"], ended["result"]) == ("cancelled", None)
    finally:
        server.stop()
