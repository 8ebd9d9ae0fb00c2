"""Where results come from and go to: rows of JSON Lines, and result files that name commit, date and machine."""

import datetime
import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.evaluation import write_json
from app.wiring import free_cores

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = REPOSITORY / "bench" / "results"


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """All rows of a JSON Lines file."""
    with path.open(encoding="utf-8", newline="\n") as stream:
        return [json.loads(line) for line in stream if line.strip()]


def write_result(name: str, payload: Mapping[str, Any]) -> Path:
    """Write bench/results/NAME.json: the payload under the commit, the date and the machine."""
    path = RESULTS / f"{name}.json"
    write_json(path, {**provenance(), **payload})
    return path


def provenance() -> dict[str, Any]:
    """The commit (and whether the tree differs from it), the time, the CPU, the threads and the allocator."""
    return {
        "commit": _git("rev-parse", "HEAD"),
        "modified": bool(_git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench/results")),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "threads": int(os.environ.get("LECTERN_THREADS") or free_cores()),
        "tcmalloc": "tcmalloc" in os.environ.get("LD_PRELOAD", ""),
    }


def cpu_model() -> str:
    """The CPU's name and its wide instruction sets, since the name alone may say little on a virtual machine."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    named = {key.strip(): value.strip() for key, value in fields.items()}
    flags = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in named.get("flags", "").split()]
    model = named.get("model name", platform.machine())
    return f"{model}, family {named.get('cpu family', '?')} model {named.get('model', '?')} ({' '.join(flags)})"


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(REPOSITORY), *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return finished.stdout.strip()


def letters_of(text: str) -> str:
    """A text without what two copies of it may differ in: case, spaces and marks."""
    return re.sub(r"\W+", "", text.lower())
