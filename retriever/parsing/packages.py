"""Office packages and books: zips of XML, opened without trusting what they say about themselves."""

import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from html.entities import html5
from types import TracebackType

from lxml import etree

from retriever.errors import LimitExceeded, UnreadableFile
from retriever.parsing.limits import Limits

_RATIO_FROM = 1_000_000  # small members may be packed as tightly as they like
_STEP = 1 << 16
_ENTITIES = "the package declares XML entities, which no document needs"
_ENTITY = re.compile(rb"&([A-Za-z][A-Za-z0-9]{1,31};)")
_OF_XML = frozenset(["amp;", "lt;", "gt;", "quot;", "apos;"])


def _numbered(match: re.Match[bytes]) -> bytes:
    """An entity that HTML knows and XML does not, by its numbers."""
    name = match.group(1).decode("ascii")
    characters = html5.get(name) if name not in _OF_XML else None
    return "".join(f"&#{ord(each)};" for each in characters).encode("ascii") if characters else match.group()


class Package:
    """A zip whose members are read one at a time, each counted against the limits as it expands."""

    def __init__(self, data: bytes, *, limits: Limits) -> None:
        self._limits = limits
        self._expanded = 0
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, zlib.error, ValueError, OSError, NotImplementedError) as error:
            raise UnreadableFile("the file is a broken zip package") from error
        self.names = frozenset(self._zip.namelist())
        declared = sum(member.file_size for member in self._zip.infolist())
        if declared > limits.expanded_bytes:
            raise LimitExceeded(f"the package expands to more than {limits.expanded_bytes:,} bytes")

    def __enter__(self) -> "Package":  # noqa: D105
        return self

    def __exit__(  # noqa: D105
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()

    def read(self, name: str) -> bytes:
        """A member's bytes. Raises UnreadableFile where it is missing, encrypted or broken, LimitExceeded."""
        return b"".join(self._steps(name))

    def xml(self, name: str, *, doctype: bool = False) -> etree._Element:
        """A member's XML, without entities, DTDs or network. Raises UnreadableFile, LimitExceeded.

        With `doctype` the XML may name a document type, as books do, and use the entities of HTML; the type is not
        fetched, and declared entities stay refused.
        """
        # huge_tree stays off: libxml2 then refuses nesting past 256 and a text past 10 MB.
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
        try:
            data = self.read(name)
            root = etree.fromstring(_ENTITY.sub(_numbered, data) if doctype else data, parser)
        except etree.XMLSyntaxError as error:
            reason = str(error).lower()
            if "entit" in reason or "amplification" in reason:
                raise LimitExceeded(_ENTITIES) from error
            if "depth" in reason or "huge" in reason:
                raise LimitExceeded("the package's XML nests too deeply or is too large") from error
            raise UnreadableFile("the package holds broken XML") from error
        declared = root.getroottree().docinfo.internalDTD
        if declared is not None and not (doctype and not any(True for _ in declared.iterentities())):
            raise LimitExceeded(_ENTITIES)
        return root

    def _steps(self, name: str) -> Iterator[bytes]:
        try:
            member = self._zip.getinfo(name)
            if member.flag_bits & 1:
                raise UnreadableFile("the package is encrypted")
            size = 0
            with self._zip.open(member) as stream:
                while step := stream.read(_STEP):
                    size += len(step)
                    self._expanded += len(step)
                    if self._expanded > self._limits.expanded_bytes:
                        raise LimitExceeded(f"the package expands to more than {self._limits.expanded_bytes:,} bytes")
                    if size > _RATIO_FROM and size > self._limits.ratio * max(1, member.compress_size):
                        raise LimitExceeded(f"a part of the package expands more than {self._limits.ratio} times")
                    yield step
        except KeyError as error:
            raise UnreadableFile(f"the package lacks {name}") from error
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ValueError) as error:
            raise UnreadableFile("the package is broken") from error
