"""Writes small EPUB files: chapters of XHTML, a navigation document or an NCX, and whatever else a test puts in."""

import io
import zipfile
from collections.abc import Mapping, Sequence

CONTAINER = """<?xml version="1.0"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
<rootfiles><rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>"""


def page(body: str, *, head: str = "<title/>") -> str:
    """A chapter's file, with an empty title as many writers put it."""
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE html>\n<html xmlns="http://www.w3.org/1999/xhtml" '
        f'xmlns:epub="http://www.idpf.org/2007/ops"><head>{head}</head><body>{body}</body></html>'
    )


def nav(items: str) -> str:
    """An EPUB 3 navigation document of `<li>` elements."""
    pages = '<nav epub:type="page-list"><ol><li><a href="one.xhtml#p2">2</a></li></ol></nav>'
    return page(f'<nav epub:type="toc"><h1>Contents</h1><ol>{items}</ol></nav>{pages}')


def ncx(points: str) -> str:
    """An EPUB 2 table of contents of `<navPoint>` elements."""
    return (
        '<?xml version="1.0"?>\n<!DOCTYPE ncx PUBLIC "-//NISO//DTD ncx 2005-1//EN" '
        '"http://www.daisy.org/z3986/2005/ncx-2005-1.dtd">\n'
        f'<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/" version="2005-1"><navMap>{points}</navMap></ncx>'
    )


def epub(
    chapters: Mapping[str, str],
    *,
    contents: str | None = None,
    title: str | None = "The Book",
    spine: Sequence[str] | None = None,
    more: Mapping[str, str | bytes] | None = None,
) -> bytes:
    """An EPUB file. `chapters` are file names and their XHTML, in the order of the spine unless that is given.

    `contents` is an NCX or a navigation document; `more` are members to put in, or to put in the place of others.
    """
    items = [f'<item id="i{n}" href="{name}" media-type="application/xhtml+xml"/>' for n, name in enumerate(chapters)]
    files: dict[str, str | bytes] = {f"OEBPS/{name}": text for name, text in chapters.items()}
    toc = ""
    if contents is not None and "<ncx" in contents:
        items.append('<item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>')
        files["OEBPS/toc.ncx"], toc = contents, ' toc="ncx"'
    elif contents is not None:
        items.append('<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>')
        files["OEBPS/nav.xhtml"] = contents
    order = "".join(f'<itemref idref="i{list(chapters).index(name)}"/>' for name in spine or chapters)
    named = f"<dc:title>{title}</dc:title>" if title else ""
    files["OEBPS/book.opf"] = (
        '<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/">{named}</metadata>'
        f"<manifest>{''.join(items)}</manifest><spine{toc}>{order}</spine></package>"
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        for name, data in ({"META-INF/container.xml": CONTAINER} | files | dict(more or {})).items():
            archive.writestr(name, data)
    return out.getvalue()
