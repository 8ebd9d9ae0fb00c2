"""No kill, wherever it hits, costs an acknowledged write, shows a deleted passage or breaks a citation.

Twenty kills of a running service, and the commands; `make chaos` does two hundred. A failure names its seed, its round
and its data directory.
"""

import json
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from retriever.store import schema
from retriever.store.backup import verify
from tests.app.served import Server
from tests.app.test_adapting import BUDGET, TOWNS, ended, fill, questions
from tests.chaos.crowd import crowd
from tests.chaos.nursery import Nursery, nursery
from tests.chaos.points import ADAPTING, ADAPTING_FULLY, BACKING_UP, MIGRATING, REINDEXING, RESTORING, SERVING
from tests.chaos.rounds import ANY_MOMENT, KILLED, STARTING, Rounds
from tests.retriever.test_migrations import aged

SEED = 11


@pytest.fixture(scope="module")
def nest() -> Iterator[Nursery]:
    with nursery() as opened:
        yield opened


def test_twenty_kills_at_every_named_point_and_at_any_moment_cost_nothing(nest: Nursery, tmp_path: Path) -> None:
    rounds = Rounds(nest, tmp_path, seed=SEED)
    rounds.run(ANY_MOMENT)
    for point in SERVING:
        rounds.run(point)
    rounds.run(STARTING)
    rounds.finish()
    tally = rounds.tally
    assert tally.kills.total() == len(SERVING) + 2 == 20
    assert tally.missed.total() <= 3, tally.missed
    assert tally.acknowledged > 20
    assert max(tally.starts_s) < 30


@pytest.fixture
def lived_in(nest: Nursery, tmp_path: Path) -> Rounds:
    """Rounds whose data directory some clients have filled, up to a kill."""
    rounds = Rounds(nest, tmp_path, seed=SEED)
    rounds.run("sparse index committed, before the dense one")
    rounds.run("indexes committed, before the job is over")
    return rounds


def test_a_kill_during_a_reindex_costs_nothing(lived_in: Rounds) -> None:
    for point in REINDEXING:
        lived_in.command("reindex", point=point)
    lived_in.finish()
    assert lived_in.tally.kills.total() == 4


def test_a_kill_during_a_migration_leaves_the_store_before_it_and_the_next_start_migrates(lived_in: Rounds) -> None:
    store = lived_in.data / "lectern.sqlite3"
    aged(store, 1)
    for point in MIGRATING:
        lived_in.command("reindex", point=point)
        connection = sqlite3.connect(store)
        assert connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone() == ("1",)
        connection.close()
    lived_in.finish()
    connection = sqlite3.connect(store)
    assert connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone() == (str(schema.SCHEMA_VERSION),)
    connection.close()


def test_a_kill_during_a_backup_or_restore_leaves_what_was_there(
    lived_in: Rounds, nest: Nursery, tmp_path: Path
) -> None:
    file = tmp_path / "backup"
    for point in BACKING_UP:
        lived_in.command("backup", str(file), point=point)
        assert not file.exists()
    data = ["--data", str(lived_in.data)]
    assert nest.run(["backup", str(file), *data], log=tmp_path / "backup.log").wait() == 0
    before = verify(file)
    for point in BACKING_UP:
        lived_in.command("backup", str(file), point=point)
        assert verify(file) == before  # the one that was there
    for point in RESTORING:
        lived_in.command("restore", str(file), "--replace", point=point)
    assert nest.run(["restore", str(file), "--replace", *data], log=tmp_path / "restore.log").wait() == 0
    lived_in.finish()  # nothing was written since the backup: all of it holds


def test_a_kill_during_an_adaptation_costs_no_document_and_the_next_start_ends_it_once(
    nest: Nursery, tmp_path: Path
) -> None:
    asked = tmp_path / "asked.jsonl"
    asked.write_text("".join(json.dumps(one) + "\n" for one in questions()))
    filled = tmp_path / "filled"
    server = nest.serve(filled, log=tmp_path / "log")
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
        fill(client, "default")
    server.kill()
    server.wait()
    for number, point in enumerate([*ADAPTING, *ADAPTING_FULLY]):
        data = tmp_path / str(number)
        shutil.copytree(filled, data)
        command = ["adapt", "--budget-seconds", str(BUDGET), "--questions", str(asked), "--data", str(data)]
        command += ["--mode", "full"] if point in ADAPTING_FULLY else []
        assert nest.run(command, log=tmp_path / f"adapt.{number}", point=point).wait() == KILLED
        server = nest.serve(data, log=tmp_path / f"serve.{number}")
        with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
            [job] = [each for each in client.get("/jobs").json()["jobs"] if each["kind"] == "adapt"]
            over = ended(client, job["id"])
            assert (over["status"], over["result"]["promoted"]) == ("succeeded", True), point
            assert client.get("/collections/default").json()["documents"] == len(TOWNS)
            found = client.post("/search", json={"query": "Ashham wharf", "mode": "dense", "top_k": 100}).json()
            assert (found["model"]["retriever"], len(found["hits"])) == (over["result"]["retriever"]["after"], 100)
            rollback = "/collections/default/adapt/rollback"
            assert [client.post(rollback).status_code for _ in range(2)] == [200, 409]  # promoted once
        server.kill()
        server.wait()


def test_with_the_real_models_an_answer_is_the_same_after_a_kill_in_the_middle_of_an_ingest(tmp_path: Path) -> None:
    text = "The harbour of Gull Point has a lighthouse. It was built in 1871. Visiting boats may stay for three nights."
    question = {"question": "When was the lighthouse built?"}
    first = Server(tmp_path / "data", module="app.main")
    try:
        made = first.client.post("/documents", json={"text": text}).json()
        before = first.client.post("/ask", json=question).json()
        large = "\n\n".join(f"{text} Berth {n} is {n} metres long." for n in range(4_000))
        taken = first.client.put(f"/documents/{made['id']}", json={"text": large}, params={"wait": 0}).json()
    finally:
        first.stop(signal.SIGKILL)
    again = Server(tmp_path / "data", module="app.main")
    try:
        shown = again.client.get(f"/documents/{made['id']}").json()
        assert shown["version"] == made["version"], "the document is too small for this test"
        after = again.client.post("/ask", json=question).json()
        assert (after["answer"], after["citations"]) == (before["answer"], before["citations"])
        [citation] = after["citations"]
        place = {name: citation[name] for name in ("start", "end", "version")}
        assert again.client.get(f"/documents/{made['id']}/text", params=place).json()["text"] == citation["quote"]
        assert again.client.get(f"/jobs/{taken['job']}").json()["status"] in ("queued", "running")
    finally:
        again.stop(signal.SIGKILL)


def test_sixteen_writers_and_sixteen_readers_see_each_document_whole_and_in_one_version(
    nest: Nursery, tmp_path: Path
) -> None:
    done = crowd(nest, tmp_path, seconds=4, seed=SEED)
    assert done.writes > 16
    assert done.searches > 16
