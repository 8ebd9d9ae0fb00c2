"""Turns that a file states outright -> a text to read, with who says what."""

from collections.abc import Iterable
from dataclasses import dataclass

from retriever.errors import LimitExceeded
from retriever.parsing.limits import Limits
from retriever.parsing.normalization import normalize
from retriever.parsing.outline import Heading
from retriever.types import Turn


@dataclass(frozen=True, kw_only=True)
class Said:
    """What somebody says, or nobody in particular, or a heading where `level` is not 0. Nothing in it is blank."""

    text: str
    speaker: str | None = None
    level: int = 0


def written(parts: Iterable[Said], *, limits: Limits, joining: bool = False) -> tuple[str, list[Turn], list[Heading]]:
    """A text of `Speaker: what they say` lines, blocks apart by a blank line, its turns and headings.

    With `joining`, parts that follow each other from one speaker are one turn. Raises LimitExceeded.
    """
    out: list[str] = []
    turns: list[Turn] = []
    headings: list[Heading] = []
    length = 0
    before: Said | None = None
    for part in parts:
        both_say = before is not None and part.speaker is not None and before.speaker is not None
        goes_on = joining and before is not None and both_say and part.speaker == before.speaker
        joint = "" if before is None else " " if goes_on else "\n" if both_say else "\n\n"
        label = f"{part.speaker}: " if part.speaker is not None and not goes_on else ""
        out.append(normalize(f"{joint}{label}{part.text}"))
        start, length = length + len(joint), length + len(out[-1])
        if length > limits.characters:
            raise LimitExceeded(f"the transcript has more than {limits.characters:,} characters of text")
        if part.speaker is not None:
            start = turns.pop().start if goes_on else start
            turns.append(Turn(speaker=normalize(part.speaker), start=start, end=length))
        elif part.level:
            headings.append(Heading(start=start, end=length, level=part.level, title=part.text))
        before = part
    return "".join(out), turns, headings
