"""Which sentences make the summary: how many, shared among the parts, and of a book in two levels."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from app.lines import Line
from app.parts import Part
from app.schemas import SummarizeRequest
from model.sentence_table import Floats
from model.summarizer import Budget, fit, select

LONGEST_DEFAULT = 20  # sentences of the default summary of a very long text: what one reads without scrolling
BOOK_WORDS = 50_000  # from so many on a text is summarized in two levels
CHAPTER_WORDS = (1_000, 5_000)  # of what is taken for a chapter at the first level
FIRST_LEVEL = 8  # times the summary's length: what the first level keeps
FEWEST_SENTENCES = 3  # of average length that a part's share of words has room for

Rescore = Callable[[Sequence[int], Sequence[Line]], Floats]
"""Places of lines, and these lines as a text of their own -> their salience in it."""


def default_sentences(words: int) -> int:
    """The default length for a text of so many words: 1 sentence for 100, 3 for 300, 6 for 1,000, 10 for 5,000."""
    return min(LONGEST_DEFAULT, max(1, round(1.6 * math.log2(max(words, 1) / 75))))


def budget_of(request: SummarizeRequest, words: int, *, parts: int = 0) -> Budget:
    """What was asked for, else by the size of what can be selected from; by sections at least a sentence each."""
    length = request.length
    if length is None:
        return Budget(unit="sentences", amount=max(default_sentences(words), parts))
    if length.sentences is not None:
        return Budget(unit="sentences", amount=length.sentences)
    return Budget(unit="words", amount=length.words or max(1, round((length.ratio or 1.0) * words)))


def choose(
    parts: Sequence[Part],
    lines: Sequence[Line],
    vectors: NDArray[np.float16],
    salience: Floats,
    budget: Budget,
) -> list[int]:
    """The chosen lines in document order, none of which repeats another; the budget is shared by the parts' words.

    Parts that are too small to have a share of their own have one together, so that in a summary of few words it is not
    the shortest sentence of each chapter that is taken. What one part leaves or takes too much is carried to the next.
    """
    parts = _shared(parts, lines, budget)
    words = np.array([line.words for line in lines], dtype=np.int64)
    sizes = [int(words[part.members].sum()) for part in parts]
    chosen: list[int] = []
    spent, seen = 0, 0
    for number, (part, size) in enumerate(zip(parts, sizes, strict=True)):
        seen += size
        due = budget.amount * seen / max(1, sum(sizes)) - spent
        if budget.unit == "sentences":
            later = len(parts) - number - 1
            least = 1 if budget.amount >= len(parts) else 0
            due = min(max(round(due), least), budget.amount - spent - least * later)
        if due < 1:
            continue
        rows = np.array(part.members, dtype=np.int64)
        picked = select(
            vectors[rows],
            salience[rows],
            words[rows],
            budget=Budget(unit=budget.unit, amount=round(due)),
            said=vectors[chosen].astype(np.float32),
        )
        chosen.extend(part.members[index] for index in picked)
        spent += len(picked) if budget.unit == "sentences" else int(words[rows[picked]].sum())
    return _fitted(chosen, vectors, salience, words, budget) if len(parts) > 1 else chosen


def _shared(parts: Sequence[Part], lines: Sequence[Line], budget: Budget) -> Sequence[Part]:
    """The parts, neighbours joined until each has its share: a sentence, or the words of FEWEST_SENTENCES of them."""
    total = sum(line.words for line in lines)
    share = FEWEST_SENTENCES * total / max(1, len(lines)) if budget.unit == "words" else 1.0
    if budget.amount >= share * len(parts):
        return parts
    joined: list[Part] = []
    waiting: list[int] = []
    words = 0
    for part in parts:
        waiting += part.members
        words += sum(lines[place].words for place in part.members)
        if budget.amount * words >= share * total:
            joined.append(Part(title=None, members=waiting))
            waiting, words = [], 0
    if waiting:
        last = joined.pop().members if joined else []
        joined.append(Part(title=None, members=[*last, *waiting]))
    return joined


def choose_from_book(
    lines: Sequence[Line],
    vectors: NDArray[np.float16],
    salience: Floats,
    budget: Budget,
    rescore: Rescore,
) -> list[int]:
    """As `choose`, in two levels: what is most salient in each chapter makes a text, of which the summary is made.

    So a chapter counts by what it adds to the story as a whole, and none is passed over because its sentences are
    plainer than those of another. At the second level a sentence counts by the mean of both saliences.
    """
    chapters = chapters_of(lines)
    mean = sum(line.words for line in lines) / max(1, len(lines))
    least = len(chapters) * (1 if budget.unit == "sentences" else math.ceil(FEWEST_SENTENCES * mean))
    kept = choose(chapters, lines, vectors, salience, replace(budget, amount=max(FIRST_LEVEL * budget.amount, least)))
    rows = np.array(kept, dtype=np.int64)
    both = (salience[rows] + rescore(kept, condensed([lines[place] for place in kept]))) / 2
    words = np.array([line.words for line in lines], dtype=np.int64)
    chosen = [kept[index] for index in select(vectors[rows], both, words[rows], budget=budget)]
    return _fitted(chosen, vectors, salience, words, budget)


def _fitted(
    chosen: list[int], vectors: NDArray[np.float16], salience: Floats, words: NDArray[np.int64], budget: Budget
) -> list[int]:
    """The choice from parts, with its least salient sentences exchanged for any of the text that meet the words."""
    if budget.unit == "sentences":
        return chosen
    best_first = sorted(chosen, key=lambda place: (-salience[place], place))
    return sorted(fit(vectors, salience, words, best_first, amount=budget.amount))


def chapters_of(lines: Sequence[Line]) -> list[Part]:
    """All lines in order, as chapters of CHAPTER_WORDS: small sections or documents together, large ones divided."""
    fewest, most = CHAPTER_WORDS
    chapters: list[Part] = []
    waiting: list[int] = []
    words = 0
    for _, group in groupby(range(len(lines)), key=lambda place: (lines[place].source, lines[place].section)):
        section = list(group)
        size = sum(lines[place].words for place in section)
        share, before = size / max(1, round(size / most)), 0  # even parts, so that none is a remnant
        for place in section:
            if before >= share and words >= fewest:
                chapters.append(Part(title=None, members=waiting))
                waiting, words, before = [], 0, 0
            waiting.append(place)
            words += lines[place].words
            before += lines[place].words
        if words >= fewest:
            chapters.append(Part(title=None, members=waiting))
            waiting, words = [], 0
    return [*chapters, Part(title=None, members=waiting)] if waiting else chapters


def condensed(lines: Sequence[Line]) -> list[Line]:
    """Lines of one or several documents, in order, as if there were no others."""
    before: dict[int, int] = {}
    made: list[Line] = []
    for line in lines:
        made.append(replace(line, words_before=before.get(line.source, 0)))
        before[line.source] = before.get(line.source, 0) + line.words
    return made
