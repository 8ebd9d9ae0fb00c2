"""Without room on the disk a write is refused whole, reads go on, and writes too once there is room again."""

import contextlib
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.chaos.nursery import Child, Nursery, nursery

TEXT = "\n\n".join(f"Common pump number {n} was made in the year {1900 + n} and has a filter." for n in range(60))
LARGE = TEXT * 200  # about 900 kB
ROOM = 12_000_000  # bytes of the small disk


@pytest.fixture(scope="module")
def nest() -> Iterator[Nursery]:
    with nursery() as opened:
        yield opened


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with little room; skipped where mounting is not allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("no mount command: the test with a limit of file sizes stands in")
    if done.returncode:
        pytest.skip("mounting is not allowed here: the test with a limit of file sizes stands in")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def served(nest: Nursery, data: Path, log: Path) -> Iterator[tuple[Child, httpx.Client]]:
    server = nest.serve(data, log=log)
    assert server.url, server.lines()
    try:
        with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
            yield server, client
    finally:
        server.kill()
        server.wait()


def fill(disk: Path, *, free: int) -> Path:
    """Take the room of the disk up to about this many bytes."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    with ballast.open("r+b") as file:
        file.truncate(max(0, ballast.stat().st_size - free))
    return ballast


def reads(client: httpx.Client) -> list[object]:
    """What readers see: every document with its text, and what searches find."""
    documents = client.get("/documents").json()["documents"]
    texts = [client.get(f"/documents/{each['id']}/text").json()["text"] for each in documents]
    found = [
        client.post("/search", json={"query": "common pump number 7", "mode": mode, "top_k": 5}).json()["hits"]
        for mode in ("sparse", "dense", "hybrid")
    ]
    assert client.post("/ask", json={"question": "When was pump number 7 made in the year?"}).status_code == 200
    return [documents, texts, found]


def limit(server: Child, size: int) -> None:
    """Let it write no file past this size."""
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def refused(reply: httpx.Response) -> None:
    assert reply.status_code == 507, reply.text
    assert (reply.json()["code"], reply.headers["content-type"]) == ("storage", "application/problem+json")


def test_a_full_disk_refuses_writes_whole_answers_reads_and_recovers_without_a_restart(
    nest: Nursery, small_disk: Path, tmp_path: Path
) -> None:
    with served(nest, small_disk / "data", tmp_path / "log") as (server, client):
        made = client.post("/documents", json={"text": TEXT}).json()
        assert made["status"] == "indexed"
        before = reads(client)
        ballast = fill(small_disk, free=0)
        refused(client.post("/documents", json={"text": LARGE}))
        refused(client.put(f"/documents/{made['id']}", json={"text": LARGE}))
        assert reads(client) == before
        ballast.unlink()
        replaced = client.put(f"/documents/{made['id']}", json={"text": TEXT + " And it is blue."})
        assert (replaced.status_code, replaced.json()["status"]) == (200, "indexed")
        assert client.post("/search", json={"query": "blue", "mode": "sparse"}).json()["hits"]
        assert client.get("/readyz").status_code == 200
        assert server.alive()


@pytest.mark.parametrize("free", [8_000, 64_000, 200_000, 400_000])
def test_wherever_the_room_ends_what_was_accepted_is_indexed_once_there_is_room(
    nest: Nursery, small_disk: Path, tmp_path: Path, free: int
) -> None:
    with served(nest, small_disk / "data", tmp_path / "log") as (server, client):
        kept = client.post("/documents", json={"text": TEXT}).json()
        ballast = fill(small_disk, free=free)
        told: dict[str, httpx.Response] = {}
        statuses: list[int] = []
        while len(told) < 8 or (507 not in statuses and len(told) < 40):  # how much one takes is a matter of timing
            text = f"Common blue{len(told)} boat. {TEXT}"
            told[text] = client.post("/documents", json={"text": text}, params={"wait": 0.2})
            statuses.append(told[text].status_code)
        assert set(statuses) <= {201, 202, 507}
        assert 507 in statuses, statuses
        assert client.get(f"/documents/{kept['id']}/text").json()["text"] == TEXT
        assert client.post("/search", json={"query": "pump number 7", "top_k": 1}).json()["hits"]
        ballast.unlink()
        for text, reply in told.items():
            accepted = reply.status_code != 507
            if reply.status_code == 202:
                job = client.get(f"/jobs/{reply.json()['job']}", params={"wait": 30}).json()
                assert job["status"] == "succeeded", job
            hits = client.post("/search", json={"query": text.split()[1], "mode": "sparse"}).json()["hits"]
            assert bool(hits) == accepted
        assert len(client.get("/documents").json()["documents"]) == 1 + sum(code != 507 for code in statuses)
        assert server.alive()
        assert '"level": "error"' not in "\n".join(line for line in server.lines() if "request failed" not in line)


def test_a_service_that_starts_on_a_full_disk_answers_reads_and_goes_on_once_there_is_room(
    nest: Nursery, small_disk: Path, tmp_path: Path
) -> None:
    with served(nest, small_disk / "data", tmp_path / "log") as (server, client):
        kept = client.post("/documents", json={"text": TEXT}).json()
        taken = client.post("/documents", json={"text": f"Common blue boat. {LARGE[:200_000]}"}, params={"wait": 0})
        while client.get(f"/jobs/{taken.json()['job']}").json()["status"] == "queued":
            pass
    ballast = fill(small_disk, free=0)
    with served(nest, small_disk / "data", tmp_path / "again") as (server, client):
        assert client.get(f"/documents/{kept['id']}/text").json()["text"] == TEXT
        assert client.post("/search", json={"query": "pump number 7", "top_k": 1}).json()["hits"]
        refused(client.post("/documents", json={"text": LARGE}))
        ballast.unlink()
        job = client.get(f"/jobs/{taken.json()['job']}", params={"wait": 30}).json()
        assert job["status"] == "succeeded"
        assert client.post("/search", json={"query": "blue", "mode": "sparse"}).json()["hits"]
        assert server.alive()


def test_past_a_limit_of_file_sizes_it_is_the_same(nest: Nursery, tmp_path: Path) -> None:
    with served(nest, tmp_path / "data", tmp_path / "log") as (server, client):
        made = client.post("/documents", json={"text": TEXT}).json()
        before = reads(client)
        largest = max(path.stat().st_size for path in (tmp_path / "data").rglob("*") if path.is_file())
        limit(server, largest)
        refused(client.post("/documents", json={"text": LARGE}))
        refused(client.put(f"/documents/{made['id']}", json={"text": LARGE}))
        assert reads(client) == before
        limit(server, resource.RLIM_INFINITY)
        assert client.put(f"/documents/{made['id']}", json={"text": "Common blue boat."}).status_code == 200
        assert client.post("/search", json={"query": "blue", "mode": "sparse"}).json()["hits"]
