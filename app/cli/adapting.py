"""`lectern adapt`: teach a collection's retriever its documents, and take that back."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from app import terminal
from app.cli.shelves import followed
from app.cli.support import (
    DONE,
    NOTHING,
    CommandError,
    client_of,
    print_json,
    service_of,
    settings_of,
    tell,
    validated,
)

if TYPE_CHECKING:
    from app.local import Make
    from app.schemas import AdaptRequest, RollbackReply
    from lectern import Adaptation, Rollback
    from lectern.options import AdaptOptions
    from lectern.replies import Interval


def add_command(command: Any, *parents: argparse.ArgumentParser) -> None:
    """Add it to the parser of `lectern`; `parents` bring `--data`, `--url`, `--key` and `--json`."""
    adapt = command("adapt", _adapt, "teach a collection's retriever its documents, without labels", *parents)
    adapt.add_argument("--collection", metavar="NAME", default="default")
    adapt.add_argument("--budget-seconds", metavar="S", type=float, default=600.0, help="default: 600")
    adapt.add_argument("--questions", metavar="FILE", type=Path, help='lines of {"question", "answer", "document"}')
    adapt.add_argument("--mode", choices=("query", "full"), default="query", help="full: also train the encoder")
    adapt.add_argument("--rollback", action="store_true", help="search by what was before the last promotion again")


def _adapt(arguments: argparse.Namespace, make: "Make | None") -> int:
    from app.schemas import AdaptRequest

    questions = None if arguments.questions is None else _questions(arguments.questions)
    fields = {"budget_seconds": arguments.budget_seconds, "mode": arguments.mode, "questions": questions}
    request = validated(AdaptRequest, fields)
    if arguments.rollback:
        return _roll_back(arguments, make)
    url = service_of(arguments)
    result = _adapted(arguments, request, make) if url is None else _asked(arguments, request, url)
    tell(arguments, result, _show)
    return DONE if result.promoted else NOTHING


def _roll_back(arguments: argparse.Namespace, make: "Make | None") -> int:
    url = service_of(arguments)
    rolled: Rollback | RollbackReply
    if url is not None:
        with client_of(arguments, url) as client:
            rolled = client.collections.rollback(arguments.collection)
    else:
        from app import local
        from app.wiring import DEFAULT_TENANT, build

        with local.opened(settings_of(arguments), make=make or build) as lectern:
            rolled = lectern.adapting.rollback(DEFAULT_TENANT, arguments.collection)
    if arguments.json:
        print_json(rolled.model_dump(mode="json"))
    else:
        terminal.say(f"collection {rolled.collection!r} is searched by {rolled.retriever} again")
    return DONE


def _adapted(arguments: argparse.Namespace, request: "AdaptRequest", make: "Make | None") -> "Adaptation":
    """On the store of this machine."""
    from app import local
    from app.wiring import build
    from lectern import Adaptation

    opened = local.opened(settings_of(arguments), make=make or build)
    with opened as lectern, terminal.progress("adapting") as progress:
        result = local.adapt(lectern, arguments.collection, request, progress=progress)
    return Adaptation.model_validate(result.model_dump(mode="json"))


def _asked(arguments: argparse.Namespace, request: "AdaptRequest", url: str) -> "Adaptation":
    """In a running service."""
    from lectern import Adaptation

    options = cast("AdaptOptions", request.model_dump(mode="json", exclude_unset=True))
    with client_of(arguments, url) as client:
        job = client.jobs.adapt(arguments.collection, **options)
        with terminal.progress("adapting") as progress:
            followed(client, job.id, progress)
        return Adaptation.model_validate(client.jobs.result(job.id))


def _questions(path: Path) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):  # a string may hold other line ends
        try:
            rows += [json.loads(line)] if line.strip() else []
        except ValueError as error:
            raise CommandError(f"'{path}', line {number}: not JSON in UTF-8") from error
    return rows


def _show(result: "Adaptation") -> None:
    terminal.say(f"{'promoted' if result.promoted else 'not promoted'}: {result.reason}")
    for name, measure in (("nDCG@10", result.ndcg_at_10), ("recall@5", result.recall_at_5)):
        if measure is not None:
            before, after = measure.before, measure.after
            shown = f"{_interval(before)} -> {_interval(after)}, difference {_interval(measure.difference)}"
            terminal.say(f"  {name:9} {shown}")
    cost = f"{result.seconds:.0f} s, {result.peak_memory_mb:.0f} MB"
    terminal.say(f"  {result.questions.judged} questions judged, {cost}")


def _interval(interval: "Interval") -> str:
    return f"{interval.mean:.1f} [{interval.low:.1f}, {interval.high:.1f}]"
