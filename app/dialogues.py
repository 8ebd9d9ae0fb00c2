"""A support dialogue in three parts: the problem that was brought, the steps that were taken, how it came out."""

import re
from collections.abc import Sequence
from itertools import groupby

from app.lines import Line

# The whole label: a "Staff Sergeant Hill" and an "Assistant Secretary" hold such words too, and help nobody.
_HELPERS = re.compile(
    r"(?i)[#@]?(?:(?:the|customer|client|technical|tech|it|product|account|billing|sales|support|service|care|"
    r"help ?desk|call cent(?:er|re)|senior|online|phone|live|chat|virtual|digital|ai|human) ){0,4}"
    r"(?:agent|support|advis[oe]r|representative|rep|assistant|operator|help ?desk|csr|staff|technician)"
    r"(?:[ _-]?#?\d{1,4}|[ _-][a-z])?(?: ?[(\[][^()\[\]]{1,60}[)\]])?#?"
)
STAGES = ("Problem", "Steps", "Outcome")


def is_support(speakers: set[str]) -> bool:
    """Whether these are the speakers of a support dialogue: some are named as helpers, and somebody else asks."""
    helpers = {speaker for speaker in speakers if _HELPERS.fullmatch(speaker)}
    return bool(helpers) and len(speakers) > len(helpers)


def stages_of(lines: Sequence[Line]) -> list[str]:
    """The stage of each line: what the customer brings until first helped, the end from the last word of help on.

    The first help is the second turn of a helper, or the first one if there is no other: the first often only greets
    or asks. A dialogue that ends right there has no steps between.
    """
    turns = [(speaker, len(list(own))) for speaker, own in groupby(line.speaker for line in lines)]
    helping = [place for place, (speaker, _) in enumerate(turns) if speaker is not None and _HELPERS.fullmatch(speaker)]
    if not helping:
        return [STAGES[0]] * len(lines)
    first = helping[1] if len(helping) > 2 else helping[0]
    last = max(first + 1, helping[-1])
    stages: list[str] = []
    for place, (_, count) in enumerate(turns):
        stages += [STAGES[0 if place < first else 1 if place < last else 2]] * count
    return stages
