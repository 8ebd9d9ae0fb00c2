"""Sentences of a text, as exact ranges of it.

The boundaries inside a paragraph come from a library (sentencex, the split rules of Wikimedia's content translation);
this module decides what a paragraph is: blank lines, headings, list items and table rows end a sentence, while a
hard-wrapped line does not. A sentence without an end, such as a line of 100,000 characters, is cut into pieces. All
of it takes time linear in the text.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import sentencex

# Longer "sentences" are cut: the reader's window is 256 word pieces, and a citation's context should fit a screen.
MAX_SENTENCE = 600
# No text is hard-wrapped wider than this; a longer line is a whole paragraph.
_WIDEST_WRAP = 160
# What the library gets of a paragraph at once: its time grows with the square of the sentences in it.
_WINDOW = 2_000

_LINE = re.compile(r"([^\r\n\x0b\x0c\x85\u2028\u2029]*)(\r\n|[\r\n\x0b\x0c\x85\u2028\u2029]|\Z)")
_ITEM = re.compile(
    r"[ \t]*(?:[-*+•‣◦▪●○–—·]\s|\(?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{1,5})[.)]\s+\S|\[\d{1,3}\]\s|#{1,6}\s|>|\|"
    r"|```|~~~|=+\s*$|-{3,}\s*$)"
)
_LONE_ITEM = re.compile(r"[ \t]*(?:#{1,6}\s|```|~~~|\|.*\|\s*$)")
_TERMINAL = re.compile(r"""[.!?。！？｡…:：;；]["'”’»」』)\]）】*_]*$""")
_CONTINUES = re.compile(r"""[,、，\-–—(\["“‘]$""")
_HAS_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
# Hidden from the library, see _ends.
_MASK = {ord(character): " " for character in "\"“”„‟«»‹›'‘’`()[]{}（）［］「」『』【】〔〕"}
_APOSTROPHE = re.compile(r"(?<=\w)['’](?=\w)")
_CLOSERS = re.compile(r"""["'”’»›)\]}）］」』】〕*_]+""")
# Before a small letter: a quotation's own end ("Why?" he asked), a unit or a number with a full stop.
_NO_END = re.compile(r"""(?:[.!?…]["'”’»)\]}]+|\b(?:\w{1,3}|[\d.]+)\.)$""")
_BEFORE_NUMBERS = re.compile(
    r"\b(?:nos?|figs?|eqs?|secs?|ch|chap|vols?|pp?|arts?|approx|ca|paras?|cl|refs?|tab|nr|op|app)\.$", re.IGNORECASE
)
_JOINER = "\u200d"
_LONGEST_CHARACTER = 32
_WHITE_SPACE = re.compile(r"\s")
_WORD_CHARACTER = re.compile(r"\w")


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """A sentence as a range of code points: text[start:end] is not empty and has no white space at either end."""

    start: int
    end: int


def split_sentences(text: str, *, start: int = 0, end: int | None = None) -> list[Sentence]:
    """The sentences of text[start:end], in order and disjoint; everything between them is white space."""
    end = len(text) if end is None else end
    if not 0 <= start <= end <= len(text):
        raise ValueError(f"no range of a text of {len(text)} characters: {start} to {end}")
    found: list[Sentence] = []
    for first, last in paragraphs(text, start, end):
        found.extend(sentences_of_paragraph(text, first, last))
    return found


def paragraphs(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The ranges of text[start:end] that no sentence crosses: paragraphs, list items, headings, table rows.

    Neither end of a range is white space.
    """
    block: list[tuple[int, int]] = []
    for first, last in lines(text, start, end):
        if first == last:
            yield from _pieces_of_block(text, block)
            block = []
        else:
            block.append((first, last))
    yield from _pieces_of_block(text, block)


def sentences_of_paragraph(text: str, first: int, last: int) -> list[Sentence]:
    """The sentences of one of the ranges that `paragraphs` gives; at least one."""
    return [
        Sentence(start=start, end=end)
        for begin, stop in _boundaries(text, first, last)
        for start, end in bounded(text, begin, stop)
    ]


def lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Each line's range without the white space around it; an empty one for a blank line."""
    at = start
    while at < end:
        match = _LINE.match(text, at, end)
        assert match is not None  # noqa: S101 - the pattern matches everywhere
        first, last = _trim(text, at, match.end(1))
        yield first, last
        at = match.end()


def _trim(text: str, first: int, last: int) -> tuple[int, int]:
    piece = text[first:last]
    kept = piece.strip()
    if not kept:
        return first, first
    first += len(piece) - len(piece.lstrip())
    return first, first + len(kept)


def _pieces_of_block(text: str, block: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Joins the lines of a block (no blank line in it) that are one hard-wrapped paragraph."""
    if not block:
        return
    width = max(last - first for first, last in block)
    first, last = block[0]
    for line, following in pairwise(block):
        if _breaks(text, line, following, width):
            yield first, last
            first = following[0]
        last = following[1]
    yield first, last


def _breaks(text: str, line: tuple[int, int], following: tuple[int, int], width: int) -> bool:
    """Whether the newline between two lines of a block ends a sentence whatever the words are."""
    above, below = text[line[0] : line[1]], text[following[0] : following[1]]
    if _ITEM.match(below) or _LONE_ITEM.match(above):
        return True
    ended = _TERMINAL.search(above[-20:])
    if below[0].islower() and not ended:
        return False  # also a long line: a paragraph that goes on over a page's end
    if len(above) > _WIDEST_WRAP:
        return True
    if below[0].islower() or ended or _CONTINUES.search(above[-1]):
        return False  # inside a sentence, or the library sees the end itself
    # The line was wrapped if the next word did not fit into it any more; else its writer ended it: a title, a verse.
    room = width - len(above)
    word = 1 if _HAS_CJK.match(below) else len(below.split(None, 1)[0]) + 1
    return room > word + 8


def _boundaries(text: str, first: int, last: int) -> Iterator[tuple[int, int]]:
    """The sentences of one paragraph, without the white space between them."""
    while first < last:
        stop = last if last - first <= _WINDOW else _cut(text, first, first + _WINDOW)
        ends = _ends(text[first:stop])
        if stop < last and len(ends) > 1:
            ends.pop()  # cut short by the window: the next one begins with it
            stop = first + ends[-1]
        start = first
        for end in ends:
            begin, finish = _trim(text, start, first + end)
            if begin < finish:
                yield begin, finish
            start = first + end
        first = stop


def _ends(paragraph: str) -> list[int]:
    """Where the sentences of a paragraph end; the last is its own end."""
    # One code point for one, so that the library's offsets are the text's. It ends paragraphs at newlines, and takes
    # whatever stands between two quotation marks, apostrophes or brackets for one sentence: they are hidden from it.
    masked = _APOSTROPHE.sub("x", _WHITE_SPACE.sub(" ", paragraph)).translate(_MASK)
    language = "zh" if _HAS_CJK.search(masked) else "en"
    ends: list[int] = []
    for boundary in sentencex.get_sentence_boundaries(language, masked):
        end = len(masked[: boundary["end_index"]].rstrip())
        closed = _CLOSERS.match(paragraph, end)
        end = closed.end() if closed else end
        if end > (ends[-1] if ends else 0) and not _goes_on(paragraph, end):
            ends.append(end)
    if not ends or paragraph[ends[-1] :].strip():
        ends.append(len(paragraph))
    return ends


def _goes_on(paragraph: str, end: int) -> bool:
    """Whether a sentence goes on after what the library took for its end."""
    following = paragraph[end : end + 20].lstrip(" \t\r\n\"“‘'([")[:1]
    if following.isdigit():
        return bool(_BEFORE_NUMBERS.search(paragraph, max(0, end - 10), end))
    return following.islower() and bool(_NO_END.search(paragraph, max(0, end - 10), end))


def bounded(text: str, first: int, last: int) -> Iterator[tuple[int, int]]:
    """A range without white space at its ends, or pieces of it of at most MAX_SENTENCE characters."""
    while last - first > MAX_SENTENCE:
        # Not a full piece and a scrap: what is left is shared out evenly.
        count = -(-(last - first) // MAX_SENTENCE)
        cut = _cut(text, first, first + -(-(last - first) // count))
        yield _trim(text, first, cut)
        first = cut + len(text[cut:last]) - len(text[cut:last].lstrip()) if text[cut].isspace() else cut
    yield first, last


def _cut(text: str, first: int, limit: int) -> int:
    """A place in (first, limit] to cut at: after white space, else after punctuation, else between two characters."""
    for separates in (str.isspace, _is_punctuation):
        for at in range(limit - 1, first + (limit - first) // 2, -1):
            if separates(text[at]) and not _is_inside_character(text, at + 1):
                return at + 1
    at = limit
    while at > max(first + 1, limit - _LONGEST_CHARACTER) and _is_inside_character(text, at):
        at -= 1
    return at


def _is_punctuation(character: str) -> bool:
    return _WORD_CHARACTER.match(character) is None


def _is_inside_character(text: str, at: int) -> bool:
    """Whether a cut there would part a letter from its marks, or an emoji from what it is joined to."""
    if at >= len(text):
        return False
    return text[at - 1] == _JOINER or text[at] == _JOINER or unicodedata.category(text[at]) in ("Mn", "Me", "Mc")
