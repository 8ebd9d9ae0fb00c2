"""`lectern adapt`: teach a collection's retriever its documents, and take that back."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app import terminal
from app.cli_support import CommandError, print_json, settings_of, validated

if TYPE_CHECKING:
    from app.local import Make
    from app.schemas import AdaptResult, MeasuredInterval


def add_command(command: Any, *parents: argparse.ArgumentParser) -> None:
    """Add it to the parser of `lectern`; `command` is how it adds one, `parents` bring `--data` and `--json`."""
    adapt = command("adapt", _adapt, "teach a collection's retriever its documents, without labels", *parents)
    adapt.add_argument("--collection", metavar="NAME", default="default")
    adapt.add_argument("--budget-seconds", metavar="S", type=float, default=600.0, help="default: 600")
    adapt.add_argument("--questions", metavar="FILE", type=Path, help='lines of {"question", "answer", "document"}')
    adapt.add_argument("--mode", choices=("query", "full"), default="query")
    adapt.add_argument("--rollback", action="store_true", help="search by what was before the last promotion again")


def _adapt(arguments: argparse.Namespace, make: "Make | None") -> int:
    from app import local
    from app.schemas import AdaptRequest
    from app.wiring import DEFAULT_TENANT, build

    questions = None if arguments.questions is None else _questions(arguments.questions)
    fields = {"budget_seconds": arguments.budget_seconds, "mode": arguments.mode, "questions": questions}
    request = validated(AdaptRequest, fields)
    if request.mode == "full":
        raise CommandError("only query-side adaptation is offered: passages keep their vectors; leave out --mode")
    with local.opened(settings_of(arguments), make=make or build) as lectern:
        if arguments.rollback:
            rolled = lectern.adapting.rollback(DEFAULT_TENANT, arguments.collection)
            terminal.say(f"collection {rolled.collection!r} is searched by {rolled.retriever} again")
            return 0
        with terminal.progress("adapting") as progress:
            result = local.adapt(lectern, arguments.collection, request, progress=progress)
    if arguments.json:
        print_json(result.model_dump(mode="json"))
    else:
        _show(result)
    return 0 if result.promoted else 1


def _questions(path: Path) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise CommandError(f"'{path}', line {number}: not JSON") from error
    return rows


def _show(result: "AdaptResult") -> None:
    terminal.say(f"{'promoted' if result.promoted else 'not promoted'}: {result.reason}")
    for name, measure in (("nDCG@10", result.ndcg_at_10), ("recall@5", result.recall_at_5)):
        if measure is not None:
            before, after = measure.before, measure.after
            shown = f"{_interval(before)} -> {_interval(after)}, difference {_interval(measure.difference)}"
            terminal.say(f"  {name:9} {shown}")
    cost = f"{result.seconds:.0f} s, {result.peak_memory_mb:.0f} MB"
    terminal.say(f"  {result.questions.judged} questions judged, {cost}")


def _interval(interval: "MeasuredInterval") -> str:
    return f"{interval.mean:.1f} [{interval.low:.1f}, {interval.high:.1f}]"
