import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from model.training.recipes import parser_of, recipe_of, write_recipe


@dataclass(frozen=True, kw_only=True)
class Recipe:
    texts: tuple[Path, ...]
    out: Path
    steps: int | None = None
    rate: float = 1e-3
    kind: Literal["long", "short"] = "long"
    wide: bool = False


def of(*arguments: str) -> Recipe:
    return recipe_of(Recipe, vars(parser_of(Recipe, description=None).parse_args(arguments)))


def test_every_field_of_a_recipe_is_an_option_of_its_type() -> None:
    assert of("--texts", "a", "b", "--out", "o") == Recipe(texts=(Path("a"), Path("b")), out=Path("o"))
    assert of("--texts", "a", "--out", "o", "--steps", "7", "--rate", "2", "--kind", "short", "--wide") == Recipe(
        texts=(Path("a"),), out=Path("o"), steps=7, rate=2.0, kind="short", wide=True
    )


@pytest.mark.parametrize("arguments", [["--texts", "a"], ["--out", "o"], ["--texts", "a", "--out", "o", "--kind", "x"]])
def test_what_is_missing_or_no_choice_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        of(*arguments)
    assert "--" in capsys.readouterr().err


def test_a_recipe_is_left_beside_what_it_made(tmp_path: Path) -> None:
    write_recipe(tmp_path, Recipe(texts=(Path("a"),), out=tmp_path), reader="r")
    written = json.loads((tmp_path / "recipe.json").read_text())
    assert (written["texts"], written["steps"], written["reader"]) == (["a"], None, "r")
