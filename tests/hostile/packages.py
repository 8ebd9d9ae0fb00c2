"""Hostile zips of XML: Word documents and books that expand, nest, lie about themselves or are cut short."""

import functools
import io
import struct
import zipfile
import zlib

from tests.hostile.corpus import ANY, INDEXED, LIMITS, UNREADABLE, UNSUPPORTED, Hostile, file
from tests.retriever.epubs import epub, page

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
TYPES = b'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
MAYBE = frozenset({INDEXED, "limits"})
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))


def body(inner: str, *, before: str = "") -> bytes:
    return f'<?xml version="1.0"?>{before}<w:document xmlns:w="{W}"><w:body>{inner}</w:body></w:document>'.encode()


def paragraphs(text: str = "The mill stands.") -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def docx(document: bytes, **more: bytes) -> bytes:
    """A Word document of these members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("[Content_Types].xml", TYPES)
        package.writestr("word/document.xml", document)
        for name, data in more.items():
            package.writestr(f"word/{name}.xml", data)
    return out.getvalue()


@functools.cache
def whole() -> bytes:
    return docx(body(paragraphs() * 200))


def many_members(count: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as package:
        package.writestr("word/document.xml", body(paragraphs()))
        for number in range(count):
            package.writestr(f"word/m{number}", b"")
    return out.getvalue()


def lying(size: int) -> bytes:
    """A document whose directory says that it expands to far more, or far less, than it does."""
    made = bytearray(docx(body(paragraphs() * 200)))
    at = made.rindex(b"PK\x01\x02", 0, made.rindex(b"word/document.xml"))
    made[at + 24 : at + 28] = struct.pack("<I", size)
    return bytes(made)


def overlapping(count: int) -> bytes:
    """A book whose chapters are all one member's bytes, which the zip holds once (Fifield 2019)."""
    text = page("<p>" + "The mill stands. " * 60_000 + "</p>").encode()
    chapters = {f"c{n}.xhtml": "" for n in range(count)}
    source = zipfile.ZipFile(io.BytesIO(epub(chapters)))
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = deflate.compress(text) + deflate.flush()
    out, rows = io.BytesIO(), []
    for info in source.infolist():
        data = source.read(info)
        if not info.filename.endswith(".xhtml"):
            rows.append((info.filename.encode(), out.tell(), 0, zlib.crc32(data), len(data), len(data)))
            out.write(_local(*rows[-1]) + data)
    shared = out.tell()
    kernel = (b"OEBPS/c0.xhtml", shared, 8, zlib.crc32(text), len(packed), len(text))
    out.write(_local(*kernel) + packed)
    # zipfile compares names in the two headers: all have the length of the first, and the first's own is what counts.
    rows += [kernel] + [(f"OEBPS/c{n}.xhtml".encode(), *kernel[1:]) for n in range(1, count)]
    start = out.tell()
    for row in rows:
        out.write(_central(*row))
    size = out.tell() - start
    out.write(b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, len(rows), len(rows), size, start, 0))
    return out.getvalue()


def _local(name: bytes, at: int, method: int, crc: int, packed: int, size: int) -> bytes:
    return b"PK\x03\x04" + struct.pack("<HHHHHIIIHH", 20, 0, method, 0, 33, crc, packed, size, len(name), 0) + name


def _central(name: bytes, at: int, method: int, crc: int, packed: int, size: int) -> bytes:
    fields = (20, 20, 0, method, 0, 33, crc, packed, size, len(name), 0, 0, 0, 0, 0, at)
    return b"PK\x01\x02" + struct.pack("<HHHHHHIIIHHHHHII", *fields) + name


def encrypted() -> bytes:
    made = bytearray(whole())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = made.find(mark)
        while at >= 0:
            made[at + flags] |= 1
            at = made.find(mark, at + 4)
    return bytes(made)


def book(opf: str) -> bytes:
    return epub({"one.xhtml": page("<p>The mill stands.</p>")}, more={"OEBPS/book.opf": opf})


def long_contents(depth: int) -> bytes:
    items = "".join(f'<li><a href="one.xhtml">{n}</a><ol>' for n in range(depth)) + "</ol></li>" * depth
    return epub({"one.xhtml": page("<p>The mill.</p>")}, contents=page(f'<nav epub:type="toc"><ol>{items}</ol></nav>'))


def attributes(count: int) -> bytes:
    many = " ".join(f'w:a{n}="1"' for n in range(count))
    return docx(body(f"<w:p {many}><w:r><w:t>The mill stands.</w:t></w:r></w:p>"))


DTD = f"<!DOCTYPE w [<!ENTITY l0 'lol'>{LAUGHS}]>"
STYLES = f'<w:styles xmlns:w="{W}"><w:style w:styleId="a"><w:basedOn w:val="a"/></w:style></w:styles>'
OPF = '<package xmlns="http://www.idpf.org/2007/opf"><metadata/><manifest/>'

SMALL: list[Hostile] = [
    file("a zip bomb", "a.docx", lambda: docx(body(paragraphs("a" * 30_000_000))), LIMITS),
    file("a bomb that lies", "a.docx", lambda: lying(4_000_000_000), LIMITS),
    file("a document that lies", "a.docx", lambda: lying(5), frozenset({"limits", "unreadable"})),
    file("many members", "a.docx", lambda: many_members(20_000), MAYBE),
    file("a bomb of entities", "a.docx", lambda: docx(body(paragraphs("&l9;"), before=DTD)), LIMITS),
    file(
        "a file as an entity",
        "a.docx",
        lambda: docx(body(paragraphs("&x;"), before="<!DOCTYPE w [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>")),
        LIMITS,
    ),
    file(
        "an outer DTD",
        "a.docx",
        lambda: docx(body(paragraphs(), before="<!DOCTYPE w SYSTEM 'http://192.0.2.1/x.dtd'>")),
        MAYBE,
    ),
    file("deep XML", "a.docx", lambda: docx(body("<w:p>" * 100_000)), LIMITS),
    file(
        "deep tables",
        "a.docx",
        lambda: docx(body("<w:tbl><w:tr><w:tc>" * 80 + paragraphs() + "</w:tc></w:tr></w:tbl>" * 80)),
        MAYBE,
    ),
    file("many attributes in XML", "a.docx", lambda: attributes(20_000), MAYBE),
    file(
        "a style based on itself",
        "a.docx",
        lambda: docx(
            body(paragraphs()),
            styles=STYLES.encode(),
        ),
    ),
    file("broken XML", "a.docx", lambda: docx(body("<w:p>")), UNREADABLE),
    file("no document in it", "a.docx", lambda: docx(b""), UNREADABLE),
    file("an encrypted package", "a.docx", encrypted, UNREADABLE),
    file("half a package", "a.docx", lambda: whole()[: len(whole()) // 2], UNREADABLE),
    file("a package in a package", "a.docx", lambda: docx(whole()), UNREADABLE),
    file("a document as a book", "a.epub", whole, UNSUPPORTED),
    file("chapters that are one", "a.epub", lambda: overlapping(60), LIMITS | UNREADABLE),
    file(
        "one chapter a thousand times",
        "a.epub",
        lambda: epub({"one.xhtml": page("<p>" + "The mill. " * 300 + "</p>")}, spine=["one.xhtml"] * 60),
        MAYBE,
    ),
    file("deep contents", "a.epub", lambda: long_contents(200), MAYBE),
    file("contents too deep", "a.epub", lambda: long_contents(5_000)),
    file(
        "a book of entities",
        "a.epub",
        lambda: book(f"<!DOCTYPE p [<!ENTITY l0 'lol'>{LAUGHS}]>{OPF}&l9;</package>"),
        LIMITS,
    ),
    file("a book without chapters", "a.epub", lambda: book(f"{OPF}<spine/></package>")),
    file(
        "a book that names what is outside",
        "a.epub",
        lambda: book(f'{OPF}<spine><itemref idref="x"/></spine></package>'),
    ),
    file("half a book", "a.epub", lambda: epub({"one.xhtml": page("<p>The mill.</p>")})[:600], UNREADABLE),
    file(
        "a book with a bomb",
        "a.epub",
        lambda: epub({"one.xhtml": page("<p>" + "a" * 30_000_000 + "</p>")}),
        ANY - {INDEXED},
    ),
]

LARGE: list[Hostile] = [
    file("a member of four hundred megabytes", "a.docx", lambda: docx(body(paragraphs("a" * 400_000_000))), LIMITS),
    file("members by the hundred thousand", "a.docx", lambda: many_members(200_000), MAYBE),
    file("attributes by the million", "a.docx", lambda: attributes(1_000_000), MAYBE),
    file("five hundred chapters that are one", "a.epub", lambda: overlapping(500), LIMITS | UNREADABLE),
    file(
        "a chapter ten thousand times",
        "a.epub",
        lambda: epub({"one.xhtml": page("<p>" + "The mill. " * 300 + "</p>")}, spine=["one.xhtml"] * 10_000),
        MAYBE,
    ),
]
