"""Reading the files that are measured: SQuAD's JSON, BEIR's three files, rows of summaries; all checked."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from app.evaluation.errors import EvaluationError
from app.evaluation.squad import Rules, has_cjk

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class QaItem:
    """One question; `answers` is as the file has it, empty for an unanswerable one."""

    id: str
    question: str
    answers: tuple[str, ...]
    article: int
    paragraph: int


@dataclass(frozen=True, kw_only=True)
class QaSet:
    """A SQuAD-format file: for each article its title and paragraphs, and every question in the file's order."""

    titles: tuple[str, ...]
    paragraphs: tuple[tuple[str, ...], ...]
    items: tuple[QaItem, ...]
    rules: Rules

    def article_text(self, article: int) -> str:
        """The article whole, a paragraph a line, as the article unit uploads it."""
        return "\n".join(self.paragraphs[article])


@dataclass(frozen=True, kw_only=True)
class RetrievalSet:
    """BEIR's three files; only queries with a relevant item are kept, and the judgements of those."""

    corpus: tuple[tuple[str, str, str], ...]
    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, kw_only=True)
class SummaryRow:
    """A document, what is asked of it, its reference summaries, and the budget in words for every system.

    `relevant` are the (start, end) characters that the query is about, as far as the set says; no system is told.
    """

    id: str
    text: str
    query: str | None
    references: tuple[str, ...]
    words: int
    relevant: tuple[tuple[int, int], ...] = ()


def read_squad(path: Path) -> QaSet:
    """Read a SQuAD 1.1 or 2.0 file. Raises EvaluationError naming the place where it is not one.

    The scoring rules follow the file: CMRC's where most questions hold Han characters or kana, else those of SQuAD
    2.0 where a question says `is_impossible` or has no answers, else those of SQuAD 1.1.
    """
    titles: list[str] = []
    paragraphs: list[tuple[str, ...]] = []
    items: list[QaItem] = []
    with_empty = False
    try:
        for article, entry in enumerate(_json(path)["data"]):
            titles.append(str(entry.get("title") or f"article {article + 1}"))
            paragraphs.append(tuple(paragraph["context"] for paragraph in entry["paragraphs"]))
            for place, paragraph in enumerate(entry["paragraphs"]):
                for question in paragraph["qas"]:
                    item = _qa_item(question, article, place)
                    with_empty |= not item.answers or "is_impossible" in question
                    items.append(item)
    except (KeyError, TypeError, AttributeError) as error:
        place_name = f"article {len(titles)}, after question {items[-1].id!r}" if items else "its start"
        raise EvaluationError(f"{path} is not of SQuAD's format: {error!r} at {place_name}") from error
    if not items:
        raise EvaluationError(f"{path} holds no question")
    chinese = sum(has_cjk(item.question) for item in items) * 2 > len(items)
    rules: Rules = "cmrc" if chinese else "squad2" if with_empty else "squad1"
    return QaSet(titles=tuple(titles), paragraphs=tuple(paragraphs), items=tuple(items), rules=rules)


def read_retrieval(corpus: Path, queries: Path, qrels: Path) -> RetrievalSet:
    """Read BEIR's files. Raises EvaluationError for a missing field, a repeated id, or a judgement of nothing."""
    items = tuple(
        (str(row["_id"]), str(row.get("title") or ""), str(row["text"])) for row in _rows(corpus, "_id", "text")
    )
    if len({item[0] for item in items}) != len(items):
        raise EvaluationError(f"{corpus} repeats an _id")
    texts = {str(row["_id"]): str(row["text"]) for row in _rows(queries, "_id", "text")}
    judged = _read_qrels(qrels)
    known = {item[0] for item in items}
    kept: dict[str, dict[str, int]] = {}
    for query, grades in judged.items():
        missing = [item for item, grade in grades.items() if grade > 0 and item not in known]
        if missing:
            raise EvaluationError(f"{qrels} judges {missing[0]!r} relevant to {query!r}, and {corpus} does not hold it")
        if query in texts and any(grade > 0 for grade in grades.values()):
            kept[query] = grades
    if not kept:
        raise EvaluationError(f"no query of {queries} has a relevant item in {qrels}")
    return RetrievalSet(corpus=items, queries={query: texts[query] for query in texts if query in kept}, qrels=kept)


def read_summaries(path: Path) -> tuple[SummaryRow, ...]:
    """Read rows of `{"id", "text" or "turns", "query", "references", "words"}`; `turns` becomes a transcript.

    `relevant`, a list of the first and last of some turns, from 0, says what the query is about.
    """
    rows = tuple(_summary_row(row, path, line) for line, row in enumerate(_rows(path, "references", "words"), start=1))
    if not rows:
        raise EvaluationError(f"{path} holds no row")
    if len({row.id for row in rows}) != len(rows):
        raise EvaluationError(f"{path} repeats an id")
    return rows


def transcript(turns: Sequence[Mapping[str, Any]]) -> str:
    """Turns as the text that is summarized: `Speaker: content`, a line each; empty turns are left out."""
    return "\n".join(filter(None, map(_spoken, turns)))


def _spoken(turn: Mapping[str, Any]) -> str:
    """A turn as a line; empty where nothing is said."""
    speaker, content = str(turn.get("speaker") or ""), " ".join(str(turn["content"]).split())
    return f"{speaker}: {content}" if speaker and content else content


def _characters(turns: Sequence[Mapping[str, Any]], first: int, last: int) -> tuple[int, int]:
    """Where turns first to last stand in the transcript."""
    before, these = (transcript(some) for some in (turns[:first], turns[first : last + 1]))
    start = len(before) + 1 if before else 0
    return start, start + len(these)


def sample(items: Sequence[T], limit: int | None, *, seed: int) -> list[T]:
    """A seeded sample over all of the items, in their order; all of them without a limit."""
    if limit is None or limit >= len(items):
        return list(items)
    if limit < 1:
        raise EvaluationError(f"the limit must be at least 1: {limit}")
    picks = sorted(random.Random(seed).sample(range(len(items)), limit))  # noqa: S311 - a sample, not a secret
    return [items[pick] for pick in picks]


def _qa_item(question: Mapping[str, Any], article: int, paragraph: int) -> QaItem:
    answers = () if question.get("is_impossible") else tuple(str(answer["text"]) for answer in question["answers"])
    return QaItem(
        id=str(question["id"]),
        question=str(question["question"]),
        answers=answers,
        article=article,
        paragraph=paragraph,
    )


def _summary_row(row: Mapping[str, Any], path: Path, line: int) -> SummaryRow:
    if ("text" in row) == ("turns" in row):
        raise EvaluationError(f"{path} line {line}: give either text or turns")
    references = tuple(str(reference) for reference in row["references"])
    words = int(row["words"])
    if not references or words < 1:
        raise EvaluationError(f"{path} line {line}: needs at least one reference and a budget of at least one word")
    text = str(row["text"]) if "text" in row else transcript(row["turns"])
    query = str(row["query"]) if row.get("query") else None
    relevant = tuple(_characters(row["turns"], int(first), int(last)) for first, last in row.get("relevant", ()))
    return SummaryRow(
        id=str(row.get("id", line)), text=text, query=query, references=references, words=words, relevant=relevant
    )


def _read_qrels(path: Path) -> dict[str, dict[str, int]]:
    judged: dict[str, dict[str, int]] = {}
    for number, line in enumerate(_lines(path), start=1):
        fields = line.split("\t")
        if number == 1 and fields[-1].strip() == "score":
            continue
        try:
            query, item, score = fields
            judged.setdefault(query, {})[item] = int(score)
        except ValueError as error:
            raise EvaluationError(
                f"{path} line {number} is not `query-id<TAB>corpus-id<TAB>score`: {line!r}"
            ) from error
    return judged


def _rows(path: Path, *required: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(_lines(path), start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise EvaluationError(f"{path} line {number} is not JSON: {error}") from error
        missing = [name for name in required if not isinstance(row, dict) or name not in row]
        if missing:
            raise EvaluationError(f"{path} line {number} lacks {', '.join(missing)}")
        yield row


def _lines(path: Path) -> Iterator[str]:
    try:
        # Not str.splitlines: texts may hold U+2028 and its like inside a row.
        with path.open(encoding="utf-8", newline="\n") as stream:
            yield from (line.rstrip("\r\n") for line in stream if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"cannot read {path}: {error}") from error


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EvaluationError(f"cannot read {path} as JSON: {error}") from error
