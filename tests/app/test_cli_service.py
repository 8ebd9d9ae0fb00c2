"""The command line against a running service: real processes, one server."""

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.cli import main
from app.cli.support import TENANT
from lectern.client import Documents
from tests.app.served import ROOT, Server
from tests.app.test_cli import takes_odd_files
from tests.lectern.scripted import problem, scripted

LEASE = "# Lease\n\nThe mill stands at Stony Ford.\n\n## Rent\n\nThe yearly rent of the mill is barley.\n"
RENT = "What is the yearly rent of the mill?"
LECTERN = [sys.executable, "-c", "import sys; from app.cli import main; sys.exit(main())"]

Run = Callable[..., int]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(Path(tmp_path_factory.mktemp("served")) / "data")
    yield server
    server.stop()


@pytest.fixture
def run(service: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """The command line in this process, LECTERN_URL naming the service, which is empty afterwards."""
    for name, value in environment(LECTERN_URL=service.url).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LECTERN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lease.md").write_text(LEASE)
    yield lambda *argv: main(list(argv))
    assert not (tmp_path / "data").exists()  # nothing was done here that the service was asked for
    for each in service.client.get("/collections").json()["collections"]:
        service.client.delete(f"/collections/{each['name']}")


def environment(**more: str) -> dict[str, str]:
    known = {name: value for name, value in os.environ.items() if not name.startswith("LECTERN_")}
    return {**known, "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", **more}


def lectern(*argv: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LECTERN, *argv], env=environment(**more), capture_output=True, text=True, timeout=60, check=False
    )


def printed(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out)


def test_files_that_a_service_is_asked_about_have_their_lines_and_are_not_kept(
    run: Run, service: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("ask", "lease.md", RENT) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("barley  (")
    assert "lease.md, line 7: “The yearly rent of the mill is barley.”" in shown.out
    assert shown.err == ""
    assert run("search", "lease.md", "--mode", "sparse", "barley") == 0
    assert "lease.md, line " in capsys.readouterr().out
    assert run("summarize", "lease.md", "--sentences", "1", "--json") == 0
    assert printed(capsys)["coverage"]["characters_total"] == len(LEASE)
    assert service.client.get("/documents").json()["documents"] == []
    assert [each["name"] for each in service.client.get("/collections").json()["collections"]] == ["default"]


def test_no_part_of_a_text_is_fetched_twice_to_count_its_lines(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    read = Documents.text

    def noted(self: Documents, *args: Any, **named: Any) -> Any:
        found = read(self, *args, **named)
        fetched.append(found.text)
        return found

    monkeypatch.setattr(Documents, "text", noted)
    text = "".join(f"Mill {number} grinds corn of its own kind.\n" for number in range(50))
    (tmp_path / "mills.txt").write_text(text)
    assert run("summarize", "mills.txt", "--sentences", "9") == 0
    sources = [line for line in capsys.readouterr().out.splitlines() if "mills.txt, line " in line]
    assert len(sources) == 9
    for line in sources:
        place, said = line.split(": “")
        assert text.splitlines()[int(place.split()[-1]) - 1].startswith(said.rstrip("…”"))
    assert sum(map(len, fetched)) < len(text)


def test_files_are_kept_in_the_service_where_a_collection_is_named(
    run: Run, service: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("ask", "lease.md", "--collection", "mills", RENT) == 0
    capsys.readouterr()
    assert run("ask", "--collection", "mills", RENT, "--json") == 0
    citation = printed(capsys)["citations"][0]
    assert LEASE[citation["start"] : citation["end"]] == "barley"
    assert run("summarize", "--collection", "mills", "--words", "20") == 0
    assert "Lease, line " in capsys.readouterr().out
    assert run("ask", "--collection", "mills", "Who painted Guernica?") == 1


def test_a_folder_is_uploaded_once_changed_files_again_and_refusals_are_listed(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    for number in range(6):
        (folder / f"{number}.txt").write_text(f"Mill {number} grinds corn.")
    (folder / "inner" / "same.txt").write_text("Mill 0 grinds corn.")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7\nnothing")
    (folder / ".hidden").write_text("No.")
    assert run("ingest", "folder", "--collection", "mills", "--at-once", "3") == 1
    shown = capsys.readouterr()
    assert shown.out == "7 added, 0 unchanged, 1 refused\n"
    assert shown.err.startswith("lectern: folder/broken.pdf: ")
    (folder / "0.txt").write_text("Mill 0 is a ruin.")
    assert run("ingest", "folder", "--collection", "mills", "--json") == 1
    told = printed(capsys)
    assert (told["added"], told["unchanged"], told["refused"]) == (1, 6, 1)
    assert told["refusals"][0]["path"] == "folder/broken.pdf"
    assert run("docs", "list", "--collection", "mills", "--json") == 0
    listed = printed(capsys)["documents"]
    assert len(listed) == 7
    assert sum(each["metadata"]["path"] == str(folder / "0.txt") for each in listed) == 1


def test_files_of_any_name_are_sent_and_one_that_cannot_be_read_is_refused_alone(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    takes_odd_files(run, tmp_path / "odd", capsys)


def test_documents_are_listed_shown_read_and_deleted(
    run: Run, service: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    made = service.client.post("/documents", json={"text": LEASE, "media_type": "text/markdown", "metadata": {"n": 7}})
    made = made.json()
    assert run("docs", "list") == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["id", "status", "characters", "collection", "title"]
    assert row.split() == [made["id"], "indexed", str(len(LEASE)), "default", "Lease"]
    assert run("docs", "show", made["id"]) == 0
    assert "metadata.n  7\n" in capsys.readouterr().out
    assert run("docs", "show", made["id"], "--json") == 0
    assert printed(capsys)["version"] == made["version"]
    assert run("docs", "text", made["id"]) == 0
    assert capsys.readouterr().out == LEASE
    assert run("docs", "text", made["id"], "--start", "2", "--end", "7", "--version", made["version"], "--json") == 0
    assert printed(capsys)["text"] == "Lease"
    assert run("docs", "delete", made["id"]) == 0
    capsys.readouterr()
    assert run("docs", "list") == 0
    assert capsys.readouterr().out == ""
    assert run("docs", "delete", made["id"]) == 2
    assert capsys.readouterr().err.startswith(f"lectern: no document '{made['id']}' (not_found, request ")


def test_jobs_are_listed_shown_waited_for_and_cancelled(
    run: Run, service: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    good = service.client.post("/documents?wait=0", json={"text": LEASE}).json()["job"]
    bad = service.client.post("/documents?wait=0", files={"file": ("a.pdf", b"%PDF-1.7\nnothing")}).json()["job"]
    assert run("jobs", "wait", good) == 0
    assert "status    succeeded\n" in capsys.readouterr().out
    assert run("jobs", "wait", bad, "--json") == 2
    assert printed(capsys)["problem"]["code"] == "unreadable"
    assert run("jobs", "show", bad) == 0
    assert "(unreadable)\n" in capsys.readouterr().out
    assert run("jobs", "cancel", good, "--json") == 0
    assert printed(capsys)["status"] == "succeeded"
    assert run("jobs", "list", "--status", "failed") == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split()[0] for row in rows].count(bad) == 1
    assert good not in " ".join(rows)


def test_a_service_is_taught_a_collection_by_the_same_command(
    run: Run, service: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    service.client.post("/documents", json={"text": LEASE})
    assert run("adapt", "--budget-seconds", "1") == 1
    assert capsys.readouterr().out.startswith("not promoted: ")
    assert run("adapt", "--rollback") == 2
    assert "(conflict, " in capsys.readouterr().err


def test_what_a_service_cannot_do_is_told_in_one_line_with_exit_code_2(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"  # bound, and nobody listens
        for argv in (["docs", "list", "--url", nobody], ["ask", "lease.md", "--url", nobody, "Why?"]):
            assert run(*argv) == 2
            shown = capsys.readouterr()
            assert shown.err.startswith(f"lectern: cannot reach {nobody}")
            assert (shown.err.count("\n"), shown.out) == (1, "")
    for argv in (["docs", "list"], ["ingest", "lease.md"], ["ask", "lease.md", "Why?"], ["mcp"]):
        assert run(*argv, "--url", "file:///etc") == 2
        assert "begins with http" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run("docs", "list", "--url", nobody, "--data", "here")


def test_a_key_is_sent_from_the_option_or_the_environment(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LECTERN_KEY", "lct_environment")
    with scripted(problem(401, "unauthenticated")) as closed:
        assert run("docs", "list", "--url", closed.url) == 2
        assert run("jobs", "list", "--url", closed.url, "--key", "lct_option") == 2
        assert run("ingest", "lease.md", "--url", closed.url, "--key", "lct_option") == 2
    sent = [each.headers["authorization"] for each in closed.asked]
    assert sent == ["Bearer lct_environment", "Bearer lct_option", "Bearer lct_option"]
    assert capsys.readouterr().err == "lectern: no (unauthenticated, request r1)\n" * 3


def test_asking_a_service_loads_no_model_library(service: Server, tmp_path: Path) -> None:
    (tmp_path / "lease.md").write_text(LEASE)
    script = (
        "import sys; from app.cli import main\n"
        f"for argv in (['docs', 'list'], ['jobs', 'list'], ['ask', {str(tmp_path / 'lease.md')!r}, {RENT!r}],\n"
        f"             ['summarize', {str(tmp_path / 'lease.md')!r}], ['ingest', {str(tmp_path)!r}]):\n"
        f"    assert main([*argv, '--url', {service.url!r}]) == 0\n"
        "assert main(['docs', 'show', 'nothing', '--url', 'http://127.0.0.1:9']) == 2\n"
        "heavy = {'torch', 'faiss', 'transformers', 'fastapi', 'tantivy', 'shtab'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, text=True, timeout=90, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (0, 1), done.stderr


@pytest.mark.parametrize("argv", [["jobs", "wait", "j1"], ["ingest", "lease.md"], ["ask", "Why?"]])
def test_an_interruption_ends_quietly_with_130(tmp_path: Path, argv: list[str]) -> None:
    (tmp_path / "lease.md").write_text(LEASE)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with subprocess.Popen(
            [*LECTERN, *argv, "--url", url],
            env=environment(),
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
        ) as process:
            connection, _ = silent.accept()
            with connection:
                assert connection.recv(10)  # it waits for a reply by now
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, b"", b"")


def on_a_terminal(*argv: str, **more: str) -> str:
    """What a command writes to a terminal that both its streams are."""
    ours, its = pty.openpty()
    process = subprocess.Popen([*LECTERN, *argv], env=environment(TERM="xterm", **more), stdout=its, stderr=its)
    os.close(its)
    read = bytearray()

    def drain() -> None:
        try:
            while chunk := os.read(ours, 4096):
                read.extend(chunk)
        except OSError:  # Linux says so when the other end is closed
            return

    reading = threading.Thread(target=drain)
    reading.start()
    assert process.wait(60) == 0
    reading.join(20)
    os.close(ours)
    return read.decode()


def test_colours_and_bars_are_for_terminals_and_colours_for_those_who_want_them(
    run: Run, service: Server, tmp_path: Path
) -> None:
    assert run("ingest", "lease.md") == 0
    listed = ["docs", "list", "--url", service.url]
    assert "\x1b[32mindexed\x1b[0m" in on_a_terminal(*listed)
    plain = on_a_terminal(*listed, NO_COLOR="1")
    assert "indexed" in plain
    assert "\x1b" not in plain
    again = ["ingest", str(tmp_path / "lease.md"), "--url", service.url]
    assert "uploading" in on_a_terminal(*again)
    piped = lectern(*again)
    assert (piped.stdout, piped.stderr) == ("0 added, 1 unchanged, 0 refused\n", "")


def completed(words: str) -> set[str]:
    """What bash offers for the last of these words, by the script that the command prints."""
    script = (
        'source <(printf "%s" "$1"); read -ra COMP_WORDS <<< "$2"; [[ $2 == *" " ]] && COMP_WORDS+=("")\n'
        "COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 )); COMP_LINE=$2; COMP_POINT=${#2}\n"
        "function_=$(complete -p lectern | sed 's/.*-F \\([^ ]*\\) .*/\\1/')\n"
        '"$function_" lectern "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"\n'
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    made = lectern("completion", "bash").stdout
    done = subprocess.run(["bash", "-c", script, "bash", made, words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_bash_completes_commands_options_choices_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "harbour.md").write_text(LEASE)
    assert completed("lectern do") == {"docs"}
    assert completed("lectern docs ") >= {"list", "show", "text", "delete"}
    assert completed("lectern search --mo") == {"--mode"}
    assert completed("lectern search --mode ") == {"hybrid", "sparse", "dense"}
    assert completed("lectern ask har") == {"harbour.md"}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_scripts_for_other_shells_are_understood_by_them(shell: str, tmp_path: Path) -> None:
    made = lectern("completion", shell)
    assert (made.returncode, "docs" in made.stdout) == (0, True)
    try:
        path = tmp_path / "script"
        path.write_text(made.stdout)
        done = subprocess.run([shell, "-n", str(path)], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip(f"no {shell} here")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_tenant_of_the_command_line_is_the_one_of_the_service() -> None:
    from app.wiring import DEFAULT_TENANT

    assert TENANT == DEFAULT_TENANT
