"""What a file is: by what its sender claims, and by what its bytes are."""

import re
from pathlib import PurePath
from typing import Literal

from retriever.errors import UnreadableFile, UnsupportedFormat
from retriever.parsing.languages import BY_EXTENSION, BY_MEDIA_TYPE, language_of


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


Format = Literal["text", "markdown", "html", "pdf", "docx", "epub", "code", "jsonl", "vtt", "srt"]

_BY_EXTENSION: dict[str, Format] = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".mdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".docx": "docx",
    ".docm": "docx",
    ".epub": "epub",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".vtt": "vtt",
    ".srt": "srt",
    ".txt": "text",
    ".text": "text",
}
_BY_MEDIA_TYPE: dict[str, Format] = {
    "text/markdown": "markdown",
    "text/x-markdown": "markdown",
    "text/html": "html",
    "application/xhtml+xml": "html",
    "application/pdf": "pdf",
    "application/x-pdf": "pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/epub+zip": "epub",
    "application/jsonl": "jsonl",
    "application/jsonlines": "jsonl",
    "application/json-lines": "jsonl",
    "application/x-jsonlines": "jsonl",
    "application/x-ndjson": "jsonl",
    "application/ndjson": "jsonl",
    "text/vtt": "vtt",
    "text/srt": "srt",
    "application/x-subrip": "srt",
    "text/plain": "text",
}
_PACKED: tuple[Format, ...] = ("pdf", "docx", "epub")  # told by their bytes, whatever else is claimed
# Extensions of formats that are not text and not read here: their files are refused whatever is in them.
_UNSUPPORTED = _names(
    ".doc .dot .rtf .odt .ods .odp .xls .xlsx .xlsm .ppt .pptx .pages .numbers .key .mobi .azw3 .djvu .ps "
    ".eps .xps .png .jpg .jpeg .gif .bmp .tif .tiff .webp .heic .ico .mp3 .wav .flac .ogg .m4a .mp4 .avi .mov "
    ".mkv .webm .zip .gz .bz2 .xz .7z .rar .tar .tgz .exe .dll .so .dylib .class .jar .pyc .wasm .bin .iso .dmg "
    ".sqlite .db .parquet .npy .pkl .pt .safetensors .onnx .ttf .otf .woff .woff2 .msg"
)
_UNSUPPORTED_MEDIA = re.compile(
    r"(?:image/(?!svg)|audio/|video/|font/|application/(?:zip|gzip|x-tar|msword|rtf|vnd\.|x-msdownload|java-archive))"
)
# Where several formats begin alike, the longer mark comes first.
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"RIFF", "a RIFF file"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh9", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90\x00", "a program"),
    (b"\xcf\xfa\xed\xfe", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"SQLite format 3\x00", "a database"),
    (b"{\\rtf", "an RTF document"),
    (b"%!PS", "a PostScript document"),
    (b"OggS", "an Ogg file"),
    (b"ID3", "an MP3 file"),
    (b"\x00asm", "a WebAssembly module"),
)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
_VTT = re.compile(rb"(?:\xef\xbb\xbf)?WEBVTT(?=[ \t\r\n]|$)")
_HTML = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.I | re.S
)


def format_of(data: bytes, *, filename: str | None, media_type: str | None) -> Format:
    """The format to read the bytes as. Raises UnsupportedFormat where they are not what the name or type claims.

    The file's extension is believed before the media type, which many clients guess. Text may be claimed to be any kind
    of text, and whether it is one is for that kind's parser to say; an extension that is not known claims nothing.
    """
    suffix = PurePath(filename or "").suffix.lower()
    kind = (media_type or "").split(";")[0].strip().lower()
    found = _by_content(data)
    claims = [claim for claim in (_extension_claims(suffix), _media_type_claims(kind)) if claim]
    for claim in claims:
        if claim in _PACKED and found != claim:
            if claim == "docx" and found == "encrypted":
                raise UnreadableFile("the document is encrypted: remove its password first")
            raise UnsupportedFormat(f"the file claims to be {_NAMES[claim]}, but holds {_described(found)}")
    if found in _PACKED and all(claim == found for claim in claims):
        return found
    if found not in ("html", "text", "vtt"):
        claimed = f"the file claims to be {_NAMES[claims[0]]}, but holds" if claims else "the file is"
        raise UnsupportedFormat(f"{claimed} {_described(found)}, which is not supported")
    if suffix in _UNSUPPORTED or (not claims and _UNSUPPORTED_MEDIA.match(kind)):
        what = suffix if suffix in _UNSUPPORTED else "that media type"
        raise UnsupportedFormat(f"files of {what} are not supported")
    if claims:
        return claims[0]
    if suffix:
        return "text"
    return "code" if language_of(data, filename=None, media_type=None) else found  # type: ignore[return-value]


def _extension_claims(suffix: str) -> Format | None:
    return "code" if suffix in BY_EXTENSION else _BY_EXTENSION.get(suffix)


def _media_type_claims(kind: str) -> Format | None:
    return "code" if kind in BY_MEDIA_TYPE else _BY_MEDIA_TYPE.get(kind)


_NAMES = {
    "pdf": "a PDF",
    "docx": "a Word document",
    "html": "an HTML page",
    "markdown": "Markdown",
    "text": "plain text",
    "epub": "an EPUB",
    "code": "source code",
    "jsonl": "JSON Lines",
    "vtt": "WebVTT",
    "srt": "SubRip",
    "encrypted": "an encrypted or old Office document",
    "zip": "a zip archive",
}


def _described(found: str) -> str:
    return _NAMES.get(found, found)


def _by_content(data: bytes) -> str:
    """A format, or a description of what else the bytes are; "text" where nothing speaks against it."""
    head = data[:1024]
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"%PDF-") or (b"%PDF-" in head and b"\0" in head):
        return "pdf"
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        if data[30:58] == b"mimetypeapplication/epub+zip" or b"META-INF/container.xml" in data:
            return "epub"
        # The name stands in the zip's directory at the end, and before the member itself in a file that was cut short.
        return "docx" if b"word/document" in data or b"[Content_Types].xml" in head else "zip"
    if data.startswith(_OLE):
        return "encrypted" if _ENCRYPTED_PACKAGE in data else "an old Office document"
    for magic, name in _MAGIC:
        if data.startswith(magic):
            return name
    if _VTT.match(data):
        return "vtt"
    return "html" if _HTML.match(data[:4096]) else "text"
