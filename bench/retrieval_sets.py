"""Retrieval sets in BEIR's shape, from sets of other kinds. Each function says what an item and a relevant item are."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.evaluation.sets import transcript
from bench.records import read_jsonl

_WINDOW_WORDS = 150  # about a passage of the index


@dataclass(frozen=True, kw_only=True)
class BeirSet:
    """Rows of corpus.jsonl and queries.jsonl, and (query, item, grade) for qrels.tsv."""

    corpus: list[dict[str, str]]
    queries: list[dict[str, str]]
    qrels: list[tuple[str, str, int]]


def pooled_squad(dev: Path, train: Path) -> BeirSet:
    """SQuAD 1.1 dev questions against all paragraphs of dev and train; relevant is the question's own."""
    corpus: list[dict[str, str]] = []
    queries: list[dict[str, str]] = []
    qrels: list[tuple[str, str, int]] = []
    for part, path in (("dev", dev), ("train", train)):
        for article, entry in enumerate(json.loads(path.read_text(encoding="utf-8"))["data"]):
            for place, paragraph in enumerate(entry["paragraphs"]):
                item = f"{part}-{article}-{place}"
                corpus.append(_item(item, "", paragraph["context"]))
                if part == "dev":
                    queries += [_query(row["id"], row["question"]) for row in paragraph["qas"]]
                    qrels += [(row["id"], item, 1) for row in paragraph["qas"]]
    return BeirSet(corpus=corpus, queries=queries, qrels=qrels)


def nq_open(path: Path) -> BeirSet:
    """Search questions against the pooled passages; equal passages are one item. Relevant is the gold passage."""
    items: dict[tuple[str, str], str] = {}
    queries, qrels = [], []
    for number, row in enumerate(read_jsonl(path)):
        queries.append(_query(f"q{number}", row["question"]))
        for context in row["ctxs"]:
            item = items.setdefault((context["title"], context["text"]), f"p{len(items)}")
            if context["isgold"]:
                qrels.append((f"q{number}", item, 1))
    corpus = [_item(item, title, text) for (title, text), item in items.items()]
    return BeirSet(corpus=corpus, queries=queries, qrels=qrels)


def cranfield(folder: Path) -> BeirSet:
    """Abstracts of aerodynamics; the judgements count the topics from 1 in their order, not by their own numbers."""
    documents = re.findall(r"<doc>(.*?)</doc>", (folder / "cran.all.1400.xml").read_text(encoding="utf-8"), re.DOTALL)
    corpus = [_item(_tag("docno", one), _flat(_tag("title", one)), _flat(_tag("text", one))) for one in documents]
    topics = re.findall(r"<top>(.*?)</top>", (folder / "cran.qry.xml").read_text(encoding="utf-8"), re.DOTALL)
    queries = [_query(str(number), _flat(_tag("title", topic))) for number, topic in enumerate(topics, start=1)]
    return BeirSet(corpus=corpus, queries=queries, qrels=list(_trec_qrels(folder / "cranqrel.trec.txt")))


def cacm(folder: Path) -> BeirSet:
    """Abstracts of computing, without a record's citation table and accession line: they are no text of the paper."""
    corpus = []
    for row in read_jsonl(folder / "docs.jsonl"):
        title, _, rest = row["text"].partition("\n\n")
        kept = [line for line in rest.splitlines() if not re.match(r"\d+\t\d+\t\d+\s*$|CA\d{6}\w*\s*[A-Z]{2}\s", line)]
        corpus.append(_item(row["id"], _flat(title), re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()))
    topics = (folder / "topics.cacm.txt").read_text(encoding="utf-8")
    found = re.findall(r"<DOCNO>\s*(\d+)\s*</DOCNO>(.*?)</DOC>", topics, re.DOTALL)
    queries = [_query(number, _flat(text)) for number, text in found]
    # The records pad their numbers (CACM-0756), the judgements do not (CACM-756).
    qrels = [
        (query, re.sub(r"\d+", lambda number: number.group().zfill(4), item), grade)
        for query, item, grade in _trec_qrels(folder / "qrels.cacm.txt")
    ]
    return BeirSet(corpus=corpus, queries=queries, qrels=qrels)


def qmsum_ranges(path: Path) -> BeirSet:
    """Specific queries of meetings against windows of turns (up to 150 words) of all meetings.

    A window is relevant if at least half of its words are in turns that the query's ranges name, or it holds at least
    half of the words of them.
    """
    corpus: list[dict[str, str]] = []
    queries: list[dict[str, str]] = []
    qrels: list[tuple[str, str, int]] = []
    for meeting in read_jsonl(path):
        sizes = [len(turn["content"].split()) for turn in meeting["turns"]]
        windows = list(_windows(sizes))
        for first, last in windows:
            text = transcript(meeting["turns"][first:last])
            if text:
                corpus.append(_item(f"{meeting['id']}-{first}", "", text))
        for number, specific in enumerate(meeting["specific"]):
            query = f"{meeting['id']}-s{number}"
            queries.append(_query(query, specific["query"]))
            named = _turns(specific["relevant_text_span"])
            wanted = sum(sizes[turn] for turn in named)
            for first, last in windows:
                inside = sum(sizes[turn] for turn in range(first, last) if turn in named)
                if inside and (2 * inside >= sum(sizes[first:last]) or 2 * inside >= wanted):
                    qrels.append((query, f"{meeting['id']}-{first}", 1))
    return BeirSet(corpus=corpus, queries=queries, qrels=qrels)


def _windows(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ranges of whole turns of at most 150 words, or of one longer turn."""
    first = total = 0
    for turn, size in enumerate(sizes):
        if turn > first and total + size > _WINDOW_WORDS:
            yield first, turn
            first, total = turn, 0
        total += size
    if first < len(sizes):
        yield first, len(sizes)


def _turns(ranges: Iterable[Sequence[str]]) -> set[int]:
    return {turn for first, last in ranges for turn in range(int(first), int(last) + 1)}


def _trec_qrels(path: Path) -> Iterator[tuple[str, str, int]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        query, _, item, grade = line.split()
        yield query, item, int(grade)


def _item(item: str, title: str, text: str) -> dict[str, str]:
    return {"_id": item, "title": title, "text": text}


def _query(query: str, text: str) -> dict[str, str]:
    return {"_id": query, "text": " ".join(text.split())}


def _tag(name: str, text: str) -> str:
    match = re.search(rf"<{name}>(.*?)</{name}>", text, re.DOTALL)
    return match.group(1).strip() if match else ""


def _flat(text: Any) -> str:
    return " ".join(str(text).split())
