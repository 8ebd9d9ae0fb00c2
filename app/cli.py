"""The command line: `lectern serve`, and questions and summaries of files without a server.

Exit codes: 0 done or answered, 1 no answer in the documents (or files that were refused), 2 a usage or other error,
told in one line. Nothing heavy is imported before the arguments are understood.
"""

import argparse
import importlib.metadata
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app import cli_adapt as adapt
from app import cli_backup as backup
from app import cli_eval as evaluate
from app import cli_keys as keys
from app import terminal
from app.cli_support import CommandError, M, expected_errors, place, print_json, settings_of, validated

if TYPE_CHECKING:
    from app.local import Make
    from app.schemas import Citation, SearchHit
    from app.wiring import Lectern

DONE, NOTHING, FAILED = 0, 1, 2
INTERRUPTED = 130  # as shells report SIGINT


def main(argv: Sequence[str] | None = None, *, make: "Make | None" = None) -> int:
    """Carry out a command line and return its exit code. `make` builds the Lectern that commands use."""
    arguments = parsed(argv)
    try:
        return int(arguments.run(arguments, make))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has left: nothing more to say, not even at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except expected_errors() as error:
        terminal.note(terminal.one_line(str(error)) or type(error).__name__)
        return FAILED


def parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments, options allowed between files and the question: argparse itself takes those in one run only."""
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    many = getattr(arguments, "many", None)
    if rest and (many is None or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if many is not None:
        setattr(arguments, many, [*getattr(arguments, many), *rest])
    return arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lectern",
        description="Questions about, and summaries of, long documents, cited to the character.",
        epilog="Settings come from LECTERN_ variables; the README lists them.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    data = argparse.ArgumentParser(add_help=False)
    data.add_argument("--data", metavar="DIR", type=Path, help="data directory (default: LECTERN_DATA_DIR)")
    shown = argparse.ArgumentParser(add_help=False)
    shown.add_argument("--json", action="store_true", help="print the API's reply")

    def command(name: str, run: Callable[..., int], help: str, *parents: argparse.ArgumentParser) -> Any:
        added = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".", parents=parents)
        added.set_defaults(run=run)
        return added

    serve = command("serve", _serve, "start the service", data)
    serve.add_argument("--host", metavar="H", help="address to listen on (default: LECTERN_HOST or 127.0.0.1)")
    serve.add_argument("--port", metavar="P", type=_port, help="port to listen on (default: LECTERN_PORT or 8000)")

    ask = command("ask", _ask, "answer a question from files, or without any from the data directory", data, shown)
    _files_and_words(ask, "question", "files or directories, then the question")
    ask.add_argument("--top-k", metavar="N", type=int, default=8, help="passages to read (default: 8)")
    ask.add_argument("--alternatives", metavar="N", type=int, default=0, help="further answers to print")
    ask.add_argument("--target-error", metavar="SHARE", type=float, help="abstain above this chance of a wrong answer")

    search = command("search", _search, "find passages in files, or without any in the data directory", data, shown)
    _files_and_words(search, "query", "files or directories, then the query")
    search.add_argument("--top-k", metavar="N", type=int, default=10, help="passages to print (default: 10)")
    search.add_argument("--mode", choices=("hybrid", "sparse", "dense"), default="hybrid")

    summarize = command("summarize", _summarize, "summarize files together", shown)
    summarize.add_argument("files", metavar="FILE", nargs="+", help="files or directories")
    summarize.set_defaults(many="files")
    length = summarize.add_mutually_exclusive_group()
    length.add_argument("--sentences", metavar="N", type=int, help="length in sentences")
    length.add_argument("--words", metavar="N", type=int, help="length in words")
    length.add_argument("--ratio", metavar="R", type=float, help="length as a share of the text")
    summarize.add_argument("--query", help="what the summary is to be about")
    summarize.add_argument("--format", choices=("paragraph", "bullets", "sections"), default="paragraph")

    ingest = command("ingest", _ingest, "add files to the data directory", data)
    ingest.add_argument("paths", metavar="DIR", nargs="+", type=Path, help="directories or files")
    ingest.add_argument("--collection", metavar="NAME", default="default")

    reindex = command("reindex", _reindex, "rebuild the indexes from the store", data)
    reindex.add_argument("--collection", metavar="NAME", help="only this one (default: all)")

    adapt.add_command(command, data, shown)
    handed_out = commands.add_parser("keys", help="hand out API keys", description=keys.__doc__)
    keys.add_commands(handed_out.add_subparsers(metavar="WHAT", required=True), data)
    backup.add_commands(command, data)
    evaluation = commands.add_parser("eval", help="measure quality on your own data", description=evaluate.__doc__)
    evaluate.add_commands(evaluation.add_subparsers(metavar="WHAT", required=True))
    command("version", _version, "print the version")
    return parser


def _files_and_words(parser: argparse.ArgumentParser, words: str, help: str) -> None:
    parser.add_argument("words", metavar=f"FILE... {words}", nargs="+", help=help)
    parser.set_defaults(many="words")
    parser.add_argument("--collection", metavar="NAME", default=None, help="of the data directory (default: default)")


def _serve(arguments: argparse.Namespace, make: "Make | None") -> int:
    given = {"host": arguments.host, "port": arguments.port}
    settings = settings_of(arguments).model_copy(update={k: v for k, v in given.items() if v is not None})
    from app.main import serve
    from app.wiring import build

    terminal.note(f"starting at http://{settings.host}:{settings.port}, data in '{settings.data_dir}'; Ctrl-C stops it")
    serve(settings, make=make or build)
    return DONE


def _ask(arguments: argparse.Namespace, make: "Make | None") -> int:
    from app import local
    from app.schemas import AskRequest

    names, question = _split_words(arguments.words)
    fields = {"top_k": arguments.top_k, "alternatives": arguments.alternatives, "target_error": arguments.target_error}
    with ExitStack() as stack:
        fields |= {"question": question}
        lectern, request, places = _source(stack, arguments, names, make, AskRequest, fields)
        reply = local.ask(lectern, request)
        if arguments.json:
            print_json(reply.model_dump(mode="json"))
        else:
            terminal.show_answer(reply, place=places)
    return DONE if reply.answerable else NOTHING


def _search(arguments: argparse.Namespace, make: "Make | None") -> int:
    from app import local
    from app.schemas import SearchRequest

    names, query = _split_words(arguments.words)
    fields = {"query": query, "top_k": arguments.top_k, "mode": arguments.mode}
    with ExitStack() as stack:
        lectern, request, places = _source(stack, arguments, names, make, SearchRequest, fields)
        reply = local.search(lectern, request)
        if arguments.json:
            print_json(reply.model_dump(mode="json"))
        else:
            terminal.show_hits(reply, place=places)
    return DONE if reply.hits else NOTHING


def _summarize(arguments: argparse.Namespace, make: "Make | None") -> int:
    from app import local
    from app.schemas import SummarizeRequest

    units = {unit: getattr(arguments, unit) for unit in ("sentences", "words", "ratio")}
    length = {unit: amount for unit, amount in units.items() if amount is not None} or None
    fields = {"length": length, "query": arguments.query, "format": arguments.format}
    request = validated(SummarizeRequest, fields)
    paths = local.files_under(map(Path, arguments.files))
    with terminal.progress("reading") as progress:
        reply, sources = local.summarize_files(paths, request, settings=settings_of(arguments), progress=progress)
    if arguments.json:
        print_json(reply.model_dump(mode="json"))
    else:
        texts = {source.version: (str(path), source.document) for path, source in zip(paths, sources, strict=True)}
        terminal.show_summary(reply, place=lambda citation: place(citation, *texts[citation.version]))
    return DONE if reply.sentences else NOTHING


def _ingest(arguments: argparse.Namespace, make: "Make | None") -> int:
    from app import local
    from app.errors import JobFailed
    from app.wiring import build

    paths = local.files_under(arguments.paths)
    counts = {"added": 0, "unchanged": 0, "refused": 0}
    with local.opened(settings_of(arguments), make=make or build) as lectern:
        for number, path in enumerate(paths, start=1):
            with terminal.progress(f"{number}/{len(paths)} {path.name}") as progress:
                try:
                    _, changed = local.add(lectern, path, collection=arguments.collection, progress=progress)
                    counts["added" if changed else "unchanged"] += 1
                except JobFailed as error:
                    terminal.note(f"{path}: {error}")
                    counts["refused"] += 1
    terminal.say(", ".join(f"{count} {what}" for what, count in counts.items()))
    return NOTHING if counts["refused"] else DONE


def _reindex(arguments: argparse.Namespace, make: "Make | None") -> int:
    from app import local
    from app.wiring import DEFAULT_TENANT, build

    with local.opened(settings_of(arguments), make=make or build) as lectern:
        lectern.indexes.reindex(DEFAULT_TENANT, arguments.collection)
    terminal.say("reindexed " + (f"collection {arguments.collection!r}" if arguments.collection else "everything"))
    return DONE


def _version(arguments: argparse.Namespace, make: "Make | None") -> int:
    terminal.say(f"lectern {importlib.metadata.version('lectern')}")
    return DONE


def _source(
    stack: ExitStack,
    arguments: argparse.Namespace,
    names: Sequence[Path],
    make: "Make | None",
    model: type[M],
    fields: dict[str, Any],
) -> "tuple[Lectern, M, _Places]":
    """The Lectern to ask, the request about its source, and where its documents are to be found.

    Files are added to a temporary Lectern, unless `--data` names a place to keep them.
    """
    from app import local
    from app.wiring import build

    settings = settings_of(arguments)
    if not names:
        request = validated(model, {**fields, "collection": arguments.collection})
        lectern = stack.enter_context(local.opened(settings, make=make or build))
        return lectern, request, _Places(lectern, {})
    paths = local.files_under(names)
    validated(model, {**fields, "collection": arguments.collection})  # before minutes of work are spent on the files
    keep = local.temporary if arguments.data is None else local.opened
    lectern = stack.enter_context(keep(settings, make=make or build))
    documents = _added(lectern, paths, names, collection=arguments.collection or "default")
    return lectern, validated(model, {**fields, "documents": list(documents)}), _Places(lectern, documents)


def _added(lectern: "Lectern", paths: Sequence[Path], names: Sequence[Path], *, collection: str) -> dict[str, str]:
    """The documents made of these files, by id, with their names as given.

    A file that was named must be readable; one that was met in a directory may be refused, with a note.
    """
    from app import local
    from app.errors import JobFailed

    documents: dict[str, str] = {}
    for number, path in enumerate(paths, start=1):
        with terminal.progress(f"{number}/{len(paths)} {path.name}") as progress:
            try:
                documents.setdefault(local.add(lectern, path, collection=collection, progress=progress)[0], str(path))
            except JobFailed as error:
                if path in names:
                    raise CommandError(f"{path}: {error}") from error
                terminal.note(f"{path}: {error}")
    if not documents:
        raise CommandError("none of the files could be read")
    return documents


def _split_words(words: Sequence[str]) -> tuple[list[Path], str]:
    """Files and, last, the question."""
    *names, question = words
    if Path(question).exists():
        raise CommandError(f"'{question}' is a file: the question comes last")
    return [Path(name) for name in names], question


class _Places:
    """Where a citation or a hit stands, for people: file or title, then page, line or section."""

    def __init__(self, lectern: "Lectern", names: dict[str, str]) -> None:
        self._lectern = lectern
        self._names = names

    def __call__(self, cited: "Citation | SearchHit") -> str:
        from app.wiring import DEFAULT_TENANT

        assert cited.document_id is not None  # noqa: S101 - the command line asks stored documents only
        document, parsed = self._lectern.store.parsed(DEFAULT_TENANT, cited.document_id, version=cited.version)
        return place(cited, self._names.get(cited.document_id, document.title), parsed)


def _port(value: str) -> int:
    port = int(value)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is not a port: use 0 to 65535")
    return port
