"""Writes small PDF files: lines of Helvetica on pages, with bookmarks, a title, and encryption where asked."""

import hashlib
from collections.abc import Sequence

Placed = tuple[int, int, str]
LEADING = 14
SIZE = 12
_PADDING = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")


def pdf(
    pages: Sequence[Sequence[str] | Sequence[Placed]],
    *,
    title: str | None = None,
    outline: Sequence[tuple[int, str, int]] = (),
    password: bytes | None = None,
) -> bytes:
    """A PDF file. A page is its lines, an empty one is a gap; `# ` before a line sets it large. Or it is texts (x, y,
    text) in points, written in their order.

    `outline` has rows of (level from 1, title, page from 0).
    """
    objects: list[bytes] = [b"", b"", b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    key = _file_key(password) if password is not None else None
    kids = []
    for lines in pages:
        content = _content(lines)
        number = len(objects) + 1
        if key is not None:
            content = _rc4(_object_key(key, number), content)
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % number
        )
        kids.append(number + 1)
    objects[1] = b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(kids), b" ".join(b"%d 0 R" % kid for kid in kids))
    root = _outline(objects, outline, kids) if outline else None
    objects[0] = b"<< /Type /Catalog /Pages 2 0 R %s>>" % (b"/Outlines %d 0 R " % root if root else b"")
    trailer = b"/Root 1 0 R"
    if title is not None:
        objects.append(b"<< /Title (%s) >>" % title.encode("latin-1"))
        trailer += b" /Info %d 0 R" % len(objects)
    if password is not None:
        objects.append(_encryption(password))
        trailer += b" /ID [<00> <00>] /Encrypt %d 0 R" % len(objects)
    return _file(objects, trailer)


def _content(lines: Sequence[str] | Sequence[Placed]) -> bytes:
    out = [b"BT"]
    y = 780
    for line in lines:
        if not isinstance(line, str):
            x, at, words = line
            text = words.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
            out.append(b"/F1 10 Tf 1 0 0 1 %d %d Tm (%s) Tj" % (x, at, text.encode("cp1252")))
            continue
        size = 20 if line.startswith("# ") else SIZE
        text = line.removeprefix("# ").replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
        if line:
            out.append(b"/F1 %d Tf 1 0 0 1 72 %d Tm (%s) Tj" % (size, y, text.encode("cp1252")))
        y -= LEADING if size == SIZE else 30
    return b"\n".join([*out, b"ET"])


def _outline(objects: list[bytes], rows: Sequence[tuple[int, str, int]], kids: Sequence[int]) -> int:
    root = len(objects) + 1
    numbers = [root + 1 + place for place in range(len(rows))]
    parents: list[int] = []
    for place, (level, _, _) in enumerate(rows):
        above = [number for number, row in zip(numbers[:place], rows, strict=False) if row[0] == level - 1]
        parents.append(above[-1] if level > 1 else root)
    objects.append(b"<< /Type /Outlines %s>>" % _ends(root, parents, numbers))
    for number, parent, (_, title, page) in zip(numbers, parents, rows, strict=True):
        siblings = [other for other, above in zip(numbers, parents, strict=True) if above == parent]
        following = siblings[siblings.index(number) + 1 :]
        objects.append(
            b"<< /Title (%s) /Parent %d 0 R /Dest [%d 0 R /Fit] %s%s>>"
            % (
                title.encode("latin-1"),
                parent,
                kids[page],
                b"/Next %d 0 R " % following[0] if following else b"",
                _ends(number, parents, numbers),
            )
        )
    return root


def _ends(number: int, parents: Sequence[int], numbers: Sequence[int]) -> bytes:
    own = [child for child, parent in zip(numbers, parents, strict=True) if parent == number]
    return b"/First %d 0 R /Last %d 0 R /Count %d " % (own[0], own[-1], len(own)) if own else b""


def _file(objects: Sequence[bytes], trailer: bytes) -> bytes:
    out = bytearray(b"%PDF-1.4\n")
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    xref = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer << /Size %d %s >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, trailer, xref)
    return bytes(out)


# The standard security handler, revision 2 (PDF 1.4, section 3.5): enough to be asked for a password.
def _owner(password: bytes) -> bytes:
    return _rc4(hashlib.md5((password + _PADDING)[:32]).digest()[:5], (password + _PADDING)[:32])


def _file_key(password: bytes) -> bytes:
    permissions = (-4 & 0xFFFFFFFF).to_bytes(4, "little")
    return hashlib.md5((password + _PADDING)[:32] + _owner(password) + permissions + b"\0").digest()[:5]


def _object_key(key: bytes, number: int) -> bytes:
    return hashlib.md5(key + number.to_bytes(3, "little") + b"\0\0").digest()[:10]


def _encryption(password: bytes) -> bytes:
    user = _rc4(_file_key(password), _PADDING)
    return b"<< /Filter /Standard /V 1 /R 2 /P -4 /O <%s> /U <%s> >>" % (
        _owner(password).hex().encode(),
        user.hex().encode(),
    )


def _rc4(key: bytes, data: bytes) -> bytes:
    state = list(range(256))
    j = 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    out = bytearray()
    i = j = 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)
