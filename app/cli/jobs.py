"""Look after jobs: list, show, wait for and cancel them, of the data directory or of a running service."""

import argparse
from typing import TYPE_CHECKING, Any

from app import terminal
from app.cli.shelves import shelf_of
from app.cli.support import DONE, FAILED, NOTHING, add_subcommand, print_json, tell

if TYPE_CHECKING:
    from app.local import Make
    from lectern import Job

ENDS = {"succeeded": DONE, "cancelled": NOTHING, "failed": FAILED}


def add_commands(commands: Any, *parents: argparse.ArgumentParser) -> None:
    """Add `list`, `show`, `wait` and `cancel` to the parsers of `lectern jobs`."""
    listed = add_subcommand(commands, "list", _list, "list jobs, oldest first", parents)
    listed.add_argument("--status", choices=("queued", "running", *ENDS), help="only those (default: all)")
    add_subcommand(commands, "show", _show, "show a job", parents).add_argument("id", metavar="ID")
    wait = add_subcommand(commands, "wait", _wait, "wait for a job; 0 it succeeded, 1 cancelled, 2 failed", parents)
    wait.add_argument("id", metavar="ID")
    add_subcommand(commands, "cancel", _cancel, "cancel a job", parents).add_argument("id", metavar="ID")


def _list(arguments: argparse.Namespace, make: "Make | None") -> int:
    with shelf_of(arguments, make) as shelf:
        found = [each for each in shelf.jobs() if arguments.status in (None, each.status)]
    if arguments.json:
        print_json({"jobs": [each.model_dump(mode="json") for each in found]})
        return DONE
    rows = [(each.id, each.kind, terminal.state(each.status), _progress(each), each.updated_at) for each in found]
    terminal.show_table(("id", "kind", "status", "progress", "updated"), rows)
    return DONE


def _show(arguments: argparse.Namespace, make: "Make | None") -> int:
    with shelf_of(arguments, make) as shelf:
        tell(arguments, shelf.job(arguments.id), _describe)
    return DONE


def _wait(arguments: argparse.Namespace, make: "Make | None") -> int:
    with shelf_of(arguments, make) as shelf, terminal.progress(arguments.id) as progress:
        job = shelf.wait(arguments.id, progress)
    tell(arguments, job, _describe)
    return ENDS.get(job.status, FAILED)


def _cancel(arguments: argparse.Namespace, make: "Make | None") -> int:
    with shelf_of(arguments, make) as shelf:
        tell(arguments, shelf.cancel(arguments.id), _describe)
    return DONE


def _describe(job: "Job") -> None:
    fields = {"id": job.id, "kind": job.kind, "status": terminal.state(job.status), "progress": _progress(job)}
    if job.problem is not None:
        fields["problem"] = f"{job.problem.get('detail', '')} ({job.problem.get('code', '')})"
    terminal.show_fields({**fields, "created": job.created_at, "updated": job.updated_at})


def _progress(job: "Job") -> str:
    done, total, unit = job.progress.done, job.progress.total, job.progress.unit
    return "-" if unit is None else f"{done:,} of {total:,} {unit}" if total is not None else f"{done:,} {unit}"
