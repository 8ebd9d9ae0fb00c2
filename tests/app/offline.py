"""Everything that Lectern is for, inside a network namespace where only loopback is: `python -m tests.app.offline DIR`.

Prints what came of it as JSON. The service runs under strace, which writes what it asks of the network to DIR/trace.
"""

import fcntl
import json
import socket
import struct
import sys
from pathlib import Path

from tests.app.served import Server

TEXT = "The lighthouse of Gull Point was built in 1871. It has been automatic since 1924. The horn sounds in fog. " * 40
QUESTION = "When was the lighthouse built?"
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def raise_loopback() -> None:
    """A new namespace has its loopback interface down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack_from("16xh", fcntl.ioctl(any_socket, SIOCGIFFLAGS, asked))
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def strace(trace: Path) -> list[str]:
    """The command under which a process is watched; -D leaves it our own child."""
    calls = "connect,sendto,sendmsg,sendmmsg"
    return ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-e", f"trace={calls}", "-o", str(trace)]


def used(folder: Path) -> dict[str, object]:
    """Start the service with its models, add a document, ask, search and summarize it."""
    server = Server(folder / "data", module="app.main", under=strace(folder / "trace"))
    client = server.client
    added = client.post("/documents", json={"text": TEXT}, params={"wait": 300})
    asked = client.post("/ask", json={"question": QUESTION, "wait": 300})
    found = client.post("/search", json={"query": QUESTION})
    summary = client.post("/summarize", json={"length": {"sentences": 1}, "wait": 300})
    status = server.stop()
    return {
        "statuses": [reply.status_code for reply in (added, asked, found, summary)],
        "summary": summary.json()["summary"],
        "stopped": status,
    }


def beyond() -> bool:
    """Whether anything but loopback can be reached at all."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return False
    return True


if __name__ == "__main__":
    raise_loopback()
    sys.stdout.write(json.dumps({"beyond": beyond(), **used(Path(sys.argv[1]))}))
