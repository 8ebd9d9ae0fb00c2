"""`lectern completion SHELL`: what lets a shell complete commands, options and files, made of the parser itself."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app import terminal
from app.cli.support import DONE

if TYPE_CHECKING:
    from app.local import Make

SHELLS = ("bash", "zsh", "fish")
TAKES_FILES = ("words", "files")  # positional arguments of files that are no paths to argparse


def add_command(command: Any, built: Callable[[], argparse.ArgumentParser]) -> None:
    """Add it to the parser of `lectern`, which `built` makes."""
    completion = command("completion", _completion, "print a script that completes this command line in a shell")
    completion.add_argument("shell", choices=SHELLS, help="as in: source <(lectern completion bash)")
    completion.set_defaults(built=built)


def _completion(arguments: argparse.Namespace, make: "Make | None") -> int:
    import shtab

    parser = arguments.built()
    _mark_files(parser, shtab.FILE)
    terminal.write(shtab.complete(parser, shell=arguments.shell).rstrip("\n") + "\n")
    return DONE


def _mark_files(parser: argparse.ArgumentParser, how: Any) -> None:
    """Say of every argument that names a file that a shell can complete it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                _mark_files(inner, how)
        elif action.type is Path or action.dest in TAKES_FILES:
            action.complete = how  # type: ignore[attr-defined]
