"""The parts that a summary by sections has: chapters, the stages of a support dialogue, or the files of a program."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

import numpy as np

from app.citations import section_title
from app.dialogues import is_support, stages_of
from app.lines import Line, lines_of
from app.outlining import Definition, definitions_of
from app.sources import SourceText
from retriever.parsing.dialogue import with_turns
from retriever.types import Kind

MOST_PARTS = 60  # parts of a document by sections that still read as an overview: a novel's chapters, not its scenes
FEWEST_UNTITLED = 50  # words before a first heading that make a part


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a summary by sections: a title and the places of its candidate sentences."""

    title: str | None
    members: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class Read:
    """A document as it is summarized: its lines, and for source code the definitions that they show.

    `source` is without turns where nobody is to have spoken.
    """

    source: SourceText
    kind: Kind
    lines: Sequence[Line]
    definitions: Sequence[Definition]


def read_lines(place: int, source: SourceText, asked: Literal["auto", "prose", "dialogue", "code"]) -> Read:
    """The document as what it is, or as what it is asked to be taken for; one without definitions is no code."""
    kind = source.document.kind if asked == "auto" else asked
    if kind == "code" and source.document.kind == "code":
        definitions = definitions_of(place, source)
        if definitions:
            lines = [one.line for one in definitions]
            return Read(source=source, kind="code", lines=lines, definitions=definitions)
    if asked == "dialogue":
        source = replace(source, document=with_turns(source.document, certain=True))
    if kind == "prose" and source.document.turns:
        source = replace(source, document=replace(source.document, turns=()))
    kind = "prose" if kind == "code" else kind
    return Read(source=source, kind=kind, lines=lines_of(place, source), definitions=())


def parts_of(sources: Sequence[SourceText], read: Sequence[Read]) -> list[Part]:
    """The parts of each document that have something to select.

    A file of source code is one part, a support dialogue without chapters has the problem, the steps and the outcome,
    and everything else its sections at the depth that reads as chapters. A few words before the first heading, such as
    a motto, are no part of their own.
    """
    groups: list[Part] = []
    at = 0
    for source, one in zip(sources, read, strict=True):
        own = list(range(at, at + len(one.lines)))
        at += len(own)
        if one.kind == "code":
            titles: Sequence[str | None] = [source.title] * len(own)
        elif one.kind == "dialogue" and _has_stages(source, one.lines):
            titles = stages_of(one.lines)
        else:
            groups += _chapters(source, one.lines, own)
            continue
        for title, pairs in groupby(zip(titles, own, strict=True), key=lambda pair: pair[0]):
            groups.append(Part(title=title, members=[place for _, place in pairs]))
    return groups


def _has_stages(source: SourceText, lines: Sequence[Line]) -> bool:
    """Whether this is one support dialogue: headings divide it already, but a single one is its title."""
    headings = {section.path for section in source.document.sections if section.path}
    return len(headings) < 2 and is_support({line.speaker for line in lines if line.speaker})


def _chapters(source: SourceText, lines: Sequence[Line], own: Sequence[int]) -> Iterator[Part]:
    sections = source.document.sections
    depth = chapter_depth({section.path for section in sections if section.path})
    starts = [section.start for section in sections]
    at = np.searchsorted(starts, [line.start for line in lines], side="right") - 1
    paths = [sections[int(number)].path[:depth] if sections else () for number in at]
    words = {place: line.words for place, line in zip(own, lines, strict=True)}
    for path, pairs in groupby(zip(paths, own, strict=True), key=lambda pair: pair[0]):
        members = [place for _, place in pairs]
        if path or len(set(paths)) == 1 or sum(words[place] for place in members) >= FEWEST_UNTITLED:
            yield Part(title=section_title(path) or (None if depth else source.title), members=members)


def chapter_depth(paths: set[tuple[str, ...]]) -> int:
    """How many headings of a path name a part: the most that make no more than MOST_PARTS parts; 0 without headings.

    Where even the fewest make more than that, the outermost headings that tell parts apart do.
    """
    counts = [len({path[:depth] for path in paths}) for depth in range(1, max(map(len, paths), default=0) + 1)]
    readable = [depth for depth, count in enumerate(counts, start=1) if count <= MOST_PARTS]
    dividing = [depth for depth, count in enumerate(counts, start=1) if count > 1]
    if readable and counts[readable[-1] - 1] > 1:
        return readable[-1]
    return dividing[0] if dividing else len(counts)
