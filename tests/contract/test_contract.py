"""The service against its own OpenAPI document: kept as it was, and true whatever is sent."""

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from app.problems import MEANINGS, MEDIA_TYPE
from app.security import ROUTES
from retriever.store import Store
from tests.app.callers import new_key
from tests.app.served import ROOT, Server
from tests.contract.snapshot import KEPT, current

HERE = Path(__file__).parent
LONGEST = 1_200  # seconds until schemathesis is given up; how much it sends is in schemathesis.toml
PATIENCE = 60  # seconds for a reply: uploads and questions are waited for longer than the ten that are usual
DOCUMENT = json.loads(KEPT.read_text(encoding="utf-8"))
OPERATIONS = [
    pytest.param(method.upper(), path, operation, id=f"{method.upper()} {path}")
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]


def test_the_openapi_document_is_the_one_that_is_kept():
    assert current() == KEPT.read_text(encoding="utf-8"), "if this is meant: python -m tests.contract.snapshot"


def test_every_path_that_is_let_through_and_is_served_is_described():
    described = {(path, method.upper()) for path, operations in DOCUMENT["paths"].items() for method in operations}
    allowed = {(path, method) for path, methods in ROUTES.items() for method in methods}
    assert described <= allowed


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
def test_every_operation_documents_the_errors_that_it_can_have(method, path, operation):
    responses = operation["responses"]
    always = {"405", "500", "503"} | ({"401", "403", "429"} if operation.get("security") else set())
    assert always <= set(responses)
    if "requestBody" in operation:
        assert {"413", "415", "422"} <= set(responses)
    if any(each["in"] != "path" and each["schema"] for each in operation.get("parameters", ())) and method == "GET":
        assert "422" in responses or "404" in responses
    for status, response in responses.items():
        if int(status) >= 400 and "ReadyReply" not in str(response):
            media_type, model = (
                ("application/json", "ErrorReply") if path.startswith("/v1/") else (MEDIA_TYPE, "Problem")
            )
            assert response["content"] == {media_type: {"schema": {"$ref": f"#/components/schemas/{model}"}}}, status
            assert int(status) in {meaning.status for meaning in MEANINGS.values()}


def test_every_202_carries_a_job():
    for path, operations in DOCUMENT["paths"].items():
        for operation in operations.values():
            if "202" in operation["responses"]:
                model = operation["responses"]["202"]["content"]["application/json"]["schema"]["$ref"].split("/")[-1]
                assert "job" in DOCUMENT["components"]["schemas"][model]["required"], path


def test_whatever_is_sent_no_check_of_schemathesis_fails(tmp_path):
    """No 5xx, no undocumented status, no reply that is not as described; what is valid is taken and nothing else."""
    data = tmp_path / "data"
    with closing(Store(f"sqlite:///{data / 'lectern.sqlite3'}")) as store:
        key = new_key(store, scopes="read,write,admin", requests_per_minute=1_000_000)
    server = Server(data)
    program = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    assert program, "install the extra 'dev'"
    environment = {**os.environ, "LECTERN_TEST_KEY": key, "SCHEMATHESIS_HOOKS": "tests.contract.hooks"}
    environment |= {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    command = [program, "--config-file", str(HERE / "schemathesis.toml"), "run", f"{server.url}/openapi.json"]
    command += ["--checks", "all", "--generation-deterministic", "--request-timeout", str(PATIENCE)]
    command += ["--warnings", "off", "--no-color"]
    try:
        run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=LONGEST)
    finally:
        server.stop()
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-5_000:]
    generated, passed = map(int, re.findall(r"(\d+) generated, (\d+) passed", run.stdout)[0])
    assert generated == passed > 200
    assert [line for line in server.log if line["level"] == "error"] == []
    assert sum(line["event"] == "request" for line in server.log) > 200
