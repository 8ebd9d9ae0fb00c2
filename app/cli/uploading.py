"""Files to a running service, several at once: each under an id made of where it stands, so that it is replaced when it
changes and left alone when it does not.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.files import read, text_of
from lectern import (
    AsyncClient,
    Document,
    Invalid,
    Limits,
    NoText,
    NotFound,
    TooLarge,
    Unreadable,
    Unsupported,
)
from retriever.errors import UnreadableFile

AT_ONCE = 4  # uploads under way together: they share the service's commits, and fill its workers
REFUSALS = (Invalid, Limits, NoText, TooLarge, Unreadable, Unsupported)  # of a file; others end it all
DIGEST = "sha256"  # the metadata that says which bytes a document was made of

Progress = Callable[[int, int | None, str], None]


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What became of a file: a document, new or `changed`; or None, and the `refusal` in one line."""

    path: Path
    document: Document | None
    changed: bool = False
    refusal: str = ""


def upload(
    paths: Sequence[Path], client: AsyncClient, *, collection: str, progress: Progress, at_once: int = AT_ONCE
) -> list[Taken]:
    """Upload files, a file that is refused alone, and say what became of each, in their order.

    The client is closed at the end. Raises LecternError.
    """

    async def all_of_them() -> list[Taken]:
        async with client:
            return await _uploaded(client, paths, collection=collection, progress=progress, at_once=at_once)

    return asyncio.run(all_of_them())  # which ends at once when it is interrupted, unlike threads


async def _uploaded(
    client: AsyncClient, paths: Sequence[Path], *, collection: str, progress: Progress, at_once: int
) -> list[Taken]:
    taken: dict[Path, Taken] = {}
    waiting = iter(paths)
    progress(0, len(paths), "files")

    async def work(left: Iterator[Path]) -> None:
        for path in left:
            taken[path] = await _one(client, path, collection=collection)
            progress(len(taken), len(paths), "files")

    tasks = [asyncio.create_task(work(waiting)) for _ in range(min(at_once, len(paths)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    return [taken[path] for path in paths]


async def _one(client: AsyncClient, path: Path, *, collection: str) -> Taken:
    place = text_of(path.resolve())
    document_id = "file-" + hashlib.sha256(f"{collection}\0{place}".encode()).hexdigest()[:24]
    try:
        data = await asyncio.to_thread(read, path)
    except UnreadableFile as error:
        return Taken(path=path, document=None, refusal=str(error))
    digest = hashlib.sha256(data).hexdigest()
    try:
        known = await client.documents.get(document_id)
        if known.status == "indexed" and known.metadata.get(DIGEST) == digest:
            return Taken(path=path, document=known)
    except NotFound:
        pass
    try:
        document = await client.documents.put(
            document_id,
            data=data,
            filename=text_of(Path(path.name)),
            collection=collection,
            metadata={"path": place, DIGEST: digest},
        )
    except REFUSALS as error:
        return Taken(path=path, document=None, refusal=error.detail)
    return Taken(path=path, document=document, changed=True)
