"""Measure answers, retrieval and summaries on your own data, in this process and on a temporary data directory."""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app import terminal
from app.cli.support import CommandError, print_json, settings_of

if TYPE_CHECKING:
    from app.evaluation import ProgressLine
    from app.local import Make
    from app.wiring import Lectern


def add_commands(commands: Any) -> None:
    """Add `qa`, `retrieval`, `summaries` and `perplexity` to the parsers of `lectern eval`."""
    qa = _command(commands, "qa", _qa, "exact match, F1 and abstention on a set in SQuAD's format")
    qa.add_argument("--set", metavar="FILE", type=Path, required=True, help="SQuAD 1.1 or 2.0 format")
    qa.add_argument(
        "--unit",
        choices=("paragraph", "article", "collection"),
        default="article",
        help="what a question is asked of: its paragraph as inline text, its article as one document, or all articles",
    )
    qa.add_argument("--top-k", metavar="N", type=int, default=8, help="passages to read (default: 8)")
    qa.add_argument(
        "--read",
        choices=("passages", "document"),
        default="passages",
        help="what is read: passages that are found, or the whole document where it is not too long for that",
    )
    qa.add_argument("--records", metavar="FILE", type=Path, help="write a line of JSON for each question")

    retrieval = _command(commands, "retrieval", _retrieval, "nDCG, recall and MRR on a collection in BEIR's format")
    for name in ("corpus", "queries", "qrels"):
        retrieval.add_argument(f"--{name}", metavar="FILE", type=Path, required=True)
    retrieval.add_argument(
        "--searches",
        metavar="A,B",
        type=lambda value: value.split(","),
        help="of sparse, dense, hybrid (default: these), plain, rank_fusion, linear, reranked",
    )

    summaries = _command(commands, "summaries", _summaries, "ROUGE and BLEU beside baselines, on rows of JSON")
    summaries.add_argument(
        "--set", metavar="FILE", type=Path, required=True, help="rows of id, text, references, words"
    )
    summaries.add_argument("--systems", metavar="A,B", type=lambda value: value.split(","), help="default: all")
    summaries.add_argument("--cap", metavar="SECONDS", type=float, default=60.0, help="for one document of a baseline")
    summaries.add_argument("--oracle", action="store_true", help="measure the best possible extract too")

    perplexity = _command(commands, "perplexity", _perplexity, "what a longer memory is worth to the language model")
    perplexity.add_argument(
        "--set", metavar="FILE", type=Path, nargs="+", required=True, help="text files, or folders of .txt; a set each"
    )
    perplexity.add_argument(
        "--mem",
        metavar="N,M",
        type=lambda value: [int(number) for number in value.split(",")],
        default=[0, 64, 256, 640],
        help="lengths of the memory in word pieces (default: 0,64,256,640)",
    )
    perplexity.add_argument("--plot", metavar="FILE", type=Path, help="draw perplexity over memory into this PNG")


def _command(commands: Any, name: str, run: Callable[..., int], help: str) -> argparse.ArgumentParser:
    added: argparse.ArgumentParser = commands.add_parser(name, help=help, description=help)
    added.add_argument("--limit", metavar="N", type=int, help="a random sample of this many")
    added.add_argument("--seed", metavar="S", type=int, default=13, help="of the sample (default: 13)")
    added.add_argument("--json", metavar="OUT", help="write the measures to this file; - is standard output")
    added.set_defaults(run=run)
    return added


def _qa(arguments: argparse.Namespace, make: "Make | None") -> int:
    from app.evaluation import evaluate_qa

    with _lectern(arguments, make) as (lectern, progress):
        measures = evaluate_qa(
            lectern,
            arguments.set,
            unit=arguments.unit,
            limit=arguments.limit,
            seed=arguments.seed,
            top_k=arguments.top_k,
            read=arguments.read,
            records=arguments.records,
            progress=progress,
        )
    return _report(arguments, measures.as_dict())


def _retrieval(arguments: argparse.Namespace, make: "Make | None") -> int:
    from app.evaluation import evaluate_retrieval
    from app.evaluation.retrieval import USUAL

    with _lectern(arguments, make) as (lectern, progress):
        measures = evaluate_retrieval(
            lectern,
            corpus=arguments.corpus,
            queries=arguments.queries,
            qrels=arguments.qrels,
            searches=arguments.searches or USUAL,
            limit=arguments.limit,
            seed=arguments.seed,
            progress=progress,
        )
    return _report(arguments, {search: measured.as_dict() for search, measured in measures.items()})


def _summaries(arguments: argparse.Namespace, make: "Make | None") -> int:
    from app.evaluation import evaluate_summaries

    with _lectern(arguments, make) as (lectern, progress):
        measures = evaluate_summaries(
            lectern,
            arguments.set,
            systems=arguments.systems,
            limit=arguments.limit,
            seed=arguments.seed,
            cap_seconds=arguments.cap,
            oracle=arguments.oracle,
            progress=progress,
        )
    return _report(arguments, {system: measured.as_dict() for system, measured in measures.items()})


def _perplexity(arguments: argparse.Namespace, make: "Make | None") -> int:
    from app.evaluation.perplexity import evaluate_perplexity, plot_perplexity
    from model.language_model import load_language_model

    with _progress() as progress:
        model = load_language_model()
        measured = {
            path.stem: evaluate_perplexity(
                model, path, memories=arguments.mem, limit=arguments.limit, seed=arguments.seed, progress=progress
            )
            for path in arguments.set
        }
        if arguments.plot:
            plot_perplexity(measured, arguments.plot)
    rows = {name: {str(memory): one.as_dict() for memory, one in row.items()} for name, row in measured.items()}
    return _report(arguments, rows if len(rows) > 1 else next(iter(rows.values())))


@contextmanager
def _lectern(arguments: argparse.Namespace, make: "Make | None") -> "Iterator[tuple[Lectern, ProgressLine]]":
    from app import local
    from app.wiring import build

    with _progress() as progress, local.temporary(settings_of(arguments), make=make or build) as lectern:
        yield lectern, progress


@contextmanager
def _progress() -> "Iterator[ProgressLine]":
    """How far it is, on standard error; packages that only measuring needs are named where they are missing."""
    from app.evaluation import ProgressLine

    progress = ProgressLine(sys.stderr)
    try:
        yield progress
    except ModuleNotFoundError as error:
        raise CommandError(f"{error.name} is not installed: pip install 'lectern[eval]'") from error
    finally:
        progress.close()


def _report(arguments: argparse.Namespace, measures: Mapping[str, Any]) -> int:
    from app.evaluation import write_json

    if arguments.json == "-":
        print_json(measures)
    else:
        terminal.show_measures(measures)
    if arguments.json not in (None, "-"):
        write_json(Path(arguments.json), measures)
    return 0
