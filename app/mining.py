"""Makes training groups for the reader: questions with the passages that a retriever really returns for them.

`python -m app.mining --set FILE --out FOLDER` writes `train.jsonl` and `validation.jsonl` of model/training/groups.py.
Articles are read whole and chunked as the service chunks them, so a group looks like what the reader meets in use.
"""

import argparse
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from math import log
from pathlib import Path
from typing import Literal

from app.pieces import LONGEST_PIECE, join_hits
from app.retelling import retelling
from app.scratch_index import Search, sparse_search
from app.squad_corpus import Article, Corpus, Question, held_out, read_squad
from app.unanswerable import CHANGES, PLAIN_CHANGES, Change, altered
from model.decoding import FLOOR
from model.encoder import MiniLMEncoder
from model.reader import LongformerReader
from model.training.groups import MinedGroup
from retriever.sentences import split_sentences
from retriever.types import Hit, Passage

Sure = Callable[[str, Sequence[str]], float]
"""(question, passages) -> how sure a reader is that they answer it."""

Way = Literal["answered", "retold", "missing", "elsewhere", "altered", "told of another", "cut"]
WAYS: dict[Way, float] = {  # how groups are made, and how often
    "answered": 0.34,
    "retold": 0.14,  # question and passages tell of something else, alike
    "missing": 0.04,  # the passage that answers was not retrieved
    "elsewhere": 0.11,  # nor it; instead the one that answers the most similar question of the article
    "altered": 0.16,  # the question asks for something else about the same
    "told of another": 0.16,  # the passages tell of something else, the question does not
    "cut": 0.05,  # the passage lacks the sentence that answers
}
FROM_OTHERS = 0.25  # the share of negatives that come from other articles
FEWEST, MOST = 2, 8
ALONE = 0.5  # the share of groups of one text alone, as a short inline text is read
PARAGRAPH = 0.7  # of those, the share that shows a paragraph of the article; the others show a stretch of passages
CLOSE = 0.12  # and the share that shows only the sentences of the answer, as an unsure answer's are read again
POOL = 24


@dataclass(frozen=True, kw_only=True)
class _Excerpt:
    """What the reader is shown as one passage: characters `start` to `end` of an article."""

    article: str
    start: int
    end: int

    def holds(self, span: tuple[int, int]) -> bool:
        return self.start <= span[0] and span[1] <= self.end

    def touches(self, span: tuple[int, int]) -> bool:
        return self.start < span[1] and span[0] < self.end


@dataclass(frozen=True, kw_only=True)
class Hardest:
    """Of `tries` unanswerable groups of a question, the one that a reader is the `sure`st to answer is taken.

    All but the first have a question changed in a way that nearly always makes it ask for something else: among many
    changes a reader falls most for those that change nothing.
    """

    sure: Sure
    tries: int


def groups(
    corpus: Corpus,
    questions: Sequence[Question],
    search: Search,
    *,
    seed: int,
    alone: float = ALONE,
    hardest: Hardest | None = None,
) -> Iterator[MinedGroup]:
    """One group a question, in their order; questions whose answer no passage holds whole are left out.

    With `hardest`, unanswerable ones are those that a reader falls for, as an annotator who sees a reader's answers
    would write them (Bartolo et al. 2020, "Beat the AI").
    """
    for question in questions:
        chance = random.Random(f"{seed} {question.id}")  # noqa: S311 - not a secret
        group = _group(corpus, question, search, chance, alone, ways=WAYS, changes=CHANGES)
        if group is not None and hardest is not None and not group.answers:
            group = max(
                [group, *_changed(corpus, question, search, seed, alone, hardest.tries - 1)],
                key=lambda it: hardest.sure(it.question, it.passages),
            )
        if group is not None:
            yield group


def _changed(
    corpus: Corpus, question: Question, search: Search, seed: int, alone: float, count: int
) -> Iterator[MinedGroup]:
    """At most `count` groups with the question plainly changed."""
    for attempt in range(count):
        chance = random.Random(f"{seed} {question.id} {attempt}")  # noqa: S311 - not a secret
        group = _group(corpus, question, search, chance, alone, ways={"altered": 1.0}, changes=PLAIN_CHANGES)
        if group is not None and not group.answers:
            yield group


def _group(
    corpus: Corpus,
    question: Question,
    search: Search,
    chance: random.Random,
    alone: float,
    ways: Mapping[Way, float],
    changes: Mapping[Change, float],
) -> MinedGroup | None:
    article = corpus.articles[question.article]
    gold = {passage.key for span in question.answers for passage in _holding(article.passages, span)}
    if question.answers and not gold:
        return None
    way: Way = chance.choices(list(ways), weights=list(ways.values()))[0] if gold else "missing"
    if question.id in corpus.repeated and gold and way != "cut":
        way = "answered"  # another passage may well answer what is asked so often
    kept = corpus.passages[chance.choice(sorted(gold))] if gold and way != "missing" else None
    text = question.text
    if kept is not None and way == "altered":
        text = (
            altered(
                text,
                passage=kept.text,
                others=article.mentions,
                asked=[other.text for other in corpus.similar[question.id]],
                alike=corpus.alike,
                chance=chance,
                changes=changes,
            )
            or text
        )
    others = _others(corpus, question, text, search, chance, avoid=gold)
    about = question
    if way == "elsewhere":
        kept = None
        about, first = next(_elsewhere(corpus, question, avoid=gold), (question, None))
        others = others if first is None else chain([first], (passage for passage in others if passage != first))
    if chance.random() < alone:
        shown = kept or next(others, None)
        excerpts = [] if shown is None else [_surroundings(corpus, shown, about, chance)]
    else:
        size = chance.randint(FEWEST, MOST)
        chosen = ([kept] if kept is not None else []) + list(islice(others, size - (kept is not None)))
        excerpts = _joined(corpus, chosen)
    chance.shuffle(excerpts)
    texts = [corpus.articles[it.article].text[it.start : it.end] for it in excerpts]
    if way == "cut":
        texts = [_without(text, it, question) for text, it in zip(texts, excerpts, strict=True)]
    strings = [article.text[start:end] for start, end in question.answers]
    without = way in ("cut", "missing", "elsewhere")
    if not any(texts) or (without and any(string in text for string in strings for text in texts)):
        return None
    answered = not without and text == question.text
    places = [
        (index, start - excerpt.start, end - excerpt.start)
        for index, excerpt in enumerate(excerpts)
        for start, end in question.answers
        if answered and excerpt.article == question.article and excerpt.holds((start, end))
    ]
    if way in ("retold", "told of another") and places:
        made = retelling(
            text, passages=texts, answers=places, others=article.mentions, alike=corpus.alike, chance=chance
        )
        if made is not None:
            moved = [(at, made.moved(texts[at], start), made.moved(texts[at], end)) for at, start, end in places]
            text, places = (made(text), moved) if way == "retold" else (text, [])
            texts = [made(one) for one in texts]
    return MinedGroup(
        id=question.id,
        question=text,
        passages=[text for text in texts if text],
        answers=places,
        relevant=sorted({index for index, _, _ in places}),
    )


def _elsewhere(corpus: Corpus, question: Question, *, avoid: set[int]) -> Iterator[tuple[Question, Passage]]:
    """Similar questions, with passages that answer them and not this one."""
    article = corpus.articles[question.article]
    strings = [article.text[start:end] for start, end in question.answers]
    for other in corpus.similar[question.id]:
        for passage in (passage for span in other.answers for passage in _holding(article.passages, span)):
            if passage.key not in avoid and not any(string in passage.text for string in strings):
                yield other, passage


def _surroundings(corpus: Corpus, passage: Passage, question: Question, chance: random.Random) -> _Excerpt:
    """What a short inline text around a passage may be: its paragraph, or one to three passages in a row."""
    name = str(passage.document_id)
    article = corpus.articles[name]
    inside = [span for span in question.answers if passage.start <= span[0] and span[1] <= passage.end]
    inside = inside if name == question.article else []
    if inside and chance.random() < CLOSE:
        return _close(name, article, inside[0], chance)
    if chance.random() < PARAGRAPH:
        at = inside[0][0] if inside else (passage.start + passage.end) // 2
        start, end = _paragraph(article, at)
        if corpus.count([article.text[start:end]])[0] <= LONGEST_PIECE:
            return _Excerpt(article=name, start=start, end=end)
    first = max(0, passage.ordinal - chance.randint(0, 1))
    row = article.passages[first : passage.ordinal + 1 + chance.randint(0, 1)]
    pieces = _joined(corpus, row)
    return next(it for it in pieces if it.start <= passage.start and passage.end <= it.end)


def _close(name: str, article: Article, span: tuple[int, int], chance: random.Random) -> _Excerpt:
    """The sentences that a span touches, and at most one more on each side, of its paragraph."""
    start, end = _paragraph(article, span[0])
    sentences = list(split_sentences(article.text[start : max(end, span[1])]))
    touched = [n for n, it in enumerate(sentences) if start + it.start < span[1] and span[0] < start + it.end]
    first = max(0, touched[0] - chance.randint(0, 1))
    last = min(len(sentences) - 1, touched[-1] + chance.randint(0, 1))
    return _Excerpt(article=name, start=start + sentences[first].start, end=start + sentences[last].end)


def _paragraph(article: Article, at: int) -> tuple[int, int]:
    return next(bounds for bounds in reversed(article.paragraphs) if bounds[0] <= at)


def _joined(corpus: Corpus, passages: Sequence[Passage]) -> list[_Excerpt]:
    """Passages as the service joins them for the reader."""

    def between(hit: Hit, start: int, end: int) -> str:
        return corpus.articles[str(hit.passage.document_id)].text[start:end]

    hits = [Hit(passage=passage, title="", score=0.0) for passage in passages]
    pieces = join_hits(hits, count=corpus.count, between=between)
    return [_Excerpt(article=str(it.hits[0].passage.document_id), start=it.start, end=it.end) for it in pieces]


def _without(text: str, excerpt: _Excerpt, question: Question) -> str:
    """The text without the sentences that the answers touch; empty where next to nothing would be left."""
    spans = [
        (start - excerpt.start, end - excerpt.start) for start, end in question.answers if excerpt.touches((start, end))
    ]
    if excerpt.article != question.article or not spans:
        return text
    kept = [
        sentence
        for sentence in split_sentences(text)
        if not any(sentence.start < end and start < sentence.end for start, end in spans)
    ]
    shown = " ".join(text[sentence.start : sentence.end] for sentence in kept)
    return shown if len(shown) > len(text) / 4 else ""


def _others(
    corpus: Corpus, question: Question, text: str, search: Search, chance: random.Random, *, avoid: set[int]
) -> Iterator[Passage]:
    """What a search for the question returns, best first, without what answers it."""
    article = corpus.articles[question.article]
    strings = [article.text[start:end] for start, end in question.answers]
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


def sureness(folder: Path) -> Sure:
    """The log odds, by the reader in a folder, of its best answer against none."""
    reader = LongformerReader.load(folder)

    def sure(question: str, passages: Sequence[str]) -> float:
        decoded, _ = reader.decode(question, passages)
        best = decoded.candidates[0].probability if decoded.candidates else 0.0
        return log(max(best, FLOOR)) - log(max(decoded.null, FLOOR))

    return sure


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", type=Path, nargs="+", required=True, help="files in SQuAD's format")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--questions", type=int, default=None, help="a random sample of so many")
    parser.add_argument("--alone", type=float, default=ALONE, help="the share of groups of one text alone")
    parser.add_argument("--reader", type=Path, help="a reader's folder: take the unanswerable ones that it falls for")
    parser.add_argument("--tries", type=int, default=4, help="of so many of a question, with --reader")
    parser.add_argument(
        "--validation", type=float, default=0.05, help="the share of each set's articles that is held out"
    )
    parser.add_argument("--only", choices=("train", "validation"), default=None, help="one of the two files")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    encoder = MiniLMEncoder.load()
    hardest = None if options.reader is None else Hardest(sure=sureness(options.reader), tries=options.tries)
    corpus = read_squad(options.set, count=encoder.count_word_pieces, encode=encoder.encode_queries)
    chance = random.Random(options.seed)  # noqa: S311 - not a secret
    held = held_out(corpus.articles, options.validation)
    options.out.mkdir(parents=True, exist_ok=True)
    with sparse_search(list(corpus.passages.values())) as search:
        for name, wanted in (("train", False), ("validation", True)):
            if options.only not in (None, name):
                continue
            questions = [question for question in corpus.questions if (question.article in held) is wanted]
            chance.shuffle(questions)
            with (options.out / f"{name}.jsonl").open("w", encoding="utf-8") as file:
                for group in groups(
                    corpus,
                    questions[: options.questions],
                    search,
                    seed=options.seed,
                    alone=options.alone,
                    hardest=hardest,
                ):
                    file.write(json.dumps(vars(group), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
