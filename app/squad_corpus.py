"""Articles in SQuAD's format, read whole and chunked as the service chunks them, with their questions and names."""

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from pathlib import Path

import numpy as np

from app.like_names import Encode, LikeNames
from app.unanswerable import Alike, Mention, mentions
from retriever.chunking import WordPieceCounter, split
from retriever.parsing import parse_text
from retriever.types import Passage

SIMILAR = 8  # questions kept for each, most similar first
SAME = 0.9  # the cosine from which on two questions are taken for one


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question with where its answers stand in the whole article: (start, end) code points."""

    id: str
    article: str
    text: str
    answers: tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Article:
    """A text with its paragraphs (start, end), its passages in order, and the names and numbers in it."""

    text: str
    paragraphs: list[tuple[int, int]]
    passages: list[Passage]
    mentions: list[Mention]


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Articles by name, their passages by key, and the questions that were asked of them."""

    articles: dict[str, Article]
    passages: dict[int, Passage]
    questions: list[Question]
    similar: dict[str, list[Question]]  # by the question's id, of the same article, most similar first
    repeated: set[str]  # ids of questions that are asked of their article more than once, in nearly the same words
    count: WordPieceCounter
    alike: Alike


def read_squad(paths: Sequence[Path], *, count: WordPieceCounter, encode: Encode) -> Corpus:
    """Files in SQuAD's format, each article whole, a paragraph a line."""
    articles: dict[str, Article] = {}
    passages: dict[int, Passage] = {}
    questions: list[Question] = []
    for path in paths:
        for number, data in enumerate(json.loads(path.read_text(encoding="utf-8"))["data"]):
            name = f"{path.stem}/{number}"
            contexts = [paragraph["context"] for paragraph in data["paragraphs"]]
            starts = list(accumulate((len(context) + 1 for context in contexts), initial=0))
            document = parse_text("\n".join(contexts))
            chunks = split(document, count=count)
            text = document.text
            made = [
                Passage(
                    key=len(passages) + ordinal + 1,
                    id=f"{name}/{ordinal}",
                    document_id=name,
                    version="",
                    ordinal=ordinal,
                    start=chunk.start,
                    end=chunk.end,
                    text=text[chunk.start : chunk.end],
                )
                for ordinal, chunk in enumerate(chunks)
            ]
            passages |= {passage.key: passage for passage in made}
            articles[name] = Article(
                text=text,
                paragraphs=[(at, at + len(context)) for at, context in zip(starts, contexts, strict=False)],
                passages=made,
                mentions=list(mentions(text)),
            )
            for start, paragraph in zip(starts, data["paragraphs"], strict=False):
                questions.extend(_questions(paragraph, article=name, offset=start))
    similar, repeated = _similar(questions, encode)
    return Corpus(
        articles=articles,
        passages=passages,
        questions=questions,
        similar=similar,
        repeated=repeated,
        count=count,
        alike=LikeNames(encode),
    )


def _similar(questions: Sequence[Question], encode: Encode) -> tuple[dict[str, list[Question]], set[str]]:
    """The most similar other questions of the same article, by their vectors, and those that another repeats."""
    found: dict[str, list[Question]] = {}
    repeated = set()
    for _, asked in groupby(questions, key=lambda question: question.article):
        row = list(asked)
        vectors = encode([question.text for question in row])
        likeness = vectors @ vectors.T
        np.fill_diagonal(likeness, -1.0)
        repeated |= {question.id for question, most in zip(row, likeness.max(axis=1), strict=True) if most >= SAME}
        likeness[likeness >= SAME] = -1.0
        for question, order in zip(row, np.argsort(-likeness, axis=1, kind="stable"), strict=True):
            found[question.id] = [row[at] for at in order[: min(SIMILAR, len(row) - 1)]]
    return found, repeated


def _questions(paragraph: dict[str, list[dict[str, object]]], *, article: str, offset: int) -> Iterator[Question]:
    for row in paragraph["qas"]:
        answers = row["answers"]
        if not isinstance(answers, list):
            raise ValueError(f"question {row['id']!r}: answers is not a list")
        spans = {(offset + a["answer_start"], offset + a["answer_start"] + len(a["text"])) for a in answers}
        yield Question(id=str(row["id"]), article=article, text=str(row["question"]), answers=tuple(sorted(spans)))


def held_out(names: Iterable[str], share: float) -> set[str]:
    """Articles for validation, by the hashes of their names alone: about this share of each set, and at least one."""
    ranked = sorted((zlib.crc32(name.encode()), name) for name in names)
    firsts = {name.split("/")[0]: name for _, name in reversed(ranked)}
    return {name for place, name in ranked if place < share * 2**32} | set(firsts.values())
