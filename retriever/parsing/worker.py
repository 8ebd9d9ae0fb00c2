"""A process that parses files for a service and can do nothing else: `python -m retriever.parsing.worker`.

It reads requests from its standard input and writes replies to its standard output. Before the first one it gives up
what parsing has no use for: opening files, sockets among them, starting processes, writing, and more memory than its
caps say. What still goes wrong ends the process, and `retriever.parsing.pool`, which started it, says what that means.
"""

import contextlib
import ctypes
import encodings
import gc
import importlib
import json
import math
import os
import pkgutil
import resource
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from retriever.errors import LimitExceeded
from retriever.parsing import Limits, parse, parse_text
from retriever.parsing.languages import LANGUAGES, grammar
from retriever.parsing.limits import Caps
from retriever.parsing.wire import LENGTHS, OUT_OF_MEMORY, REFUSALS, framed, parts_of

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)
_NO_NEW_PRIVILEGES = 38  # PR_SET_NO_NEW_PRIVS
_CODECS_OF_WINDOWS = ("mbcs", "oem")


def main() -> None:
    """The life of a worker; its only argument is JSON: the parent's process id, the limits and the caps."""
    told = json.loads(sys.argv[1])
    caps, limits = Caps(**told["caps"]), Limits(**told["limits"])
    _die_with(int(told["parent"]))
    source, target = os.dup(0), os.dup(1)
    for descriptor in (0, 1):  # what a library reads or prints there must not be taken for a part of a frame
        os.dup2(2, descriptor)
    _load_everything()
    _give_up(caps)
    _send(target, framed({"ready": True}))
    while (request := _received(source)) is not None:
        head, data = request
        _allow_seconds(caps.seconds)
        try:
            reply = _reply(head, data, limits)
        except MemoryError:
            os._exit(OUT_OF_MEMORY)
        _send(target, reply)
        del reply, data
        gc.collect()


def _reply(head: dict[str, Any], data: bytes, limits: Limits) -> list[bytes]:
    """The frame that answers a request: a document, a refusal or a defect."""
    try:
        if head["text"]:
            document = parse_text(data.decode("utf-8"), media_type=head["media_type"], limits=limits)
        else:
            document = parse(data, filename=head["filename"], media_type=head["media_type"], limits=limits)
        return list(parts_of(document))
    except tuple(REFUSALS.values()) as refusal:
        return framed({"refusal": type(refusal).__name__, "message": str(refusal)})
    except RecursionError:
        return framed({"refusal": LimitExceeded.__name__, "message": "the file nests too deeply"})
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - the service logs it, and answers for it
        passed = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
        places = [f"{code.co_filename}:{line} {code.co_name}" for code, line in passed]
        return framed({"defect": type(error).__qualname__, "at": places})


def _die_with(parent: int) -> None:
    """End at once when the service does, however it ends. Elsewhere than on Linux the closed pipe has to do."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if os.getppid() != parent:  # it ended before it could be told to the system
        os._exit(0)


def _load_everything() -> None:
    """Load what is otherwise loaded when it is first needed: later no file can be opened."""
    for language in LANGUAGES:
        grammar(language)
    for codec in pkgutil.iter_modules(encodings.__path__):
        if codec.name not in _CODECS_OF_WINDOWS:
            importlib.import_module(f"encodings.{codec.name}")
    for warm in (b"caf\xe9 und \xfcber", b"WEBVTT\n\n00:01.000 --> 00:02.000\nA word.\n", b"# A\n\nb: c", b"{}"):
        with contextlib.suppress(*REFUSALS.values()):
            parse(warm)
    gc.collect()
    gc.freeze()


def _give_up(caps: Caps) -> None:
    """Lower every limit that the system knows, for good; files that are open stay so."""
    size = _address_space()
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_NOFILE: 0,
        resource.RLIMIT_AS: size + caps.memory if size else resource.RLIM_INFINITY,
    }
    for limit, value in wanted.items():
        resource.setrlimit(limit, (value, value))


def _address_space() -> int:
    """The bytes of address space in use; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return 0
    return pages * resource.getpagesize()


def _allow_seconds(seconds: int) -> None:
    """Let the system end this process when it has taken so much more processor time."""
    used = math.ceil(time.process_time())
    resource.setrlimit(resource.RLIMIT_CPU, (used + seconds, resource.RLIM_INFINITY))


def _received(source: int) -> tuple[dict[str, Any], bytes] | None:
    """The next request; None where there is none any more."""
    lengths = _exactly(source, LENGTHS.size)
    if lengths is None:
        return None
    head_size, body_size = LENGTHS.unpack(lengths)
    head, body = _exactly(source, head_size), _exactly(source, body_size)
    return None if head is None or body is None else (json.loads(head), body)


def _exactly(source: int, size: int) -> bytes | None:
    parts: list[bytes] = []
    while size:
        part = os.read(source, min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _send(target: int, parts: list[bytes]) -> None:
    for part in parts:
        left = memoryview(part)
        while left:
            left = left[os.write(target, left) :]


if __name__ == "__main__":
    main()
