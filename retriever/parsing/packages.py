"""Office packages: zips of XML, opened without trusting what they say about themselves."""

import io
import zipfile
import zlib
from collections.abc import Iterator
from types import TracebackType

from lxml import etree

from retriever.errors import LimitExceeded, UnreadableFile
from retriever.parsing.limits import Limits

_RATIO_FROM = 1_000_000  # small members may be packed as tightly as they like
_STEP = 1 << 16
_ENTITIES = "the package declares XML entities, which office files never do"


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

    def xml(self, name: str) -> etree._Element:
        """A member's XML, without entities, DTDs or network. Raises UnreadableFile, LimitExceeded."""
        # huge_tree stays off: libxml2 then refuses nesting past 256 and a text past 10 MB.
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
        try:
            root = etree.fromstring(self.read(name), parser)
        except etree.XMLSyntaxError as error:
            reason = str(error).lower()
            if "entit" in reason or "amplification" in reason:
                raise LimitExceeded(_ENTITIES) from error
            if "depth" in reason or "huge" in reason:
                raise LimitExceeded("the package's XML nests too deeply or is too large") from error
            raise UnreadableFile("the package holds broken XML") from error
        if root.getroottree().docinfo.internalDTD is not None:
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
