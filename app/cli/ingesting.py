"""`lectern ingest`: files into the data directory, or into a running service."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app import terminal
from app.cli.support import DONE, NOTHING, CommandError, async_client_of, print_json, service_of, settings_of, validated

if TYPE_CHECKING:
    from app.cli.uploading import Taken
    from app.local import Make


def add_command(command: Any, *parents: argparse.ArgumentParser) -> None:
    """Add it to the parser of `lectern`; `parents` bring `--data`, `--url`, `--key` and `--json`."""
    ingest = command("ingest", _ingest, "add files to the data directory, or to a running service", *parents)
    ingest.add_argument("paths", metavar="DIR", nargs="+", type=Path, help="directories or files")
    ingest.add_argument("--collection", metavar="NAME", default="default")
    ingest.add_argument("--at-once", metavar="N", type=int, default=4, help="uploads to a service (default: 4)")


def _ingest(arguments: argparse.Namespace, make: "Make | None") -> int:
    from app.files import files_under
    from app.schemas import DocumentFields

    if arguments.at_once < 1:
        raise CommandError(f"--at-once {arguments.at_once}: at least 1")
    validated(DocumentFields, {"collection": arguments.collection})
    paths, url = files_under(arguments.paths), service_of(arguments)
    taken = _stored(arguments, paths, make) if url is None else _sent(arguments, paths, url)
    refused = [each for each in taken if each.document is None]
    counts = {
        "added": sum(each.changed for each in taken),
        "unchanged": sum(each.document is not None and not each.changed for each in taken),
        "refused": len(refused),
    }
    for each in refused:
        terminal.note(f"{each.path}: {each.refusal}")
    if arguments.json:
        print_json({**counts, "refusals": [{"path": str(each.path), "detail": each.refusal} for each in refused]})
    else:
        terminal.say(", ".join(f"{count} {what}" for what, count in counts.items()))
    return NOTHING if refused else DONE


def _sent(arguments: argparse.Namespace, paths: Sequence[Path], url: str) -> "list[Taken]":
    from app.cli.uploading import upload

    with terminal.progress("uploading") as progress:
        client = async_client_of(arguments, url)
        return upload(paths, client, collection=arguments.collection, progress=progress, at_once=arguments.at_once)


def _stored(arguments: argparse.Namespace, paths: Sequence[Path], make: "Make | None") -> "list[Taken]":
    from app import local
    from app.cli.shelves import document_of
    from app.cli.support import TENANT
    from app.cli.uploading import Taken
    from app.errors import JobFailed
    from app.wiring import build
    from retriever.errors import UnreadableFile

    taken = []
    with local.opened(settings_of(arguments), make=make or build) as lectern:
        for number, path in enumerate(paths, start=1):
            with terminal.progress(f"{number}/{len(paths)} {path.name}") as progress:
                try:
                    found, changed = local.add(lectern, path, collection=arguments.collection, progress=progress)
                    document = document_of(lectern.store.document(TENANT, found))
                    taken.append(Taken(path=path, document=document, changed=changed))
                except (JobFailed, UnreadableFile) as error:
                    taken.append(Taken(path=path, document=None, refusal=str(error)))
    return taken
