"""The README says what the code does: its commands run, its settings, paths and codes exist, its replies are real."""

import json
import re
import shlex
from pathlib import Path

import httpx
import pytest

from app import cli
from app.main import create_app
from app.problems import MEANINGS
from app.settings import PREFIX, Settings
from lectern import AsyncClient, Client
from retriever.parsing import Limits
from tests.app.live import live

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def table(header: str) -> list[list[str]]:
    rows = README.split(f"{header}\n", 1)[1].split("\n\n", 1)[0].splitlines()[1:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def sample() -> str:
    (text,) = re.findall(r"cat > harbour.md <<'END'\n(.*?)END\n", README, flags=re.DOTALL)
    return str(text)


def test_it_opens_with_one_sentence_and_the_two_commands() -> None:
    title, sentence, commands = README.split("\n\n", 3)[:3]
    assert title == "# Lectern"
    assert sentence.count(". ") == 0
    assert sentence.endswith(".")
    assert [line.split("#")[0].strip() for line in commands.splitlines()[1:-1]] == ["make run", "make test"]


def test_its_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"`?make ([a-z-]+)", "\n".join(blocks("sh")))) | {"check"}
    defined = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    assert named <= defined
    assert f"TORCH_INDEX ?= {'https://download.pytorch.org/whl/cpu'}" in makefile


def test_its_settings_are_all_settings_with_their_defaults_and_descriptions() -> None:
    expected = [
        [
            f"`{PREFIX}{name.upper()}`",
            f"`{field.default}`" if field.default not in (None, "") else "",
            field.description or "",
        ]
        for name, field in Settings.model_fields.items()
    ]
    assert table("| variable | default | meaning |") == expected


def test_its_error_codes_are_those_that_the_service_can_give() -> None:
    listed = {(int(status), code.strip("`")) for status, code, _ in table("| status | code | when |")}
    assert listed == {(meaning.status, meaning.code) for meaning in MEANINGS.values()}


def test_its_paths_are_those_of_the_api(tmp_path: Path) -> None:
    listed = {
        (method, path)
        for cell, _ in table("| path | |")
        for methods, path in re.findall(r"`([A-Z, ]+) (/[^`]*)`", cell)
        for method in methods.split(", ")
    }
    paths = create_app(Settings(data_dir=tmp_path)).openapi()["paths"]
    assert listed == {(method.upper(), path) for path, methods in paths.items() for method in methods}


def test_its_limits_are_the_code_s() -> None:
    limits = Limits()
    assert f"{limits.characters // 10**6} million characters and a PDF {limits.pages:,} pages" in README
    assert f"{Settings().max_body_bytes // 1024**2} MB" in README


def test_its_commands_and_their_options_exist(capsys: pytest.CaptureFixture[str]) -> None:
    listed = {command.strip("`"): text for command, text in table("| command | what it does |")}
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    shown = set(re.findall(r"^    ([a-z]+)\b", capsys.readouterr().out, flags=re.MULTILINE))
    assert {command.removeprefix("lectern ") for command in listed} == shown
    for command, text in listed.items():
        with pytest.raises(SystemExit):
            cli.main([*command.split()[1:], "--help"])
        options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
        assert set(re.findall(r"--[a-z-]+", text)) == options, command


@pytest.mark.parametrize(
    "line",
    [
        line.split("  #")[0].strip()
        for block in blocks("sh")
        for line in block.splitlines()
        if line.startswith(".venv/bin/")
    ],
)
def test_its_command_lines_are_understood(line: str) -> None:
    program, *arguments = shlex.split(line)
    assert program == ".venv/bin/lectern"
    cli.parsed(arguments)


def test_what_it_tells_other_programs_to_start_is_understood() -> None:
    started = json.loads(blocks("json")[2])["mcpServers"]["lectern"]
    assert started["command"].endswith(".venv/bin/lectern")
    assert cli.parsed(started["args"]).data == Path("/path/to/index_data")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory):
    if not (ROOT / "model" / "weights").is_dir():
        pytest.skip("no weights in model/weights")
    with live(create_app(Settings(data_dir=tmp_path_factory.mktemp("data")))) as (client, _):
        yield client


# What another run, machine or training changes; all else of a reply must be as the README shows it.
VOLATILE = {"id", "document_id", "passage_id", "created_at", "updated_at", "request_id"}
VOLATILE |= {"timings_ms", "confidence", "score", "reader", "retriever"}


def stable(value: object) -> object:
    if isinstance(value, dict):
        return {key: None if key in VOLATILE else stable(inner) for key, inner in value.items()}
    return [stable(inner) for inner in value] if isinstance(value, list) else value


def test_its_replies_are_what_the_service_replies(client: httpx.Client) -> None:
    uploaded, asked = (json.loads(block) for block in blocks("json")[:2])
    created = client.post("/documents", files={"file": ("harbour.md", sample().encode())})
    assert created.status_code == 201
    assert stable(created.json()) == stable(uploaded)
    (question,) = re.findall(r"-d '(\{\"question\".*?\})'", README)
    answered = client.post("/ask", content=question, headers={"Content-Type": "application/json"})
    assert stable(answered.json()) == stable(asked)
    citation = answered.json()["citations"][0]
    assert sample()[citation["start"] : citation["end"]] == citation["quote"]
    assert client.post("/ask", json={"question": "Who is the harbour master?"}).json()["answerable"] is False


def test_what_it_shows_of_the_command_line_is_what_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not (ROOT / "model" / "weights").is_dir():
        pytest.skip("no weights in model/weights")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "harbour.md").write_text(sample())
    assert cli.main(["ask", "harbour.md", "How long may a visiting boat stay?"]) == 0
    shown = blocks("text")[0]
    hidden = re.compile(r"\d+% sure")
    assert hidden.sub("", capsys.readouterr().out) == hidden.sub("", shown)


@pytest.mark.parametrize("program", blocks("python"), ids=lambda program: program.split()[1])
def test_what_it_shows_of_python_is_what_is_printed(
    program: str,
    client: httpx.Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LECTERN_URL", str(client.base_url))
    (tmp_path / "harbour.md").write_text(sample())
    client.post("/documents", files={"file": ("harbour.md", sample().encode())})
    here = program.replace("http://127.0.0.1:8000", str(client.base_url).rstrip("/"))
    exec(compile(here, "README.md", "exec"), {})
    assert capsys.readouterr().out == README.split(program)[1].split("```text\n")[1].split("```")[0]


def test_its_methods_of_a_client_are_those_that_there_are() -> None:
    listed = set()
    for cell, text in table("| of a client | |"):
        names = re.findall(r"`(\w+)`", cell)
        groups = {"documents", "collections", "jobs"}
        listed |= {f"{names[0]}.{name}" for name in re.findall(r"`(\w+)`", text)} if names[0] in groups else set(names)
    listed -= {"documents.path", "documents.data"}  # arguments
    for each in (Client("http://127.0.0.1:9"), AsyncClient("http://127.0.0.1:9")):
        there = {name for name in dir(each) if not name.startswith("_")} - {"close", "documents", "collections", "jobs"}
        for group in ("documents", "collections", "jobs"):
            there |= {f"{group}.{name}" for name in dir(getattr(each, group)) if not name.startswith("_")}
        assert listed == there


def test_what_it_shows_of_a_service_from_the_terminal_is_what_is_printed(
    client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LECTERN_URL", str(client.base_url))
    (tmp_path / "harbour.md").write_text(sample())
    section = README.split("### A running service from the terminal")[1]
    for line in section.split("```sh\n")[1].split("```")[0].splitlines():
        if line.startswith(".venv/bin/lectern"):
            assert cli.main(shlex.split(line.split("  #")[0])[1:]) == 0
    shown = section.split("```text\n")[1].split("```")[0]
    volatile = re.compile(r"\d+% sure|file-\w+")
    assert volatile.sub("", capsys.readouterr().out) == volatile.sub("", shown)
