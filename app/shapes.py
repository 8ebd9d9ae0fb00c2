"""The values that requests are made of, and what OpenAPI has to know of rules that span fields.

Whatever a rule refuses, its JSON Schema refuses too where JSON Schema can say it: clients are made from that.
"""

import json
import math
from itertools import combinations
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

MAX_METADATA_BYTES = 65_536
MAX_METADATA_DEPTH = 8
NOT_BLANK = r"[^\s\u001c-\u001f\u0085\ufeff]"  # what both Python and ECMAScript take for more than white space


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("must hold more than white space")
    return value


def _metadata(value: dict[str, Any]) -> dict[str, Any]:
    """Plain JSON of a bounded size and depth, every key between 1 and 128 characters."""
    _check_depth(value, MAX_METADATA_DEPTH)
    if any(not 0 < len(key) <= 128 for key in value):
        raise ValueError("keys must have 1 to 128 characters")
    if len(json.dumps(value, ensure_ascii=False).encode()) > MAX_METADATA_BYTES:
        raise ValueError(f"must be at most {MAX_METADATA_BYTES} bytes as JSON")
    return value


def _check_depth(value: object, left: int) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("numbers must be finite")
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if inner and left == 0:
        raise ValueError(f"must be nested at most {MAX_METADATA_DEPTH} deep")
    for item in inner:
        _check_depth(item, left - 1)


def _whole(value: object) -> object:
    """JSON has one kind of number: 8.0 is the integer 8."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)  # comes after the bounds, so that the JSON Schema keeps them
Number = Annotated[float, Field(allow_inf_nan=False)]
Scalar = bool | int | Number | str | None
Scalars = Annotated[list[Scalar], Field(max_length=1_000)]
Bound = int | Number | str
Text = Annotated[str, Field(min_length=1, json_schema_extra={"pattern": NOT_BLANK}), AfterValidator(_not_blank)]
Question = Annotated[
    str,
    Field(min_length=1, max_length=2_000, json_schema_extra={"pattern": NOT_BLANK}),
    AfterValidator(_not_blank),
]
NewTitle = Annotated[
    str,
    Field(min_length=1, max_length=1_000, json_schema_extra={"pattern": NOT_BLANK}),
    AfterValidator(_not_blank),
]
CollectionName = Annotated[str, Field(pattern=r"^\w[\w.\-]{0,127}$", description="letters, digits, `_`, `.` and `-`")]
DocumentId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:\-]{0,127}$")]
METADATA_SCHEMA = {
    "type": "object",
    "additionalProperties": True,
    "propertyNames": {"minLength": 1, "maxLength": 128},
    "description": f"any JSON up to {MAX_METADATA_BYTES} bytes, nested at most {MAX_METADATA_DEPTH} deep",
}
Metadata = Annotated[dict[str, Any], AfterValidator(_metadata), WithJsonSchema(METADATA_SCHEMA)]
Title = Annotated[str, Field(max_length=1_000)]
Wait = Annotated[float, Field(ge=0, le=3_600, allow_inf_nan=False)]
FieldName = Annotated[str, Field(min_length=1, max_length=128)]

_GIVEN = {"not": {"type": "null"}}


def one_of(*names: str) -> dict[str, Any]:
    """The JSON Schema of: exactly one of these fields is given."""
    return {"oneOf": [{"required": [name], "properties": {name: _GIVEN}} for name in names]}


def some_of(*names: str) -> dict[str, Any]:
    """The JSON Schema of: at least one of these fields is given."""
    return {"anyOf": [{"required": [name], "properties": {name: _GIVEN}} for name in names]}


def not_together(*names: str) -> list[Any]:
    """The JSON Schemas of: at most one of these fields is given."""
    return [
        {"not": {"required": list(pair), "properties": dict.fromkeys(pair, _GIVEN)}} for pair in combinations(names, 2)
    ]
