"""Filters on metadata: `{"year": {"gte": 2020}, "lang": "en"}`; a document matches when every field does.

A field's condition is a scalar (equal), a list (one of), or an object with any of `gte`, `gt`, `lte`, `lt`, `in` and
`exists`. Where the metadata holds a list, one matching element is enough. Numbers compare with numbers, strings with
strings (so ISO dates are in order), and nothing else compares: no match, never an error.
"""

from collections.abc import Callable, Mapping
from operator import ge, gt, le, lt
from typing import Any

RANGES: Mapping[str, Callable[[Any, Any], bool]] = {"gte": ge, "gt": gt, "lte": le, "lt": lt}
OPERATORS = (*RANGES, "in", "exists")


def check_filters(filters: Mapping[str, Any]) -> None:
    """Raise ValueError, with the field's name, for a condition that could never be meant."""
    for name, condition in filters.items():
        if isinstance(condition, Mapping):
            _check_operators(name, condition)
        elif isinstance(condition, list):
            _check_scalars(name, condition)
        elif not _is_scalar(condition):
            raise ValueError(f"filter {name!r}: give a scalar, a list of scalars, or an object of operators")


def matches(metadata: Mapping[str, Any], filters: Mapping[str, Any]) -> bool:
    """Whether a document with this metadata passes all filters."""
    return all(_passes(metadata, name, condition) for name, condition in filters.items())


def _passes(metadata: Mapping[str, Any], name: str, condition: Any) -> bool:
    there = metadata.get(name)
    values = there if isinstance(there, list) else [there]
    if isinstance(condition, Mapping):
        return all(_holds(name in metadata, values, operator, operand) for operator, operand in condition.items())
    return name in metadata and _among(values, condition if isinstance(condition, list) else [condition])


def _holds(present: bool, values: list[Any], operator: str, operand: Any) -> bool:
    if operator == "exists":
        return present is operand
    if not present:
        return False
    if operator == "in":
        return _among(values, operand)
    compare = RANGES[operator]
    return any(_kind(value) == _kind(operand) in ("number", "string") and compare(value, operand) for value in values)


def _among(values: list[Any], wanted: list[Any]) -> bool:
    return any(_kind(value) == _kind(want) and value == want for value in values for want in wanted)


def _kind(value: Any) -> str:
    if isinstance(value, bool):  # True == 1 in Python, but not in anybody's metadata
        return "boolean"
    return "number" if isinstance(value, int | float) else "string" if isinstance(value, str) else "other"


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _check_scalars(name: str, values: list[Any]) -> None:
    if not all(_is_scalar(value) for value in values):
        raise ValueError(f"filter {name!r}: a list holds scalars only")


def _check_operators(name: str, condition: Mapping[str, Any]) -> None:
    if not condition:
        raise ValueError(f"filter {name!r}: an empty object says nothing: use {', '.join(OPERATORS)}")
    for operator, operand in condition.items():
        if operator not in OPERATORS:
            raise ValueError(f"filter {name!r}: no operator {operator!r}: use {', '.join(OPERATORS)}")
        if operator == "exists" and not isinstance(operand, bool):
            raise ValueError(f"filter {name!r}: exists is true or false")
        if operator == "in":
            if not isinstance(operand, list):
                raise ValueError(f"filter {name!r}: in takes a list")
            _check_scalars(name, operand)
        if operator in RANGES and _kind(operand) not in ("number", "string"):
            raise ValueError(f"filter {name!r}: {operator} takes a number or a string")
