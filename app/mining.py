"""Makes training groups for the reader: questions with the passages that a retriever really returns for them.

`python -m app.mining --set FILE --out FOLDER` writes `train.jsonl` and `validation.jsonl` of model/training/groups.py.
Articles are read whole and chunked as the service chunks them, so a group looks like what the reader meets in use.
"""

import argparse
import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from app.unanswerable import Mention, mentions, negated, opposite, swapped
from model.encoder import MiniLMEncoder
from model.training.groups import MinedGroup
from retriever.chunking import WordPieceCounter, split
from retriever.parsing import parse_text
from retriever.sentences import split_sentences
from retriever.sparse import SparseIndex
from retriever.types import Passage

Search = Callable[[str, int, Sequence[str] | None], list[int]]
"""(query, how many, documents to look in) -> keys of passages, best first."""

Way = Literal["answered", "missing", "altered", "cut"]
WAYS: dict[Way, float] = {  # how groups are made, and how often
    "answered": 0.64,
    "missing": 0.14,  # the passage that answers was not retrieved
    "altered": 0.14,  # the question asks for something else about the same
    "cut": 0.08,  # the passage lacks the sentence that answers
}
FROM_OTHERS = 0.25  # the share of negatives that come from other articles
FEWEST, MOST = 2, 8
ALONE = 0.3  # the share of groups of one passage alone, as a short inline text is read
POOL = 24


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question with where its answers stand in the whole article: (start, end) code points."""

    id: str
    article: str
    text: str
    answers: tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Articles as passages, and the questions that were asked of them."""

    passages: dict[int, Passage]
    by_article: dict[str, list[Passage]]
    mentions: dict[str, list[Mention]]
    questions: list[Question]


def read_squad(paths: Sequence[Path], *, count: WordPieceCounter) -> Corpus:
    """Files in SQuAD's format, each article whole, a paragraph a line."""
    passages: dict[int, Passage] = {}
    by_article: dict[str, list[Passage]] = {}
    named: dict[str, list[Mention]] = {}
    questions: list[Question] = []
    for path in paths:
        for number, article in enumerate(json.loads(path.read_text(encoding="utf-8"))["data"]):
            name = f"{path.stem}/{number}"
            starts, lines, at = [], [], 0
            for paragraph in article["paragraphs"]:
                starts.append(at)
                lines.append(paragraph["context"])
                at += len(paragraph["context"]) + 1
            document = parse_text("\n".join(lines))
            by_article[name] = []
            named[name] = list(mentions(document.text))
            for ordinal, chunk in enumerate(split(document, count=count)):
                passage = Passage(
                    key=len(passages) + 1,
                    id=f"{name}/{ordinal}",
                    document_id=name,
                    version="",
                    ordinal=ordinal,
                    start=chunk.start,
                    end=chunk.end,
                    text=document.text[chunk.start : chunk.end],
                )
                passages[passage.key] = passage
                by_article[name].append(passage)
            for start, paragraph in zip(starts, article["paragraphs"], strict=True):
                questions.extend(_questions(paragraph, article=name, offset=start))
    return Corpus(passages=passages, by_article=by_article, mentions=named, questions=questions)


def groups(corpus: Corpus, questions: Sequence[Question], search: Search, *, seed: int) -> Iterator[MinedGroup]:
    """One group a question, in their order; questions whose answer no passage holds whole are left out."""
    for question in questions:
        group = _group(corpus, question, search, random.Random(f"{seed} {question.id}"))  # noqa: S311 - not a secret
        if group is not None:
            yield group


def _questions(paragraph: dict[str, list[dict[str, object]]], *, article: str, offset: int) -> Iterator[Question]:
    for row in paragraph["qas"]:
        answers = row["answers"]
        if not isinstance(answers, list):
            raise ValueError(f"question {row['id']!r}: answers is not a list")
        spans = {(offset + a["answer_start"], offset + a["answer_start"] + len(a["text"])) for a in answers}
        yield Question(id=str(row["id"]), article=article, text=str(row["question"]), answers=tuple(sorted(spans)))


def _group(corpus: Corpus, question: Question, search: Search, chance: random.Random) -> MinedGroup | None:
    article = corpus.by_article[question.article]
    gold = {passage.key for span in question.answers for passage in _holding(article, span)}
    if question.answers and not gold:
        return None
    way: Way = chance.choices(list(WAYS), weights=list(WAYS.values()))[0] if gold else "missing"
    size = 1 if chance.random() < ALONE else chance.randint(FEWEST, MOST)
    kept = corpus.passages[chance.choice(sorted(gold))] if gold else None
    text, shown = _changed(question, kept, way, corpus.mentions[question.article], chance)
    others = _others(corpus, question, text, search, chance, avoid=gold)
    chosen = [(kept, shown)] if kept is not None and shown is not None else []
    for passage in others:
        if len(chosen) >= size:
            break
        if not any(_overlap(passage, other) for other, _ in chosen):
            chosen.append((passage, passage.text))
    chance.shuffle(chosen)
    answered = text == question.text and kept is not None and shown == kept.text
    places = [
        (index, start - passage.start, end - passage.start)
        for index, (passage, _) in enumerate(chosen)
        for start, end in question.answers
        if answered and passage is kept and passage.start <= start and end <= passage.end
    ]
    return MinedGroup(
        id=question.id,
        question=text,
        passages=[shown for _, shown in chosen],
        answers=places,
        relevant=sorted({index for index, _, _ in places}),
    )


def _changed(
    question: Question, gold: Passage | None, way: Way, others: Sequence[Mention], chance: random.Random
) -> tuple[str, str | None]:
    """The question as asked, and the gold passage as shown, or None. Unchanged where nothing can be changed."""
    if gold is None or way == "missing":
        return question.text, None
    if way == "altered":
        changed = swapped(question.text, passage=gold.text, others=others, chance=chance)
        return changed or opposite(question.text, chance=chance) or negated(question.text) or question.text, gold.text
    if way == "cut":
        spans = [(start - gold.start, end - gold.start) for start, end in question.answers]
        return question.text, _without(gold.text, spans)
    return question.text, gold.text


def _without(text: str, spans: Sequence[tuple[int, int]]) -> str | None:
    """The text without the sentences that these spans touch; None where next to nothing would be left."""
    kept = [
        sentence
        for sentence in split_sentences(text)
        if not any(sentence.start < end and start < sentence.end for start, end in spans)
    ]
    shown = " ".join(text[sentence.start : sentence.end] for sentence in kept)
    return shown if len(shown) > len(text) / 4 else None


def _others(
    corpus: Corpus, question: Question, text: str, search: Search, chance: random.Random, *, avoid: set[int]
) -> Iterator[Passage]:
    """What a search for the question returns, best first, without what answers it."""
    article = corpus.by_article[question.article]
    strings = [_answer_text(found[0], span) for span in question.answers if (found := _holding(article, span))]
    near = [corpus.passages[key] for key in search(text, POOL, [question.article])]
    far = [corpus.passages[key] for key in search(text, POOL, None)]
    far = [passage for passage in far if passage.document_id != question.article]
    for passage in _interleaved(near, far, chance):
        if passage.key not in avoid and not any(string in passage.text for string in strings):
            yield passage


def _interleaved(near: list[Passage], far: list[Passage], chance: random.Random) -> Iterator[Passage]:
    """Both lists from the top, one now and then skipped, so that a reader does not meet the same few alone."""
    queues = [[it for it in queue if chance.random() < 0.8] for queue in (near, far)]
    while any(queues):
        wanted = 1 if chance.random() < FROM_OTHERS else 0
        queue = queues[wanted] or queues[1 - wanted]
        yield queue.pop(0)


def _holding(passages: Sequence[Passage], span: tuple[int, int]) -> list[Passage]:
    return [passage for passage in passages if passage.start <= span[0] and span[1] <= passage.end]


def _answer_text(passage: Passage, span: tuple[int, int]) -> str:
    return passage.text[span[0] - passage.start : span[1] - passage.start]


def _overlap(one: Passage, other: Passage) -> bool:
    return one.document_id == other.document_id and one.start < other.end and other.start < one.end


@contextmanager
def sparse_search(passages: Sequence[Passage]) -> Iterator[Search]:
    """BM25 over all passages, in an index that is gone afterwards."""
    with TemporaryDirectory() as folder:
        index = SparseIndex(Path(folder))
        index.apply(1, {}, passages)
        index.commit()

        def search(query: str, k: int, documents: Sequence[str] | None) -> list[int]:
            return [scored.key for scored in index.search(query, k, documents=documents)]

        yield search
        index.close()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", type=Path, nargs="+", required=True, help="files in SQuAD's format")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--questions", type=int, default=None, help="a random sample of so many")
    parser.add_argument("--validation", type=float, default=0.05, help="the share of articles held out")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    corpus = read_squad(options.set, count=MiniLMEncoder.load().count_word_pieces)
    chance = random.Random(options.seed)  # noqa: S311 - not a secret
    names = sorted(corpus.by_article)
    held = set(chance.sample(names, max(1, round(len(names) * options.validation))))
    options.out.mkdir(parents=True, exist_ok=True)
    with sparse_search(list(corpus.passages.values())) as search:
        for name, wanted in (("train", False), ("validation", True)):
            questions = [question for question in corpus.questions if (question.article in held) is wanted]
            chance.shuffle(questions)
            with (options.out / f"{name}.jsonl").open("w", encoding="utf-8") as file:
                for group in groups(corpus, questions[: options.questions], search, seed=options.seed):
                    file.write(json.dumps(vars(group), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
