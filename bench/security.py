"""What SECURITY.md promises, in figures: the tests of it are run, and what they counted is gathered.

    python -m bench.security

writes bench/results/security.json, and fails where a test does:

- `tenants`: requests by one tenant with the names of another, and replies that were not as for names of nobody;
- `offline`: calls of the service that named an address of any network, from its start to its end;
- `marks`: requests that carried planted marks, and errors and bytes of log that were searched for them;
- `key_ms`: what the look at a key adds to a request: the median of 500 over HTTP, without keys and with one.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as Xml
from collections import Counter
from pathlib import Path
from typing import Any

from app.keys import Terms, mint
from bench.records import REPOSITORY, write_result
from bench.speed import Server
from retriever.store import Store

TESTS = [f"tests/app/test_{name}.py" for name in ("keys", "tenants", "quotas", "limits", "offline", "secrets")]
REQUESTS = 500


def counted() -> dict[str, Any]:
    """Run the tests; how many there were, and the sums of what they counted. Exits where one fails or is skipped."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-o", "junit_family=xunit1", f"--junitxml={report}", *TESTS]
        done = subprocess.run(command, cwd=REPOSITORY, check=False)  # noqa: S603 - our own tests
        cases = list(Xml.parse(report).iter("testcase"))  # noqa: S314 - written by our own pytest
    skipped = [str(case.get("name")) for case in cases if case.find("skipped") is not None]
    if done.returncode or skipped:
        sys.exit(f"nothing is recorded: pytest ended with {done.returncode}, skipped {skipped}")
    sums: Counter[str] = Counter()
    for each in (found for case in cases for found in case.iter("property")):
        sums[str(each.get("name"))] += int(str(each.get("value")))
    figures: dict[str, Any] = {"tests": len(cases)}
    for name, value in sorted(sums.items()):
        group, _, what = name.partition(".")
        figures.setdefault(group, {})[what] = value
    return figures


def key_ms() -> dict[str, float]:
    """Medians of a small request, in milliseconds, before the first key is made and after."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        try:
            path = f"/documents/{server.client.post('/documents', json={'text': 'The mill stands.'}).json()['id']}"
            found = {"without_keys": _median(server, path)}
            minted = mint(Terms(requests_per_minute=10**6))
            store = Store(f"sqlite:///{Path(folder) / 'lectern.sqlite3'}", migrating=False)
            store.add_key(minted.key)
            store.close()
            server.client.headers["Authorization"] = f"Bearer {minted.secret}"
            found["with_a_key"] = _median(server, path)
        finally:
            server.process.terminate()
            server.process.wait()
    return found


def _median(server: Server, path: str) -> float:
    times = []
    for _ in range(REQUESTS):
        began = time.perf_counter()
        server.client.get(path).raise_for_status()
        times.append((time.perf_counter() - began) * 1000)
    return round(statistics.median(times), 3)


def main() -> None:
    """`python -m bench.security`."""
    figures = {**counted(), "key_ms": key_ms()}
    path = write_result("security", figures)
    print(json.dumps(figures, indent=2), f"\n{path}")


if __name__ == "__main__":
    main()
