"""Passages told of something else: one name, number or word that a question shares with them, replaced in all of them.

Asked what a person asked, a passage so retold does not answer, and no wording of the question gives that away. With the
question retold too it answers as before, so no wording of the passage gives it away either. Pairs that differ in what
decides alone are what Kaushik, Hovy and Lipton (2020, "Learning the difference that makes a difference with
counterfactually-augmented data") had people write.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.opposites import OPPOSITE
from app.unanswerable import Alike, Mention, alternatives, named


@dataclass(frozen=True, kw_only=True)
class Retelling:
    """`old` replaced by `new` where it stands as whole words; a word also where it begins with a capital."""

    old: str
    new: str

    def __call__(self, text: str) -> str:
        """The text retold."""
        parts, end = [], 0
        for place in self.places(text):
            parts += [text[end : place.start()], self._put_for(place.group())]
            end = place.end()
        return "".join([*parts, text[end:]])

    def places(self, text: str) -> Iterator[re.Match[str]]:
        """Where `old` stands."""
        return re.finditer(rf"(?<!\w){re.escape(self.old)}(?!\w)", text, re.I if self.old in OPPOSITE else 0)

    def moved(self, text: str, at: int) -> int:
        """Where the character `at` of the text, which is in no place of `old`, stands in the text retold."""
        return at + sum(len(self.new) - len(self.old) for place in self.places(text) if place.end() <= at)

    def _put_for(self, found: str) -> str:
        return self.new.capitalize() if found != self.old and found[:1].isupper() else self.new


def retelling(
    question: str,
    *,
    passages: Sequence[str],
    answers: Sequence[tuple[int, int, int]],
    others: Sequence[Mention],
    alike: Alike,
    chance: random.Random,
) -> Retelling | None:
    """One way, by chance, to retell what a question and the passages that answer it share, and no answer touches.

    `answers` are (passage, start, end); `others`, the names and numbers that may be put in, those that stand nowhere
    yet. A word is retold by its opposite. None where nothing is shared, or nothing can take its place.
    """
    holding = sorted({index for index, _, _ in answers})
    shared: list[Mention | str] = [*named(question), *_words_with_opposites(question)]
    chance.shuffle(shared)
    for one in shared:
        if isinstance(one, str):
            near = [OPPOSITE[one]]
        else:
            new = [it for it in others if not any(it.text in text for text in (question, *passages))]
            near = alternatives(one, new, alike=alike)
        if not near:
            continue
        made = Retelling(old=one if isinstance(one, str) else one.text, new=chance.choice(near))
        stands = any(True for index in holding for _ in made.places(passages[index]))
        if stands and not any(_touches(made, passages[index], start, end) for index, start, end in answers):
            return made
    return None


def _words_with_opposites(question: str) -> list[str]:
    return sorted({word for word in re.findall(r"\b[a-z]+\b", question) if word in OPPOSITE})


def _touches(made: Retelling, passage: str, start: int, end: int) -> bool:
    return any(place.start() < end and start < place.end() for place in made.places(passage))
