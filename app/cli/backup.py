"""`lectern backup` and `lectern restore`: the whole store in one file, and back; neither loads a model."""

import argparse
import dataclasses
import importlib.metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app import terminal
from app.cli.support import CommandError, print_json, settings_of

if TYPE_CHECKING:
    from app.local import Make
    from retriever.store.backup import Manifest


def add_commands(command: Any, *parents: argparse.ArgumentParser) -> None:
    """Add both to the parser of `lectern`; `command` is how it adds one, `parents` bring `--data` and `--json`."""
    backup = command("backup", _backup, "write all that is kept to a file, also while the service runs", *parents)
    backup.add_argument("file", metavar="FILE", type=Path, help="the backup to write")
    restore = command(
        "restore", _restore, "put a backup into an empty data directory, once it has proved whole", *parents
    )
    restore.add_argument("file", metavar="FILE", type=Path, help="the backup to read")
    restore.add_argument("--replace", action="store_true", help="also where there is a store, which is kept aside")
    restore.add_argument("--check", action="store_true", help="only say whether the backup is whole")


def _backup(arguments: argparse.Namespace, make: "Make | None") -> int:
    from retriever.store.backup import back_up

    store, folder = _store(arguments), arguments.file.resolve().parent
    if folder == store.resolve().parent or folder.is_relative_to(settings_of(arguments).data_dir.resolve()):
        raise CommandError(f"'{arguments.file}' is in the data directory and would be lost with it: name another place")
    if not folder.is_dir():
        raise CommandError(f"there is no folder '{folder}'")
    version = importlib.metadata.version("lectern")
    manifest = back_up(store, arguments.file, made_by=f"lectern {version}")
    _report(arguments, manifest, f"'{arguments.file}': {_told(manifest)}")
    return 0


def _restore(arguments: argparse.Namespace, make: "Make | None") -> int:
    from retriever.store.backup import restore, verify

    if arguments.check:
        manifest = verify(arguments.file)
        _report(arguments, manifest, f"'{arguments.file}' is whole: {_told(manifest)}")
        return 0
    store = _store(arguments)
    manifest = restore(arguments.file, store, replace=arguments.replace)
    told = f"'{store.parent}' now has {_told(manifest)}; the indexes are built at the next start"
    _report(arguments, manifest, told)
    return 0


def _store(arguments: argparse.Namespace) -> Path:
    from retriever.store.backup import store_file

    try:
        return store_file(settings_of(arguments).store_url)
    except ValueError as error:
        raise CommandError(str(error)) from error


def _report(arguments: argparse.Namespace, manifest: "Manifest", told: str) -> None:
    if arguments.json:
        print_json(dataclasses.asdict(manifest))
    else:
        terminal.say(told)


def _told(manifest: "Manifest") -> str:
    count = manifest.rows
    return (
        f"{count['documents']} documents, {count['passages']} passages, {manifest.size / 1e6:.1f} MB, "
        f"of {manifest.created_at}"
    )
