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

from model.encoder import MiniLMEncoder
from model.training.groups import MinedGroup
from retriever.chunking import WordPieceCounter, split
from retriever.parsing import parse_text
from retriever.sparse import SparseIndex
from retriever.types import Passage

Search = Callable[[str, int, Sequence[str] | None], list[int]]
"""(query, how many, documents to look in) -> keys of passages, best first."""

WITHOUT_GOLD = 1 / 3  # the share of groups that none of the passages answers
FROM_OTHERS = 0.25  # the share of negatives that come from other articles
FEWEST, MOST = 4, 8
ALONE = 0.2  # the share of groups of one passage alone, as a short inline text is read
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
    questions: list[Question]


def read_squad(paths: Sequence[Path], *, count: WordPieceCounter) -> Corpus:
    """Files in SQuAD's format, each article whole, a paragraph a line."""
    passages: dict[int, Passage] = {}
    by_article: dict[str, list[Passage]] = {}
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
    return Corpus(passages=passages, by_article=by_article, questions=questions)


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
    answers = {span: _holding(corpus.by_article[question.article], span) for span in question.answers}
    gold = {passage.key for found in answers.values() for passage in found}
    if question.answers and not gold:
        return None
    strings = [_answer_text(found[0], span) for span, found in answers.items() if found]
    size = 1 if chance.random() < ALONE else chance.randint(FEWEST, MOST)
    chosen = [] if chance.random() < WITHOUT_GOLD or not gold else [corpus.passages[chance.choice(sorted(gold))]]
    near = [corpus.passages[key] for key in search(question.text, POOL, [question.article])]
    far = [corpus.passages[key] for key in search(question.text, POOL, None)]
    candidates = _interleaved(near, [it for it in far if it.document_id != question.article], chance)
    for passage in candidates:
        if len(chosen) == size:
            break
        lucky = passage.key not in gold and not any(string in passage.text for string in strings)
        if lucky and not any(_overlap(passage, other) for other in chosen):
            chosen.append(passage)
    chance.shuffle(chosen)
    places = [
        (index, start - passage.start, end - passage.start)
        for index, passage in enumerate(chosen)
        if passage.key in gold
        for start, end in question.answers
        if passage.start <= start and end <= passage.end
    ]
    return MinedGroup(
        id=question.id,
        question=question.text,
        passages=[passage.text for passage in chosen],
        answers=places,
        relevant=sorted({index for index, _, _ in places}),
    )


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
