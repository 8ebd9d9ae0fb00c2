"""`lectern serve`, `reindex` and `version`: what is done for the service itself."""

import argparse
import importlib.metadata
from typing import TYPE_CHECKING, Any

from app import terminal
from app.cli.support import DONE, print_json, settings_of

if TYPE_CHECKING:
    from app.local import Make


def add_serve(command: Any, data: argparse.ArgumentParser) -> None:
    """Add `serve` to the parser of `lectern`."""
    serve = command("serve", _serve, "start the service", data)
    serve.add_argument("--host", metavar="H", help="address to listen on (default: LECTERN_HOST or 127.0.0.1)")
    serve.add_argument("--port", metavar="P", type=_port, help="port to listen on (default: LECTERN_PORT or 8000)")


def add_reindex(command: Any, *parents: argparse.ArgumentParser) -> None:
    """Add `reindex` to the parser of `lectern`."""
    reindex = command("reindex", _reindex, "rebuild the indexes from the store", *parents)
    reindex.add_argument("--collection", metavar="NAME", help="only this one (default: all)")


def add_version(command: Any, shown: argparse.ArgumentParser) -> None:
    """Add `version` to the parser of `lectern`."""
    command("version", _version, "print the version", shown)


def _serve(arguments: argparse.Namespace, make: "Make | None") -> int:
    given = {"host": arguments.host, "port": arguments.port}
    settings = settings_of(arguments).model_copy(update={k: v for k, v in given.items() if v is not None})
    from app.main import serve
    from app.wiring import build

    terminal.note(f"starting at http://{settings.host}:{settings.port}, data in '{settings.data_dir}'; Ctrl-C stops it")
    serve(settings, make=make or build)
    return DONE


def _reindex(arguments: argparse.Namespace, make: "Make | None") -> int:
    from app import local
    from app.wiring import DEFAULT_TENANT, build

    with local.opened(settings_of(arguments), make=make or build) as lectern:
        lectern.indexes.reindex(DEFAULT_TENANT, arguments.collection)
    if arguments.json:
        print_json({"reindexed": arguments.collection})
    else:
        named = f"collection {arguments.collection!r}" if arguments.collection else "everything"
        terminal.say(f"reindexed {named}")
    return DONE


def _version(arguments: argparse.Namespace, make: "Make | None") -> int:
    version = importlib.metadata.version("lectern")
    if arguments.json:
        print_json({"name": "lectern", "version": version})
    else:
        terminal.say(f"lectern {version}")
    return DONE


def _port(value: str) -> int:
    if not (value.isascii() and value.isdigit() and int(value) <= 65535):
        raise argparse.ArgumentTypeError(f"{value} is not a port: use 0 to 65535")
    return int(value)
