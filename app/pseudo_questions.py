"""Questions made from passages by code, for collections that come without any: what a retriever adapts by.

    sentence      one sentence of the passage, word for word: the inverse cloze task (Lee, Chang and Toutanova 2019)
    masked        a sentence without one of its names, numbers or dates: salient spans (Guu et al. 2020, section 3.4)
    keywords      the few words of the passage that the other passages have least
    question      a clause with its name, number or date asked for: "When was the lighthouse built?"
    reworded      such a question with other words for the same, as people have them: cars for vehicles
    paraphrased   a masked sentence with other words for the same
    joined        masked sentences of two passages that follow each other: what both together answer
    topic         words that recur in a stretch of passages and are rare elsewhere: where something is talked of

None is what people ask; so what was learnt on some of them is judged by another.
"""

import math
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from app.related_words import Related
from app.unanswerable import Mention, mentions
from retriever.sentences import split_sentences

PseudoKind = Literal["sentence", "masked", "keywords", "question", "reworded", "paraphrased", "joined", "topic"]
KINDS: tuple[PseudoKind, ...] = ("sentence", "masked", "keywords", "question")  # of one passage

FEWEST_WORDS, MOST_WORDS = 5, 40  # of a sentence: shorter ones say nothing, longer ones are tables and lists
CLAUSE_WORDS = 12  # of a question: people ask short ones
KEYWORDS = (2, 5)
STRETCH = (2, 4)  # passages of a topic
TOPIC_WORDS = (2, 4)
RARE = math.log(2)  # a keyword stands in fewer than half of the passages
REWORDED = 0.5  # of the words that have another for the same
SHORTEST_WORD = 4  # characters of a word that is replaced
SHORTEST_ANSWER = 2  # characters: "I" is no name, and one digit is seldom what a sentence is about

_WORD = re.compile(r"\w[\w'-]*")
_ASKS = {"year": "When", "number": "How many", "name": "Who or what"}
_ASKING = {word for asks in _ASKS.values() for word in asks.casefold().split()}
_BEFORE_A_DATE = re.compile(r"\b(?:in|since|by|until|from|on|during|of)\s*$", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class PseudoQuestion:
    """A question that its passage was made to answer, and those `beside` it too where it was made of several.

    `sentence` is where it was taken from, [start, end); `answer` the masked or asked-for string as it stands there.
    """

    kind: PseudoKind
    text: str
    passage: int
    sentence: tuple[int, int] = (0, 0)
    answer: str | None = None
    beside: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Rarity:
    """How rare each word is in a corpus: the logarithm of passages over those that have it."""

    passages: int
    holding: Mapping[str, int]

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Rarity":
        """Counted over these texts."""
        holding: Counter[str] = Counter()
        for text in texts:
            holding.update({word.casefold() for word in _WORD.findall(text)})
        return cls(passages=len(texts), holding=holding)

    def __call__(self, word: str) -> float:
        """0 for a word that all passages have."""
        return math.log((1 + self.passages) / (1 + self.holding.get(word.casefold(), 0)))


def pseudo_questions(
    texts: Mapping[int, str],
    *,
    kinds: Sequence[PseudoKind],
    rarity: Rarity,
    seed: int,
    related: Related = lambda _: (),
) -> Iterator[PseudoQuestion]:
    """At most one question of each kind for each passage, by key; `seed` and the passage alone decide which.

    `related` gives other words for the same: without it no question is reworded.
    """
    for key, text in texts.items():
        for kind in kinds:
            chance = random.Random(f"{seed} {kind} {text}")  # noqa: S311 - a choice, not a secret
            made = _MAKERS[kind](text, rarity, chance)
            if made is not None and kind in ("reworded", "paraphrased"):
                made = _reworded(made, related, chance)
            if made is not None:
                question, sentence, answer = made
                yield PseudoQuestion(kind=kind, text=question, passage=key, sentence=sentence, answer=answer)


def stretch_questions(
    documents: Sequence[Sequence[tuple[int, str]]], *, kind: PseudoKind, rarity: Rarity, seed: int
) -> Iterator[PseudoQuestion]:
    """`joined` or `topic` questions of documents, each its (key, text) in order; stretches do not overlap."""
    for passages in documents:
        chance = random.Random(f"{seed} {kind} {[text for _, text in passages]}")  # noqa: S311 - not a secret
        at = 0
        while at < len(passages) - 1:
            size = STRETCH[0] if kind == "joined" else chance.randint(*STRETCH)
            keys = [key for key, _ in passages[at : at + size]]
            texts = [text for _, text in passages[at : at + size]]
            at += size
            text = _joined(texts, rarity, chance) if kind == "joined" else _topic(texts, rarity, chance)
            if text is not None and len(keys) > 1:
                yield PseudoQuestion(kind=kind, text=text, passage=keys[0], beside=tuple(keys[1:]))


def _joined(texts: Sequence[str], rarity: Rarity, chance: random.Random) -> str | None:
    made = [_masked(text, rarity, chance) for text in texts]
    return None if None in made else " ".join(each[0] for each in made if each is not None)


def _topic(texts: Sequence[str], rarity: Rarity, chance: random.Random) -> str | None:
    inside = Counter(word for text in texts for word in {word.casefold() for word in _WORD.findall(text)})
    recurring = [word for word, count in inside.items() if count > 1 and len(word) > 2 and rarity(word) > RARE]
    ranked = sorted(recurring, key=lambda word: (-inside[word] * rarity(word), word))[: 2 * TOPIC_WORDS[1]]
    if len(ranked) < TOPIC_WORDS[0]:
        return None
    chance.shuffle(ranked)
    return " ".join(ranked[: chance.randint(*TOPIC_WORDS)])


_Made = tuple[str, tuple[int, int], str | None]


def _sentence(text: str, rarity: Rarity, chance: random.Random) -> _Made | None:
    places = _sentences(text)
    if not places:
        return None
    start, end = chance.choice(places)
    return _one_line(text[start:end]), (start, end), None


def _masked(text: str, rarity: Rarity, chance: random.Random) -> _Made | None:
    found = _mentioned(text)
    if not found:
        return None
    (start, end), mention = chance.choice(found)
    return _one_line(text[start : mention.start] + text[mention.end : end]), (start, end), mention.text


def _keywords(text: str, rarity: Rarity, chance: random.Random) -> _Made | None:
    words = {word.casefold(): word for word in _WORD.findall(text) if len(word) > 2 and rarity(word) > RARE}
    counts = Counter(word.casefold() for word in _WORD.findall(text))
    # A word that stands nowhere else may be a misspelling or a number; one that does tells what the passage is about.
    ranked = sorted(words, key=lambda word: (-counts[word] * rarity(word), word))
    if len(ranked) < KEYWORDS[1]:
        return None
    chosen = ranked[: 2 * KEYWORDS[1]]
    chance.shuffle(chosen)
    return " ".join(words[word] for word in chosen[: chance.randint(*KEYWORDS)]), (0, len(text)), None


def _question(text: str, rarity: Rarity, chance: random.Random) -> _Made | None:
    found = _mentioned(text)
    if not found:
        return None
    (start, end), mention = chance.choice(found)
    before = text[start : mention.start]
    before = _BEFORE_A_DATE.sub("", before) if mention.kind == "year" else before
    left, right = _WORD.findall(before), _WORD.findall(text[mention.end : end])
    # The clause around the mention: more of what follows it where it is the subject, of what leads to it elsewhere.
    after = right[: max(CLAUSE_WORDS - len(left), CLAUSE_WORDS // 3)]
    clause = [*left[-(CLAUSE_WORDS - len(after)) :], *after]
    if len(clause) < FEWEST_WORDS - 1:
        return None
    return f"{_ASKS[mention.kind]} {' '.join(clause)}?", (start, end), mention.text


def _reworded(made: _Made, related: Related, chance: random.Random) -> _Made | None:
    """The question with half of its ordinary words replaced, those that can be; None where none was."""
    question, place, answer = made
    changed = False

    def other(found: re.Match[str]) -> str:
        nonlocal changed
        word = found.group()
        if len(word) < SHORTEST_WORD or not word.islower() or word in _ASKING or chance.random() >= REWORDED:
            return word
        same = related(word)
        changed = changed or bool(same)
        return same[0] if same else word

    text = _WORD.sub(other, question)
    return (text, place, answer) if changed else None


_MAKERS: Mapping[str, Callable[[str, Rarity, random.Random], _Made | None]] = {
    "sentence": _sentence,
    "masked": _masked,
    "keywords": _keywords,
    "question": _question,
    "reworded": _question,
    "paraphrased": _masked,
}


def _sentences(text: str) -> list[tuple[int, int]]:
    """Sentences of a usable length."""
    places = [(sentence.start, sentence.end) for sentence in split_sentences(text)]
    return [(a, b) for a, b in places if FEWEST_WORDS <= len(_WORD.findall(text[a:b])) <= MOST_WORDS]


def _mentioned(text: str) -> list[tuple[tuple[int, int], Mention]]:
    """Usable sentences, each with every name, number and date in it."""
    places = _sentences(text)
    return [
        ((start, end), mention)
        for mention in mentions(text)
        for start, end in places
        if start <= mention.start < mention.end <= end and len(mention.text) >= SHORTEST_ANSWER
    ]


def _one_line(text: str) -> str:
    return " ".join(text.split())
