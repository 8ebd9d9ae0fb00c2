"""Look after documents: list, show, read and delete them, in the data directory or in a running service."""

import argparse
from typing import TYPE_CHECKING, Any

from app import terminal
from app.cli.shelves import shelf_of
from app.cli.support import DONE, add_subcommand, print_json, tell

if TYPE_CHECKING:
    from app.local import Make
    from lectern import Document


def add_commands(commands: Any, *parents: argparse.ArgumentParser) -> None:
    """Add `list`, `show`, `text` and `delete` to the parsers of `lectern docs`."""
    listed = add_subcommand(commands, "list", _list, "list documents, oldest first", parents)
    listed.add_argument("--collection", metavar="NAME", help="only this one's (default: all)")
    shown = add_subcommand(commands, "show", _show, "show what is known of a document", parents)
    text = add_subcommand(commands, "text", _text, "print the text of a document, or a range of it", parents)
    text.add_argument("--start", metavar="N", type=int, default=0, help="first character, from 0")
    text.add_argument("--end", metavar="N", type=int, help="character after the last")
    text.add_argument("--version", metavar="V", help="an older version, as a citation names it")
    for parser in (shown, text):
        parser.add_argument("id", metavar="ID", help="of the document, as 'list' shows it")
    delete = add_subcommand(commands, "delete", _delete, "purge documents with all their versions", parents)
    delete.add_argument("ids", metavar="ID", nargs="+", help="of a document, as 'list' shows it")


def _list(arguments: argparse.Namespace, make: "Make | None") -> int:
    with shelf_of(arguments, make) as shelf:
        found = list(shelf.documents(arguments.collection))
    if arguments.json:
        print_json({"documents": [each.model_dump(mode="json") for each in found]})
        return DONE
    rows = [
        (each.id, terminal.state(each.status), f"{each.characters:,}", each.collection, terminal.one_line(each.title))
        for each in found
    ]
    terminal.show_table(("id", "status", "characters", "collection", "title"), rows)
    return DONE


def _show(arguments: argparse.Namespace, make: "Make | None") -> int:
    with shelf_of(arguments, make) as shelf:
        document = shelf.document(arguments.id)
    tell(arguments, document, _describe)
    return DONE


def _text(arguments: argparse.Namespace, make: "Make | None") -> int:
    with shelf_of(arguments, make) as shelf:
        found = shelf.text(arguments.id, start=arguments.start, end=arguments.end, version=arguments.version)
    tell(arguments, found, lambda part: terminal.write_text(part.text))
    return DONE


def _delete(arguments: argparse.Namespace, make: "Make | None") -> int:
    with shelf_of(arguments, make) as shelf:
        for document_id in arguments.ids:
            shelf.delete(document_id)
            if not arguments.json:
                terminal.say(f"{document_id} is deleted")
    if arguments.json:
        print_json({"deleted": arguments.ids})
    return DONE


def _describe(document: "Document") -> None:
    terminal.show_fields(
        {
            "id": document.id,
            "title": terminal.one_line(document.title),
            "status": terminal.state(document.status),
            "collection": document.collection,
            "version": document.version or "-",
            "type": terminal.one_line(document.media_type),
            "size": f"{document.characters:,} characters, {document.passages:,} passages"
            + (f", {document.pages:,} pages" if document.pages else ""),
            "added": document.created_at,
            **{
                terminal.one_line(f"metadata.{name}"): terminal.one_line(str(value))
                for name, value in sorted(document.metadata.items())
            },
            **{
                f"warning {number}": terminal.one_line(warning)
                for number, warning in enumerate(document.warnings, start=1)
            },
        }
    )
