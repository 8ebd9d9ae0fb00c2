"""Bytes -> text: which encoding a file is in, and whether it is text at all."""

import codecs
import re

from charset_normalizer import from_bytes

from retriever.errors import UnsupportedFormat

# Longest first: the UTF-32 little-endian mark begins with the UTF-16 one.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Encodings that documents are found in; leaving out the EBCDIC and DOS pages keeps short texts from landing there.
_CANDIDATES = [
    "gb18030", "big5", "cp932", "euc_jp", "cp949", "cp1252", "cp1251", "koi8_r", "cp1250", "cp1253", "cp1254",
    "cp1255", "cp1256", "cp1257", "cp1258", "cp874", "iso8859_2", "mac_roman",
]  # fmt: skip
_SAMPLE = 64_000
# Bytes below 0x20 that no text holds; tabs, line ends, form feeds and escapes are left out, NUL counts.
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def decode(data: bytes, *, declared: str | None = None) -> tuple[str, tuple[str, ...]]:
    """The text of a file and warnings about it; a byte order mark is dropped.

    A byte order mark decides; else the `declared` encoding if it is known and fits the bytes; else UTF-8 where the
    bytes are valid, or nearly so; else UTF-16 or UTF-32 by their zero bytes; else what charset-normalizer finds.
    Raises UnsupportedFormat where the bytes are no text.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _lenient(data[len(mark) :], encoding)
    if declared and (text := _as_declared(data, declared)) is not None:
        return text, ()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    else:
        if "\0" not in text[:_SAMPLE] or not (wide := _wide(data)):
            if len(_CONTROL.findall(data[:_SAMPLE])) > len(data[:_SAMPLE]) // 20:
                raise UnsupportedFormat("the file is not text")
            return text, ()
        return _lenient(data, wide)
    if wide := _wide(data):
        return _lenient(data, wide)
    if len(_CONTROL.findall(data[:_SAMPLE])) > len(data[:_SAMPLE]) // 100:
        raise UnsupportedFormat("the file is not text")
    if _nearly_utf8(data):
        return _lenient(data, "utf-8")
    best = from_bytes(data[:_SAMPLE], cp_isolation=_CANDIDATES).best()
    if best is None:
        raise UnsupportedFormat("the file is not text in any known encoding")
    return _lenient(data, best.encoding)


def _as_declared(data: bytes, declared: str) -> str | None:
    """The text in the encoding that the file or its sender names; None where that is unknown or does not fit."""
    try:
        name = codecs.lookup(declared).name
        # What the web calls Latin-1 is Windows-1252, and GB2312 its superset (WHATWG Encoding Standard).
        name = {"iso8859-1": "cp1252", "ascii": "cp1252", "gb2312": "gb18030", "gbk": "gb18030"}.get(name, name)
        return data.decode(name)
    except (LookupError, UnicodeError):
        return None


def _lenient(data: bytes, encoding: str) -> tuple[str, tuple[str, ...]]:
    try:
        return data.decode(encoding), ()
    except UnicodeDecodeError:
        text = data.decode(encoding, errors="replace")
        return text, (f"some bytes are not valid {encoding}; they read as U+FFFD",)


def _wide(data: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark, told by where zero bytes stand in text that is partly ASCII."""
    sample = data[:_SAMPLE]
    sample = sample[: len(sample) - len(sample) % 4]
    if len(sample) < 4:
        return None
    zeros = [sample[i::4].count(0) / (len(sample) // 4) for i in range(4)]
    if min(zeros[1:]) > 0.9 and zeros[0] < 0.1:
        return "utf-32-le"
    if min(zeros[:3]) > 0.9 and zeros[3] < 0.1:
        return "utf-32-be"
    if min(zeros[1], zeros[3]) > 0.3 and max(zeros[0], zeros[2]) < 0.1:
        return "utf-16-le"
    if min(zeros[0], zeros[2]) > 0.3 and max(zeros[1], zeros[3]) < 0.1:
        return "utf-16-be"
    return None


def _nearly_utf8(data: bytes) -> bool:
    """Whether the bytes are UTF-8 with a few broken ones, such as a file cut in the middle of a character."""
    text = data.decode("utf-8", errors="replace")
    broken = text.count("\ufffd")
    whole = sum(1 for character in text if character > "\x7f") - broken
    return whole > 20 * broken
