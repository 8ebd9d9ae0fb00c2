"""Questions that look answerable and are not, made by code from those that are.

Ways that SQuAD 2.0's annotators took too (Rajpurkar, Jia and Liang 2018, table 2): an entity or a number swapped for
another of its kind, a negation inserted, a word turned into its opposite or replaced by a related one.
"""

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import log
from typing import Literal

Kind = Literal["year", "number", "name"]
Related = Callable[[str], Sequence[str]]
"""A word -> words of like kind and another meaning, nearest first."""
Alike = Callable[[str, Sequence[str]], Sequence[str]]
"""A name, others -> the others, those first that name a thing of like kind."""

MOST_RELATED = 24
MOST_ALIKE = 6  # a person's name is to be replaced by a person's: farther ones make questions that nobody would ask
SHORTEST_NAME = 3

_NAME = re.compile(r"\b[A-Z][\w-]*(?:\s(?:(?:of|of the|de|van|von)\s)?[A-Z][\w-]*)*")
_SENTENCE_START = re.compile(r"(?:^|[.!?:\n\"“])\s*$")
_YEAR = re.compile(r"\b1\d{3}\b|\b20\d{2}\b")
_NUMBER = re.compile(r"\b\d+(?:[.,]\d+)*\b")
_COMMON = """
    a an and are at by did do does for from how if in is it of on or that the their these this those to was were what
    when where which who whom whose why with he she they his her its there as after before during since
"""
_NOT_A_NAME = frozenset(_COMMON.split())
_PLAIN = """
    been being not into also many much more most other another such some any all each one two than then but only
    name type kind used use called known made make has have had can could will would should must may might
"""
_KEPT = _NOT_A_NAME | frozenset(_PLAIN.split())  # words whose change leaves what was asked, or no question
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


def altered(
    question: str, *, passage: str, others: Sequence[Mention], related: Related, alike: Alike, chance: random.Random
) -> str | None:
    """The question changed in one of these ways, by chance; None where none of them can be taken.

    What the passage does not answer any more may still be full of the passage's own words: near half of the swaps put
    in a name or number that stands in the passage too.
    """

    def swap(*, inside: bool) -> str | None:
        return swapped(question, passage=passage, others=others, alike=alike, inside=inside, chance=chance)

    ways: list[tuple[float, Callable[[], str | None]]] = [
        (0.30, lambda: swap(inside=False)),
        (0.25, lambda: swap(inside=True)),
        (0.15, lambda: replaced(question, passage=passage, related=related, chance=chance)),
        (0.20, lambda: opposite(question, chance=chance)),
        (0.10, lambda: negated(question)),
    ]
    while ways:
        way = chance.choices(ways, weights=[weight for weight, _ in ways])[0]
        changed = way[1]()
        if changed is not None:
            return changed
        ways.remove(way)
    return None


def swapped(
    question: str,
    *,
    passage: str,
    others: Sequence[Mention],
    alike: Alike,
    inside: bool,
    chance: random.Random,
) -> str | None:
    """The question with one of its names or numbers replaced by another of its kind: a like name, a near number.

    The other stands in the passage with `inside`, nowhere in it without. None where the question has none that stands
    in the passage, or `others` offers nothing to put in its place.
    """
    here = [mention for mention in mentions(question) if mention.text in passage]
    chance.shuffle(here)
    for mention in here:
        fitting = sorted({it.text for it in others if it.kind == mention.kind and (it.text in passage) is inside})
        fitting = [text for text in fitting if text not in question and not _share_a_word(text, mention.text)]
        if mention.kind == "name":
            near = alike(mention.text, [text for text in fitting if len(text) >= SHORTEST_NAME])
        else:
            near = sorted(fitting, key=lambda text, one=_value(mention.text): abs(log(_value(text) / one)))  # type: ignore[misc]
        if near:
            return question[: mention.start] + chance.choice(near[:MOST_ALIKE]) + question[mention.end :]
    return None


def replaced(question: str, *, passage: str, related: Related, chance: random.Random) -> str | None:
    """The question with one ordinary word replaced by a related one that is not in the passage; None without any."""
    taken = {word.casefold() for text in (question, passage) for word in re.findall(r"\w+", text)}
    places = [match for match in re.finditer(r"\b[a-z]{3,}\b", question) if match.group() not in _KEPT]
    chance.shuffle(places)
    for place in places:
        fitting = [word for word in related(place.group())[:MOST_RELATED] if word not in taken]
        if fitting:
            return question[: place.start()] + chance.choice(fitting) + question[place.end() :]
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


def _value(number: str) -> float:
    """How large a number of `_NUMBER` or `_YEAR` is, above 0."""
    return float(re.sub(r"[.,](?=.*[.,])|,", "", number)) + 0.5


def _share_a_word(one: str, other: str) -> bool:
    return bool(set(one.casefold().split()) & set(other.casefold().split()))
