"""What the commands share: settings, requests, JSON, places of citations, and which errors end in one line."""

import argparse
import json
from typing import TYPE_CHECKING, Any, TypeVar

from app import terminal

if TYPE_CHECKING:
    from pydantic import BaseModel

    from app.schemas import Citation, SearchHit
    from app.settings import Settings
    from retriever.types import ParsedDocument

M = TypeVar("M", bound="BaseModel")


class CommandError(Exception):
    """The command cannot be carried out as it was given; the message says why, in one line."""


def expected_errors() -> tuple[type[Exception], ...]:
    """Errors that are told in one line. Anything else is a defect, and shows where it happened."""
    from app.errors import AppError
    from app.evaluation.errors import EvaluationError
    from model.errors import ModelError
    from retriever.errors import RetrieverError

    return (CommandError, AppError, RetrieverError, ModelError, EvaluationError, OSError)


def settings_of(arguments: argparse.Namespace) -> "Settings":
    """The settings of the environment, with the data directory that was named. Raises SettingsError."""
    from app.settings import load_settings

    settings = load_settings()
    data = getattr(arguments, "data", None)
    return settings if data is None else settings.model_copy(update={"data_dir": data})


MADE_OF_MARKUP = ("text/html", "text/vtt")  # their text's lines are not the file's


def validated(model: type[M], fields: dict[str, Any]) -> M:
    """A request made of a command's options. Raises CommandError, naming the option."""
    from pydantic import ValidationError

    try:
        return model.model_validate({name: value for name, value in fields.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        named = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise CommandError(f"{named}: {message}" if named else message) from None


def print_json(payload: Any) -> None:
    """A reply as the API gives it, on one line."""
    terminal.say(json.dumps(payload, ensure_ascii=False, separators=(",", ":")))


def place(cited: "Citation | SearchHit", name: str, document: "ParsedDocument") -> str:
    """Where something stands, for people: a page where there are pages, a line of a text file, else a section.

    In a dialogue with who says it.
    """
    from app.citations import speaker_at

    where = name
    if cited.page is not None:
        where = f"{name}, page {cited.page}"
    elif document.media_type.startswith("text/") and document.media_type not in MADE_OF_MARKUP:
        where = f"{name}, line {document.text.count(chr(10), 0, cited.start) + 1}"
    elif cited.section:
        where = f"{name}, {cited.section}"
    speaker = speaker_at(document, cited.start)
    return f"{where}, {speaker}" if speaker else where
