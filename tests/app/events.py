"""Reading server-sent events, as the HTML standard says, for tests."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Event:
    name: str
    data: Any
    id: str | None


def events(lines: Iterable[str]) -> Iterator[Event | str]:
    """Events as they come; comments as strings."""
    name, data, identifier = "message", [], None
    for line in lines:
        if line.startswith(":"):
            yield line
        elif line:
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                data.append(value)
            elif field == "id":
                identifier = value
        elif data:
            yield Event(name, json.loads("\n".join(data)), identifier)
            name, data = "message", []


def read(reply) -> list[Event]:
    """All events of a reply that is whole; comments are left out."""
    assert reply.headers["content-type"].startswith("text/event-stream")
    return [each for each in events(reply.text.split("\n")) if isinstance(each, Event)]
