"""What can be said on the command line: all commands with their options, put together from a file for each."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from app.cli import adapting, asking, backup, completion, documents, evaluation, ingesting, jobs, keys, serving, tools
from app.cli.support import add_subcommand


def parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments, options allowed between files and the question: argparse itself takes those in one run only."""
    parser = built()
    arguments, rest = parser.parse_known_args(argv)
    many = getattr(arguments, "many", None)
    if rest and (many is None or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if many is not None:
        setattr(arguments, many, [*getattr(arguments, many), *rest])
    return arguments


def built() -> argparse.ArgumentParser:
    """The parser of `lectern`."""
    parser = argparse.ArgumentParser(
        prog="lectern",
        description="Questions about, and summaries of, long documents, cited to the character.",
        epilog="Settings come from LECTERN_ variables; the README lists them.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    data, where, shown = _data(), _where(), _shown()

    def command(name: str, run: Callable[..., int], help: str, *parents: argparse.ArgumentParser) -> Any:
        return add_subcommand(commands, name, run, help, parents)

    def group(name: str, help: str, description: str | None) -> Any:
        told = (description or help).split("\n")[0]
        return commands.add_parser(name, help=help, description=told).add_subparsers(metavar="WHAT", required=True)

    serving.add_serve(command, data)
    asking.add_commands(command, where, shown)
    ingesting.add_command(command, where, shown)
    documents.add_commands(group("docs", "list, show and delete documents", documents.__doc__), where, shown)
    jobs.add_commands(group("jobs", "list, show, wait for and cancel jobs", jobs.__doc__), where, shown)
    serving.add_reindex(command, data, shown)
    adapting.add_command(command, where, shown)
    tools.add_command(command, where)
    keys.add_commands(group("keys", "hand out API keys", keys.__doc__), data, shown)
    backup.add_commands(command, data, shown)
    evaluation.add_commands(group("eval", "measure quality on your own data", evaluation.__doc__))
    completion.add_command(command, built)
    serving.add_version(command, shown)
    return parser


def _data() -> argparse.ArgumentParser:
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument("--data", metavar="DIR", type=Path, help="data directory (default: LECTERN_DATA_DIR)")
    return parent


def _where() -> argparse.ArgumentParser:
    """The options of what works on this machine's store and with a running service alike."""
    parent = argparse.ArgumentParser(add_help=False)
    either = parent.add_mutually_exclusive_group()
    either.add_argument("--data", metavar="DIR", type=Path, help="data directory (default: LECTERN_DATA_DIR)")
    either.add_argument("--url", metavar="URL", help="of a running service, to ask it instead (default: LECTERN_URL)")
    parent.add_argument("--key", metavar="KEY", help="for that service; others see it here: better LECTERN_KEY")
    return parent


def _shown() -> argparse.ArgumentParser:
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument("--json", action="store_true", help="print JSON, as the API has it")
    return parent
