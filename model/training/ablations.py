"""Mined groups without one of the things that they have, to see what it is worth to a reader.

`python -m model.training.ablations --groups FILE --out FOLDER` writes

    easy.jsonl       passages that do not answer come from other groups by chance, instead of from a search
    answered.jsonl   without the groups that nothing answers

each of which `model.training.reader` takes in place of FILE.
"""

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from model.training.groups import MinedGroup, read_groups


def easy(groups: Sequence[MinedGroup], *, seed: int) -> Iterator[MinedGroup]:
    """The groups with every passage that does not answer replaced by one of another group, for another question.

    Groups of one passage stay as they are: there the passage is what the question was asked of.
    """
    chance = random.Random(seed)  # noqa: S311 - a sample, not a secret
    for group in groups:
        passages = list(group.passages)
        strings = [group.passages[passage][start:end] for passage, start, end in group.answers]
        for place in range(len(passages) if len(passages) > 1 else 0):
            while place not in group.relevant:
                other = chance.choice(groups)
                passages[place] = chance.choice(other.passages)
                if other.id != group.id and not any(string in passages[place] for string in strings):
                    break
        yield replace(group, passages=passages)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    groups = read_groups(options.groups)
    options.out.mkdir(parents=True, exist_ok=True)
    made = {"easy": easy(groups, seed=options.seed), "answered": (group for group in groups if group.answers)}
    for name, kept in made.items():
        with (options.out / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            for group in kept:
                file.write(json.dumps(vars(group), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
