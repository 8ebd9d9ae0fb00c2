"""Makes what the retriever is trained on, from a retrieval set: `python -m app.retriever_mining --help`.

A set is {"passages": [str], "queries": [str], "positive": [[passage, ...]], "held": [bool]} as JSON; what is held goes
to `validation.jsonl`, the rest to `train.jsonl`, in the format of model/training/pairs.py. What is made:

    cloze          a sentence asks for its passage, which keeps the sentence in one of ten cases (Lee et al. 2019)
    contrastive    a query with its passages and hard negatives of BM25; with --towers those that the towers find,
                   which is how they are mined once more after a first pass
    distillation   as contrastive, with the reader's relevance of each passage
    mixed          for model/training/query_layers.py: a query with all that answers it and its shares of BM25, and
                   `corpus.jsonl`; with --read, for so many of them the reader's relevance of the twenty passages that
                   the mix finds first
    questions      examples of model/training/realm.py, and `corpus.jsonl`: the queries of a set that has a column
                   `answers`, [str or null], where they have one
    spans          as questions, of a corpus that has none: sentences with a name, number or date masked
"""

import argparse
import json
import random
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch

from app import terminal
from app.pseudo_questions import Rarity, pseudo_questions
from app.scratch_index import sparse_index, sparse_search
from model.reader import LongformerReader
from model.towers import Towers, starting_towers
from model.training.pairs import POOLED, Pair, read_corpus
from model.training.query_layers import mixed_scores, question_of, read_bank
from model.training.realm import Example
from retriever.sparse import Scored
from retriever.types import Passage

Step = Literal["cloze", "contrastive", "distillation", "mixed", "questions", "spans"]
STEPS: tuple[Step, ...] = get_args(Step)
Find = Callable[[str, int], list[int]]  # a query, how many -> places of passages, best first
ScoredSearch = Callable[[str, int], Sequence[Scored]]
Read = Callable[[str, Sequence[str]], Sequence[float]]  # a question, passages -> relevance logits

DEPTH = 300  # of a query's shares of BM25
NEGATIVES = 4  # hard ones of a query
KEPT = 0.1  # of the passages of cloze pairs, with their sentence in them
READ = 20  # passages of a query that the reader reads
HELD = 0.05  # of passages, for questions that are made of them
SKIPPED = 0.2  # of hard negatives, by chance: otherwise the same few would always stand there


@dataclass(frozen=True, kw_only=True)
class RetrievalSet:
    """Passages, queries, the places of the passages that answer each, which queries are held out, and their answers.

    An answer is a string that stands in a passage that answers; None where there is no such string.
    """

    passages: list[str]
    queries: list[str]
    positive: list[list[int]]
    held: list[bool]
    answers: list[str | None]

    @classmethod
    def read(cls, path: Path, *, most: int | None = None) -> "RetrievalSet":
        """Raises ValueError where the columns do not fit each other.

        With `most` it is whole documents (column `group`), by chance, with so many passages, and what they answer.
        """
        data = json.loads(path.read_text(encoding="utf-8"))
        if most is not None:
            data = _part(data, most)
        answers = data.get("answers", [None] * len(data["queries"]))
        found = cls(**{name: data[name] for name in ("passages", "queries", "positive", "held")}, answers=answers)
        if not len(found.queries) == len(found.positive) == len(found.held) == len(answers):
            raise ValueError(f"'{path}': queries, positive, held and answers must be of one length")
        return found


def _part(data: dict[str, list[Any]], most: int) -> dict[str, list[Any]]:
    sizes = Counter(data["group"])
    order = sorted(sizes, key=lambda group: zlib.crc32(str(group).encode()))
    kept, room = set(), most
    for group in order:
        if sizes[group] <= room:
            kept.add(group)
            room -= sizes[group]
    passages = [place for place, group in enumerate(data["group"]) if group in kept]
    new = {old: place for place, old in enumerate(passages)}
    asked = [row for row, positive in enumerate(data["positive"]) if positive and all(each in new for each in positive)]
    return {
        "passages": [data["passages"][place] for place in passages],
        "queries": [data["queries"][row] for row in asked],
        "positive": [[new[each] for each in data["positive"][row]] for row in asked],
        "held": [data["held"][row] for row in asked],
        **({"answers": [data["answers"][row] for row in asked]} if "answers" in data else {}),
    }


def cloze_pairs(data: RetrievalSet, *, seed: int) -> Iterator[tuple[Pair, bool]]:
    """A sentence of each passage with the passage, which mostly lacks it, and whether it is held out."""
    texts = dict(enumerate(data.passages))
    for made in pseudo_questions(texts, kinds=("sentence",), rarity=Rarity.of(data.passages), seed=seed):
        text, (start, end) = data.passages[made.passage], made.sentence
        chance = random.Random(f"{seed} {text}")  # noqa: S311 - a choice, not a secret
        shown = text if chance.random() < KEPT else f"{text[:start].rstrip()} {text[end:].lstrip()}".strip()
        if shown:
            pair = Pair(id=f"cloze-{made.passage}", query=made.text, passages=(shown,), positive=(0,))
            yield pair, _is_held(text)


def contrastive_pairs(data: RetrievalSet, find: Find, *, seed: int) -> Iterator[tuple[Pair, bool]]:
    """Each query with one of its passages and hard negatives, and whether it is held out."""
    for place, (query, positive, held) in enumerate(zip(data.queries, data.positive, data.held, strict=True)):
        chance = random.Random(f"{seed} {place}")  # noqa: S311 - a choice, not a secret
        answering = {data.passages[each] for each in positive}
        hard = [each for each in find(query, 4 * NEGATIVES + len(positive)) if data.passages[each] not in answering]
        hard = [each for each in hard if chance.random() >= SKIPPED][:NEGATIVES]
        if positive:
            shown = [data.passages[each] for each in (chance.choice(positive), *hard)]
            yield Pair(id=str(place), query=query, passages=tuple(shown), positive=(0,)), held


def with_relevance(pair: Pair, read: Read) -> Pair:
    """The pair with the reader's relevance of each passage."""
    return Pair(**{**asdict(pair), "relevance": tuple(map(float, read(pair.query, pair.passages)))})


def mixed_rows(data: RetrievalSet, search: ScoredSearch) -> Iterator[tuple[dict[str, Any], bool]]:
    """Each query with what answers it and shares of its largest BM25, and whether it is held out.

    Those that answer are among the shares only where BM25 finds them.
    """
    for query, positive, held in zip(data.queries, data.positive, data.held, strict=True):
        found = search(query, DEPTH)
        largest = max((each.score for each in found), default=1.0)
        shares = [[each.key, round(each.score / largest, 4)] for each in found]
        if positive:
            yield {"query": query, "positive": positive, "sparse": shares}, held


def read_best(folder: Path, towers: Towers, read: Read, *, most: int, seed: int) -> None:
    """Add to so many train queries of a mixed set what the reader says of the passages that the mix finds first."""
    bank = read_bank(folder, towers, most=0, seed=seed)
    texts = list(read_corpus(folder / "corpus.jsonl").items())
    path = folder / "train.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    places = {key: place for place, (key, _) in enumerate(texts)}
    for row in random.Random(seed).sample(rows, min(most, len(rows))):  # noqa: S311 - a choice, not a secret
        with torch.inference_mode():
            found = mixed_scores(towers, bank, [question_of(row, places)])[0].topk(min(READ, len(texts))).indices
        best = [texts[int(place)] for place in found]
        logits = read(row["query"], [text for _, text in best])
        row["read"] = [[key, round(float(logit), 3)] for (key, _), logit in zip(best, logits, strict=True)]
    partly = path.with_suffix(".part")
    partly.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    partly.replace(path)


def question_examples(data: RetrievalSet) -> Iterator[tuple[Example, bool]]:
    """Each query that has an answer, and whether it is held out. No passage was its source: all may be retrieved."""
    for place, (query, answer, held) in enumerate(zip(data.queries, data.answers, data.held, strict=True)):
        if answer is not None:
            yield Example(id=str(place), question=query, answer=answer), held


def span_examples(data: RetrievalSet, *, seed: int) -> Iterator[tuple[Example, bool]]:
    """A masked sentence of each passage that has a name, number or date, and whether it is held out."""
    texts = dict(enumerate(data.passages))
    for made in pseudo_questions(texts, kinds=("masked",), rarity=Rarity.of(data.passages), seed=seed):
        example = Example(id=f"span-{made.passage}", question=made.text, answer=str(made.answer), source=made.passage)
        yield example, _is_held(data.passages[made.passage])


def by_towers(towers: Towers, passages: Sequence[str]) -> Find:
    """A search of all passages by what the towers have learned."""
    with torch.inference_mode():
        parts = [towers.passages(passages[at : at + POOLED]) for at in range(0, len(passages), POOLED)]
    vectors = torch.cat(parts)

    def find(query: str, k: int) -> list[int]:
        with torch.inference_mode():
            scores = (towers.queries([query]) @ vectors.T)[0]
        return [int(place) for place in scores.topk(min(k, len(passages))).indices]

    return find


def _is_held(text: str) -> bool:
    return zlib.crc32(text.encode()) < HELD * 2**32


def _write(folder: Path, rows: Iterator[tuple[Any, bool]]) -> dict[str, int]:
    counts = {"train": 0, "validation": 0}
    with (folder / "train.jsonl").open("w") as train, (folder / "validation.jsonl").open("w") as validation:
        for row, held in rows:
            name, file = ("validation", validation) if held else ("train", train)
            file.write(json.dumps(row if isinstance(row, dict) else asdict(row), ensure_ascii=False) + "\n")
            counts[name] += 1
    return counts


def _write_corpus(folder: Path, passages: Sequence[str]) -> None:
    with (folder / "corpus.jsonl").open("w", encoding="utf-8") as corpus:
        for key, text in enumerate(passages):
            corpus.write(json.dumps({"key": key, "text": text}, ensure_ascii=False) + "\n")


def make(data: RetrievalSet, out: Path, *, step: Step, find: Find, read: Read, seed: int) -> dict[str, int]:
    """Write the files of a step; how many lines each has."""
    out.mkdir(parents=True, exist_ok=True)
    if step == "cloze":
        return _write(out, cloze_pairs(data, seed=seed))
    if step == "mixed":
        _write_corpus(out, data.passages)
        with sparse_index([_keyed(key, text) for key, text in enumerate(data.passages)]) as index:
            return _write(out, mixed_rows(data, index.search))
    if step in ("questions", "spans"):
        _write_corpus(out, data.passages)
        return _write(out, question_examples(data) if step == "questions" else span_examples(data, seed=seed))
    pairs = contrastive_pairs(data, find, seed=seed)
    if step == "distillation":
        pairs = ((with_relevance(pair, read), held) for pair, held in pairs)
    return _write(out, pairs)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", type=Path, required=True)
    parser.add_argument("--step", choices=STEPS, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--towers", type=Path, help="a folder that model.training.retriever left: mine by it")
    parser.add_argument("--reader", type=Path, help="a folder with a reader; without it, the one that ships")
    parser.add_argument(
        "--read", type=int, default=0, help="train queries of a mixed set whose passages the reader reads"
    )
    parser.add_argument("--mode", choices=("query", "full"), default="query", help="how the towers were trained")
    parser.add_argument("--trained", choices=("adapter", "top", "all"), default="adapter", help="what of them was")
    parser.add_argument("--rank", type=int, default=16, help="of the towers' adapter")
    parser.add_argument("--most", type=int, help="passages: whole documents by chance; without it, all")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    data = RetrievalSet.read(given.set, most=given.most)
    reader = LongformerReader.load(given.reader) if given.step == "distillation" or given.read else None

    def read(question: str, passages: Sequence[str]) -> Sequence[float]:
        return np.zeros(len(passages)).tolist() if reader is None else reader.decode(question, passages)[1]

    with ExitStack() as stack:
        if given.towers is None:
            search = stack.enter_context(sparse_search([_keyed(n, text) for n, text in enumerate(data.passages)]))
            find: Find = lambda query, k: search(query, k, None)  # noqa: E731 - the other way gives a function too
        else:
            towers = starting_towers(mode=given.mode, trained=given.trained, rank=given.rank, init=given.towers)
            find = by_towers(towers, data.passages)
        counts = make(data, given.out, step=given.step, find=find, read=read, seed=given.seed)
    if given.step == "mixed" and given.read:
        mixing = starting_towers(mode="query", trained="top", rank=1, init=given.towers)
        read_best(given.out, mixing, read, most=given.read, seed=given.seed)
    terminal.say(json.dumps(counts))


def _keyed(key: int, text: str) -> Passage:
    return Passage(key=key, id=str(key), document_id=str(key), version="", ordinal=0, start=0, end=len(text), text=text)


if __name__ == "__main__":
    main()
