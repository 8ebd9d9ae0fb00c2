"""What the heading of a section says about it: an abstract sums the document up, references are no part of its text."""

import re
from collections.abc import Sequence

from model.sentence_table import SectionKind

ABSTRACT_WORDS = 400  # of a section that is called an abstract: where the next heading was lost, the rest is not one

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


def kind_of(path: Sequence[str]) -> SectionKind:
    """The kind of a section by the headings above it, outermost first; numbers in front of them do not count."""
    for heading in path:
        names = (heading.strip(), _NUMBER.sub("", heading, count=1).strip())
        for kind, pattern in _KINDS:
            if any(pattern.match(name) for name in names):
                return kind
    return SectionKind.OTHER
