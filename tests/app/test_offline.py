"""No outbound connection, ever: the service with its real models, in a namespace of loopback alone, and watched."""

import ast
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from model.training.progress import Progress
from tests.app.offline import strace
from tests.app.served import ROOT

OUTWARD = re.compile(r"sa_family=AF_INET6?\b")


def watched(trace: Path) -> list[str]:
    """The calls in a trace that name an address of any network, loopback too."""
    return [line for line in trace.read_text(errors="replace").splitlines() if OUTWARD.search(line)]


@pytest.fixture(scope="module")
def namespace() -> list[str]:
    """The command that runs another one in a network namespace of its own."""
    command = ["unshare", "--map-root-user", "--net"]
    for needed in ("unshare", "strace"):
        if shutil.which(needed) is None:
            pytest.skip(f"{needed} is not installed: apt-get install util-linux strace")
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let its users make network namespaces")
    if subprocess.run([*strace(Path("/dev/null")), "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let its users trace processes")
    return command


def test_an_attempt_to_connect_would_be_seen(tmp_path: Path, namespace: list[str]) -> None:
    attempt = "import socket; socket.socket().connect_ex(('192.0.2.1', 9))"
    subprocess.run([*namespace, *strace(tmp_path / "trace"), sys.executable, "-c", attempt], check=True)
    while not (found := (tmp_path / "trace").read_text()).strip():
        pass  # the tracer outlives what it traces
    assert "192.0.2.1" in found
    assert len(watched(tmp_path / "trace")) == 1


def test_start_ingest_ask_search_and_summarize_try_to_reach_nothing(
    tmp_path: Path, namespace: list[str], record_property: Callable[[str, int], None]
) -> None:
    if not (ROOT / "model" / "weights").is_dir():
        pytest.skip("no weights in model/weights")
    command = [*namespace, sys.executable, "-m", "tests.app.offline", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    came = json.loads(done.stdout)
    assert came["beyond"] is False
    assert came["statuses"] == [201, 200, 200, 200]
    assert "lighthouse" in came["summary"]
    assert came["stopped"] in (0, -signal.SIGTERM)
    outward = watched(tmp_path / "trace")
    record_property("offline.calls_with_an_address", len(outward))
    assert outward == []


# What is loaded


FORBIDDEN = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "cloudpickle", "jsonpickle"}
SOURCES = sorted(path for name in ("app", "retriever", "model", "lectern") for path in (ROOT / name).rglob("*.py"))


def loads(path: Path) -> list[str]:
    """Where a file could run code out of data: imports of picklers, and loaders that are not told to refuse them."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found += [name for name in names if name.split(".")[0] in FORBIDDEN]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = ast.unparse(node.func.value)
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            call = f"{owner}.{node.func.attr}"
            if call == "torch.load" and given.get("weights_only") != "True":
                found.append(call)
            if call in ("np.load", "numpy.load") and given.get("allow_pickle") != "False":
                found.append(call)
            if node.func.attr == "load_state" and owner == "accelerator" and path.name != "progress.py":
                found.append(call)
            if node.func.attr == "from_pretrained" and given.get("local_files_only") is None:
                found.append(call)
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_loaded_that_could_run_code(path: Path) -> None:
    assert loads(path) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path)",
        "accelerator.load_state(path)",
        "AutoModel.from_pretrained(name)",
    ],
)
def test_what_could_run_code_would_be_seen(tmp_path: Path, code: str) -> None:
    (tmp_path / "any.py").write_text(code)
    assert loads(tmp_path / "any.py")


def test_the_weights_that_ship_are_safetensors_alone() -> None:
    kinds = {path.suffix for path in (ROOT / "model" / "weights").rglob("*") if path.is_file()}
    assert kinds <= {".safetensors", ".json", ".md", ".txt", ".png", ""}


def test_a_checkpoint_that_would_run_code_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "ran",))

    progress = Progress(tmp_path, total=1)
    progress.checkpoint.mkdir()
    (progress.checkpoint / "custom_checkpoint_0.pkl").write_bytes(pickle.dumps(Evil(), protocol=2))
    with pytest.raises(pickle.UnpicklingError):
        progress.load(None)  # type: ignore[arg-type]
    assert not (tmp_path / "ran").exists()
