"""A recipe on the command line: an option for each of its fields."""

import argparse
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Recipe = TypeVar("Recipe", bound=DataclassInstance)


def parser_of(recipe: "type[DataclassInstance]", *, description: str | None) -> argparse.ArgumentParser:
    """A parser with an option for each field: required without a default, several values for a tuple."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = get_type_hints(recipe)
    for field in fields(recipe):
        kind = kinds[field.name]
        inner = [one for one in get_args(kind) if one not in (type(None), ...)]
        options: dict[str, Any] = {"required": field.default is MISSING}
        options["default"] = None if field.default is MISSING else field.default
        if get_origin(kind) is Literal:
            options["choices"] = inner
        elif kind is bool:
            options = {"action": "store_true"}
        else:
            options["type"] = inner[0] if inner else kind
            options |= {"nargs": "+"} if get_origin(kind) is tuple else {}
        parser.add_argument("--" + field.name.replace("_", "-"), **options)
    return parser


def recipe_of(recipe: "type[Recipe]", given: Mapping[str, Any]) -> "Recipe":
    """The recipe that the options of `parser_of` describe."""
    values = {field.name: given[field.name] for field in fields(recipe)}
    return recipe(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def given_recipe(recipe: "type[Recipe]", arguments: Sequence[str] | None, *, description: str | None) -> "Recipe":
    """The recipe of a command line, with progress shown on the terminal from now on."""
    log_to_terminal()
    return recipe_of(recipe, vars(parser_of(recipe, description=description).parse_args(arguments)))


def leave_measured(folder: Path, recipe: "DataclassInstance", found: Mapping[str, Any]) -> None:
    """Leaves the recipe beside what was trained, and tells the terminal what was measured."""
    write_recipe(folder, recipe)
    logging.getLogger(__name__).info("%s", json.dumps(found))


def write_recipe(folder: Path, recipe: "DataclassInstance", **more: object) -> None:
    """Leaves `recipe.json` beside what was trained by it."""
    (folder / "recipe.json").write_text(json.dumps({**more, **asdict(recipe)}, indent=1, default=str))


def log_to_terminal() -> None:
    """Progress lines with the time."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("accelerate").setLevel(logging.WARNING)  # it tells of every file of a checkpoint
