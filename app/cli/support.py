"""What the commands share: exit codes, settings, the service that was named, requests, JSON, and expected errors."""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from app import terminal

if TYPE_CHECKING:
    from pydantic import BaseModel

    from app.settings import Settings
    from lectern import AsyncClient, Client
    from retriever.store import Store

M = TypeVar("M", bound="BaseModel")

DONE, NOTHING, FAILED = 0, 1, 2
INTERRUPTED = 130  # as shells report SIGINT
RETRIES = 2  # somebody waits: a service that is down is told in a second
TENANT = "default"  # whose documents this machine's are: `app.wiring` has it too, and would load the models' library


class CommandError(Exception):
    """The command cannot be carried out as it was given; the message says why, in one line."""


def expected_errors() -> tuple[type[Exception], ...]:
    """Errors that are told in one line. Anything else is a defect, and shows where it happened."""
    from app.errors import AppError
    from app.evaluation.errors import EvaluationError
    from lectern import LecternError
    from model.errors import ModelError
    from retriever.errors import RetrieverError

    return (CommandError, AppError, RetrieverError, ModelError, EvaluationError, LecternError, OSError)


def settings_of(arguments: argparse.Namespace) -> "Settings":
    """The settings of the environment, with the data directory that was named. Raises SettingsError."""
    from app.settings import load_settings

    settings = load_settings()
    data = getattr(arguments, "data", None)
    return settings if data is None else settings.model_copy(update={"data_dir": data})


def service_of(arguments: argparse.Namespace) -> str | None:
    """The address of the service that is to be asked; None: the store of this machine, named by `--data` or not."""
    if arguments.url is not None or arguments.data is not None:
        return arguments.url or None
    from lectern.connection import named

    return named()


def client_of(arguments: argparse.Namespace, url: str) -> "Client":
    """A client of that service. Raises CommandError for an address or a key that is none."""
    from lectern import Client

    with _told():
        return Client(url, key=arguments.key, retries=RETRIES)


def async_client_of(arguments: argparse.Namespace, url: str) -> "AsyncClient":
    """The same for asyncio."""
    from lectern import AsyncClient

    with _told():
        return AsyncClient(url, key=arguments.key, retries=RETRIES)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise CommandError(str(error)) from error


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


def add_subcommand(
    commands: Any, name: str, run: Callable[..., int], help: str, parents: Sequence[argparse.ArgumentParser]
) -> argparse.ArgumentParser:
    """Add a command under a group or under `lectern` itself; `run` carries it out."""
    description = help[0].upper() + help[1:] + "."
    added: argparse.ArgumentParser = commands.add_parser(name, help=help, description=description, parents=parents)
    added.set_defaults(run=run)
    return added


def tell(arguments: argparse.Namespace, reply: M, show: Callable[[M], None]) -> None:
    """Print a reply as JSON where `--json` asks for it, else `show` it to people."""
    if arguments.json:
        print_json(reply.model_dump(mode="json"))
    else:
        show(reply)


def print_json(payload: Any) -> None:
    """A reply as the API gives it, on one line."""
    terminal.say(json.dumps(payload, ensure_ascii=False, separators=(",", ":")))


@contextmanager
def store_of(arguments: argparse.Namespace) -> "Iterator[Store]":
    """The store alone, beside a running service too; only one that nobody uses is changed to today's schema."""
    from retriever.durable import hold
    from retriever.errors import StoreOlder
    from retriever.store import Store

    settings = settings_of(arguments)
    with ExitStack() as stack:
        try:
            store = Store(settings.store_url, migrating=False)
        except StoreOlder:
            stack.enter_context(hold(settings.data_dir / "lock"))
            store = Store(settings.store_url)
        stack.callback(store.close)
        yield store
