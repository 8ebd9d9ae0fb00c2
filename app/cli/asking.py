"""`lectern ask`, `search` and `summarize`: of files, of the data directory, or of a running service."""

import argparse
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app import terminal
from app.cli.desks import desk_of, refuse
from app.cli.places import place
from app.cli.support import DONE, NOTHING, CommandError, service_of, settings_of, tell, validated

if TYPE_CHECKING:
    from app.local import Make
    from app.schemas import SummarizeRequest


def add_commands(command: Any, *parents: argparse.ArgumentParser) -> None:
    """Add them to the parser of `lectern`; `parents` bring `--data`, `--url`, `--key` and `--json`."""
    ask = command("ask", _ask, "answer a question from files, or without any from what is stored", *parents)
    _files_and_words(ask, "question", "files or directories, then the question")
    ask.add_argument("--top-k", metavar="N", type=int, default=8, help="passages to read (default: 8)")
    ask.add_argument("--alternatives", metavar="N", type=int, default=0, help="further answers to print")
    ask.add_argument("--target-error", metavar="SHARE", type=float, help="abstain above this chance of a wrong answer")

    search = command("search", _search, "find passages in files, or without any in what is stored", *parents)
    _files_and_words(search, "query", "files or directories, then the query")
    search.add_argument("--top-k", metavar="N", type=int, default=10, help="passages to print (default: 10)")
    search.add_argument("--mode", choices=("hybrid", "sparse", "dense"), default="hybrid")
    search.add_argument("--rerank", action="store_true", help="let the reader put the best 20 in order")

    summarize = command("summarize", _summarize, "summarize files together, or without any a collection", *parents)
    summarize.add_argument("files", metavar="FILE", nargs="*", help="files or directories")
    summarize.set_defaults(many="files")
    summarize.add_argument("--collection", metavar="NAME", help="what is stored there, where no files are named")
    length = summarize.add_mutually_exclusive_group()
    length.add_argument("--sentences", metavar="N", type=int, help="length in sentences")
    length.add_argument("--words", metavar="N", type=int, help="length in words")
    length.add_argument("--ratio", metavar="R", type=float, help="length as a share of the text")
    summarize.add_argument("--query", help="what the summary is to be about")
    summarize.add_argument("--format", choices=("paragraph", "bullets", "sections"), default="paragraph")
    summarize.add_argument(
        "--kind",
        choices=("auto", "prose", "dialogue", "code"),
        default="auto",
        help="what the text is to be taken for (default: auto, what it seems to be)",
    )


def _files_and_words(parser: argparse.ArgumentParser, words: str, help: str) -> None:
    parser.add_argument("words", metavar=f"FILE... {words}", nargs="+", help=help)
    parser.set_defaults(many="words")
    parser.add_argument("--collection", metavar="NAME", default=None, help="to look in, or to keep the files in")


def _ask(arguments: argparse.Namespace, make: "Make | None") -> int:
    from app.schemas import AskRequest

    names, question = _split_words(arguments.words)
    fields = {"top_k": arguments.top_k, "alternatives": arguments.alternatives, "target_error": arguments.target_error}
    request = validated(AskRequest, {**fields, "question": question, "collection": arguments.collection})
    with desk_of(arguments, names, make) as desk:
        answer = desk.ask(request)
        tell(arguments, answer, partial(terminal.show_answer, place=desk.place))
    return DONE if answer.answerable else NOTHING


def _search(arguments: argparse.Namespace, make: "Make | None") -> int:
    from app.schemas import SearchRequest

    names, query = _split_words(arguments.words)
    fields = {"query": query, "top_k": arguments.top_k, "mode": arguments.mode, "collection": arguments.collection}
    fields |= {"rerank": arguments.rerank or None}
    request = validated(SearchRequest, fields)
    with desk_of(arguments, names, make) as desk:
        found = desk.search(request)
        tell(arguments, found, partial(terminal.show_hits, place=desk.place))
    return DONE if found.hits else NOTHING


def _summarize(arguments: argparse.Namespace, make: "Make | None") -> int:
    from app.schemas import SummarizeRequest

    units = {unit: getattr(arguments, unit) for unit in ("sentences", "words", "ratio")}
    length = {unit: amount for unit, amount in units.items() if amount is not None} or None
    fields = {"length": length, "query": arguments.query, "format": arguments.format, "kind": arguments.kind}
    request = validated(SummarizeRequest, {**fields, "collection": arguments.collection})
    names = [Path(name) for name in arguments.files]
    if names and service_of(arguments) is None:
        return _summarize_files(arguments, names, request)
    with desk_of(arguments, names, make) as desk:
        with terminal.progress("reading") as progress:
            summary = desk.summarize(request, progress)
        tell(arguments, summary, partial(terminal.show_summary, place=desk.place))
    return DONE if summary.sentences else NOTHING


def _summarize_files(arguments: argparse.Namespace, names: Sequence[Path], request: "SummarizeRequest") -> int:
    """Files of this machine need no store for a summary."""
    from app import local
    from app.files import files_under
    from lectern import Summary

    paths = files_under(names)
    with terminal.progress("reading") as progress:
        reply, sources = local.summarize_files(
            paths,
            request,
            settings=settings_of(arguments),
            progress=progress,
            refused=lambda path, reason: refuse(path, reason, names),
        )
    summary = Summary.model_validate(reply.model_dump(mode="json"))
    texts = {source.version: (str(path), source.document) for path, source in sources.items()}
    tell(arguments, summary, partial(terminal.show_summary, place=lambda cited: place(cited, *texts[cited.version])))
    return DONE if summary.sentences else NOTHING


def _split_words(words: Sequence[str]) -> tuple[list[Path], str]:
    """Files and, last, the question."""
    *names, question = words
    if os.path.exists(question):  # noqa: PTH110 - Path's own fails on a question that is longer than a name can be
        raise CommandError(f"'{question}' is a file: the question comes last")
    return [Path(name) for name in names], question
