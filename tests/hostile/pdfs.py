"""Hostile PDFs: loops, lies about sizes, streams that expand, and more objects than pages need."""

import zlib

from tests.hostile.corpus import ANY, INDEXED, Hostile, file
from tests.retriever.pdfs import pdf

REFUSED = frozenset({"unreadable", "limits", "no_text"})
FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
RESOURCES = b"/Resources << /Font << /F1 3 0 R >> >>"
SAYING = b"BT /F1 12 Tf 72 720 Td (The mill stands.) Tj ET"


def stream(data: bytes, more: bytes = b"") -> bytes:
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(data), more, data)


def written(objects: list[bytes], *, trailer: bytes = b"") -> bytes:
    """A PDF of these objects, numbered from 1; the first is the catalogue."""
    out, places = bytearray(b"%PDF-1.7\n"), []
    for number, content in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<< /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, trailer, start)
    return bytes(out)


def one_page(
    content: bytes, *, box: bytes = b"[0 0 595 842]", more: tuple[bytes, ...] = (), page: bytes = b""
) -> bytes:
    """A PDF of one page; further objects are numbered from 6."""
    return written(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Count 1 /Kids [4 0 R] >>",
            FONT,
            b"<< /Type /Page /Parent 2 0 R /MediaBox %s /Contents 5 0 R %s >>" % (box, page or RESOURCES),
            content,
            *more,
        ]
    )


def tree(root: bytes, *more: bytes) -> bytes:
    """A PDF with this root of its pages, the second object; further ones are numbered from 3."""
    return written([b"<< /Type /Catalog /Pages 2 0 R >>", root, *more])


def fan(levels: int, width: int) -> bytes:
    """A tree whose nodes are shared: few objects, and width to the power of levels of pages."""
    nodes = [
        b"<< /Type /Pages /Count %d /Kids [%s] >>" % (width ** (levels - n), b" ".join([b"%d 0 R" % (n + 3)] * width))
        for n in range(levels)
    ]
    return tree(*nodes, b"<< /Type /Page /MediaBox [0 0 9 9] >>")


def objects(count: int) -> bytes:
    return one_page(stream(SAYING), more=tuple([b"null"] * count))


def deflated(size: int, *, twice: bool = False) -> bytes:
    data = zlib.compress(b"\0" * size, 9)
    if twice:
        return stream(zlib.compress(data, 9), b"/Filter [/FlateDecode /FlateDecode]")
    return stream(data, b"/Filter /FlateDecode")


def glyphs(count: int) -> bytes:
    """A page of so many characters, one above the other."""
    return one_page(stream(b"BT /F1 1 Tf 9 9 Td (" + b"a" * count + b") Tj ET"))


def outline(looped: bool) -> bytes:
    following = b"6 0 R" if looped else b"9 0 R"
    return written(
        [
            b"<< /Type /Catalog /Pages 2 0 R /Outlines 6 0 R >>",
            b"<< /Type /Pages /Count 1 /Kids [4 0 R] >>",
            FONT,
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 5 0 R %s >>" % RESOURCES,
            stream(SAYING),
            b"<< /Title (a) /First 6 0 R /Last 6 0 R /Next %s /Parent 6 0 R /Dest [4 0 R /Fit] >>" % following,
        ]
    )


FORM = b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X 6 0 R >> >>"
USING = b"/Resources << /Font << /F1 3 0 R >> /XObject << /X 6 0 R >> >>"
MILL = pdf([["The mill stands at Stony Ford."]] * 3)

SMALL: list[Hostile] = [
    file(
        "a page tree that is its own child",
        "a.pdf",
        lambda: tree(b"<< /Type /Pages /Count 1 /Kids [2 0 R] >>"),
        REFUSED,
    ),
    file(
        "two nodes in a circle",
        "a.pdf",
        lambda: tree(
            b"<< /Type /Pages /Count 9 /Kids [3 0 R] >>", b"<< /Type /Pages /Parent 2 0 R /Count 9 /Kids [2 0 R] >>"
        ),
        REFUSED,
    ),
    file(
        "a count of pages that lies",
        "a.pdf",
        lambda: tree(
            b"<< /Type /Pages /Count 2147483647 /Kids [3 0 R] >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>",
        ),
        REFUSED,
    ),
    file(
        "a negative count",
        "a.pdf",
        lambda: tree(b"<< /Type /Pages /Count -5 /Kids [3 0 R] >>", b"<< /Type /Page >>"),
        REFUSED,
    ),
    file("a tree that fans out", "a.pdf", lambda: fan(12, 12), REFUSED),
    file("a huge page", "a.pdf", lambda: one_page(stream(SAYING), box=b"[-1e30 -1e30 1e38 1e38]")),
    file("a page of no size", "a.pdf", lambda: one_page(stream(SAYING), box=b"[0 0 0 0]")),
    file("a stream that expands", "a.pdf", lambda: one_page(deflated(200_000_000)), REFUSED),
    file("a stream that expands twice", "a.pdf", lambda: one_page(deflated(200_000_000, twice=True)), REFUSED),
    file(
        "filters upon filters",
        "a.pdf",
        lambda: one_page(stream(b"x", b"/Filter [" + b"/FlateDecode " * 50_000 + b"]")),
        REFUSED,
    ),
    file("deep arrays", "a.pdf", lambda: one_page(stream(SAYING), more=(b"[" * 100_000,)), ANY),
    file("deep arrays in a page", "a.pdf", lambda: one_page(stream(b"[" * 200_000 + SAYING)), ANY),
    file("states without end", "a.pdf", lambda: one_page(stream(b"q " * 200_000 + SAYING)), ANY),
    file(
        "a form that draws itself",
        "a.pdf",
        lambda: one_page(stream(SAYING + b" /X Do"), page=USING, more=(stream(b"/X Do " * 20, FORM),)),
    ),
    file("many objects", "a.pdf", lambda: objects(20_000), frozenset({INDEXED})),
    file("bookmarks in a circle", "a.pdf", lambda: outline(True)),
    file("bookmarks to nowhere", "a.pdf", lambda: outline(False)),
    file("characters by the million", "a.pdf", lambda: glyphs(100_000), frozenset({INDEXED, "limits"})),
    file("a length that lies", "a.pdf", lambda: MILL.replace(b"/Length ", b"/Length 9999999"), ANY),
    file("no table of places", "a.pdf", lambda: MILL.replace(b"xref", b"xxxx"), ANY),
    file("places that lie", "a.pdf", lambda: MILL.replace(b" 00000 n", b"5 0000 n"), ANY),
    file("a start that points outside", "a.pdf", lambda: MILL.replace(b"startxref\n", b"startxref\n99999999"), ANY),
    file("tables in a circle", "a.pdf", lambda: MILL.replace(b"/Root", b"/Prev %d /Root" % MILL.index(b"xref")), ANY),
    file("half a PDF", "a.pdf", lambda: MILL[: len(MILL) // 2], ANY),
    file("nothing after its first line", "a.pdf", b"%PDF-1.7\n", REFUSED),
    file("an encrypted PDF", "a.pdf", lambda: pdf([["The mill."]], password=b"swordfish"), frozenset({"unreadable"})),
    file("zeros after a head", "a.pdf", b"%PDF-1.7\n" + b"\0" * 500_000, REFUSED),
]

LARGE: list[Hostile] = [
    file("a million objects", "a.pdf", lambda: objects(1_000_000), frozenset({INDEXED})),
    file("a stream of a gigabyte", "a.pdf", lambda: one_page(deflated(1_000_000_000)), REFUSED),
    file(
        "a stream of a gigabyte, packed twice", "a.pdf", lambda: one_page(deflated(1_000_000_000, twice=True)), REFUSED
    ),
    file("ten million characters on a page", "a.pdf", lambda: glyphs(10_000_000)),
    file("more pages than there may be", "a.pdf", lambda: pdf([["The mill."]] * 10_001), frozenset({"limits"})),
]
