"""The command line, with small fakes for the models where what they say does not matter."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app import terminal
from app.cli import main
from app.local import opened
from app.settings import Settings
from app.wiring import Lectern, build
from lectern import __version__
from tests.fakes import HashingEncoder, OverlapReader, ParserHere

LEASE = "# Lease\n\nThe mill stands at Stony Ford.\n\n## Rent\n\nThe yearly rent of the mill is barley.\n"

UNSAID: dict[str, Any] = {"collection": "default", "media_type": None, "title": None, "metadata": {}}
UNSAID |= {"deduplicate": False}

Run = Callable[..., int]


def make(settings: Settings) -> Lectern:
    return build(settings, encoder=HashingEncoder(), reader=OverlapReader(), parsers=ParserHere())


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("LECTERN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lease.md").write_text(LEASE)
    return lambda *argv: main(list(argv), make=make)


def test_a_question_is_answered_from_a_file_with_its_line(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("ask", "lease.md", "What is the yearly rent of the mill?") == 0
    out = capsys.readouterr().out
    assert out.startswith("barley  (")
    assert "lease.md, line 7: “The yearly rent of the mill is barley.”" in out
    assert "\x1b" not in out


def test_an_answer_from_code_has_its_line_and_one_from_a_transcript_its_speaker(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = "class Mill:\n    x = 1\n\n    def rent(self):\n        # The rent is barley.\n        pass\n"
    (tmp_path / "mill.py").write_text(source)
    assert run("ask", "mill.py", "What is the rent?") == 0
    assert "mill.py, line 5: “# The rent is barley.”" in capsys.readouterr().out
    cues = "WEBVTT\n\n00:01.000 --> 00:02.000\n<v Ann>What?\n\n00:02.000 --> 00:03.000\n<v Bo>The rent is barley.\n"
    (tmp_path / "call.vtt").write_text(cues)
    assert run("ask", "call.vtt", "What is the rent?") == 0
    assert "call.vtt, Bo: “Bo: The rent is barley.”" in capsys.readouterr().out


def test_json_is_the_reply_of_the_api_and_its_citations_hold(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("ask", "lease.md", "--json", "What is the yearly rent of the mill?") == 0
    reply = json.loads(capsys.readouterr().out)
    citation = reply["citations"][0]
    assert LEASE[citation["start"] : citation["end"]] == citation["quote"] == reply["answer"] == "barley"
    assert len(reply["request_id"]) == 32
    assert {"confidence", "alternatives", "read", "model", "timings_ms"} < reply.keys()


def test_no_answer_in_the_documents_is_exit_code_1(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("ask", "lease.md", "Who painted Guernica?") == 1
    assert "The documents do not say." in capsys.readouterr().out


def test_asking_files_keeps_nothing(run: Run, tmp_path: Path) -> None:
    run("ask", "lease.md", "What is the yearly rent of the mill?")
    assert not (tmp_path / "data").exists()


def test_a_directory_is_asked_as_all_its_files_and_hidden_ones_are_passed_over(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "rent.md").write_text(LEASE)
    (folder / ".secret.md").write_text("The yearly rent of the mill is gold.")
    (folder / "empty.txt").write_text(" ")
    assert run("ask", "folder", "What is the yearly rent of the mill?") == 0
    shown = capsys.readouterr()
    assert "folder/inner/rent.md, line 7" in shown.out
    assert "gold" not in shown.out
    assert "folder/empty.txt" in shown.err


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["ask", "absent.pdf", "Why?"], "no file 'absent.pdf'"),
        (["ask", "Why?", "lease.md"], "the question comes last"),
        (["ask", "lease.md", "--top-k", "99", "Why?"], "top_k"),
        (["ask", "empty.txt", "Why?"], "empty.txt"),
        (["summarize", "absent.txt"], "no file 'absent.txt'"),
        (["summarize", "lease.md", "--ratio", "2"], "ratio"),
        (["eval", "qa", "--set", "absent.json"], "absent.json"),
        (["reindex", "--collection", "nowhere"], "nowhere"),
        (["ingest", "lease.md", "--collection", "no name"], "collection: "),
        (["docs", "text", "any", "--start", "-1"], "begins at 0"),
        (["docs", "text", "any", "--start", "5", "--end", "4"], "does not end before"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line_with_exit_code_2(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str], told: str
) -> None:
    (tmp_path / "empty.txt").write_text("")
    assert run(*argv) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("lectern: ")
    assert shown.err.count("\n") == 1
    assert told in shown.err


@pytest.mark.parametrize("argv", [[], ["fly"], ["ask"], ["serve", "--port", "99999"], ["ask", "--nope", "a", "b"]])
def test_a_misspelt_command_line_shows_its_usage_with_exit_code_2(
    run: Run, capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        run(*argv)
    assert exit_.value.code == 2
    assert "usage: lectern" in capsys.readouterr().err


def test_a_service_whose_data_another_one_uses_says_so_in_one_line(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(Settings(data_dir=tmp_path / "data"), make=make):
        assert run("serve", "--port", "0") == 2
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    assert shown.err.splitlines()[-1].startswith("lectern: another Lectern uses")


def test_a_misspelt_setting_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LECTERN_POTR", "1")
    assert run("ask", "lease.md", "Why?") == 2
    assert "did you mean LECTERN_PORT?" in capsys.readouterr().err


def test_files_are_ingested_once_replaced_when_they_change_and_found_again(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "lease.md").write_text(LEASE)
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7\nnothing")
    assert run("ingest", "folder") == 1
    shown = capsys.readouterr()
    assert shown.out == "1 added, 0 unchanged, 1 refused\n"
    assert "folder/broken.pdf: " in shown.err
    (folder / "broken.pdf").unlink()
    assert run("ingest", "folder") == 0
    assert capsys.readouterr().out == "0 added, 1 unchanged, 0 refused\n"
    (folder / "lease.md").write_text(LEASE.replace("barley", "wheat"))
    assert run("ingest", "folder") == 0
    assert run("reindex") == 0
    capsys.readouterr()
    assert run("ask", "What is the yearly rent of the mill?") == 0
    assert capsys.readouterr().out.startswith("wheat  (")
    assert run("search", "yearly rent") == 0
    hits = capsys.readouterr().out
    assert "wheat" in hits
    assert "barley" not in hits


def test_a_file_that_is_refused_leaves_no_document_behind(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7\nnothing")
    assert run("ingest", "broken.pdf") == 1
    assert run("ingest", "lease.md") == 0
    (tmp_path / "lease.md").write_text(" ")
    assert run("ingest", "lease.md") == 1
    capsys.readouterr()
    assert run("docs", "list", "--json") == 0
    (kept,) = json.loads(capsys.readouterr().out)["documents"]
    assert (kept["title"], kept["status"], kept["characters"]) == ("Lease", "indexed", len(LEASE))


def takes_odd_files(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whether a file whose name is not UTF-8 and one with a mark in its name are taken, and one that fails refused."""
    folder.mkdir()
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text("The cook of the mill is Ann.")
    (folder / "[draft] rent.md").write_text(LEASE)
    (folder / "memory.txt").symlink_to("/proc/self/mem")  # a file to look at, and an error to read
    refused = f"lectern: {folder.name}/memory.txt: it cannot be read: Input/output error\n"
    for counts in ("2 added, 0 unchanged, 1 refused\n", "0 added, 2 unchanged, 1 refused\n"):
        assert run("ingest", folder.name) == 1
        shown = capsys.readouterr()
        assert (shown.out, shown.err) == (counts, refused)


def test_files_of_any_name_are_taken_and_one_that_cannot_be_read_is_refused_alone(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    takes_odd_files(run, tmp_path / "odd", capsys)
    assert run("ask", "Who is the cook of the mill?") == 0
    assert "caf\\xe9.txt, line 1: " in capsys.readouterr().out
    assert run("ask", "odd", "Who is the cook of the mill?") == 0
    assert run("summarize", "odd", "--sentences", "1") == 0
    assert "odd/memory.txt: it cannot be read" in capsys.readouterr().err
    assert run("summarize", "odd", "odd/memory.txt") == 2
    assert capsys.readouterr().err == "lectern: odd/memory.txt: it cannot be read: Input/output error\n"


def test_a_bar_names_a_file_as_it_is_named(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "[draft] rent.md").write_text(LEASE)
    seen = io.StringIO()
    monkeypatch.setattr(seen, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", seen)
    assert run("ingest", "[draft] rent.md") == 0
    assert "[draft] rent.md" in seen.getvalue()


def test_a_question_may_be_longer_than_a_file_s_name(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("ask", "lease.md", "What, " + "please, " * 60 + "is the yearly rent of the mill?") == 0
    assert capsys.readouterr().out.startswith("barley  (")


def test_nothing_that_a_terminal_obeys_comes_out_of_a_document(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = "&#27;]0;owned&#7;"
    page = f"<title>Mill{evil}</title><h1>Rent{evil}</h1><p>The yearly rent{evil} of the mill is barley.</p>"
    (tmp_path / "mill.html").write_text(page)
    assert run("ingest", "mill.html") == 0
    assert run("docs", "list", "--json") == 0
    (document,) = json.loads(capsys.readouterr().out.splitlines()[-1])["documents"]
    assert "\x1b" in document["title"]
    shown = ["docs", "show", document["id"]], ["docs", "text", document["id"]]
    asked = ["ask", "What is the yearly rent of the mill?"], ["search", "rent"], ["summarize"]
    monkeypatch.setenv("NO_COLOR", "1")
    for argv in (["docs", "list"], *shown, *asked):
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        assert run(*argv) == 0
        out = capsys.readouterr().out
        assert "owned" in out
        assert not set(out) & set("\x1b\x07")


def test_data_names_the_place_where_asked_files_are_kept(run: Run, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    assert run("ask", "lease.md", "--data", str(kept), "What is the yearly rent of the mill?") == 0
    assert run("ask", "--data", str(kept), "What is the yearly rent of the mill?") == 0


def test_a_summary_names_the_lines_of_its_sentences(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text(
        "The lamp was lit at dusk.\n\nThe keeper slept by day.\n\nShips passed at noon.\n"
    )
    assert run("summarize", "notes.txt", "--sentences", "2", "lease.md") == 0
    out = capsys.readouterr().out
    assert "Sources:\n  1. " in out
    assert ", line " in out
    assert "characters." in out
    assert run("summarize", "notes.txt", "--words", "5", "--format", "bullets", "--json") == 0
    reply = json.loads(capsys.readouterr().out)
    assert reply["summary"].startswith("- ")
    assert reply["coverage"]["characters_read"] == (tmp_path / "notes.txt").stat().st_size


def test_a_source_tree_is_outlined_by_its_modules_each_told_by_its_package_with_lines(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for package, does in (("mill", "Grinds corn."), ("bakery", "Bakes bread.")):
        (tmp_path / "src" / package).mkdir(parents=True)
        (tmp_path / "src" / package / "__init__.py").write_text(
            f'"""{does}"""\n\n\ndef open_{package}(key):\n    """Let customers into the {package}."""\n    return key\n'
        )
    assert run("summarize", "src", "--sentences", "4", "--format", "sections") == 0
    out = capsys.readouterr().out
    assert "bakery/__init__.py" in out
    assert "mill/__init__.py" in out
    assert "line 4" in out
    assert run("summarize", "src", "--sentences", "4", "--format", "sections", "--kind", "prose", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["sentences"]) <= 4


def test_version_is_the_one_of_the_package(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("version") == 0
    assert capsys.readouterr().out == f"lectern {__version__}\n"
    assert run("version", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"name": "lectern", "version": __version__}


def test_documents_and_jobs_of_the_data_directory_are_looked_after_without_a_model(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("ingest", "lease.md", "--collection", "mills", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"added": 1, "unchanged": 0, "refused": 0, "refusals": []}
    assert main(["docs", "list", "--collection", "mills", "--json"], make=None) == 0
    (document,) = json.loads(capsys.readouterr().out)["documents"]
    assert (document["title"], document["status"], document["collection"]) == ("Lease", "indexed", "mills")
    assert main(["docs", "show", document["id"]]) == 0
    assert f"version        {document['version']}\n" in capsys.readouterr().out
    assert main(["docs", "text", document["id"], "--start", "2", "--end", "7"]) == 0
    assert capsys.readouterr().out == "Lease"
    assert main(["jobs", "list", "--json"]) == 0
    (job,) = json.loads(capsys.readouterr().out)["jobs"]
    assert (job["status"], job["progress"]["unit"]) == ("succeeded", "passages")
    for words in (["show"], ["wait"], ["cancel"]):
        assert main(["jobs", *words, job["id"]]) == 0
        assert "status    succeeded\n" in capsys.readouterr().out
    assert main(["docs", "delete", document["id"], "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"deleted": [document["id"]]}
    assert run("ask", "--collection", "mills", "What is the yearly rent of the mill?") == 1
    assert run("docs", "list", "--collection", "nowhere") == 2


def test_a_job_that_was_left_is_carried_on_by_who_waits_for_it(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left = make(Settings(data_dir=tmp_path / "data"))
    taken = left.store.accept("default", data=LEASE.encode(), filename="lease.md", **UNSAID)
    left.close()  # before its jobs were started
    assert run("jobs", "list", "--status", "queued", "--json") == 0
    assert [each["id"] for each in json.loads(capsys.readouterr().out)["jobs"]] == [taken.job_id]
    assert run("jobs", "wait", str(taken.job_id)) == 0
    assert run("docs", "show", taken.document.id, "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["status"] == "indexed"


def test_documents_are_not_deleted_under_a_service_that_runs(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("ingest", "lease.md") == 0
    with opened(Settings(data_dir=tmp_path / "data"), make=make):
        assert run("docs", "list", "--json") == 0
        found = json.loads(capsys.readouterr().out.splitlines()[-1])["documents"][0]["id"]
        assert run("docs", "delete", found) == 2
    assert "another Lectern uses" in capsys.readouterr().err


def test_what_is_stored_is_summarized_where_no_file_is_named(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("ingest", "lease.md", "--collection", "mills") == 0
    capsys.readouterr()
    assert run("summarize", "--collection", "mills", "--sentences", "1", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["sentences"]) == 1


def test_nothing_heavy_is_imported_to_show_help() -> None:
    script = (
        "import sys\nfrom app.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'numpy', 'fastapi', 'pydantic', 'sqlalchemy', 'httpx', 'rich', 'shtab'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "serve" in done.stdout


def test_the_quote_is_emphasized_on_a_terminal_only(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "colours", lambda stream: True)
    assert run("ask", "lease.md", "What is the yearly rent of the mill?") == 0
    assert "mill is \x1b[1mbarley\x1b[0m." in capsys.readouterr().out


def test_measuring_without_its_packages_says_what_to_install(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rouge_score", None)
    monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)
    row = {"id": "1", "text": "The mill stands at Stony Ford. It has a wheel.", "references": ["A mill."], "words": 9}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    assert run("eval", "summaries", "--set", "rows.jsonl", "--systems", "lead") == 2
    assert "pip install 'lectern[eval]'" in capsys.readouterr().err


def test_summaries_are_measured_on_rows_of_json(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"id": "1", "text": "The mill stands at Stony Ford. It has a wheel.", "references": ["A mill."], "words": 9}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    argv = ["eval", "summaries", "--set", "rows.jsonl", "--systems", "lectern,lead", "--json"]
    assert run(*argv, "-") == 0
    measures = json.loads(capsys.readouterr().out)
    assert list(measures) == ["lectern", "lead"]
    assert run(*argv, "out.json") == 0
    written = json.loads((tmp_path / "out.json").read_text())
    for each in (measures, written):
        each["lead"].pop("seconds")
    assert written["lead"] == measures["lead"]
    assert "rouge1" in capsys.readouterr().out
