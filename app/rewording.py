"""Questions in other words: `python -m app.rewording --groups FILE ... --out FILE` rewords some of a reader's groups.

Who asks has seldom read the text, so the words of the question are not the text's. Those of training sets mostly are:
their questions were written beside the passage. Answerable or not, a share of them gets other words for the same.
"""

import argparse
import json
import random
import re
from collections.abc import Sequence
from pathlib import Path

from app.opposites import OPPOSITE
from app.related_words import NEARLY_SAME, Related, RelatedWords

SHARE = 0.3  # of the questions
REPLACED = 0.6  # of their words that have another
NEAREST = 2
SHORTEST = 4
_KEPT = """
    what when where which whom whose that this these those there their they them with from into about after before
    during since been being does were have will would could should must might also many much more most other another
    such some each than then only name type kind used called known made make year years month months week weeks
    days hour hours minute minutes decade decades century centuries one two three four five six seven eight nine ten
    eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty hundred
    thousand million billion third fourth fifth january february march april june july august september october
    november december monday tuesday wednesday thursday friday saturday sunday
"""
KEPT = frozenset(_KEPT.split())
"""Words that ask, link or measure: another in their place would ask for something else."""


def reworded(question: str, *, related: Related, chance: random.Random) -> str:
    """The question with other words for some; no name, measure or word that has an opposite is touched."""

    def other(found: re.Match[str]) -> str:
        word = found.group()
        if word in KEPT or word in OPPOSITE or chance.random() >= REPLACED:
            return word
        near = [one for one in related(word)[:NEAREST] if one not in OPPOSITE and one not in KEPT]
        return chance.choice(near) if near else word

    return re.sub(rf"(?<![\w'-])[a-z]{{{SHORTEST},}}(?![\w'-])", other, question)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=Path, nargs="+", required=True, help="files of model/training/groups.py")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--share", type=float, default=SHARE, help="of the questions that are reworded")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    related = RelatedWords(NEARLY_SAME)
    with given.out.open("w", encoding="utf-8") as out:
        for path in given.groups:
            for line in path.read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                chance = random.Random(f"{given.seed} {row['id']} {row['question']}")  # noqa: S311 - not a secret
                if chance.random() < given.share:
                    row["question"] = reworded(row["question"], related=related, chance=chance)
                out.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
