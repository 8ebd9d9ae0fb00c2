"""Writing measures: JSON files that are whole or not there."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_json(path: Path, payload: Mapping[str, Any]) -> None:
    """Write UTF-8 JSON with an indent of 2 and a final newline; an older file is replaced at once, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(payload, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, path)  # noqa: PTH105 - the atomic replace, by its name


def rounded(value: float | None, digits: int = 2) -> float | None:
    """The number as tables show it; None stays None."""
    return None if value is None else round(value, digits)
