"""Hand out API keys: make, list and revoke them, while the service runs too."""

import argparse
import dataclasses
from typing import TYPE_CHECKING, Any

from app import terminal
from app.cli.support import add_subcommand, print_json, store_of

if TYPE_CHECKING:
    from app.local import Make
    from retriever.store import Key

LIMITS = {"requests_per_minute": "requests a minute", "documents": "documents", "bytes": "bytes of documents"}


def add_commands(commands: Any, *parents: argparse.ArgumentParser) -> None:
    """Add `create`, `list` and `revoke` to the parsers of `lectern keys`."""
    create = add_subcommand(commands, "create", _create, "make a key and show it, this once", parents)
    create.add_argument("name", metavar="NAME", nargs="?", default="", help="what it is for, to know it again")
    create.add_argument(
        "--tenant", metavar="T", default="default", help="whose documents it reaches (default: default)"
    )
    create.add_argument(
        "--scopes", metavar="A,B", default="read,write", help="of read, write, admin (default: read,write)"
    )
    create.add_argument("--expires", metavar="WHEN", help="days, as 90d, or a date; by default never")
    for limit, what in LIMITS.items():
        option = "--" + limit.replace("_", "-")
        create.add_argument(option, metavar="N", type=int, help=f"its own limit of {what} (default: the service's)")
    add_subcommand(commands, "list", _list, "show all keys, without their secrets", parents)
    revoke = add_subcommand(commands, "revoke", _revoke, "end a key, within a second", parents)
    revoke.add_argument("id", metavar="ID", help="of the key, as 'list' shows it")


def _create(arguments: argparse.Namespace, make: "Make | None") -> int:
    from app.keys import Terms, mint

    terms = Terms(
        tenant=arguments.tenant,
        name=arguments.name,
        scopes=[scope.strip() for scope in arguments.scopes.split(",")],
        expires=arguments.expires,
        **{limit: getattr(arguments, limit) for limit in LIMITS},
    )
    minted = mint(terms)
    with store_of(arguments) as store:
        first = not store.has_keys()
        store.add_key(minted.key)
    if arguments.json:
        print_json({**_shown(minted.key), "key": minted.secret})
        return 0
    terminal.say(minted.secret)
    terminal.note(f"key {minted.key.id} of tenant '{minted.key.tenant}'; it is not shown again")
    if first:
        terminal.note("from now on every request needs a key, also after the last one is revoked")
    return 0


def _list(arguments: argparse.Namespace, make: "Make | None") -> int:
    with store_of(arguments) as store:
        found = store.keys()
    if arguments.json:
        print_json([_shown(key) for key in found])
        return 0
    for key in found:
        limits = [f"{getattr(key, limit)} {what}" for limit, what in LIMITS.items() if getattr(key, limit) is not None]
        parts = [key.id, key.tenant, ",".join(key.scopes), _state(key), *limits, terminal.one_line(key.name)]
        terminal.say("  ".join(part for part in parts if part))
    return 0


def _revoke(arguments: argparse.Namespace, make: "Make | None") -> int:
    with store_of(arguments) as store:
        key = store.revoke_key(arguments.id)
    if arguments.json:
        print_json(_shown(key))
    else:
        terminal.say(f"{key.id} is {_state(key)}")
    return 0


def _shown(key: "Key") -> dict[str, Any]:
    """A key for others to see: without the hash of its secret."""
    shown = {name: value for name, value in dataclasses.asdict(key).items() if name != "digest"}
    return {**shown, "scopes": list(key.scopes), "works": key.works}


def _state(key: "Key") -> str:
    if key.revoked_at is not None:
        return f"revoked {key.revoked_at[:19]}Z"
    if key.expires_at is None:
        return "never expires"
    return f"{'expires' if key.works else 'expired'} {key.expires_at[:19]}Z"
