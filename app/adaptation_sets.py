"""The questions that an adaptation learns, chooses and is judged by: made of a collection, and given by its users.

Documents are parted: what is judged is asked of documents that nothing was learned from, and of kinds that were not
learned from either. A collection of few documents is parted by stretches of passages instead.

    learn    sentence, keywords             of the one part
    choose   paraphrased, joined            of the one part
    judge    reworded, topic                of the other part

Users' questions are of one kind for all three, and parted by where they are answered. What is learned from the words of
passages finds the same words better. Only where a question says the same in other words it shows whether that is more
than it takes from those who do not know the words.
"""

import random
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.pseudo_questions import PseudoKind, PseudoQuestion, Rarity, pseudo_questions, stretch_questions
from app.related_words import Related
from retriever.types import Passage

Found = Iterable[tuple[Passage, NDArray[np.float32] | None]]

HELD = 0.3  # of documents, or of stretches, that are judged by
FEW_DOCUMENTS = 10
BLOCK = 20  # passages of a stretch, where there are few documents
MOST_LEARNED, MOST_CHOSEN, MOST_JUDGED = 6_000, 800, 1_500
ROUNDS = 4  # times that questions are made of one stretch, each of other words of it
MOST_PLACES = 10  # an answer that stands in more passages does not tell which is meant
LEARN: tuple[PseudoKind, ...] = ("sentence", "keywords")  # none that is chosen by: it would choose what learned it
GIVEN = "given"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A question, its kind, and the keys of the passages that answer it."""

    kind: str
    text: str
    relevant: frozenset[int]


@dataclass(frozen=True, kw_only=True)
class Given:
    """A question that a user gave, with its answer as the documents have it, and the document if they said which."""

    question: str
    answer: str
    document: str | None = None


@dataclass(frozen=True, kw_only=True)
class Questions:
    """What is learned from (with the first relevant passage's vector), chosen by and judged by; no text is in two.

    `vectors` are of the passages with vectors, by key; `unusable` counts given questions whose answer was not found.
    """

    learn: Sequence[Asked]
    choose: Sequence[Asked]
    judge: Sequence[Asked]
    vectors: Mapping[int, NDArray[np.float32]]
    unusable: int


def make_questions(found: Found, given: Sequence[Given], *, related: Related, seed: int) -> Questions:
    """All questions of these passages, which are grouped by document and in order. Deterministic by seed.

    `related` gives other words for the same, for questions that are reworded.
    """
    texts: dict[int, str] = {}
    vectors: dict[int, NDArray[np.float32]] = {}
    stretches: dict[tuple[str, int], list[tuple[int, str]]] = {}
    of: dict[int, str] = {}
    for passage, vector in found:
        if vector is not None:
            texts[passage.key], vectors[passage.key] = passage.text, vector
            of[passage.key] = str(passage.document_id)
            place = (str(passage.document_id), passage.ordinal // BLOCK)
            stretches.setdefault(place, []).append((passage.key, passage.text))
    parts = _parted(stretches)
    rarity = Rarity.of(list(texts.values()))
    judged = {key for rows in parts[1] for key, _ in rows}
    asked, unusable = _given(given, texts, of, judged)
    known, held = ({key: text for rows in part for key, text in rows} for part in parts)
    learn = _asked(pseudo_questions(known, kinds=LEARN, rarity=rarity, seed=seed))
    choose = _asked(pseudo_questions(known, kinds=("paraphrased",), rarity=rarity, seed=seed + 1, related=related))
    joined = _of_stretches(parts[0], "joined", rarity, seed)
    reworded = _asked(pseudo_questions(held, kinds=("reworded",), rarity=rarity, seed=seed, related=related))
    topics = _of_stretches(parts[1], "topic", rarity, seed)
    return Questions(
        learn=[*asked[0], *_some(learn, MOST_LEARNED, seed)],
        choose=_in_turns([asked[1], _some(choose, MOST_CHOSEN // 2, seed), _some(joined, MOST_CHOSEN // 2, seed)]),
        judge=_in_turns(
            [asked[2], _some(reworded, MOST_JUDGED // 2, seed), _some(topics, MOST_JUDGED // 2, seed)],
        ),
        vectors=vectors,
        unusable=unusable,
    )


def _parted(stretches: Mapping[tuple[str, int], list[tuple[int, str]]]) -> tuple[list[list[tuple[int, str]]], ...]:
    """Stretches to learn from, and those to judge by; whole documents where there are enough."""
    documents = {document for document, _ in stretches}
    parts: tuple[list[list[tuple[int, str]]], ...] = ([], [])
    for (document, block), rows in stretches.items():
        name = document if len(documents) >= FEW_DOCUMENTS else f"{document} {block}"
        parts[zlib.crc32(name.encode()) < HELD * 2**32].append(rows)
    return parts


def _given(
    given: Sequence[Given], texts: Mapping[int, str], of: Mapping[int, str], judged: Set[int]
) -> tuple[tuple[list[Asked], list[Asked], list[Asked]], int]:
    """Users' questions to learn from, to choose by and to judge by, and how many cannot be used.

    Those that a `judged` passage answers are judged by, so that nothing was learned from its document.
    """
    parts: tuple[list[Asked], list[Asked], list[Asked]] = ([], [], [])
    unusable = 0
    for one in given:
        whole = re.compile(rf"(?<!\w){re.escape(one.answer)}(?!\w)", re.IGNORECASE)
        keys = [
            key
            for key, text in texts.items()
            if (one.document is None or of[key] == one.document) and whole.search(text)
        ]
        if not 0 < len(keys) <= MOST_PLACES:
            unusable += 1
            continue
        asked = Asked(kind=GIVEN, text=one.question, relevant=frozenset(keys))
        learned = zlib.crc32(one.question.casefold().encode()) % 2 == 0
        parts[2 if not judged.isdisjoint(keys) else 0 if learned else 1].append(asked)
    return parts, unusable


def _asked(made: Iterable[PseudoQuestion]) -> list[Asked]:
    return [
        Asked(kind=one.kind, text=one.text[:2_000], relevant=frozenset((one.passage, *one.beside)))
        for one in made
        if one.text.strip()
    ]


def _of_stretches(
    documents: Sequence[Sequence[tuple[int, str]]], kind: PseudoKind, rarity: Rarity, seed: int
) -> list[Asked]:
    """Questions of stretches, some of each more than once; no text twice."""
    made = (
        one
        for number in range(ROUNDS)
        for one in _asked(stretch_questions(documents, kind=kind, rarity=rarity, seed=seed + number))
    )
    return list({one.text: one for one in made}.values())


def _some(questions: list[Asked], most: int, seed: int) -> list[Asked]:
    chosen = list(questions)
    random.Random(seed).shuffle(chosen)  # noqa: S311 - a sample, not a secret
    return chosen[:most]


def _in_turns(kinds: Sequence[Sequence[Asked]]) -> list[Asked]:
    """One of each kind after the other, so that a budget which ends early leaves some of each."""
    longest = max(map(len, kinds))
    return [kind[at] for at in range(longest) for kind in kinds if at < len(kind)]
