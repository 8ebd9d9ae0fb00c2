"""Coverage-guided fuzzing of all that reads what strangers write, by atheris, in one process.

    python -m tests.hostile.fuzz --seconds 600 --corpus .fuzz

The first byte of an input chooses the target, so that all share what was learned. What a target raises that it should
not is written down once for each place, under CORPUS/findings, and fuzzing goes on; what ends the process or never
ends is left there by libFuzzer. Writes bench/results/fuzz.json, and exits with 1 where there is a finding. Each
becomes a test.
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

SLOWEST = 60  # seconds for one input, by the clock: the machine may be busy
LONGEST = 4_096  # bytes of one
PREFIXES = ("retriever", "app", "markdown_it", "webvtt")
"""What is instrumented. It is at its import, so nothing of it may be imported before: not by this file's imports."""


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--corpus", type=Path, default=Path(".fuzz"))
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        fuzz(arguments.corpus, arguments.seconds)
    sys.exit(watch(arguments.corpus, arguments.seconds))


def watch(corpus: Path, seconds: int) -> int:
    """Run the process that fuzzes, and tell what it found; whether it found anything, or had no coverage to go by."""
    from bench.records import write_result

    found = corpus / "findings"
    found.mkdir(parents=True, exist_ok=True)
    before = set(found.iterdir())
    plant(corpus / "inputs")
    command = [
        sys.executable,
        "-m",
        "tests.hostile.fuzz",
        "--child",
        "--seconds",
        str(seconds),
        "--corpus",
        str(corpus),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace") as child:
        assert child.stderr is not None
        told = child.stderr.read()
    (corpus / "log.txt").write_text(told)
    runs = re.findall(r"number_of_executed_units: (\d+)", told) or re.findall(r"^#(\d+)", told, re.MULTILINE)[-1:]
    learned = re.findall(r"new_units_added: +(\d+)", told)
    new = sorted(path.name for path in set(found.iterdir()) - before)
    figures = {
        "seconds": seconds,
        "executions": int(runs[0]) if runs else 0,
        "new_to_the_coverage": int(learned[0]) if learned else None,
        "findings": new,
    }
    print(json.dumps(figures))
    if "no interesting inputs" in told:
        print(f"nothing was learned of the coverage: see {corpus / 'log.txt'}")
        return 1
    write_result("fuzz", figures)
    if child.returncode:
        print(f"it ended with {child.returncode}: see {corpus / 'log.txt'}")
    return int(bool(new) or child.returncode != 0)


def plant(inputs: Path) -> None:
    """Begin with small files of every format, hostile ones among them."""
    from tests.hostile import packages, pdfs, texts
    from tests.hostile.targets import TARGETS
    from tests.retriever.epubs import epub, page
    from tests.retriever.pdfs import pdf

    inputs.mkdir(exist_ok=True)
    names = list(TARGETS)
    seeds = [
        ("parse .pdf", pdf([["# Lease", "The mill stands."], ["It is old."]], title="A", outline=[(1, "Lease", 0)])),
        ("parse .docx", packages.whole()),
        ("parse .epub", epub({"one.xhtml": page("<h1>One</h1><p>The mill.</p>")})),
        ("parse .vtt", b"WEBVTT\n\n00:01.000 --> 00:02.000\n<v Ann>The mill stands.\n"),
        ("parse .html", b"<h1>A</h1><ul><li>b</ul><table><tr><td rowspan=2>c<td>d</table><pre>e\nf</pre>"),
        ("texts", b"CHAPTER I. The mill\n\nAnn: It stands.\nBob: Where?\nAnn: At the ford.\n"),
        ("bodies", b'{"question": "Where?", "collection": "default", "top_k": 3, "filters": {"year": {"gte": 2020}}}'),
        ("bodies", b'{"citations": [{"document_id": "a", "version": "sha256:0", "start": 0, "end": 1, "quote": "a"}]}'),
        ("filters", b'{"year": {"gte": 2020, "in": [1]}, "topic": ["law"], "draft": {"exists": false}}'),
        ("cursors", b"WyIiLCAiYSJd"),
        ("replies", b'{"media_type":"a","title":null,"sections":[[[],0,1]],"pages":[],"turns":[],"warnings":[]}\nx'),
    ]
    for row in (*texts.SMALL, *packages.SMALL, *pdfs.SMALL):
        name = f"parse .{row.filename.rpartition('.')[2]}"
        if name in TARGETS and "zip" not in row.name and "expands" not in row.name and "bomb" not in row.name:
            seeds.append((name, row.make()[:LONGEST]))
    for name, data in seeds:
        content = bytes([names.index(name)]) + data
        (inputs / hashlib.sha1(content).hexdigest()).write_bytes(content)


def fuzz(corpus: Path, seconds: int) -> None:
    """The process that fuzzes; never returns."""
    import atheris

    if loaded := [name for name in sys.modules if name.split(".")[0] in PREFIXES]:
        sys.exit(f"imported before they could be instrumented: {loaded}")
    with atheris.instrument_imports(include=list(PREFIXES)):
        from tests.hostile.targets import TARGETS
    targets, seen = list(TARGETS.items()), set[str]()

    def one(data: bytes) -> None:
        if not data:
            return
        name, target = targets[data[0] % len(targets)]
        try:
            target(data[1:])
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            note(corpus / "findings", name, data, error, seen)

    options = [
        f"-max_total_time={seconds}",
        f"-timeout={SLOWEST}",
        f"-max_len={LONGEST}",
        "-rss_limit_mb=3000",
        f"-report_slow_units={SLOWEST}",
    ]
    options += [f"-artifact_prefix={corpus / 'findings'}/", "-print_final_stats=1", str(corpus / "inputs")]
    atheris.Setup(["fuzz", *options], one)
    atheris.Fuzz()


def note(folder: Path, name: str, data: bytes, error: Any, seen: set[str]) -> None:
    """Write a finding down, the first of its kind and place."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    kind = f"{type(error).__name__}-{Path(frame.filename).stem}-{frame.lineno}"
    if kind in seen:
        return
    seen.add(kind)
    (folder / kind).write_bytes(data)
    (folder / f"{kind}.txt").write_text(f"{name}\n{''.join(traceback.format_exception(error))}")


if __name__ == "__main__":
    main()
