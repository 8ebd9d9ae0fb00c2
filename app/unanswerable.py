"""Questions that look answerable and are not, made by code from those that are.

Ways that SQuAD 2.0's annotators took too (Rajpurkar, Jia and Liang 2018, table 2): an entity or a number swapped for
another of its kind, a negation inserted, a word turned into its opposite, a condition put in that another question has.
No word is replaced by a merely related one: those near in meaning often mean the same, and a reader who learns that
they don't takes nothing for answered that is asked in other words.
"""

import random
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Literal

from app.opposites import OPPOSITE

Kind = Literal["year", "number", "name"]
Change = Literal["swapped for absent", "swapped for present", "conditioned", "opposite", "negated"]
CHANGES: dict[Change, float] = {  # how questions are changed, and how often
    "swapped for absent": 0.27,
    "swapped for present": 0.27,
    "conditioned": 0.15,
    "opposite": 0.25,
    "negated": 0.06,
}
# Those after which a question nearly always asks for something else: a condition may hold.
PLAIN_CHANGES: dict[Change, float] = {change: share for change, share in CHANGES.items() if change != "conditioned"}
Alike = Callable[[str, Sequence[str]], Sequence[str]]
"""A name, others -> the others, those first that name a thing of like kind."""

MOST_ALIKE = 6  # a person's name is to be replaced by a person's: farther ones make questions that nobody would ask
SHORTEST_NAME = 3
_STEM = 4  # names with a word that begins with the same letters may be forms of one

_NAME = re.compile(r"\b[A-Z][\w-]*(?:\s(?:(?:of|of the|de|van|von)\s)?[A-Z][\w-]*)*")
_SENTENCE_START = re.compile(r"(?:^|[.!?:\n\"“‘]|(?<!\w)')\s*$")
_YEAR = re.compile(r"\b1\d{3}\b|\b20\d{2}\b")
_NUMBER = re.compile(r"\b\d+(?:[.,]\d+)*\b")
_COMMON = """
    a an and are at by did do does for from how if in is it of on or that the their these this those to was were what
    when where which who whom whose why with he she they his her its there as after before during since
"""
_NOT_A_NAME = frozenset(_COMMON.split())
_AUXILIARY = re.compile(r"\b(did|does|do|was|were|is|are|has|have|had|can|could|will|would|should|must|may)\b", re.I)
_LINK = "in|on|at|of|for|by|from|with|during|after|before|under|against|about|into|near|between|among|within|through"
_VERB = "did|do|does|was|were|is|are|has|have|had|can|could|will|would|should|must|may|might|be|been"
_NO_PART = rf"(?!(?:{_LINK}|{_VERB}|to|and|or|that|what|which|whose|who|how|when|where)\b)"
_PHRASE = re.compile(rf"\b({_LINK})\s+({_NO_PART}[^\s,?;:]+(?:\s+{_NO_PART}[^\s,?;:]+){{0,4}})(?=\s*(?:[,?]|$))", re.I)
# Phrases that begin so may be put at the end of any question.
_ADDED = frozenset({"in", "during", "after", "before", "at", "for", "under", "near", "among"})


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
    question: str,
    *,
    passage: str,
    others: Sequence[Mention],
    asked: Sequence[str],
    alike: Alike,
    chance: random.Random,
    changes: Mapping[Change, float] = CHANGES,
) -> str | None:
    """The question changed in one of these ways, by chance; None where none of them can be taken.

    `others` are what may be swapped in; `asked`, questions about the same, from which a condition may come. What the
    passage does not answer any more may still be full of the passage's own words: near half of the swaps put in a name
    or number that stands in the passage too.
    """

    def swap(*, inside: bool) -> str | None:
        return swapped(question, passage=passage, others=others, alike=alike, inside=inside, chance=chance)

    made: dict[Change, Callable[[], str | None]] = {
        "swapped for absent": lambda: swap(inside=False),
        "swapped for present": lambda: swap(inside=True),
        "conditioned": lambda: conditioned(question, passage=passage, asked=asked, chance=chance),
        "opposite": lambda: opposite(question, chance=chance),
        "negated": lambda: negated(question),
    }
    left = dict(changes)
    while left:
        change = chance.choices(list(left), weights=list(left.values()))[0]
        changed = made[change]()
        if changed is not None:
            return changed
        del left[change]
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
    here = [mention for mention in named(question) if mention.text in passage]
    chance.shuffle(here)
    for mention in here:
        fitting = [it for it in others if (it.text in passage) is inside and it.text not in question]
        near = alternatives(mention, fitting, alike=alike)
        if near:
            return question[: mention.start] + chance.choice(near) + question[mention.end :]
    return None


def named(question: str) -> list[Mention]:
    """The names and numbers of a question that others may take the place of."""
    return [it for it in mentions(question) if it.kind != "name" or len(it.text) >= SHORTEST_NAME]


def alternatives(mention: Mention, others: Sequence[Mention], *, alike: Alike) -> list[str]:
    """Which of the others may take a name's or number's place: like names, near numbers, at most MOST_ALIKE."""
    fitting = sorted({it.text for it in others if it.kind == mention.kind and not _may_be_one(it.text, mention.text)})
    if mention.kind == "name":
        near = alike(mention.text, [text for text in fitting if len(text) >= SHORTEST_NAME])
    else:
        near = sorted(fitting, key=lambda text, one=_value(mention.text): abs(log(_value(text) / one)))  # type: ignore[misc]
    return list(near[:MOST_ALIKE])


def conditioned(question: str, *, passage: str, asked: Sequence[str], chance: random.Random) -> str | None:
    """The question with a phrase of another question (in the spring, of the bridge) for its own, or at its end.

    A phrase takes the place of one that begins with the same word; put at the end, it is one that says when, where or
    for whom, and has a word that the passage lacks. None where `asked` offers nothing that fits.
    """
    own = list(_PHRASE.finditer(question))
    found = [phrase for other in asked for phrase in _PHRASE.finditer(other) if not _share_a_word(phrase[2], question)]
    places = [(it, one) for one in own for it in found if it[1].casefold() == one[1].casefold()]
    if places:
        phrase, place = chance.choice(places)
        return question[: place.start(2)] + phrase[2] + question[place.end(2) :]
    here = passage.casefold()
    fitting = [
        phrase[0]
        for phrase in found
        if phrase[1].casefold() in _ADDED and any(word not in here for word in _content(phrase[2]))
    ]
    if not fitting:
        return None
    return f"{question.rstrip(' ?.')} {_uncapitalized(chance.choice(fitting))}?"


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
    words = re.finditer(r"\w+", question)
    places = [it for it in words if it.group().casefold() in OPPOSITE and (it.start() == 0 or it.group().islower())]
    if not places:
        return None
    place = chance.choice(places)
    other = OPPOSITE[place.group().casefold()]
    other = other.capitalize() if place.group()[0].isupper() else other
    return question[: place.start()] + other + question[place.end() :]


def _value(number: str) -> float:
    """How large a number of `_NUMBER` or `_YEAR` is, above 0."""
    return float(re.sub(r"[.,](?=.*[.,])|,", "", number)) + 0.5


def _uncapitalized(phrase: str) -> str:
    return phrase[:1].lower() + phrase[1:]


def _share_a_word(one: str, other: str) -> bool:
    return bool(_content(one) & _content(other))


def _may_be_one(one: str, other: str) -> bool:
    """Whether two names may name one thing: words that are or begin the same, as of Czech and Czechs, or initials."""
    plain, against = (_without_accents(text.casefold()) for text in (one, other))
    initials = plain == _initials(against) or against == _initials(plain)
    return initials or _share_a_word(plain, against) or bool(_stems(plain) & _stems(against))


def _stems(text: str) -> set[str]:
    return {word[:_STEM] for word in re.findall(r"[^\W\d]+", text) if len(word) >= _STEM}


def _initials(text: str) -> str:
    """Of several words; empty of one."""
    words = text.split()
    return "".join(word[0] for word in words) if len(words) > 1 else ""


def _without_accents(text: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFD", text) if not unicodedata.combining(letter))


def _content(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold())) - _NOT_A_NAME
