"""Questions that look answerable and are not, made by code from those that are.

Ways that SQuAD 2.0's annotators took too (Rajpurkar, Jia and Liang 2018, table 2): an entity or a number swapped for
another of its kind, a negation inserted, a word turned into its opposite.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["year", "number", "name"]

_NAME = re.compile(r"\b[A-Z][\w-]*(?:\s(?:(?:of|of the|de|van|von)\s)?[A-Z][\w-]*)*")
_SENTENCE_START = re.compile(r"(?:^|[.!?:\n\"“])\s*$")
_YEAR = re.compile(r"\b1\d{3}\b|\b20\d{2}\b")
_NUMBER = re.compile(r"\b\d+(?:[.,]\d+)*\b")
_COMMON = """
    a an and are at by did do does for from how if in is it of on or that the their these this those to was were what
    when where which who whom whose why with he she they his her its there as after before during since
"""
_NOT_A_NAME = frozenset(_COMMON.split())
_AUXILIARY = re.compile(r"\b(did|does|do|was|were|is|are|has|have|had|can|could|will|would|should|must|may)\b", re.I)
_PAIRS = """
    first/last largest/smallest biggest/smallest highest/lowest most/least more/fewer before/after north/south east/west
    northern/southern eastern/western early/late earlier/later increase/decrease increased/decreased rise/fall won/lost
    win/lose began/ended begin/end start/end started/ended founded/dissolved oldest/youngest longest/shortest
    maximum/minimum upper/lower male/female men/women old/new ancient/modern major/minor strong/weak stronger/weaker
    best/worst majority/minority inside/outside above/below public/private accept/reject accepted/rejected
    support/oppose supported/opposed gained/lost enter/leave entered/left positive/negative active/inactive allow/forbid
    allowed/forbidden include/exclude included/excluded common/rare
"""
_OPPOSITES = [pair.split("/") for pair in _PAIRS.split()]
_OPPOSITE = {one: other for pair in _OPPOSITES for one, other in (pair, pair[::-1])}


@dataclass(frozen=True, kw_only=True)
class Mention:
    """A name or a number in a text: `text[start:end]`, of a kind."""

    kind: Kind
    start: int
    end: int
    text: str


def mentions(text: str) -> Iterator[Mention]:
    """Years, other numbers, and runs of capitalised words; one word that begins a sentence need not be a name."""
    years = [match.span() for match in _YEAR.finditer(text)]
    for start, end in years:
        yield Mention(kind="year", start=start, end=end, text=text[start:end])
    for match in _NUMBER.finditer(text):
        if match.span() not in years:
            yield Mention(kind="number", start=match.start(), end=match.end(), text=match.group())
    for match in _NAME.finditer(text):
        begins = _SENTENCE_START.search(text, max(0, match.start() - 3), match.start()) is not None
        start = match.start()
        first, _, rest = match.group().partition(" ")
        if first.casefold() in _NOT_A_NAME or (begins and not rest):
            start = match.end() - len(rest)
        if start < match.end():
            yield Mention(kind="name", start=start, end=match.end(), text=text[start : match.end()])


def swapped(question: str, *, passage: str, others: Sequence[Mention], chance: random.Random) -> str | None:
    """The question with one of its names or numbers replaced by another of its kind that the passage does not have.

    None where it has none that stands in the passage, or `others` offers nothing to put in its place.
    """
    here = [mention for mention in mentions(question) if mention.text in passage]
    chance.shuffle(here)
    for mention in here:
        fitting = sorted({it.text for it in others if it.kind == mention.kind and it.text not in passage})
        fitting = [text for text in fitting if text not in question and not _share_a_word(text, mention.text)]
        if fitting:
            return question[: mention.start] + chance.choice(fitting) + question[mention.end :]
    return None


def negated(question: str) -> str | None:
    """The question with a negation: `not` behind a form of be, `never` behind another auxiliary and its subject.

    A subject is taken for one word, with its article, so some results read oddly; they ask the negated all the same.
    None where there is no auxiliary.
    """
    found = _AUXILIARY.search(question)
    if found is None:
        return None
    word = found.group().casefold()
    rest = question[found.end() :]
    if word in ("was", "were", "is", "are") or not rest.strip(" ?"):
        return f"{question[: found.end()]} not{rest}"
    subject = re.match(r"\s+(?:the\s+|a\s+|an\s+)?\S+", rest)
    if subject is None:
        return None
    at = found.end() + subject.end()
    return f"{question[:at]} never{question[at:]}"


def opposite(question: str, *, chance: random.Random) -> str | None:
    """The question with one word turned into its opposite; None where it has no such word."""
    places = [match for match in re.finditer(r"\w+", question) if match.group().casefold() in _OPPOSITE]
    if not places:
        return None
    place = chance.choice(places)
    other = _OPPOSITE[place.group().casefold()]
    other = other.capitalize() if place.group()[0].isupper() else other
    return question[: place.start()] + other + question[place.end() :]


def _share_a_word(one: str, other: str) -> bool:
    return bool(set(one.casefold().split()) & set(other.casefold().split()))
