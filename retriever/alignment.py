"""Two versions of one text, aligned: where a range of the old one stands in the new one.

A patience diff over words. Runs of words that stand once in each text are its anchors; of these the heaviest chain that
keeps the order is taken, and what lies between two of its links is aligned again with shorter runs, and pair by pair
where it is small. So the time grows with n log n whatever the texts are, where the usual diffs grow with the product of
length and difference.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

RUNS = (16, 8, 4, 2, 1)  # tokens of an anchor: long ones first, as they hardly ever match by chance
SMALL_GAP = 10_000  # pairs of tokens up to which a gap needs no anchors: all pairs are weighed
MOST_LIKELY = 200  # of the equal strings that came new, how many are looked at, the nearest first
REACH = 500  # characters on each side that tell which of several equal strings has moved

# A word, a blank run, or any other character; Chinese, Japanese and Korean characters are words of their own.
_WIDE = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af"
_TOKEN = re.compile(rf"[{_WIDE}]|[^\W{_WIDE}]+|\s+|[^\w\s]")
_WORD = re.compile(rf"[{_WIDE}]|[^\W{_WIDE}]+")

Ids = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Block:
    """A kept range: `old[old_start:old_start + length] == new[new_start:new_start + length]`."""

    old_start: int
    new_start: int
    length: int


class Alignment:
    """What of `old` is kept in `new`; blocks are in order in both."""

    def __init__(self, old: str, new: str) -> None:
        self.old, self.new = old, new
        self.blocks = align(old, new)
        self._old_starts = [block.old_start for block in self.blocks]
        self._new_starts = [block.new_start for block in self.blocks]

    def place(self, start: int, end: int) -> int | None:
        """Where `old[start:end]` stands in `new`: kept in its place, or moved as a whole; None: it is gone.

        An equal string that was in `old` already, at another place, is not it. Of several new ones that of the most
        alike surroundings is taken, then the nearest, then the first.
        """
        kept = self._kept(start, end)
        if kept is not None:
            return kept
        wanted = self.old[start:end]
        nearest = sorted(_occurrences(self.new, wanted), key=lambda place: abs(place - start))
        moved = (place for place in nearest if not self._was_there(place, place + end - start))
        likely = islice(moved, MOST_LIKELY)
        return max(likely, key=lambda place: self._likeness(start, end, place), default=None)

    def _kept(self, start: int, end: int) -> int | None:
        first, last = self._image(start), self._image(end - 1)
        if first is None or last != first + end - start - 1 or self.new[first : last + 1] != self.old[start:end]:
            return None
        return first

    def _image(self, position: int) -> int | None:
        number = bisect_right(self._old_starts, position) - 1
        if number < 0:
            return None
        block = self.blocks[number]
        offset = position - block.old_start
        return block.new_start + offset if offset < block.length else None

    def _was_there(self, start: int, end: int) -> bool:
        """Whether all of `new[start:end]` is kept from somewhere."""
        number = max(0, bisect_right(self._new_starts, start) - 1)
        for block in self.blocks[number:]:
            if block.new_start > start:
                return False
            start = max(start, block.new_start + block.length)
            if start >= end:
                return True
        return False

    def _likeness(self, start: int, end: int, place: int) -> int:
        """Characters around the range that are the same on both sides."""
        before = _common(self.old[max(0, start - REACH) : start][::-1], self.new[max(0, place - REACH) : place][::-1])
        stop = place + end - start
        return before + _common(self.old[end : end + REACH], self.new[stop : stop + REACH])


def align(old: str, new: str) -> list[Block]:
    """The blocks that `new` keeps of `old`, in order; neighbours that touch in both are one."""
    old_at, old_tokens = _tokens(old)
    new_at, new_tokens = _tokens(new)
    known: dict[str, int] = {}
    a = np.array([known.setdefault(token, len(known)) for token in old_tokens], dtype=np.int64)
    b = np.array([known.setdefault(token, len(known)) for token in new_tokens], dtype=np.int64)
    matched = sorted(_matches(_Texts(a, b)))
    blocks: list[Block] = []
    for first, second, count in matched:
        start, length = int(old_at[first]), int(old_at[first + count] - old_at[first])
        other = int(new_at[second])
        last = blocks[-1] if blocks else None
        if last and last.old_start + last.length == start and last.new_start + last.length == other:
            blocks[-1] = Block(old_start=last.old_start, new_start=last.new_start, length=last.length + length)
        else:
            blocks.append(Block(old_start=start, new_start=other, length=length))
    meant = [block for number, block in enumerate(blocks) if _meant(blocks, number, old, new)]
    return [block for block in _slid(meant, old, new) if block.length]


def _slid(blocks: Sequence[Block], old: str, new: str) -> list[Block]:
    """The blocks with each pure deletion or insertion slid to where a sentence or a line begins.

    Of "One is 5. Two is 5. " the second sentence may be gone, or as well " is 5. Two" from its middle: words alone do
    not tell, but nobody writes like that.
    """
    slid = list(blocks)
    for number in range(1, len(slid)):
        p, q = slid[number - 1], slid[number]
        deleted = q.old_start - p.old_start - p.length
        inserted = q.new_start - p.new_start - p.length
        if (deleted > 0) == (inserted > 0):
            continue
        text, begin, end = (
            (old, q.old_start - deleted, q.old_start) if deleted else (new, q.new_start - inserted, q.new_start)
        )
        by = _best_slide(text, begin, end, left=min(p.length, REACH), right=min(q.length, REACH))
        slid[number - 1] = Block(old_start=p.old_start, new_start=p.new_start, length=p.length + by)
        slid[number] = Block(old_start=q.old_start + by, new_start=q.new_start + by, length=q.length - by)
    return slid


def _best_slide(text: str, begin: int, end: int, *, left: int, right: int) -> int:
    """By how much to move `text[begin:end]`, a change among equal surroundings, to begin and end at the best places."""
    forth = _common(text[begin : begin + right], text[end : end + right])
    back = _common(text[begin - left : begin][::-1], text[max(begin - left, end - left) : end][::-1])
    window = range(-back, forth + 1)
    return max(window, key=lambda by: (_break(text, begin + by) + _break(text, end + by), by == 0, by))


def _break(text: str, place: int) -> int:
    """How good a place for a change to begin or end this is: between lines, sentences, words, or inside of a word."""
    before = text[max(0, place - 2) : place]
    if place in (0, len(text)) or before.endswith("\n"):
        return 3
    if before[-1] in "。！？" or (before[-1].isspace() and before[0] in ".!?"):
        return 2
    return 1 if before[-1].isspace() else 0


def _meant(blocks: Sequence[Block], number: int, old: str, new: str) -> bool:
    """Whether a block is no match by chance: it has two words, or is longer than the changes before or after it."""
    block = blocks[number]
    if len(_WORD.findall(old[block.old_start : block.old_start + block.length])) > 1:
        return True
    nothing = Block(old_start=0, new_start=0, length=0)
    end = Block(old_start=len(old), new_start=len(new), length=0)
    before = _change(blocks[number - 1] if number else nothing, block)
    after = _change(block, blocks[number + 1] if number + 1 < len(blocks) else end)
    return block.length > min(before, after)


def _change(one: Block, other: Block) -> int:
    """Characters between two blocks, in the text that has more of them."""
    return max(other.old_start - one.old_start, other.new_start - one.new_start) - one.length


def _tokens(text: str) -> tuple[Ids, list[str]]:
    """Where each token starts, and after the last where the text ends; the tokens, which tile the text."""
    tokens = _TOKEN.findall(text)
    ends = np.cumsum(np.fromiter(map(len, tokens), dtype=np.int64, count=len(tokens)))
    return np.concatenate([np.zeros(1, dtype=np.int64), ends]), tokens


class _Texts:
    """Two texts as numbers, and the numbers of their runs: equal runs of one length have equal numbers."""

    def __init__(self, a: Ids, b: Ids) -> None:
        self.a, self.b = a, b
        often = np.bincount(np.concatenate([a, b]))
        # weight of the tokens of a up to each: a word that is rare tells more than a full stop
        self.weight = np.concatenate([np.zeros(1), np.cumsum(1 / often[a])])
        self.runs: dict[int, tuple[Ids, Ids]] = {1: (a, b)}
        for size in sorted(RUNS)[1:]:
            self.runs[size] = _doubled(*self.runs[size // 2], size // 2)


def _doubled(a: Ids, b: Ids, size: int) -> tuple[Ids, Ids]:
    """Numbers of the runs of twice `size` tokens, from those of `size`."""
    width = int(max(a.max(initial=0), b.max(initial=0))) + 1
    pairs = [runs[:-size] * width + runs[size:] if len(runs) > size else runs[:0] for runs in (a, b)]
    _, numbers = np.unique(np.concatenate(pairs), return_inverse=True)
    return numbers[: len(pairs[0])], numbers[len(pairs[0]) :]


def _matches(texts: _Texts) -> Iterator[tuple[int, int, int]]:
    """(first token in a, first token in b, tokens) of equal runs, in the same order in both."""
    open_gaps = [(0, len(texts.a), 0, len(texts.b), 0)]
    while open_gaps:
        a_low, a_high, b_low, b_high, level = open_gaps.pop()
        same = _equal(texts.a[a_low:a_high], texts.b[b_low:b_high])
        if same:
            yield a_low, b_low, same
        a_low, b_low = a_low + same, b_low + same
        same = _equal(texts.a[a_low:a_high][::-1], texts.b[b_low:b_high][::-1])
        a_high, b_high = a_high - same, b_high - same
        if same:
            yield a_high, b_high, same
        if a_low == a_high or b_low == b_high:
            continue
        if (a_high - a_low) * (b_high - b_low) <= SMALL_GAP:
            for first, second in _best_pairs(texts, (a_low, a_high, b_low, b_high)):
                yield first, second, 1
        elif level < len(RUNS):
            a, b = a_low, b_low
            for first, second, count in _chain(texts, (a_low, a_high, b_low, b_high), RUNS[level]):
                yield first, second, count
                open_gaps.append((a, first, b, second, level + 1))
                a, b = first + count, second + count
            open_gaps.append((a, a_high, b, b_high, level + 1))


def _best_pairs(texts: _Texts, gap: tuple[int, int, int, int]) -> Iterator[tuple[int, int]]:
    """The heaviest common subsequence of a small gap, token by token, from its end to its start."""
    a_low, a_high, b_low, b_high = gap
    equal = texts.a[a_low:a_high, None] == texts.b[None, b_low:b_high]
    weights = np.diff(texts.weight[a_low : a_high + 1])
    best = np.zeros((a_high - a_low + 1, b_high - b_low + 1))  # [i, j]: the weight of the first i and j tokens
    for row in range(len(weights)):
        taken = np.where(equal[row], best[row, :-1] + weights[row], 0.0)
        best[row + 1, 1:] = np.maximum.accumulate(np.maximum(best[row, 1:], taken))
    i, j = len(best) - 1, best.shape[1] - 1
    while i and j:
        if best[i, j] == best[i - 1, j]:
            i -= 1
        elif best[i, j] == best[i, j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            yield a_low + i, b_low + j


def _equal(a: Ids, b: Ids) -> int:
    """How many tokens are equal from the start."""
    length = min(len(a), len(b))
    different = np.flatnonzero(a[:length] != b[:length])
    return int(different[0]) if len(different) else length


def _chain(texts: _Texts, gap: tuple[int, int, int, int], size: int) -> Iterator[tuple[int, int, int]]:
    """The heaviest chain of anchors in a gap as (first in a, first in b, tokens), which do not overlap."""
    a_low, a_high, b_low, b_high = gap
    runs_a, runs_b = texts.runs[size]
    once_a, a_places = _once(runs_a[a_low : max(a_low, a_high - size + 1)])
    once_b, b_places = _once(runs_b[b_low : max(b_low, b_high - size + 1)])
    _, in_a, in_b = np.intersect1d(once_a, once_b, assume_unique=True, return_indices=True)
    order = np.argsort(a_places[in_a])
    first, second = a_places[in_a][order], b_places[in_b][order]
    if not len(first):
        return
    # Anchors that follow each other in both texts are one link.
    breaks = np.flatnonzero((np.diff(first) != 1) | (np.diff(second) != 1)) + 1
    starts = np.concatenate([[0], breaks])
    lengths = np.diff(np.concatenate([starts, [len(first)]])) + size - 1
    a_end, b_end = a_low, b_low
    ones = a_low + first[starts]
    weights = texts.weight[ones + lengths] - texts.weight[ones]
    for link in _heaviest(second[starts].tolist(), weights.tolist()):
        one, other = int(ones[link]), b_low + int(second[starts[link]])
        overlap = max(0, a_end - one, b_end - other)
        count = int(lengths[link]) - overlap
        if count > 0:
            yield one + overlap, other + overlap, count
            a_end, b_end = one + overlap + count, other + overlap + count


def _once(runs: Ids) -> tuple[Ids, Ids]:
    """The runs that are there once, and where."""
    numbers, places, counts = np.unique(runs, return_index=True, return_counts=True)
    return numbers[counts == 1], places[counts == 1]


def _heaviest(places: Sequence[int], weights: Sequence[float]) -> list[int]:
    """Indices of the increasing subsequence of distinct `places` with the largest sum of weights (a Fenwick tree)."""
    rank = {place: number for number, place in enumerate(sorted(places), start=1)}
    best = [(0.0, -1)] * (len(places) + 1)  # (sum, last index) over the ranks that a node stands for
    before: list[int] = []
    for index, (place, weight) in enumerate(zip(places, weights, strict=True)):
        total, last = _largest(best, rank[place] - 1)
        before.append(last)
        node = rank[place]
        while node < len(best):
            best[node] = max(best[node], (total + weight, index))
            node += node & -node
    _, index = _largest(best, len(places))
    chain: list[int] = []
    while index >= 0:
        chain.append(index)
        index = before[index]
    return chain[::-1]


def _largest(best: Sequence[tuple[float, int]], rank: int) -> tuple[float, int]:
    """The largest of a Fenwick tree's entries up to a rank."""
    found = (0.0, -1)
    while rank > 0:
        found = max(found, best[rank])
        rank -= rank & -rank
    return found


def _occurrences(text: str, wanted: str) -> Iterator[int]:
    place = text.find(wanted)
    while place >= 0:
        yield place
        place = text.find(wanted, place + 1)


def _common(one: str, other: str) -> int:
    """How many characters are equal from the start."""
    for number, (first, second) in enumerate(zip(one, other, strict=False)):
        if first != second:
            return number
    return min(len(one), len(other))
