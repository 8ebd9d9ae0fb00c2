"""Speed and memory of each parser on a large generated file, each in a process of its own.

    python -m bench.parsing [--megabytes 5] [--only PDF,EPUB]

writes bench/results/parsing.json: for each kind of file its size, the characters that were read, MB of file and million
characters a second of processor time, and by how many MB the peak of memory rose while it was parsed.
"""

import argparse
import io
import json
import multiprocessing
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docx

from bench.records import write_result
from retriever.parsing import Limits, parse
from tests.retriever.epubs import epub, nav, page
from tests.retriever.pdfs import pdf

SEED = 13
_LETTERS = "etaoinshrdlucmfwypvbgk"
_PAGE_LINES = 45
_CHAPTERS = 40


def sentences(size: int) -> Iterator[str]:
    """Sentences of made-up words, about `size` characters together, the same ones each time."""
    draw = random.Random(SEED)  # noqa: S311
    words = ["".join(draw.choices(_LETTERS, k=draw.randint(2, 9))) for _ in range(5_000)]
    written = 0
    while written < size:
        sentence = " ".join(draw.choices(words, k=draw.randint(6, 24))).capitalize() + "."
        written += len(sentence) + 1
        yield sentence


def paragraphs(size: int) -> list[str]:
    """Paragraphs of five sentences."""
    found = list(sentences(size))
    return [" ".join(found[at : at + 5]) for at in range(0, len(found), 5)]


def _markdown(size: int) -> bytes:
    return "\n\n".join(f"## Part {n}\n\n{text}" for n, text in enumerate(paragraphs(size))).encode()


def _html(size: int) -> bytes:
    rows = "".join(f"<tr><td>{word}<td>{word}</tr>" for word in next(sentences(100)).split())
    parts = (f"<h2>Part {n}</h2><p>{text}</p><table>{rows}</table>" for n, text in enumerate(paragraphs(size // 2)))
    return f"<!doctype html><title>x</title><body>{''.join(parts)}".encode()


def _epub(size: int) -> bytes:
    parts = paragraphs(size)
    step = len(parts) // _CHAPTERS + 1
    chapters = {
        f"c{n}.xhtml": page(
            f"<h1>Chapter {n}</h1>" + "".join(f"<p>{text}</p>" for text in parts[n * step : (n + 1) * step])
        )
        for n in range(_CHAPTERS)
    }
    return epub(chapters, contents=nav("".join(f'<li><a href="{name}">{name}</a></li>' for name in chapters)))


def _docx(size: int) -> bytes:
    document = docx.Document()
    for text in paragraphs(size):
        document.add_paragraph(text)
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def _pdf(size: int) -> bytes:
    lines = [text[:90] for text in sentences(size)]
    return pdf([lines[at : at + _PAGE_LINES] for at in range(0, len(lines), _PAGE_LINES)])


def _columns(size: int) -> bytes:
    lines = [text[:40] for text in sentences(size)]
    pieces = [(72 if n % 2 else 320, 780 - 16 * (n // 2 % _PAGE_LINES), text) for n, text in enumerate(lines)]
    return pdf([pieces[at : at + 2 * _PAGE_LINES] for at in range(0, len(pieces), 2 * _PAGE_LINES)])


def _dialogue(size: int) -> bytes:
    return "\n".join(f"Speaker {n % 3}: {text}" for n, text in enumerate(sentences(size))).encode()


def _python(size: int) -> bytes:
    parts = (
        f'def f{n}(a, b):\n    """{text}"""\n    if a > b:\n        return [a, {n}, "{text[:20]}"]\n    return b\n\n\n'
        for n, text in enumerate(sentences(size // 2))
    )
    return "".join(parts).encode()[: min(size, 1_900_000)]


def _vtt(size: int) -> bytes:
    cues = (
        f"{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}.000 --> {n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}.900\n"
        f"<v Speaker {n % 3}>{text}\n"
        for n, text in enumerate(sentences(size // 2))
    )
    return ("WEBVTT\n\n" + "\n".join(cues)).encode()


def _rows(size: int) -> bytes:
    return "\n".join(
        json.dumps({"id": n, "title": f"Row {n}", "text": text}) for n, text in enumerate(paragraphs(size))
    ).encode()


KINDS: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "plain text": ("a.txt", lambda size: "\n\n".join(paragraphs(size)).encode()),
    "Markdown": ("a.md", _markdown),
    "a dialogue": ("a.txt", _dialogue),
    "HTML": ("a.html", _html),
    "EPUB": ("a.epub", _epub),
    "DOCX": ("a.docx", _docx),
    "PDF": ("a.pdf", _pdf),
    "PDF, columns by line": ("a.pdf", _columns),
    "Python": ("a.py", _python),
    "WebVTT": ("a.vtt", _vtt),
    "JSON Lines": ("a.jsonl", _rows),
}


def _memory(field: str) -> int:
    """A field of this process's memory, in KB: what it holds now (VmRSS) or the most it held (VmHWM)."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(f"{field}:"))


def measure(kind: str, file: Path, small: Path) -> dict[str, Any]:
    """Parse a file of this kind once; runs in a process that has done nothing else, for the memory's sake."""
    name, _ = KINDS[kind]
    parse(small.read_bytes(), filename=name)  # what is loaded once is not the file's
    data = file.read_bytes()
    before = _memory("VmRSS")
    started = time.process_time()
    document = parse(data, filename=name, limits=Limits(pages=100_000))
    seconds = time.process_time() - started
    rise = _memory("VmHWM") - before
    return {
        "kind": kind,
        "file_mb": round(len(data) / 1e6, 2),
        "characters": len(document.text),
        "mb_a_second": round(len(data) / 1e6 / seconds, 2),
        "million_characters_a_second": round(len(document.text) / 1e6 / seconds, 2),
        "pages_a_second": round(len(document.pages) / seconds) if document.pages else None,
        "memory_mb": round(rise / 1024),
    }


def main() -> None:
    """Measure every kind, print a line each and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=5.0, help="size of each file's text")
    parser.add_argument("--only", help="kinds, comma-separated")
    arguments = parser.parse_args()
    wanted = arguments.only.split(",") if arguments.only else list(KINDS)
    rows = []
    spawn = multiprocessing.get_context("spawn")
    for kind in wanted:
        make = KINDS[kind][1]
        with tempfile.TemporaryDirectory() as folder, spawn.Pool(1) as pool:
            files = Path(folder, "large"), Path(folder, "small")
            for file, size in zip(files, (int(arguments.megabytes * 1e6), 5_000), strict=True):
                file.write_bytes(make(size))
            rows.append(pool.apply(measure, (kind, *files)))
        print(rows[-1])
    write_result("parsing", {"megabytes": arguments.megabytes, "kinds": rows})


if __name__ == "__main__":
    main()
