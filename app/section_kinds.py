"""What the heading of a section says about it: an abstract sums the document up, references are no part of its text."""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from model.sentence_table import SectionKind
from retriever.types import Section

ABSTRACT_WORDS = 400  # an abstract has no more: of a longer section that is called one the next heading was lost
ABSTRACT_CHARACTERS = 2_800
LEAST_ABSTRACT = 40
USUAL_ABSTRACT = 200

_NUMBER = re.compile(r"\A\W*(?:(?:chapter|section|part|appendix)\s+)?(?:\d+|[ivx]+|[a-z])?(?:\.\d+)*[.):\s]+", re.I)
_KINDS: tuple[tuple[SectionKind, re.Pattern[str]], ...] = (
    (
        SectionKind.APPARATUS,
        re.compile(
            r"(acknowledge?ments?|appendix|appendices|list of (figures|tables)|about the authors?)\b"
            r"|(references|bibliography|works cited|literature cited|index|(table of )?contents|(foot|end)?notes"
            r"|further reading|external links|see also|copyright)\W*\Z|参考文献|致谢|附录|目录|索引",
            re.I,
        ),
    ),
    (
        SectionKind.ABSTRACT,
        re.compile(
            r"(abstract|(executive |management )?summary|synopsis|highlights|key (points|findings|messages)"
            r"|in brief|at a glance|tl;?dr)\W*\Z|摘要|概要|要旨",
            re.I,
        ),
    ),
    (SectionKind.INTRODUCTION, re.compile(r"(introduction|motivation|preface|foreword)\b|引言|绪论|前言", re.I)),
    (
        SectionKind.CONCLUSION,
        re.compile(
            r"(conclusions?|concluding remarks|discussion and conclusions?|summary and |closing remarks"
            r"|final remarks)|结论|总结|まとめ",
            re.I,
        ),
    ),
)
_SAYS_WHAT_IT_DOES = re.compile(
    r"\b(this|the present) (paper|article|report|study|work|thesis|chapter|note)\b"
    r"|\bwe (present|propose|describe|introduce|show|investigate|report|study|develop|address|explore|examine)\b"
    r"|本文|本研究|本报告",
    re.I,
)


def kind_of(path: Sequence[str]) -> SectionKind:
    """The kind of a section by the headings above it, outermost first; numbers in front of them do not count."""
    for heading in path:
        names = (heading.strip(), _NUMBER.sub("", heading, count=1).strip())
        for kind, pattern in _KINDS:
            if any(pattern.match(name) for name in names):
                return kind
    return SectionKind.OTHER


def begins_with_abstract(text: str) -> bool:
    """Whether the first line says that an abstract comes: in many a paper's text it is the only heading left."""
    return kind_of([text.lstrip().partition("\n")[0]]) == SectionKind.ABSTRACT


def abstract_ranges(text: str, sections: Sequence[Section]) -> list[tuple[int, int]]:
    """Where in the text [start, end) something is called an abstract; no further than one goes."""
    called = [section for section in sections if kind_of(section.path) == SectionKind.ABSTRACT]
    if not called and begins_with_abstract(text):
        return [(0, ABSTRACT_CHARACTERS)]
    return [(section.start, min(section.end, section.start + ABSTRACT_CHARACTERS)) for section in called]


def abstract_rows(
    kinds: Sequence[SectionKind],
    sections: Sequence[int],
    words: Sequence[int],
    first: Sequence[bool],
    texts: Sequence[str],
    *,
    titled: bool,
) -> Iterator[int]:
    """Which sentences [N] of a document are of an abstract, by the kinds [N] of their sections, the words [N] they have
    and what they say; `first` [N] begin a paragraph, `titled` is of `begins_with_abstract`.

    A paper's text is often without some of its headings. So what begins with "Abstract" is one though nothing else in
    the text is a heading, and so is a first paragraph that says what the paper does; and of a section that goes on
    after its abstract, that is the first paragraph.
    """
    rows = [list(group) for _, group in groupby(range(len(sections)), key=lambda row: sections[row])]
    found = [part for part in rows if kinds[part[0]] == SectionKind.ABSTRACT]
    for part in found or rows[:1]:
        length = _abstract_length([words[row] for row in part], [first[row] for row in part])
        abstract = part[:length]
        whole = length == len(part) or first[part[length]]  # paragraphs
        fits = whole and LEAST_ABSTRACT <= sum(words[row] for row in abstract) <= ABSTRACT_WORDS
        if found or titled or (fits and any(_SAYS_WHAT_IT_DOES.search(texts[row]) for row in abstract)):
            yield from abstract


def _abstract_length(words: Sequence[int], first: Sequence[bool]) -> int:
    """How many sentences of a section [N] that opens with an abstract are it."""
    if sum(words) <= ABSTRACT_WORDS:
        return len(words)
    total = usual = 0
    for row, (count, opens) in enumerate(zip(words, first, strict=True)):
        if opens and total >= LEAST_ABSTRACT:
            return row  # whole paragraphs
        total += count
        usual = row + 1 if total <= USUAL_ABSTRACT else usual
        if total > ABSTRACT_WORDS:
            break
    return max(1, usual)
