"""Files are parsed in processes of their own: what a file does to its parser stays there."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from retriever.errors import LimitExceeded, NoText, ParserFailed, ParsersClosed, UnreadableFile, UnsupportedFormat
from retriever.parsing import Limits, parse, parse_text
from retriever.parsing.limits import Caps
from retriever.parsing.pool import Parsers
from retriever.parsing.wire import LENGTHS, MAX_HEAD, BrokenReply, document_head, framed, outcome, sizes
from tests.retriever.pdfs import pdf

ROOT = Path(__file__).resolve().parents[2]
SLOW = b"# a\n" * 2_000_000  # minutes, as Markdown
DIALOGUE = "Ann: Where does the mill stand?\nBob: It stands at Stony Ford.\n"
MOST = 15.0  # seconds that a test waits for another thread or process


@pytest.fixture(scope="module")
def small() -> Iterator[Parsers]:
    caps = Caps(seconds=1, patience=30)
    with closing(Parsers(limits=Limits(characters=30_000_000), caps=caps, workers=2)) as opened:
        yield opened


def soon(holds: Callable[[], Any]) -> Any:
    """What holds within a while."""
    done = threading.Event()
    for _ in range(int(MOST * 100)):
        if found := holds():
            return found
        done.wait(0.01)
    raise AssertionError("it never came to hold")


def state(pid: int) -> str:
    """The state letter of a process; empty where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"Lease\r\n\r\nThe mill \xff\xfe stands.\n", "a.txt"),
        ("# Die M\xfchle\n\nAm \U0001f30a Fluss.\n\n## Zins\n\nGerste.\n".encode(), "a.md"),
        (pdf([["# Lease", "The mill stands."], [], ["It is old."]], title="A lease"), "a.pdf"),
        (DIALOGUE.encode() * 5, "a.txt"),
        (b"class Mill:\n    def stands(self):\n        return True\n", "a.py"),
        ("Die M\xfchle steht am Flu\xdf, sch\xf6n gr\xfc\xdfend.".encode("cp1252"), "a.txt"),
        (b"<h1>Lease</h1><p>The mill<table><tr><td>a<td>b</table>", "a.html"),
        ("磨坊在河边。".encode("gb18030") * 20, "a.txt"),
    ],
)
def test_a_document_from_another_process_is_the_same_to_the_last_section(
    parsers: Parsers, data: bytes, name: str
) -> None:
    assert parsers.parse(data, filename=name) == parse(data, filename=name)


def test_a_text_and_its_refusals_come_back_as_they_would_here(parsers: Parsers) -> None:
    text = "The mill \ud800 stands.\r\n" * 3
    assert parsers.parse_text(text) == parse_text(text)
    assert parsers.parse_text("# A\n\nb", media_type="text/markdown").sections[0].path == ("A",)
    with pytest.raises(NoText, match="the text is empty"):
        parsers.parse_text("  ")
    with pytest.raises(UnsupportedFormat, match="claims to be a PDF, but holds plain text"):
        parsers.parse(b"The mill.", filename="a.pdf")


def test_a_file_that_takes_too_long_is_refused_and_the_next_one_parsed(small: Parsers) -> None:
    with pytest.raises(LimitExceeded, match="more than 1 seconds of processor time"):
        small.parse(SLOW, filename="a.md")
    assert small.parse(b"The mill stands.").text == "The mill stands."


def test_a_parser_that_does_nothing_for_too_long_is_ended_by_the_clock() -> None:
    with closing(Parsers(caps=Caps(seconds=1, patience=2), workers=1)) as own:
        [pid] = soon(lambda: own.processes)
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(LimitExceeded, match="more than 2 seconds"):
            own.parse(b"The mill stands.")
        assert own.parse(b"The mill stands.").text == "The mill stands."


def test_a_file_that_takes_too_much_memory_is_refused_and_the_next_one_parsed() -> None:
    with closing(Parsers(caps=Caps(memory=70_000_000), workers=1)) as own:
        with pytest.raises(LimitExceeded, match="more than 70 MB of memory"):
            own.parse(DIALOGUE.encode() * 200_000, filename="a.txt")
        assert own.parse(b"The mill stands.").text == "The mill stands."


def test_markup_of_which_no_tree_can_be_made_in_the_memory_that_there_is_is_refused_too() -> None:
    with closing(Parsers(caps=Caps(memory=70_000_000), workers=1)) as own:
        with pytest.raises(LimitExceeded, match="memory"):
            own.parse(b"<p>x" * 500_000, filename="a.html")
        assert own.parse(b"The mill stands.").text == "The mill stands."


def test_a_crash_takes_its_file_with_it_and_nothing_else(small: Parsers) -> None:
    before = set(soon(lambda: small.processes))
    refused: list[Exception] = []

    def attempt() -> None:
        try:
            small.parse(SLOW, filename="a.md")
        except UnreadableFile as error:
            refused.append(error)

    thread = threading.Thread(target=attempt)
    thread.start()
    [crashing] = soon(lambda: [pid for pid in small.processes if state(pid) == "R"])
    os.kill(crashing, signal.SIGSEGV)
    thread.join(MOST)
    assert "broken in a way that its parser does not survive" in str(refused[0])
    assert crashing in before
    assert small.parse(b"The mill stands.").text == "The mill stands."


def test_a_parser_that_was_ended_while_it_was_idle_costs_no_file(small: Parsers) -> None:
    for pid in soon(lambda: small.processes):
        os.kill(pid, signal.SIGKILL)
        soon(lambda pid=pid: state(pid) in ("Z", ""))  # type: ignore[misc]
    assert small.parse(b"The mill stands.").text == "The mill stands."


def test_a_parser_is_replaced_after_so_many_files_or_once_it_has_kept_much_memory() -> None:
    large = b"The mill stands. " * 1_000_000
    for caps, second in ((Caps(documents=2), b"two"), (Caps(kept=10_000_000), large)):
        with closing(Parsers(caps=caps, workers=1)) as own:
            [first] = soon(lambda own=own: own.processes)  # type: ignore[misc]
            own.parse(b"one")
            assert own.processes == [first]
            own.parse(second)
            assert first not in own.processes
            assert own.parse(b"three").text == "three"


def test_no_more_files_are_parsed_at_once_than_there_may_be_processes(small: Parsers) -> None:
    most, texts = 0, []

    def one() -> None:
        nonlocal most
        texts.append(small.parse(b"The mill stands. " * 20_000).text)
        most = max(most, len(small.processes))

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(texts) == 8
    assert most <= 2


def test_closing_lets_go_of_whoever_waits_for_a_file() -> None:
    own = Parsers(workers=1)
    ended: list[Exception] = []

    def attempt() -> None:
        try:
            own.parse(SLOW, filename="a.md")
        except ParsersClosed as error:
            ended.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(2)]
    for thread in threads:
        thread.start()
    [pid] = soon(lambda: [pid for pid in own.processes if state(pid) == "R"])
    own.close()
    for thread in threads:
        thread.join(MOST)
    assert len(ended) == 2
    assert state(pid) == ""
    with pytest.raises(ParsersClosed):
        own.parse(b"The mill stands.")


OWNER = f"""
import os, sys, threading
from retriever.parsing.pool import Parsers
own = Parsers(workers=1)
threading.Thread(target=own.parse, args=({SLOW[:4]!r} * 2_000_000,), kwargs={{"filename": "a.md"}}, daemon=True).start()
while not own.processes or "R" not in open(f"/proc/{{own.processes[0]}}/stat").read().split()[2]:
    pass
print(own.processes[0], flush=True)
sys.stdin.read()
"""


def test_no_parser_outlives_a_service_that_is_killed() -> None:
    command = [sys.executable, "-c", OWNER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())  # it was at work a moment ago
        assert state(pid) not in ("Z", "")
        owner.kill()
    soon(lambda: state(pid) in ("Z", ""))  # a zombie where nobody collects orphans


CONFINED = """
import json, os, socket
from retriever.parsing import worker
from retriever.parsing.limits import Caps
worker._load_everything()
worker._give_up(Caps())
os.setuid(65534)  # for a superuser limits are advice
def tried(what):
    try:
        what()
    except OSError as error:
        return error.errno
    return 0
found = {
    "file": tried(lambda: open("/etc/hostname")),
    "socket": tried(socket.socket),
    "process": tried(os.fork),
}
os.write(1, json.dumps(found).encode())
"""


def test_a_parser_can_open_no_file_and_no_socket_and_start_no_process() -> None:
    code = CONFINED if os.getuid() == 0 else CONFINED.replace("os.setuid(65534)", "pass")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    found = json.loads(done.stdout)
    assert found["file"] == found["socket"] == 24  # EMFILE
    assert found["process"] == 11  # EAGAIN


def test_a_parser_runs_under_its_limits_and_knows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LECTERN_DATABASE_URL", "postgresql://lectern:swordfish@db/lectern")
    with closing(Parsers(workers=1)) as own:
        [pid] = soon(lambda: own.processes)
        limits = Path(f"/proc/{pid}/limits").read_text()
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        opened = sorted(str(each.readlink()).split(":")[0] for each in Path(f"/proc/{pid}/fd").iterdir())
    assert b"swordfish" not in environment
    assert opened == ["/dev/null"] * 3 + ["pipe"] * 2
    rows = {line[:26].strip(): line[26:].split()[:2] for line in limits.splitlines()}
    for name in ("Max open files", "Max file size", "Max core file size", "Max processes"):
        assert rows[name] == ["0", "0"], name
    assert 10**9 < int(rows["Max address space"][1]) < 2 * 10**9


def test_a_parser_is_no_reader_of_models_or_indexes() -> None:
    code = "import retriever.parsing.worker, sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "faiss", "tantivy", "sqlalchemy", "fastapi"} & set(done.stdout.split())


# What a parser that was taken over may send

GOOD = document_head(parse_text(DIALOGUE * 3))
TEXT = (DIALOGUE * 3).encode()


def said(head: Any, body: bytes = TEXT) -> Any:
    return outcome(head if isinstance(head, bytes) else json.dumps(head).encode(), body, limits=Limits())


def test_what_a_parser_of_ours_says_is_taken() -> None:
    assert said(GOOD) == parse_text(DIALOGUE * 3)
    defect = said({"defect": "KeyError", "at": ["html.py:3 f"]}, b"")
    assert (defect.kind, defect.places) == ("KeyError", ("html.py:3 f",))


@pytest.mark.parametrize(
    "head",
    [
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        {},
        {"refusal": "SystemExit", "message": "x"},
        {"refusal": "NoText", "message": ["x"]},
        {"defect": "x", "at": 5},
        {**GOOD, "title": "x" * 5_000},
        {**GOOD, "title": "\ud800"},
        {**GOOD, "sections": []},
        {**GOOD, "sections": [[["a"], 0, len(TEXT) + 1]]},
        {**GOOD, "sections": [[["a"], 0, 5], [["a"], 6, len(TEXT)]]},
        {**GOOD, "sections": [["a", 0, len(TEXT)]]},
        {**GOOD, "turns": [["Ann", 5, 3]]},
        {**GOOD, "turns": [["Ann", 0, 9], ["Bob", 8, 12]]},
        {**GOOD, "turns": [["Ann", 0, 9.5]]},
        {**GOOD, "turns": [["Ann", False, True]]},
        {**GOOD, "pages": [["1", 0, 3]]},
        {**GOOD, "pages": [[1, 0, 3, 4]]},
        {**GOOD, "warnings": 5},
    ],
)
def test_what_no_parser_of_ours_says_makes_no_document(head: Any) -> None:
    with pytest.raises(BrokenReply):
        said(head)


def test_a_text_that_cannot_be_stored_and_a_length_that_cannot_be_meant_are_refused() -> None:
    for body in (b"\xff\xfe", b"a\x00b", b"\xed\xa0\x80"):
        with pytest.raises(BrokenReply):
            said({**GOOD, "sections": [[[], 0, len(body)]], "turns": []}, body)
    assert sizes(LENGTHS.pack(MAX_HEAD, 4 * Limits().characters), limits=Limits()) == (MAX_HEAD, 200_000_000)
    for lengths in ((MAX_HEAD + 1, 0), (2, 4 * Limits().characters + 1), (2**64 - 1, 2**64 - 1)):
        with pytest.raises(BrokenReply):
            sizes(LENGTHS.pack(*lengths), limits=Limits())


def test_a_defect_of_a_parser_is_told_by_its_kind_and_its_places(monkeypatch: pytest.MonkeyPatch) -> None:
    from retriever.parsing import worker

    def broken(*_: Any, **__: Any) -> None:
        raise KeyError("a word of the document")

    monkeypatch.setattr(worker, "parse", broken)
    [frame, _] = worker._reply({"text": False, "filename": None, "media_type": None}, b"x", Limits())
    head = frame[LENGTHS.size :]
    assert b"a word of" not in head
    defect = outcome(head, b"", limits=Limits())
    failed = ParserFailed(defect.kind, places=defect.places)  # type: ignore[union-attr]
    assert failed.kind == "KeyError"
    assert failed.places[-1].endswith(" broken")
    assert framed({"a": 1})[0].endswith(b'{"a":1}')
