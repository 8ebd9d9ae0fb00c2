"""The errors of the retriever, one tree:

RetrieverError
├── ParsingError
│   ├── UnsupportedFormat     the format is not supported, or the content is not what it claims
│   ├── UnreadableFile        broken or encrypted
│   ├── NoText                nothing to index in it, such as a scanned PDF
│   └── LimitExceeded         past a limit of size, nesting, pages, time or memory
├── ParserFailed              a parser raised what it never should: a defect of ours
├── ParsersClosed             the processes that parse have been ended: nothing is parsed any more
├── NotFound                  no such document, collection, version or job for this tenant
├── PreconditionFailed        If-Match named another version than the current one
├── Conflict                  a concurrent change got there first
│   └── Outdated              a revision lacks vectors that its collection is searched by since: make them
├── KeyReused                 a sender's key came with something else than before
├── OverQuota                 a tenant has as much as it may have
├── StoreError
│   ├── StoreUnavailable      the store cannot be reached
│   │   └── StoreCorrupt      its file is damaged, or is no store: restore a backup
│   ├── StorageFull           no space left; nothing was half-written
│   ├── StoreOlder            the schema was written by an older Lectern, and must not be changed now
│   ├── StoreNewer            the schema was written by a newer Lectern
│   └── BackupBroken          a backup is not whole, or is none
└── IndexCorrupt              an index file fails its checksum; it is rebuilt from the store
"""

from collections.abc import Sequence


class RetrieverError(Exception):
    """The root: catch this to catch everything that the retriever raises on purpose."""


class ParsingError(RetrieverError):
    """A file could not be made into a document."""


class UnsupportedFormat(ParsingError):
    """The format is not supported, or the content is not what its name or media type claims."""


class UnreadableFile(ParsingError):
    """The file is of a supported format but broken or encrypted."""


class NoText(ParsingError):
    """The file was read and holds no text, such as a PDF of scanned pages."""


class LimitExceeded(ParsingError):
    """Parsing went past a limit: size, nesting, pages, time or memory."""


class ParserFailed(RetrieverError):
    """A parser raised what it never should, in a process of its own: `kind` is the error's, `places` what it passed."""

    def __init__(self, kind: str, *, places: Sequence[str] = ()) -> None:
        super().__init__(f"{kind} at {places[-1] if places else 'no place'}")
        self.kind = kind
        self.places = tuple(places)


class ParsersClosed(RetrieverError):
    """The processes that parse have been ended, as the service stops."""


class NotFound(RetrieverError):
    """No such document, collection, version or job for this tenant."""


class PreconditionFailed(RetrieverError):
    """The caller named a version that is not the current one."""


class Conflict(RetrieverError):
    """A concurrent change got there first; nothing was written."""


class Outdated(Conflict):
    """A revision was made for what its collection had learned before: give it vectors for that, and publish it then."""


class KeyReused(RetrieverError):
    """A key that names one upload or job was sent again with something else; nothing was done."""


class OverQuota(RetrieverError):
    """The tenant has as many documents, bytes or waiting jobs as it may; it could try again in `retry_after` s."""

    def __init__(self, message: str, *, retry_after: int = 3_600) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StoreError(RetrieverError):
    """The system of record could not do what was asked."""


class StoreUnavailable(StoreError):
    """The store cannot be reached or stays locked."""


class StoreCorrupt(StoreUnavailable):
    """The store's file is damaged, or is none of ours; it cannot be rebuilt from anything but a backup."""


class StorageFull(StoreError):
    """No space is left; nothing was half-written."""


class StoreOlder(StoreError):
    """The store has an older schema and was not to be migrated: a service may be using it."""


class StoreNewer(StoreError):
    """The schema was written by a newer Lectern than this one."""


class BackupBroken(StoreError):
    """A backup is not as it was written, was cut short, or is none; nothing was changed."""


class IndexCorrupt(RetrieverError):
    """An index file fails its checksum or cannot be opened; it can be rebuilt from the store."""
